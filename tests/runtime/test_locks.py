"""Locks of simulated threads: whose turn it is, and what the lock says meanwhile."""

from __future__ import annotations

import os
import threading
import time

import pytest

from portside import Network
from portside.runtime import waiting
from portside.sim.errors import Deadlock


def test_a_released_lock_is_open_until_the_next_takes_it(world):
    def program():

        lock, seen = threading.Lock(), []

        def wait(name):
            with lock:
                seen.append(name)
                time.sleep(1)

        lock.acquire()
        threads = [threading.Thread(target=wait, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        time.sleep(1)
        lock.release()
        seen.append(lock.locked())
        with lock:  # after those who waited before
            seen.append("main")
        for thread in threads:
            thread.join()
        return seen

    assert world.call(program) == [False, "a", "b", "c", "main"]


def test_who_would_not_wait_may_be_quicker(world):
    def program():

        lock, seen = threading.Lock(), []

        def wait():
            with lock:
                seen.append("waiter")

        lock.acquire()
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(1)
        lock.release()
        seen.append(lock.acquire(blocking=False))
        time.sleep(1)
        seen.append("still mine")
        lock.release()
        thread.join()
        return seen

    assert world.call(program) == [True, "still mine", "waiter"]


def test_two_threads_join_the_same_one(world):
    def program():

        seen = []
        worker = threading.Thread(target=time.sleep, args=(5,))
        worker.start()

        def join(timeout):
            worker.join(timeout)
            seen.append(worker.is_alive())

        joiners = [threading.Thread(target=join, args=(timeout,)) for timeout in (None, 10, None, 1)]
        for joiner in joiners:
            joiner.start()
        for joiner in joiners:
            joiner.join()
        return seen

    assert world.call(program) == [True, False, False, False]


def test_a_waiter_that_is_interrupted_passes_its_turn_on(world):
    def program():
        import os
        import signal

        lock, seen = threading.Lock(), []

        def hold():
            lock.acquire()
            time.sleep(2)
            lock.release()  # to the main thread, which a signal meets before it runs
            os.kill(os.getpid(), signal.SIGUSR1)

        def wait():
            with lock:
                seen.append("second")

        def refuse(*_):
            raise ValueError

        signal.signal(signal.SIGUSR1, refuse)
        holder = threading.Thread(target=hold)
        holder.start()
        time.sleep(1)
        waiter = threading.Timer(0.5, wait)
        waiter.start()
        try:
            lock.acquire()
        except ValueError:
            seen.append("interrupted")
        waiter.join()
        return sorted(seen), lock.locked()

    assert world.call(program) == (["interrupted", "second"], False)


def test_a_promise_to_a_world_that_stands_still_holds_nobody_up(world):
    lock = threading.Lock()

    def hold():
        lock.acquire()
        time.sleep(1)
        world.network.world.halt()  # at the next hand-over: the waiter has its promise, and never runs
        lock.release()
        time.sleep(1)

    def wait():
        time.sleep(0.5)
        lock.acquire()

    world.host.spawn(hold)
    waiter = world.host.spawn(wait)
    world.network.run()
    assert waiter.running
    with Network() as other:
        program = other.host("other").spawn(lambda: lock.acquire(timeout=5))
        other.run()
        assert program.result is True
    lock.release()
    world.network.run()
    assert not waiter.running


def test_a_thread_outside_may_release_what_a_task_waits_for(world):
    """As importlib does: a task acquires a lock, then waits for the thread outside that is to release it."""
    lock, waits = threading.Lock(), waiting.anyone

    def outside():
        while not waits(lock):
            os.sched_yield()
        lock.release()

    def program():
        lock.acquire()
        lock.acquire()
        return "released"

    helper = threading.Thread(target=outside)
    helper.start()
    try:
        assert world.call(program) == "released"
    finally:
        helper.join()


def test_a_world_at_a_standstill_ends_though_there_are_threads_outside(world, monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", 0.001)
    finished = threading.Event()
    helper = threading.Thread(target=finished.wait)
    helper.start()

    def program():
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

    try:
        with pytest.raises(Deadlock, match="acquiring a lock"):
            world.call(program)
    finally:
        finished.set()
        helper.join()
