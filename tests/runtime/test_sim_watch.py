"""A loop that watches its connections directly: who puts a hand in between sees and gets what he does for real."""

from __future__ import annotations

import asyncio

import pytest
from tests.runtime.talk import TALK

from portside import Network

ENDS = '''
async def three(kind=Told):
    """Three transports, whose other ends are sockets."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    ends = []
    for name in ("first", "second", "third"):
        transport, protocol = await loop.create_connection(lambda: kind(name), *listener.getsockname())
        ends.append((transport, protocol, listener.accept()[0]))
    await asyncio.sleep(0)
    listener.close()
    return ends

async def close_all(ends):
    for transport, protocol, other in ends:
        transport.close()
        await protocol.lost
        other.close()
'''

WHOSE_TURN = '''
async def main():
    """Who is watched anew stands behind the others that have something to read."""
    ends = await three()
    for again in (0, 1, 0):
        for _, protocol, other in ends:
            protocol.got = b""
            other.send(b"x")
        ends[again][0].pause_reading()
        ends[again][0].resume_reading()
        await until(lambda: all(protocol.got for _, protocol, _ in ends))
    await close_all(ends)
run(main)
'''

ASIDE_IN_ORDER = '''
async def main():
    """Who looks at the selector changes nothing in the order of what is ready."""
    ends = await three()
    for _, _, other in reversed(ends):
        other.send(b"x")
    len(asyncio.get_running_loop()._selector.get_map())
    await until(lambda: all(protocol.got for _, protocol, _ in ends))
    await close_all(ends)
run(main)
'''

ASIDE_IN_A_TURN = '''
class Looks(Told):
    def data_received(self, data):
        super().data_received(data)
        if data == b"look":
            loop = asyncio.get_running_loop()
            len(loop._selector.get_map())
            ends[1][0].pause_reading()
            loop.call_soon(loop.call_soon, ends[1][0].resume_reading)

async def main():
    """One that is ready is told no more when another stops it, although somebody has looked in between."""
    global ends
    ends = await three(Looks)
    for data in (b"before", b"look", b"after"):
        for _, protocol, other in ends:
            protocol.got = b""
            other.send(data)
        await until(lambda: all(protocol.got for _, protocol, _ in ends))
    await close_all(ends)
run(main)
'''

ANY_OBJECT = '''
class Named:
    """What has a descriptor, and no hash."""
    __hash__ = None
    def __init__(self, fd):
        self.fd = fd
    def fileno(self):
        return self.fd

def tell_kind(call, *args):
    try:
        print(call(*args) is not None)
    except Exception as error:
        print(type(error).__name__, str(error)[:20].split(" at ")[0].replace(str(fd), "N"))

async def main():
    global fd
    selector = asyncio.get_running_loop()._selector
    for call in (selector.register, selector.unregister, selector.modify):
        listening, transport, client, server = await pair()
        fd = transport.get_extra_info("socket").fileno()
        near, far = os.pipe()
        tell_kind(call, Named(fd), *([] if call == selector.unregister else [1, (None, None)]))
        tell_kind(selector.register, Named(near), 1)
        tell_kind(selector.unregister, Named(near))
        tell_kind(selector.register, Named(-1), 1)
        os.close(near)
        os.close(far)
        transport.abort()
        await client.lost
        await server.lost
        listening.close()
run(main)
'''

CANCELLED = '''
async def main():
    """What the selector's keys hold are handles; one that is cancelled is watched for no more."""
    loop = asyncio.get_running_loop()
    listening, transport, client, server = await pair()
    fd = transport.get_extra_info("socket").fileno()
    handle = loop._selector.get_key(fd).data[0]
    print(isinstance(handle, asyncio.Handle), handle.cancelled(), handle)
    handle.cancel()
    server.transport.write(b"x")
    await asyncio.sleep(0)
    print(fd in loop._selector.get_map(), client.got)
    transport.pause_reading()
    transport.resume_reading()
    await until(lambda: client.got)
    await end(listening, transport, client, server)
run(main)
'''

CLOSED_BEHIND = '''
async def main():
    """A descriptor that somebody has closed is watched no more."""
    loop = asyncio.get_running_loop()
    listening, transport, client, server = await pair()
    fd = transport.get_extra_info("socket").fileno()
    os.close(fd)
    await server.lost
    print(fd in loop._selector.get_map())
    transport.pause_reading()
    print(fd in loop._selector.get_map())
    tell(transport.resume_reading)
    transport.abort()
    await client.lost
    listening.close()
run(main)
'''

ANOTHER_FILE = '''
async def main():
    """A descriptor that refers to something else is that for its transport, when the kernel is asked again."""
    for made in (socket.socketpair, os.pipe):
        listening, transport, client, server = await pair()
        fd = transport.get_extra_info("socket").fileno()
        near, far = made()
        os.dup2(near if made is os.pipe else near.fileno(), fd)
        await server.lost
        os.write(far if made is os.pipe else far.fileno(), b"for whom")
        transport.pause_reading()
        tell(transport.resume_reading)
        await until(lambda: client.got or client.lost.done())
        tell(transport.write, b"back")
        if made is socket.socketpair:
            print(far.recv(100))
            transport.write_eof()
            print(far.recv(100))
        await end(listening, transport, client)
        tell(os.fstat, fd)
run(main)
'''

NEXT_OF_ITS_NUMBER = '''
class Numbered(Told):
    def connection_made(self, transport):
        super().connection_made(transport)
        made.append(self)

async def main():
    """Who gets the number of a descriptor that was closed behind the loop, which still watches it, hears nothing."""
    global made
    made = []
    listening, transport, client, server = await pair(Numbered)
    place = listening.sockets[0].getsockname()
    deaf, heard = socket.socket(), socket.socket()
    fd = transport.get_extra_info("socket").fileno()
    os.close(fd)
    await server.lost
    if sys.version_info >= (3, 12):  # it is refused, and nobody is told of that
        deaf.setblocking(False)
        await asyncio.get_running_loop().sock_connect(deaf, place)
        print(await asyncio.get_running_loop().sock_recv(deaf, 10), len(made))
        transport.abort()
        await client.lost
        deaf.close()
        heard.close()
        listening.close()
        return
    for number, near in ((1, deaf), (2, heard)):
        near.connect(place)
        near.send(b"hello")
        await until(lambda: len(made) > number)
    await until(lambda: made[2].got)
    print(made[1].transport.get_extra_info("socket").fileno() == fd, made[1].got)
    made[1].transport.pause_reading()
    made[1].transport.resume_reading()
    await until(lambda: made[1].got)
    transport.abort()
    await client.lost
    print(deaf.recv(10))
    made[1].transport.abort()
    heard.close()
    await made[1].lost
    await made[2].lost
    deaf.close()
    listening.close()
run(main)
'''

TOOLS = '''
import selectors
from unittest import mock
from asyncio.events import Handle

async def talk(transport, server):
    server.got = b""
    transport.write(b"x")
    await until(lambda: server.got)

async def main():
    """Tools that measure what a loop does put their own in the place of its methods."""
    loop = asyncio.get_running_loop()
    listening, transport, client, server = await pair()
    seen = []
    def spied(owner, name, what):
        original = getattr(owner, name)
        def spy(*args, **options):
            seen.append(what(args))
            return original(*args, **options)
        return mock.patch.object(owner, name, spy)
    name_of = lambda args: getattr(args[0]._callback, "__name__", "a step")
    with spied(Handle, "_run", name_of):
        await talk(transport, server)
        await asyncio.sleep(0)
    print(sorted(set(seen)))
    for owner, name in (
        (selectors.EpollSelector, "select"), (type(loop), "_process_events"), (loop, "_process_events"),
    ):
        del seen[:]
        with spied(owner, name, len):
            await talk(transport, server)
        print(name, len(seen) > 0)
    for name in ("call_soon", "_add_reader", "_remove_reader"):
        del seen[:]
        with spied(type(loop), name, len):
            other, late = await loop.create_connection(lambda: Told("late"), *listening.sockets[0].getsockname())
            other.close()
            await late.lost
        print(name, len(seen) > 0)
    await end(listening, transport, client, server)
run(main)
'''

DEBUG_IN_A_TURN = '''
import logging, re

class Shown(logging.Handler):
    """Prints which callbacks of some were told of as slow, each once."""
    def emit(self, record):
        words = re.sub(r"took .*|created at [^ >]+", "...", record.getMessage())
        if ("print" in words or "_read_ready" in words) and words not in seen:
            seen.append(words)
            print(words)

async def main():
    """What takes long is told of from the moment on when somebody asks for it."""
    global seen
    seen = []
    logging.getLogger("asyncio").addHandler(Shown())
    logging.getLogger("asyncio").propagate = False
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 0
    listening, transport, client, server = await pair()
    loop.call_soon(print, "before")
    loop.call_soon(loop.set_debug, True)
    loop.call_soon(print, "while it is on")
    loop.call_soon(loop.set_debug, False)
    loop.call_soon(print, "after")
    await asyncio.sleep(0)
    loop.set_debug(True)
    transport.write(b"x")
    await until(lambda: server.got)
    loop.slow_callback_duration = 1000
    server.got = b""
    loop.call_soon(print, "not slow")
    transport.pause_reading()
    transport.resume_reading()
    key = loop._selector.get_key(transport.get_extra_info("socket").fileno())
    print(re.sub("created at [^ >]+", "...", repr(key.data)))
    loop.set_debug(False)
    await end(listening, transport, client, server)
run(main)
'''

MISTAKE_WHILE_DEBUGGED = '''
import logging

class Shown(logging.Handler):
    def emit(self, record):
        print(record.getMessage().splitlines()[0], repr(record.exc_info[1]) if record.exc_info else None)

class Raises(Told):
    def connection_lost(self, error):
        super().connection_lost(error)
        raise ZeroDivisionError("lost")

async def main():
    """What was asked for before debug mode, and fails in it, is told of by the loop's own handler."""
    logging.getLogger("asyncio").addHandler(Shown())
    logging.getLogger("asyncio").propagate = False
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(None)
    for turn in (loop.set_debug, lambda debug: loop.call_soon(loop.set_debug, debug)):
        listening, transport, client, server = await pair(Told, Raises)
        transport.close()
        turn(True)
        await client.lost
        await server.lost
        loop.set_debug(False)
        listening.close()
run(main)
'''

AT_ONE_TIME = '''
async def main():
    """Timers that are asked for one after the other and for as long a time are due in that order, as on any clock."""
    loop = asyncio.get_running_loop()
    handles = [loop.call_later(0.005, print, number) for number in range(300)]
    for handle in handles[::2] + handles[1::4]:
        handle.cancel()
    for number in range(7):
        loop.call_at(loop.time() + 0.01, print, "at", number)
    done = loop.create_future()
    def sets_more():
        handles[2] = loop.call_later(0.01, print, "never")
        loop.call_later(0.01, print, "set by the first")
        loop.call_later(0, print, "and set at once")
        loop.call_later(0.01, done.set_result, None)
    handles[0] = loop.call_later(0.01, sets_more)
    handles[1] = loop.call_later(0.01, lambda: handles[2].cancel())
    await done
    async def sleeper(number):
        for turn in range(3):
            await asyncio.sleep(0.01)
            print(turn, number)
    await asyncio.gather(*map(sleeper, range(9)))
    one, other = loop.call_at(loop.time(), print), loop.call_at(loop.time() + 1, print)
    print(one < other, other < one, one == one, one <= one, max([one, other]) is other)
    try:
        one < 5
    except TypeError as error:
        print(error)
    one.cancel()
    other.cancel()
run(main)
'''

ANY_ARGUMENT = '''
import fractions, selectors

async def main():
    """What asyncio does not look at may be anything, and fails where it is used."""
    loop = asyncio.get_running_loop()
    listening, transport, client, server = await pair()
    tell(loop.call_at, None, print)
    tell(loop.call_later, None, print)
    for when in (0, True, fractions.Fraction(1, 3)):
        handle = loop.call_at(when, print, "at", when)
        print(repr(handle.when()))
    for name in (5, None, "nothing"):
        tell(transport.get_extra_info, name, "default")
    with selectors.DefaultSelector() as selector:
        for timeout in (fractions.Fraction(1, 100), True, -1, 0.001):
            print(selector.select(timeout))
    await asyncio.sleep(0)
    try:
        loop.call_soon(print, context=5)
        await asyncio.sleep(0)
    except Exception as error:
        print(type(error).__name__, error)
    await end(listening, transport, client, server)
run(main)
'''

PROGRAMS = {
    name.lower(): program for name, program in globals().items()
    if name.isupper() and name not in ("TALK", "ENDS") and isinstance(program, str)
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_sees_what_it_sees_for_real(same, name):
    assert same(TALK + ENDS + PROGRAMS[name], sweep=True)


def test_nothing_but_a_usual_loop_is_needed_to_be_watched_directly():
    """Else all of this would be true of loops that go the interpreter's way, and slow."""

    class End(asyncio.Protocol):
        made, lost = [], asyncio.Event()

        def connection_made(self, transport):
            self.made.append(transport)

        def connection_lost(self, error):
            self.made.pop()
            if not self.made:
                self.lost.set()

    async def watched():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(End, "127.0.0.1", 80)
        await loop.create_connection(End, "127.0.0.1", 80)
        while len(End.made) < 2:
            await asyncio.sleep(0)
        found = len(loop._selector._selector.watches)
        for each in list(End.made):
            each.close()
        await End.lost.wait()
        server.close()
        return found

    def program():
        return asyncio.run(watched())

    network = Network(seed=1)
    running = network.host("host", "10.0.0.1/24").spawn(program)
    network.run()
    assert running.result == 2  # both ends
