"""The lighter turn of an asyncio loop does what the interpreter's own does: same order, same virtual time."""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from unittest import mock

import pytest

from portside import Network
from portside.runtime.installation import installed

Log = Callable[..., None]
Program = Callable[[Log], Awaitable[None]]


async def timers(log: Log) -> None:
    """Timers in and out of order, of equal times, cancelled at the head of the heap and in the middle of it."""
    loop = asyncio.get_running_loop()
    handles = [loop.call_later(delay, log, "timer", number) for number, delay in enumerate((3, 1, 2, 1, 0.0004, 2.5))]
    handles[1].cancel()
    handles[2].cancel()
    loop.call_at(loop.time() - 1, log, "past")
    loop.call_soon(log, "soon")
    await asyncio.sleep(2.2)
    log("slept")
    await asyncio.sleep(0)
    await asyncio.sleep(5)


async def many_cancelled(log: Log) -> None:
    """So many cancelled timers that the loop throws them all out at once."""
    loop = asyncio.get_running_loop()
    handles = [loop.call_later(1 + number / 100, log, number) for number in range(300)]
    for handle in handles[::3] + handles[1::3]:
        handle.cancel()
    await asyncio.sleep(2)
    log("half way")
    await asyncio.sleep(5)


async def streams(log: Log) -> None:
    """A server and two clients, with timeouts that come and that do not."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            log("server", data)
            await asyncio.sleep(len(data) / 10)
            writer.write(data.upper())
            await writer.drain()
        writer.close()

    async def client(name: str, pause: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", 8000)
        for number in range(3):
            writer.write(f"{name}{number}".encode() * (number + 1))
            try:
                log(name, await asyncio.wait_for(reader.read(100), 0.35))
            except TimeoutError:
                log(name, "timeout")
            await asyncio.sleep(pause)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 8000)
    await asyncio.gather(client("a", 0.05), client("b", 0.3))
    await asyncio.sleep(1)
    server.close()
    await server.wait_closed()


async def callbacks(log: Log) -> None:
    """Readers and writers of plain sockets: added, replaced, removed from within, ready in one turn."""
    loop = asyncio.get_running_loop()
    pairs = [socket.socketpair() for _ in range(3)]
    for number, (left, right) in enumerate(pairs):
        left.setblocking(False)
        loop.add_reader(left, lambda number=number, left=left: log("read", number, left.recv(10)))
        loop.add_writer(left, log, "never, it is replaced")
        loop.add_writer(left, lambda number=number, left=left: (log("write", number), loop.remove_writer(left)))
        right.send(b"x%d" % number)
    await asyncio.sleep(0.1)
    log(loop.remove_reader(pairs[1][0]), loop.remove_reader(pairs[1][0]))
    for _, right in pairs:
        right.send(b"again")
    await asyncio.sleep(0.1)
    pairs[0][1].shutdown(socket.SHUT_WR)
    for _ in range(2):
        await asyncio.sleep(0)
    log(loop.remove_reader(pairs[0][0]), loop.remove_reader(pairs[2][0]))
    for ends in pairs:
        for end in ends:
            end.close()


async def other_threads(log: Log) -> None:
    """What other threads hand to the loop, and a loop that waits for them alone."""
    loop = asyncio.get_running_loop()

    def work(number: int) -> int:
        import time

        time.sleep(number / 10)
        loop.call_soon_threadsafe(log, "from a thread", number)
        return number

    log(await asyncio.gather(*(loop.run_in_executor(None, work, number) for number in (3, 1, 2))))


def transcript(program: Program, debug: bool) -> list[object]:
    """What a program logs, each entry with the loop's time. In debug mode a loop takes its own, original turn."""
    entries: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 10
        await program(lambda *what: entries.append((round(loop.time(), 6), *what)))

    network = Network(seed=1)
    network.host("a").spawn(lambda: asyncio.run(main(), debug=debug))
    network.run()
    return entries


@pytest.mark.parametrize("program", [timers, many_cancelled, streams, callbacks, other_threads])
def test_order_and_time_are_those_of_the_interpreters_own_turn(program: Program) -> None:
    light = transcript(program, debug=False)
    assert light
    assert light == transcript(program, debug=True)


def _callers() -> list[str]:
    frame, names = sys._getframe(1), []
    while frame.f_back:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names


@pytest.mark.parametrize(("debug", "own"), [(False, False), (True, True)])
def test_the_lighter_turn_is_taken_unless_the_loop_is_in_debug_mode(debug: bool, own: bool) -> None:
    found: list[list[str]] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: found.append(_callers()))
        await asyncio.sleep(0)

    network = Network(seed=1)
    network.host("a").spawn(lambda: asyncio.run(main(), debug=debug))
    network.run()
    assert "turn" in found[0]
    assert ("_run_once" in found[0]) == own


def test_a_loop_outside_keeps_its_own_turn_while_a_world_runs() -> None:
    async def real() -> list[str]:
        return _callers()

    with installed():
        assert "_run_once" in asyncio.run(real())
    assert "turn" not in asyncio.run(real())


def test_a_selector_tells_of_what_is_ready_at_once_later_and_never() -> None:
    def program() -> list[object]:
        selector = selectors.DefaultSelector()
        left, right = socket.socketpair()
        answers: list[object] = [selector.select(0), selector.select(-1), selector.select(0.0015)]
        selector.register(left.fileno(), selectors.EVENT_READ | selectors.EVENT_WRITE, "both")
        answers.append([(key.data, events) for key, events in selector.select()])
        selector.modify(left.fileno(), selectors.EVENT_READ, "read")
        answers.append(selector.select(0))
        right.send(b"x")
        answers.append([(key.data, key.fd == left.fileno(), events) for key, events in selector.select(5)])
        fd = left.fileno()
        left.close()
        answers.append((selector.unregister(fd).data, len(selector.get_map())))
        for call in (selector.unregister, selector.get_key, lambda fd: selector.modify(fd, selectors.EVENT_READ)):
            with pytest.raises(KeyError, match="is not registered"):
                call(fd)
        with pytest.raises(ValueError, match="Invalid events"):
            selector.register(right.fileno(), 0)
        with pytest.raises(OSError, match="Bad file descriptor"):
            selector.register(99, selectors.EVENT_READ)
        answers.append(len(selector.get_map()))
        right.close()
        selector.close()
        return answers

    real = program()
    network = Network(seed=1)
    simulated = network.host("a").spawn(program)
    network.run()
    assert simulated.result == real
    assert real[3:] == [[("both", 2)], [], [("read", True, 1)], ("read", 0), 0]


def test_a_loop_that_leaves_unread_what_is_ready_sees_its_timers_and_lets_others_go_on() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        calls: list[int] = []
        with left, right:
            loop.add_writer(left, calls.append, 1)
            await asyncio.sleep(0.01)
            loop.remove_writer(left)
        return len(calls)

    def until_told(wait: Callable[[socket.socket], object]) -> None:
        left, right = socket.socketpair()
        done: list[bool] = []
        threading.Timer(0.01, done.append, [True]).start()
        with left, right:
            while not done:
                wait(left)

    def selector(sock: socket.socket) -> object:
        with selectors.DefaultSelector() as made:
            made.register(sock, selectors.EVENT_WRITE)
            return made.select()

    def poll(sock: socket.socket) -> object:
        polling = select.poll()
        polling.register(sock, select.POLLOUT)
        return polling.poll()

    network = Network(seed=1)
    host = network.host("a")
    loop = host.spawn(lambda: asyncio.run(main()))
    for wait in (selector, poll, lambda sock: select.select([], [sock], [])):
        host.spawn(until_told, wait)
    network.run()
    assert loop.result > 1000


@pytest.mark.parametrize("number", [-1, 1 << 31])
def test_what_is_no_descriptor_is_refused_as_by_the_interpreter(number: int) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        selector = loop._selector
        answers = []
        for call in (
            lambda: loop.add_reader(number, print), lambda: loop.remove_reader(number),
            lambda: loop.add_writer(number, print), lambda: loop.remove_writer(number),
            lambda: selector.get_key(number), lambda: selector.register(number, selectors.EVENT_READ),
            lambda: selector.modify(number, selectors.EVENT_READ), lambda: selector.unregister(number),
        ):  # fmt: skip
            try:
                answers.append(repr(call()))
            except (KeyError, ValueError, OverflowError) as error:
                answers.append(repr(error))
        return answers

    network = Network(seed=1)
    simulated = network.host("a").spawn(lambda: asyncio.run(main()))
    network.run()
    assert simulated.result == asyncio.run(main())


async def _jumping() -> None:
    """The loop's clock jumps to the next timer, as tools for tests let it."""
    loop = asyncio.get_running_loop()
    now, select = loop.time(), loop._selector.select

    def jump(timeout: float | None) -> object:
        nonlocal now
        now += timeout or 0
        return select(0)

    def clock() -> float:
        return now

    with mock.patch.object(loop, "time", clock), mock.patch.object(loop._selector, "select", jump):
        await asyncio.sleep(3600)


async def _clock_that_is_replaced(name: str) -> None:
    """Nobody waits for a timer whose time the replaced clock says has come."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_later(3600, done.set_result, None)
    later = loop.time() + 3601
    with mock.patch(name, return_value=later):
        await done


@pytest.mark.parametrize(
    "program",
    [
        _jumping,
        lambda: _clock_that_is_replaced("time.monotonic"),
        lambda: _clock_that_is_replaced("asyncio.BaseEventLoop.time"),
    ],
)
def test_a_loop_keeps_the_time_that_a_program_gives_it(program: Callable[[], Coroutine[object, object, None]]) -> None:
    async def main() -> bool:
        before = time.time()
        await program()
        return time.time() - before < 1

    network = Network(seed=1)
    simulated = network.host("a").spawn(lambda: asyncio.run(main()))
    network.run()
    assert simulated.result
