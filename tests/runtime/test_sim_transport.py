# ruff: noqa: E501 - programs stand in here as they are
"""asyncio's connections with the transports of the simulated kernel: what a program sees of them is what it sees for real."""

from __future__ import annotations

import asyncio

import pytest
from tests.runtime.talk import TALK

from portside import Network

LIFE = '''
async def main():
    listening, transport, client, server = await pair(server_args=(b"answer",))
    other = server.transport
    print(transport.get_extra_info("peername") == other.get_extra_info("sockname") == listening.sockets[0].getsockname())
    print(transport.get_extra_info("sockname") == other.get_extra_info("peername"), transport.get_extra_info("nothing", 5))
    for end in (transport, other):
        sock = end.get_extra_info("socket")
        print(type(sock).__name__, sock.family, sock.type, sock.proto, sock.gettimeout(), sock.fileno() > 2, sock is end.get_extra_info("socket"))
        print(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), sock.getsockname() == end.get_extra_info("sockname"))
        print(end.is_closing(), end.is_reading(), end.can_write_eof(), end.get_write_buffer_size(), end.get_write_buffer_limits())
        print(repr(end).replace(str(sock.fileno()), "N"))
    print(transport.get_protocol() is client, other.get_protocol() is server)
    transport.write(b"hello")
    await until(lambda: client.got == b"answer")
    transport.close()
    transport.close()
    print(transport.is_closing(), transport.is_reading())
    await client.lost
    await server.lost
    print(transport.get_extra_info("peername") == listening.sockets[0].getsockname(), transport.get_protocol(), repr(transport)[:32])
    print("closed" in repr(transport.get_extra_info("socket")), transport.get_extra_info("socket").fileno())
    listening.close()
    await listening.wait_closed()
run(main)
'''

ASKED_LATE = '''
async def main():
    listening, transport, client, server = await pair()
    names = listening.sockets[0].getsockname()
    transport.close()
    await client.lost
    await server.lost
    print(transport.get_extra_info("peername") == names, server.transport.get_extra_info("sockname") == names)
    print(server.transport.get_extra_info("socket").fileno(), transport.get_extra_info("socket").family)
    listening.close()
run(main)
'''

REFUSED = '''
async def main():
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    sock6 = socket.socket(socket.AF_INET6)
    sock6.bind(("::1", 0))
    port6 = sock6.getsockname()[1]
    for host, number in (("127.0.0.1", port), ("::1", port6), ("255.255.255.255", 9), ("224.0.0.1", 9), ("127.1", port)):
        try:
            await loop.create_connection(asyncio.Protocol, host, number)
        except OSError as error:
            print(type(error).__name__, error.errno, str(error).replace(str(port), "P").replace(str(port6), "P"))
    for arguments in ((5, 5), ("127.0.0.1", -1), ("127.0.0.1", 70000), ("127.0.0.1", "80x"), (None, None), ("", None)):
        try:
            await loop.create_connection(asyncio.Protocol, *arguments)
        except Exception as error:
            print(arguments, type(error).__name__, error)
    free = os.dup(0)
    print(free - sock6.fileno())  # nothing stayed open
run(main)
'''

CANCELLED = '''
async def main():
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    for turns in range(4):
        task = loop.create_task(loop.create_connection(asyncio.Protocol, "127.0.0.1", port))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            print("cancelled after", turns)
    before = listening.sockets[0].fileno()
    def free():
        fd = os.dup(0)
        os.close(fd)
        return fd
    await until(lambda: free() == before + 1)
    listening.close()
    await until(lambda: free() == before)
run(main)
'''

MUCH = '''
class Flow(Told):
    def __init__(self, name):
        super().__init__(name)
        self.total, self.paused = 0, 0
    def data_received(self, data):
        self.total += len(data)
    def pause_writing(self):
        self.paused += 1
        print(self.name, "pause")
    def resume_writing(self):
        print(self.name, "resume")

async def main():
    listening, transport, client, server = await pair(Flow, Flow)
    server.transport.pause_reading()
    print(server.transport.is_reading())
    transport.set_write_buffer_limits(high=100_000)
    transport.write(b"x" * 8_000_000)
    print(client.paused, transport.get_write_buffer_size() > 100_000)
    transport.write(bytearray(b"y" * 1000))
    transport.write(memoryview(b"z" * 1000))
    transport.writelines([b"a", b"b" * 10])
    tell(transport.write, b"")
    tell(transport.write, "text")
    tell(transport.write, None)
    transport.write_eof()
    tell(transport.write, b"more")
    server.transport.resume_reading()
    await client.lost
    print(server.total)
    await server.lost
    listening.close()
run(main)
'''

TOO_LATE = '''
async def main():
    listening, transport, client, server = await pair()
    server.transport.abort()
    await client.lost
    for _ in range(7):
        transport.write(b"nobody")
    print(transport.get_write_buffer_size())
    listening.close()
run(main)
'''

HALF_CLOSED = '''
async def main():
    listening, transport, client, server = await pair(server_args=(None, True))
    transport.write(b"last")
    transport.write_eof()
    transport.write_eof()
    await until(lambda: server.ended)
    server.transport.write(b"still")
    await until(lambda: client.got == b"still")
    print(client.got, server.transport.is_closing(), transport.is_closing())
    server.transport.close()
    await client.lost
    await server.lost
    listening.close()
run(main)
'''

MISTAKES = '''
class Wrong(Told):
    where, seen = "", False
    def connection_made(self, transport):
        super().connection_made(transport)
        self.at("made")
    def at(self, place):
        if self.where == place:
            raise ZeroDivisionError(place)
    def data_received(self, data):
        self.seen = True
        self.at("data")
    def eof_received(self):
        self.at("eof")
    def connection_lost(self, error):
        super().connection_lost(error)
        self.at("lost")

async def main():
    for place in ("made", "data", "eof", "lost"):
        print("--", place)
        listening, transport, client, server = await pair(type("Server", (Wrong,), {"where": place}))
        transport.write(b"x")
        await until(lambda: server.seen or server.lost.done())
        transport.write_eof()
        await until(lambda: server.lost.done())
        transport.close()
        await client.lost
        await server.lost
        listening.close()
run(main)
'''

BUFFERED = '''
class Buffered(asyncio.BufferedProtocol):
    def __init__(self, name):
        self.name, self.buffer, self.plain = name, bytearray(7), None
        self.made = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()
    def connection_made(self, transport):
        self.transport = transport
        self.made.set_result(None)
    def get_buffer(self, hint):
        return self.buffer
    def buffer_updated(self, count):
        print(self.name, "buffer", bytes(self.buffer[:count]))
        if count == 3:
            print("now plain")
            self.plain = Told("plain", b"!")
            self.transport.set_protocol(self.plain)
            self.plain.transport = self.transport
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(0.01, self.transport.resume_reading)
    def eof_received(self):
        print(self.name, "eof")
    def connection_lost(self, error):
        print(self.name, "lost", error)

async def main():
    listening, transport, client, server = await pair(Buffered)
    transport.write(b"0123456789")
    await until(lambda: server.plain)
    transport.write(b"plain")
    await until(lambda: client.got == b"!")
    transport.close()
    await client.lost
    await server.plain.lost
    listening.close()
run(main)
'''

ABORTED = '''
import fcntl, termios
def waiting(sock):
    return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)), "little")

async def main():
    listening, transport, client, server = await pair()
    server.transport.pause_reading()
    transport.write(b"unread")
    held = server.transport.get_extra_info("socket")
    await until(lambda: waiting(held))
    server.transport.abort()
    await server.lost
    await client.lost
    listening.close()
    listening, transport, client, server = await pair()
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0")
    transport.abort()
    await client.lost
    await server.lost
    transport.abort()
    listening.close()
run(main)
'''

DESCRIPTORS = '''
async def main():
    loop = asyncio.get_running_loop()
    listening, transport, client, server = await pair()
    sock = transport.get_extra_info("socket")
    fd = sock.fileno()
    for call in (lambda: loop.add_reader(fd, print), lambda: loop.remove_writer(fd)):
        try:
            call()
        except RuntimeError as error:
            print(str(error).replace(str(fd), "N"))
    os.close(os.dup(fd))
    transport.write(b"one")
    await until(lambda: server.got == b"one")
    os.close(fd)
    transport.write(b"two")
    await client.lost
    print(transport.is_closing())
    await server.lost
    listening.close()
run(main)
'''

FORGOTTEN = '''
class Deaf(Told):
    def connection_made(self, transport):
        super().connection_made(transport)
        transport.pause_reading()

def shown(message, category, *_):
    print(category.__name__, str(message)[:20])

async def main():
    gc.collect()  # what others have left
    warnings.simplefilter("always")
    warnings.showwarning = shown
    listening, transport, client, server = await pair(client=Deaf)
    transport.resume_reading()
    transport.pause_reading()  # Python before 3.11.5 began to read in spite of the first one
    del transport, client.transport, client.made
    del client
    gc.collect()
    await server.lost
    listening.close()
run(main)
'''

FACTORY_FAILS = '''
async def main():
    warnings.simplefilter("ignore")
    loop = asyncio.get_running_loop()
    def fails():
        raise ZeroDivisionError("factory")
    listening, transport, client, server = await pair()
    port = listening.sockets[0].getsockname()[1]
    try:
        await loop.create_connection(fails, "127.0.0.1", port)
    except ZeroDivisionError as error:
        print(repr(error))
    transport.close()
    await server.lost
    listening.close()
    listening = await loop.create_server(fails, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    print(await reader.read())
    writer.close()
    listening.close()
run(main)
'''

NO_DESCRIPTORS = '''
async def main():
    loop = asyncio.get_running_loop()
    made = []
    def factory():
        made.append(Told("server"))
        return made[0]
    listening = await loop.create_server(factory, "127.0.0.1", 0, backlog=1)  # before Python 3.11.5 it tried so often
    client = socket.create_connection(listening.sockets[0].getsockname())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    failed = []
    def told(loop, context):
        failed.append(context)
        handler(loop, context)
    loop.set_exception_handler(told)
    resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
    await until(lambda: failed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await until(lambda: made)
    client.close()
    await made[0].lost
    listening.close()
run(main)
'''

SERVER_ENDS = '''
async def main():
    listening, transport, client, server = await pair()
    print(listening.is_serving(), len(listening.sockets))
    listening.close()
    print(listening.is_serving(), listening.sockets)
    transport.write(b"still open")
    await until(lambda: server.got == b"still open")
    transport.close()
    await client.lost
    await server.lost
    await asyncio.wait_for(listening.wait_closed(), 1)
run(main)
'''

SENDFILE = '''
async def main():
    loop = asyncio.get_running_loop()
    listening, transport, client, server = await pair()
    with open(__import__("asyncio").__file__, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        print(await loop.sendfile(transport, file) == size)
    await until(lambda: len(server.got) == size)
    transport.close()
    await server.lost
    listening.close()
run(main)
'''

WHO_LOOKS_AT_THE_SELECTOR = '''
import selectors

async def talk(transport, client, server, data):
    transport.write(data)
    await until(lambda: server.got.endswith(data))

async def main():
    loop = asyncio.get_running_loop()
    listening, transport, client, server = await pair()
    fd = transport.get_extra_info("socket").fileno()
    key = loop._selector.get_key(fd)
    print(key.fd == key.fileobj == fd, key.events, [half is None for half in key.data])
    print(repr(transport).replace(str(fd), "N"))
    await talk(transport, client, server, b"before")
    transport.pause_reading()
    try:
        loop._selector.get_key(fd)
    except KeyError:
        print("not watched while it is paused")
    transport.resume_reading()
    entry = loop._selector.get_map()[fd]
    print(entry.events, fd in loop._selector.get_map(), len(loop._selector.get_map()))
    print(entry.data[0].cancelled(), entry.data[1])
    await talk(transport, client, server, b"after")
    server.transport.write(b"back")
    await until(lambda: client.got == b"back")
    other, late = await loop.create_connection(lambda: Told("late"), *listening.sockets[0].getsockname())
    await talk(transport, client, server, b"still")
    other.close()
    await late.lost
    transport.pause_reading()
    server.transport.write(b"x" * 100)
    print(fd in loop._selector.get_map())
    transport.resume_reading()
    await until(lambda: len(client.got) == 104)
    transport.close()
    await client.lost
    await server.lost
    print(fd in loop._selector.get_map())
    listening.close()
run(main)
'''

TURNS_OF_ITS_OWN = '''
class Raises(Told):
    def connection_lost(self, error):
        super().connection_lost(error)
        raise ValueError("lost")

async def main():
    """Turns that ask the selector, as packages that nest loops take them."""
    loop = asyncio.get_running_loop()
    listening, transport, client, server = await pair(client=Raises)
    transport.write(b"one")
    await until(lambda: server.got == b"one")

    def turn():
        timeout = 0 if loop._ready else None
        loop._process_events(loop._selector.select(timeout))
        for _ in range(len(loop._ready)):
            handle = loop._ready.popleft()
            if not handle._cancelled:
                handle._run()

    asyncio._set_running_loop(None)
    transport.write(b"two")
    while server.got != b"onetwo":
        turn()
    transport.close()
    while not (client.lost.done() and server.lost.done()):
        turn()
    asyncio._set_running_loop(loop)
    listening.close()
run(main)
'''

DEBUG_LATER = '''
class Quiet(Told):
    def data_received(self, data):
        self.got += data

async def main():
    loop = asyncio.get_running_loop()
    listening, transport, client, server = await pair(server=Quiet)
    transport.write(b"one")
    await until(lambda: server.got == b"one")
    loop.set_debug(True)
    transport.write(b"two")
    await until(lambda: server.got == b"onetwo")
    transport.write(b"x" * 3_000_000)
    await until(lambda: len(server.got) == 3_000_006)
    loop.set_debug(False)
    transport.write(b"three")
    await until(lambda: server.got.endswith(b"three"))
    await end(listening, transport, client, server)
run(main)
'''

A_CLOCK_OF_ITS_OWN = '''
async def main():
    loop = asyncio.get_running_loop()
    listening, transport, client, server = await pair(server_args=(b"answer",))
    loop.time = lambda: 5.0 + type(loop).time(loop)
    transport.write(b"one")
    await until(lambda: client.got == b"answer")
    del loop.time
    await end(listening, transport, client, server)
run(main)
'''

LEFT_OPEN = '''
async def main():
    global kept
    loop = asyncio.get_running_loop()
    listening, transport, client, server = await pair()
    kept = transport, loop
    transport.pause_reading()

run(main)
transport, loop = kept
print(loop.is_closed(), transport.is_closing())
tell(transport.resume_reading)
tell(transport.get_extra_info("socket").fileno().__gt__, 2)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tell(transport.abort)
'''

EPOLL_ORDER = '''
import select

epoll = select.epoll()
ends = [socket.socketpair() for _ in range(3)]
order = {end.fileno(): number for number, (_, end) in enumerate(ends)}

def look(most=-1):
    print([order[fd] for fd, _ in epoll.poll(maxevents=most)])

for near, end in ends:
    epoll.register(end, select.EPOLLIN)
    near.send(b"x")
look()
epoll.unregister(ends[0][1])
epoll.unregister(ends[2][1])
epoll.register(ends[2][1], select.EPOLLIN)
epoll.register(ends[0][1], select.EPOLLIN)
look()
epoll.unregister(ends[0][1])
epoll.register(ends[0][1], select.EPOLLIN)
epoll.modify(ends[1][1], select.EPOLLOUT)
epoll.modify(ends[1][1], select.EPOLLIN)
look()
epoll.unregister(ends[1][1])
look()
look(1)
look(1)
epoll.unregister(ends[0][1])
epoll.unregister(ends[2][1])
print(epoll.poll(0))
'''

OWN_METHODS = '''
async def main():
    loop = asyncio.get_running_loop()
    original = loop.sock_connect
    async def counted(sock, address):
        print("sock_connect", type(sock).__name__, len(address))
        await original(sock, address)
    loop.sock_connect = counted
    listening, transport, client, server = await pair()
    transport.close()
    await server.lost
    listening.close()
run(main)
'''

OTHER_SOCKETS = '''
import asyncio.base_events
from unittest import mock

async def main():
    """Whoever puts something in the place of a module or of a loop's method has it called."""
    loop = asyncio.get_running_loop()
    listening, transport, client, server = await pair()
    address = listening.sockets[0].getsockname()
    calls = []
    class Counting(socket.socket):
        def __init__(self, *args, **kwargs):
            calls.append("socket")
            super().__init__(*args, **kwargs)
    module = type(socket)("socket")
    module.__dict__.update(vars(socket), socket=Counting)
    with mock.patch("asyncio.base_events.socket", module):
        other, late = await loop.create_connection(lambda: Told("mocked"), *address)
    print(calls)
    other.close()
    await late.lost
    original = loop._add_writer
    def counted(fd, *args):
        calls.append("writer")
        return original(fd, *args)
    loop._add_writer = counted
    other, late = await loop.create_connection(lambda: Told("late"), *address)
    print(calls)
    other.close()
    await late.lost
    transport.close()
    await server.lost
    listening.close()
run(main)
'''

PROGRAMS = {
    name.lower(): program for name, program in globals().items()
    if name.isupper() and name != "TALK" and isinstance(program, str)
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_sees_what_it_sees_for_real(same, name):
    assert same(TALK + PROGRAMS[name], sweep=True)


def used(debug: bool) -> bool:
    """Whether a connection of a simulated program has a transport over the host's socket itself."""

    async def main() -> bool:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        found = hasattr(transport, "_sim_connection")
        transport.close()
        server.close()
        return found

    network = Network(seed=1)
    program = network.host("a").spawn(lambda: asyncio.run(main(), debug=debug))
    network.run()
    return program.result


@pytest.mark.parametrize("debug", [False, True])
def test_the_transports_are_those_of_the_kernel_unless_the_loop_is_in_debug_mode(debug):
    assert used(debug) is not debug
