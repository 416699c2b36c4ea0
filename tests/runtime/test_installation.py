# ruff: noqa: E501 - programs stand in here as they are
"""What is replaced during a run: code outside is untouched meanwhile, and everything is put back afterwards."""

from __future__ import annotations

import _queue
import _socket
import _thread
import datetime
import io
import os
import random
import select
import selectors
import signal
import socket
import sys
import textwrap
import threading
import time
from time import sleep as imported_sleep

import pytest

from portside.lab.network import Network
from portside.runtime.installation import installed

HERE = sys.modules[__name__]

PLACES = [
    (time, "time"), (time, "sleep"), (time, "monotonic"), (time, "localtime"), (threading, "_time"), (HERE, "imported_sleep"),
    (threading, "get_ident"), (threading, "_allocate_lock"), (threading, "local"), (threading, "enumerate"),
    (threading, "main_thread"), (threading, "excepthook"), (_thread, "start_new_thread"), (_thread, "_local"),
    (socket, "getaddrinfo"), (_socket, "getaddrinfo"), (_socket, "socket"), (socket, "SocketType"), (socket, "gethostname"),
    (_socket, "socketpair"), (select, "select"), (select, "epoll"), (select, "poll"), (os, "read"), (os, "open"),
    (os, "close"), (os, "getpid"), (os, "fork"), (os, "stat"), (os, "_exit"), (os, "kill"), (io, "open"), (os, "urandom"),
    (random, "random"), (signal, "alarm"), (sys, "stdout"), (sys, "stderr"), (sys, "stdin"), (sys, "argv"), (sys, "modules"),
    (sys, "path"),
]  # fmt: skip

IN_CLASSES = [
    (socket.socket, "__new__"), (type(_thread.allocate_lock()), "acquire"), (type(_thread.allocate_lock()), "__enter__"),
    (type(_thread.allocate_lock()), "release"), (_thread.RLock, "acquire"), (_thread.RLock, "__exit__"),
    (_queue.SimpleQueue, "get"), (_queue.SimpleQueue, "put"), (datetime.datetime, "now"), (datetime.datetime, "utcnow"),
    (selectors.EpollSelector, "_selector_cls"), (selectors.PollSelector, "_selector_cls"),
    (selectors.SelectSelector, "_select"), (random.Random, "seed"),
]  # fmt: skip


def places():
    """What stands in every place that a run replaces."""
    builtins = sys.modules["builtins"]
    found = {f"{module.__name__}.{name}": getattr(module, name, None) for module, name in PLACES}
    found |= {f"{kind.__name__}.{name}": kind.__dict__.get(name) for kind, name in IN_CLASSES}
    found |= {f"builtins.{name}": getattr(builtins, name) for name in ("open", "__import__", "input")}
    found |= {f"class of {module.__name__}": type(module) for module in (sys, threading)}
    found["default of _real_close"] = socket.socket._real_close.__defaults__[0]
    found["supports_fd"] = frozenset(os.supports_fd)
    return found


def changed(before, after):
    return [name for name in before if before[name] is not after[name] and before[name] != after[name]]


def test_everything_is_put_back():
    before = places()
    with installed():
        assert len(changed(before, places())) > 40
    assert changed(before, places()) == []


def test_everything_is_put_back_after_an_error():
    before = places()
    with pytest.raises(RuntimeError, match="of the world"), installed():
        raise RuntimeError("of the world")
    assert changed(before, places()) == []


def test_the_last_world_puts_everything_back():
    before = places()
    with installed():
        with installed():
            pass
        assert time.sleep is not before["time.sleep"]
    assert changed(before, places()) == []


def test_a_module_imported_during_a_run_keeps_no_replacement(tmp_path, monkeypatch, world):
    (tmp_path / "imported_late.py").write_text("from time import sleep\nfrom socket import socket, getaddrinfo\nimport _socket\nC = _socket.socket\n")
    monkeypatch.syspath_prepend(tmp_path)

    def program():
        import imported_late

        imported_late.sleep(5)
        return time.monotonic()

    try:
        assert world.call(program) == 5
        late = sys.modules["imported_late"]
        assert late.sleep is time.sleep
        assert late.C is _socket.socket
    finally:
        sys.modules.pop("imported_late", None)


def test_a_lazy_object_of_a_module_is_not_made_by_looking_at_it(tmp_path, monkeypatch, world):
    text = """
        class Lazy:
            @property
            def __class__(self):
                raise RuntimeError("not yet")
        lazy = Lazy()
    """
    (tmp_path / "lazy_module.py").write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)

    def program():
        import lazy_module

        return type(lazy_module.lazy).__name__

    assert world.call(program) == "Lazy"


def test_functions_that_were_imported_by_name_follow_too(world):
    def program():
        imported_sleep(3)
        return time.monotonic()

    before = time.monotonic()
    assert world.call(program) == 3
    assert time.monotonic() - before < 3


def test_code_outside_reaches_the_real_machine_during_a_run(world):
    """A real thread makes real connections and reads the real clock while a world runs in this one."""
    stop = threading.Event()
    rounds: list[float] = []
    wrong: list[object] = []

    def outside():
        with socket.create_server(("127.0.0.1", 0)) as server:
            while not stop.is_set() or not rounds:
                with socket.create_connection(server.getsockname()) as client:
                    peer, _ = server.accept()
                    with peer:
                        client.sendall(b"real")
                        if peer.recv(4) != b"real" or type(peer) is not socket.socket or os.getpid() != PID:
                            wrong.append(peer)
                rounds.append(time.time())
                with open("/dev/null") as null, threading.Lock():
                    wrong.extend([null] if os.fstat(null.fileno()).st_rdev != 0x103 else [])

    def program():
        with socket.create_server(("127.0.0.1", 80)) as server:
            for _ in range(300):
                with socket.create_connection(("127.0.0.1", 80)) as client:
                    peer, _ = server.accept()
                    with peer:
                        client.sendall(b"simulated")
                        assert peer.recv(9) == b"simulated"
                time.sleep(1)
        return time.time()

    thread = threading.Thread(target=outside)
    thread.start()
    before = time.time()
    try:
        simulated = world.call(program)
    finally:
        stop.set()
        thread.join()
    assert not wrong
    assert all(before - 1 <= moment <= time.time() for moment in rounds)
    assert not before - 1 <= simulated <= time.time()


PID = os.getpid()


def test_threads_outside_do_not_see_those_inside(world):
    seen = []

    def program():
        threads = [threading.Thread(target=time.sleep, args=(1,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        counts = threading.active_count(), len(threading.enumerate())
        for thread in threads:
            thread.join()
        return counts

    world.network.at(0.5, lambda: seen.append(threading.enumerate()))
    outside = threading.enumerate()
    assert world.call(program) == (4, 4)
    assert seen == [outside]
    assert threading.enumerate() == outside


def test_the_threads_of_a_world_that_is_left_open_are_seen_in_its_runs_alone(world):
    def program():
        threading.Thread(target=time.sleep, args=(5,)).start()
        time.sleep(3)
        return threading.active_count()

    outside = threading.enumerate()
    spawned = world.host.spawn(program)
    world.network.run(until=2)
    assert threading.enumerate() == outside
    world.network.run()
    assert spawned.result == 2
    assert threading.enumerate() == outside


def test_nothing_of_a_world_is_left_in_threading(world):
    def program():
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        threading.Thread(target=time.sleep, args=(5,)).start()
        os._exit(0)

    world.run(program)
    assert set(threading._active) == {thread.ident for thread in threading.enumerate()}
    assert not threading._limbo
    assert not [lock for lock in getattr(threading, "_shutdown_locks", ()) if lock.locked()][1:]


def test_a_lock_that_a_thread_outside_holds_is_waited_for(world):
    lock = threading.Lock()
    held, go = threading.Event(), threading.Event()

    def outside():
        with lock:
            held.set()
            go.wait()

    thread = threading.Thread(target=outside)
    thread.start()
    held.wait()

    def program():
        assert not lock.acquire(blocking=False)
        go.set()
        with lock:
            return "held"

    assert world.call(program) == "held"
    thread.join()


def test_worlds_of_several_threads_run_one_after_the_other(world):
    ended, order = threading.Event(), []

    def other():
        network = Network(seed=1)
        network.host("beta").spawn(order.append, "other")
        network.run()
        ended.set()

    thread = threading.Thread(target=other)

    def meanwhile():
        thread.start()
        order.append(ended.wait(0.1))  # real time: it can't have ended

    def program():
        time.sleep(2)
        order.append("first")

    world.network.at(1, meanwhile)
    world.run(program)
    thread.join()
    assert order == [False, "first", "other"]


def test_a_program_has_a_world_of_its_own(world):
    def inner():
        time.sleep(5)
        return socket.gethostname(), time.monotonic()

    def outer():
        network = Network(seed=1)
        spawned = network.host("inner").spawn(inner)
        network.run()
        return spawned.result, socket.gethostname(), time.monotonic()

    assert world.call(outer) == (("inner", 5), "alpha", 0)
