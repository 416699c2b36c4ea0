# ruff: noqa: E501 - programs stand in here as they are
"""Signals and timers of simulated programs, and calls that would leave the world."""

from __future__ import annotations

import errno
import fcntl
import gc
import signal
import sys
import textwrap
import warnings

import pytest

from portside.runtime.escapes import EscapeError


def test_a_handler_runs_where_the_main_thread_waits(world):
    assert world.output("""
        import os, signal, socket, threading, time
        seen = []
        def note(number, frame):
            seen.append((number, time.monotonic(), threading.current_thread().name))
        print(signal.signal(signal.SIGALRM, note) == signal.SIG_DFL, signal.getsignal(signal.SIGALRM) is note)
        print(signal.alarm(3), signal.alarm(2))
        time.sleep(5)
        print(seen, time.monotonic())
        seen.clear()
        signal.setitimer(signal.ITIMER_REAL, 1, 0.5)
        time.sleep(2.2)
        print([t for _, t, _ in seen], signal.setitimer(signal.ITIMER_REAL, 0))
        def fail(number, frame):
            raise InterruptedError("by handler")
        signal.signal(signal.SIGUSR1, fail)
        a, b = socket.socketpair()
        threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        try:
            a.recv(1)
        except InterruptedError as error:
            print(error, time.monotonic())
        threading.Timer(1, lambda: signal.raise_signal(signal.SIGINT)).start()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("interrupted", time.monotonic())
        def in_thread():
            try:
                signal.signal(signal.SIGTERM, note)
            except ValueError as error:
                print(error)
        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()
    """).splitlines() == [
        "True True", "0 3", "[(14, 2.0, 'MainThread')] 5.0", "[6.0, 6.5, 7.0] (0.3, 0.5)", "by handler 8.2", "interrupted 9.2",
        "signal only works in main thread of the main interpreter",
    ]  # fmt: skip


def test_a_timer_whose_handler_raises_ends_the_call_that_waits(world):
    assert world.output("""
        import signal, socket, time
        class Alarm(Exception): pass
        def ring(number, frame): raise Alarm(time.monotonic())
        signal.signal(signal.SIGALRM, ring)
        with socket.create_server(("", 0)) as server:
            server.settimeout(5)
            signal.alarm(2)
            try:
                server.accept()
            except Alarm as error:
                print("rang", error)
            try:
                server.accept()
            except TimeoutError as error:
                print(error, time.monotonic())
    """) == "rang 2.0\ntimed out 7.0\n"


def test_a_thread_interrupts_the_main_thread(same):
    same("""
        import _thread, signal, threading, time
        def refused(*arguments):
            try:
                _thread.interrupt_main(*arguments)
            except (TypeError, ValueError) as error:
                print(type(error).__name__, error)
        threading.Timer(0.05, _thread.interrupt_main).start()
        try:
            time.sleep(10)
        except KeyboardInterrupt:
            print("interrupted")
        signal.signal(signal.SIGUSR1, lambda number, frame: print("handled", number))
        _thread.interrupt_main(signal.SIGUSR1)
        _thread.interrupt_main(signal.SIGUSR2)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _thread.interrupt_main()
        refused(0)
        refused(65)
        refused("x")
    """)


def test_a_signal_without_a_handler_ends_the_program(world):
    (program,) = world.run("import signal, time\nsignal.alarm(2)\ntime.sleep(10)")
    assert program.exit_code == -14
    (program,) = world.run("import signal\nsignal.raise_signal(signal.SIGKILL)\nprint('not reached')")
    assert (program.exit_code, program.output) == (-9, "")


def test_a_program_that_will_not_end_is_ended(world):
    stubborn = """
        import signal, socket, os, time
        print(os.getpid())
        s = socket.socket()
        while True:
            try:
                time.sleep(1000)
            except BaseException:
                try:
                    s.getsockname(), os.getpid(), open("/dev/null"), print("still here")
                except BaseException:
                    pass
    """
    killer = "import os, time\ntime.sleep(1)\nos.kill(100, 15)"
    first, _ = world.run(stubborn, killer)
    assert first.exit_code == -15
    assert first.output == "100\n"


def test_signals_are_blocked_and_waited_for(same):
    same("""
        import os, signal, threading, time
        from signal import SIGALRM, SIGTERM, SIGUSR1, SIGUSR2, SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK
        heard = []
        signal.signal(SIGUSR1, lambda *_: heard.append("USR1"))
        print(signal.pthread_sigmask(SIG_BLOCK, [SIGALRM, SIGUSR1, SIGTERM]))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        print(signal.sigwait([SIGALRM]), signal.sigpending())
        os.kill(os.getpid(), SIGUSR1)
        os.kill(os.getpid(), SIGTERM)
        print(heard, sorted(signal.sigpending()))
        print(signal.sigwaitinfo([SIGTERM, SIGUSR2]).si_signo, sorted(signal.sigpending()))
        print(sorted(signal.pthread_sigmask(SIG_UNBLOCK, [SIGUSR1])), heard, signal.sigpending())
        print(signal.sigtimedwait([SIGALRM], 0.01))
        print(sorted(signal.pthread_sigmask(SIG_SETMASK, [])))
        for wrong in ((SIG_BLOCK, [0]), (SIG_BLOCK, [65]), (7, [1])):
            try:
                signal.pthread_sigmask(*wrong)
            except (OSError, ValueError) as error:
                print(type(error).__name__, error)
        signal.pthread_sigmask(SIG_BLOCK, [SIGUSR2])
        def wait():
            print("thread", signal.sigwait([SIGUSR2]))
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        os.kill(os.getpid(), SIGUSR2)
        thread.join()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        signal.pause()
    """, code=-signal.SIGALRM)


def test_who_writes_to_nobody_has_sigpipe(same):
    same("""
        import errno, os, signal, socket
        heard = []
        signal.signal(signal.SIGPIPE, lambda number, frame: heard.append(int(number)))
        def told(name, call):
            heard.clear()
            try:
                answer = call()
            except OSError as error:
                answer = errno.errorcode[error.errno]
            for _ in range(3):
                pass
            print(name, answer, heard)
        def connected():
            with socket.create_server(("127.0.0.1", 0)) as listener:
                client = socket.create_connection(listener.getsockname())
                return client, listener.accept()[0]
        one, two = connected()
        one.shutdown(socket.SHUT_WR)
        for call in (
            lambda: one.send(b"x"), lambda: one.send(b""), lambda: one.send(b"x", socket.MSG_NOSIGNAL),
            lambda: one.send(b"x", socket.MSG_OOB), lambda: one.sendmsg([b"x"], [], socket.MSG_NOSIGNAL),
            lambda: one.sendmsg([b"x"]), lambda: os.write(one.fileno(), b"x"),
            lambda: os.writev(one.fileno(), [b"x"]),
        ):
            told("shut", call)
        with open("/etc/passwd") as file:
            told("sendfile", lambda: os.sendfile(one.fileno(), file.fileno(), 0, 10))
        one, two = connected()
        two.close()
        for _ in range(3):
            told("closed", lambda: one.send(b"x"))
        one, two = connected()
        one.send(b"x")
        two.close()
        for _ in range(2):
            told("reset", lambda: one.send(b"x"))
        one, two = connected()
        two.shutdown(socket.SHUT_WR)
        one.send(b"x")
        two.close()
        for _ in range(2):
            told("reset in CLOSE-WAIT", lambda: one.send(b"x"))
        told("not connected", lambda: socket.socket().send(b"x"))
        for kind in ("STREAM", "DGRAM", "SEQPACKET"):
            for spoil in (lambda: two.close(), lambda: one.shutdown(socket.SHUT_WR), lambda: two.shutdown(socket.SHUT_RD)):
                one, two = socket.socketpair(socket.AF_UNIX, getattr(socket, "SOCK_" + kind))
                spoil()
                told(kind, lambda: one.send(b"x"))
                told(kind, lambda: one.send(b"x", socket.MSG_NOSIGNAL))
        datagrams = socket.socket(type=socket.SOCK_DGRAM)
        datagrams.connect(("127.0.0.1", 9))
        datagrams.shutdown(socket.SHUT_WR)
        told("udp", lambda: datagrams.send(b"x"))
        reader, writer = os.pipe()
        os.close(reader)
        told("pipe", lambda: os.write(writer, b"x"))
        told("pipe", lambda: os.write(writer, b""))
    """)


def test_what_was_written_before_the_end_is_told_with_sigpipe_or_without(same):
    same("""
        import os, signal, socket, threading, time
        heard = []
        signal.signal(signal.SIGPIPE, lambda number, frame: heard.append(int(number)))
        def later(call, *arguments):
            thread = threading.Timer(0.1, call, arguments)
            thread.start()
        def told(call, *arguments):
            heard.clear()
            count = call(*arguments)
            for _ in range(3):
                pass
            print(count, heard)
        reader, writer = os.pipe()
        later(os.close, reader)
        told(os.write, writer, b"x" * 100_000)
        one, two = socket.socketpair()
        later(two.close)
        told(one.send, b"x" * 10_000_000)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPIPE])
        heard.clear()
        try:
            one.send(b"x")
        except BrokenPipeError:
            print(heard, signal.sigpending())
        print(signal.sigtimedwait([signal.SIGPIPE], 0).si_signo, signal.sigpending())
    """)


@pytest.mark.parametrize("write", ["one.send(b'x')", "os.write(one.fileno(), b'x')", "threading.Thread(target=one.send, args=(b'x',)).start()"])
def test_sigpipe_ends_a_program_that_asks_for_the_default(same, write):
    output = same(f"""
        import atexit, os, signal, socket, threading, time
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        atexit.register(print, "not run")
        one, two = socket.socketpair()
        two.close()
        print("begun")
        try:
            {write}
            time.sleep(10)
        finally:
            print("not reached")
    """, code=-signal.SIGPIPE)
    assert output == "begun\n"


OWNED = """
import errno, fcntl, os, signal, socket, struct, threading, time
heard = []
for number in (signal.SIGURG, signal.SIGIO):
    signal.signal(number, lambda number, frame: heard.append(signal.Signals(number).name))
def told(name, call):
    time.sleep(0.01)  # what came before is over
    heard.clear()
    try:
        answer = call()
    except OSError as error:
        answer = errno.errorcode[error.errno]
    time.sleep(0.02)
    print(name, answer, sorted(set(heard)))
def connected():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]
def own(sock):
    fcntl.fcntl(sock, fcntl.F_SETOWN, os.getpid())
def asynchronous(sock):
    own(sock)
    fcntl.fcntl(sock, fcntl.F_SETFL, fcntl.fcntl(sock, fcntl.F_GETFL) | os.O_ASYNC)
OOB = socket.MSG_OOB
"""


def test_who_owns_a_socket_has_sigurg_for_urgent_data(same):
    same(OWNED + textwrap.dedent("""
        one, two = connected()
        told("no owner", lambda: one.send(b"a", OOB))
        print(two.recv(1, OOB))
        own(two)
        told("owner", lambda: one.send(b"b", OOB))
        told("before it was read", lambda: one.send(b"cd", OOB))
        told("not urgent", lambda: one.send(b"ef"))
        copy = two.dup()
        two.close()
        told("by the other descriptor", lambda: one.send(b"g", OOB))
        fcntl.fcntl(copy, fcntl.F_SETOWN, 0)
        told("owner no more", lambda: one.send(b"h", OOB))
        fcntl.ioctl(copy, 0x8902, struct.pack("i", os.getpid()))
        told("SIOCSPGRP", lambda: one.send(b"i", OOB))
        copy.shutdown(socket.SHUT_RD)
        told("shut", lambda: one.send(b"j", OOB))
        one, two = socket.socketpair()
        own(two)
        told("unix", lambda: one.send(b"ab", OOB))
        told("unix", lambda: one.send(b"ab"))
        listener = socket.create_server(("127.0.0.1", 0))
        own(listener)
        one = socket.create_connection(listener.getsockname())
        two = listener.accept()[0]
        print(fcntl.fcntl(two, fcntl.F_GETOWN))
        told("of a listener", lambda: one.send(b"a", OOB))
    """))


def test_sigio_tells_of_what_happens_on_a_socket(same):
    same(OWNED + textwrap.dedent("""
        one, two = connected()
        asynchronous(two)
        print(oct(fcntl.fcntl(two, fcntl.F_GETFL)))
        told("data", lambda: one.send(b"a"))
        told("more", lambda: one.send(b"b"))
        told("read", lambda: two.recv(10))
        told("urgent", lambda: one.send(b"c", OOB))
        told("sent", lambda: two.send(b"d"))
        two.setblocking(False)
        told("full", lambda: two.send(bytes(10_000_000)) > 0)
        told("room", lambda: [len(one.recv(1 << 20)) > 0 for _ in range(5)])
        told("end", lambda: one.shutdown(socket.SHUT_WR))
        one, two = connected()
        asynchronous(two)
        threading.Timer(0.02, one.send, (b"a",)).start()
        told("awaited", lambda: two.recv(1))
        fcntl.fcntl(two, fcntl.F_SETFL, 0)
        told("off", lambda: one.send(b"a"))
        fcntl.ioctl(two, 0x5452, struct.pack("i", 1))
        print(oct(fcntl.fcntl(two, fcntl.F_GETFL)))
        told("FIOASYNC", lambda: one.send(b"a"))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        told("reset", lambda: one.close())
        listener = socket.create_server(("127.0.0.1", 0))
        asynchronous(listener)
        clients = []
        told("connection", lambda: clients.append(socket.create_connection(listener.getsockname())))
        told("accepted", lambda: listener.accept() and None)
        for address in (listener.getsockname(), ("127.0.0.1", 1)):
            client = socket.socket()
            asynchronous(client)
            told("connect", lambda: client.connect(address))
        one, two = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
        two.bind(("127.0.0.1", 0))
        asynchronous(two)
        one.connect(two.getsockname())
        told("udp", lambda: one.send(b"a"))
        told("udp read", lambda: two.recv(1))
        threading.Timer(0.02, one.send, (b"a",)).start()
        told("udp awaited", lambda: two.recv(1))
        one, two = socket.socketpair()
        asynchronous(two)
        told("unix", lambda: one.send(b"a"))
        told("unix", lambda: one.send(b"b", OOB))
        told("unix sent", lambda: two.send(b"c"))
        told("unix read", lambda: one.recv(10))
        told("unix shut", lambda: one.shutdown(socket.SHUT_WR))
        told("unix end", lambda: one.close())
        one, two = socket.socketpair()
        fcntl.fcntl(two, fcntl.F_SETFL, os.O_ASYNC)
        told("no owner", lambda: one.send(b"a"))
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        own(two)
        print("last")
        one.send(b"a")
        time.sleep(10)
    """), code=-signal.SIGIO)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ("os.fork()", "os.fork"), ("os.system('true')", "os.system"), ("os.execv('/bin/true', ['true'])", "os.execv"),
        ("os.posix_spawn('/bin/true', ['true'], {})", "os.posix_spawn"), ("subprocess.run(['true'])", "subprocess.Popen"),
        ("os.popen('true')", "subprocess.Popen"), ("multiprocessing.Process(target=print).start()", "os.fork"),
        ("multiprocessing.Lock()", "multiprocessing"),
    ],
)  # fmt: skip
def test_what_would_leave_the_world_is_refused_by_name(world, call, named):
    def program():
        import multiprocessing  # noqa: F401
        import os  # noqa: F401
        import subprocess  # noqa: F401

        exec(call)

    with pytest.raises(EscapeError) as refused:
        world.call(program)
    assert refused.value.call == named
    assert str(refused.value).startswith(f"[Errno 1] {named} would leave the simulated world: ")


def test_a_library_that_can_do_without_does(world):
    def program():
        import platform

        return platform.platform(), platform.processor()

    assert world.call(program)[1] == ""


def test_a_process_has_no_children(world):
    def program():
        import os

        for call, *arguments in ((os.wait,), (os.waitpid, -1, os.WNOHANG), (os.waitid, os.P_ALL, 0, os.WEXITED)):
            with pytest.raises(ChildProcessError):
                call(*arguments)

    world.call(program)


def test_memory_and_files_can_be_mapped(world, tmp_path):
    def program():
        import mmap
        import os
        import socket

        with mmap.mmap(-1, 10) as memory:
            memory[:5] = b"hello"
        path = tmp_path / "file"
        path.write_bytes(b"x" * 10)
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            assert isinstance(mapped, mmap.mmap)
            mapped[:3] = b"abc"
        assert path.read_bytes() == b"abcxxxxxxx"
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            for fd in (os.pipe()[0], datagrams.fileno()):
                with pytest.raises(OSError, match="No such device"):
                    mmap.mmap(fd, 10)
        with pytest.raises(OSError, match="Bad file descriptor"):
            mmap.mmap(99, 10)

    world.call(program)


def test_devices_of_the_real_network_know_no_request(world):
    def ask():
        with open("/dev/null", "rb") as file:
            answers = []
            for request in (0x8912, 0x7B9, 0x400454CA):  # SIOCGIFCONF, IOCTL_VM_SOCKETS_GET_LOCAL_CID, TUNSETIFF
                try:
                    fcntl.ioctl(file, request, bytes(64))
                except OSError as error:
                    answers.append(error.errno)
            return answers

    assert world.call(ask) == [errno.ENOTTY] * 3


def test_families_that_reach_the_real_machine_are_unsupported(world):
    def program():
        import socket

        for family in (socket.AF_PACKET, socket.AF_NETLINK, getattr(socket, "AF_VSOCK", 40), getattr(socket, "AF_ALG", 38)):
            with pytest.raises(OSError, match="Address family not supported by protocol") as refused:
                socket.socket(family, socket.SOCK_DGRAM)
            assert refused.value.errno == 97

    world.call(program)


def test_a_socket_that_is_forgotten_is_closed_with_a_warning(world):
    def program():
        import os
        import socket

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            s = socket.socket()
            fd = s.fileno()
            del s
            assert socket.socket().fileno() == fd
            assert [str(one.message).partition(",")[0] for one in caught] == [f"unclosed <socket.socket fd={fd}"] * 2
            assert caught[0].category is ResourceWarning
            a, b = socket.socketpair()
            ring = [a]
            ring.append(ring)
            del a, ring
            gc.collect()
        assert b.recv(1) == b""
        b.close()
        assert os.dup(0) == 3

    world.call(program)


def test_a_traceback_that_a_program_prints_shows_its_own_frames(world):
    output = world.output("""
        import socket, traceback, logging, sys
        try:
            socket.create_connection(("127.0.0.1", 9))
        except OSError:
            text = traceback.format_exc()
        print("portside" in text, text.splitlines()[-1])
        print(len(traceback.extract_stack()))
        s = socket.socket()
        try:
            s.connect(5)
        except TypeError:
            logging.exception("told")
    """)
    assert "/portside/" not in output
    assert output.startswith("False ConnectionRefusedError: [Errno 111] Connection refused\n1\n")


def test_two_worlds_one_after_the_other_give_the_same_names(world):
    source = "import threading, time\nt = threading.Thread(target=time.sleep, args=(1,))\nt.start()\nprint(t, threading.current_thread())\nt.join()"
    first = world.output(source)
    second = type(world)().output(source)
    assert first == second
    assert sys.modules["threading"].enumerate()
