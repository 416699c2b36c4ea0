"""A program's own greenlets are parts of its threads: they see the simulated machine, and wait as the thread does."""

from __future__ import annotations

import textwrap

import greenlet
import pytest

BEGIN = r"""
import asyncio, os, socket, sys, threading, time
from greenlet import GreenletExit, error, getcurrent, greenlet
def tried(call, *arguments):
    try:
        return call(*arguments)
    except BaseException as problem:
        return type(problem).__name__, str(problem).partition("\n")[0]
"""


@pytest.fixture
def both(same):
    return lambda source: same(BEGIN + textwrap.dedent(source))


def test_values_go_to_and_fro(both):
    both("""
        main = getcurrent()
        def count(*arguments, **keywords):
            print(arguments, keywords, getcurrent() is counter, counter.parent is main)
            for number in range(3):
                print("told", main.switch(number))
            return "done"
        counter = greenlet(count)
        print(bool(counter), counter.switch(1, 2, three=3), bool(counter))
        while not counter.dead:
            print("back", counter.switch("go"))
        print(counter.switch("dead"), bool(counter))
    """)


def test_errors_go_to_the_parent_and_are_thrown_in(both):
    both("""
        def fail():
            raise ValueError("mine")
        print(tried(greenlet(fail).switch))
        def patient():
            for _ in range(2):
                print(tried(getcurrent().parent.switch))
        inner = greenlet(patient)
        inner.switch()
        inner.throw(KeyError, "thrown")
        inner.throw(OSError(5, "thrown"))
        def last():
            try:
                getcurrent().parent.switch()
            finally:
                print("cleaned up")
        inner = greenlet(last)
        inner.switch()
        print(inner.throw(), inner.dead)
        print(tried(greenlet(last).throw, ValueError))
    """)


def test_nested_ones_and_other_parents(both):
    both("""
        main = getcurrent()
        def outer():
            def inner():
                print("inner", getcurrent().parent is out)
                time.sleep(0.01)
                main.switch("over its parent")
                return "inner's"
            middle = greenlet(inner)
            print("from inner", middle.switch())
            return "outer's"
        out = greenlet(outer)
        print(out.switch())
        print(out.switch("into outer"), out.dead)
        def chain(*names):
            time.sleep(0.01)
            return names + (len(names),)
        second = greenlet(chain)
        first = greenlet(chain, second)
        print(first.switch("a"), first.dead, second.dead)
    """)


def test_a_thread_waits_in_them_and_other_threads_go_on(both):
    both("""
        def serve():
            with socket.create_server(("127.0.0.1", 0)) as listener:
                ready.append(listener.getsockname())
                def answer():
                    connection, _ = listener.accept()
                    with connection:
                        while data := connection.recv(100):
                            getcurrent().parent.switch(data)
                            connection.sendall(data.upper())
                answering = greenlet(answer)
                while (data := answering.switch()) is not None:
                    served.append(data)
        ready, served = [], []
        thread = threading.Thread(target=serve)
        thread.start()
        while not ready:
            time.sleep(0.01)
        def ask(word):
            with socket.create_connection(ready[0]) as client:
                while word:
                    client.sendall(word)
                    word = getcurrent().parent.switch(client.recv(100))
        asking = greenlet(ask)
        print(asking.switch(b"one"), asking.switch(b"two"), asking.switch(b""))
        thread.join()
        print(served)
    """)


def test_they_are_of_the_thread_that_switched_to_them(both):
    both("""
        local = threading.local()
        local.value = "main"
        lock = threading.RLock()
        ident, name = threading.get_ident(), threading.current_thread().name
        def look():
            with lock:
                return (threading.get_ident() == ident, threading.current_thread().name == name, local.value,
                        len(threading.enumerate()), os.getpid() > 0)
        with lock:
            print(greenlet(look).switch())
        mine = greenlet(look)
        def elsewhere():
            print(tried(main.switch), tried(begun.switch))
        def begin():
            getcurrent().parent.switch()
        begun = greenlet(begin)
        begun.switch()
        main = getcurrent()
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    """)


def test_a_loop_may_be_driven_from_one_and_hand_over_to_one(both):
    both("""
        def spawn(call, *arguments):
            async def drive():
                inner = greenlet(call)
                result = inner.switch(*arguments)
                while not inner.dead:
                    try:
                        value = await result
                    except BaseException as problem:
                        result = inner.throw(problem)
                    else:
                        result = inner.switch(value)
                return result
            return drive()
        def wait(awaitable):
            return getcurrent().parent.switch(awaitable)
        def work(number):
            time.sleep(0.001)
            wait(asyncio.sleep(0.01 * number))
            loop = asyncio.get_running_loop()
            print(tried(wait, asyncio.wait_for(asyncio.sleep(10), 0.01))[0], loop is outer)
            return number
        async def main():
            global outer
            outer = asyncio.get_running_loop()
            print(await asyncio.gather(*(spawn(work, number) for number in (3, 1, 2))))
        asyncio.run(main())
        print(greenlet(lambda: asyncio.run(asyncio.sleep(0.01, "slept"))).switch())
    """)


def test_time_in_them_is_virtual_and_the_end_of_the_process_ends_them(world):
    long, killer = world.run(
        """
        import greenlet, time
        def sleep():
            try:
                print(time.monotonic())
                time.sleep(1000)
                print(time.monotonic())
                time.sleep(10_000)
            finally:
                print("never seen")
        greenlet.greenlet(sleep).switch()
        """,
        "import os, time\ntime.sleep(5000)\nos.kill(100, 15)",
    )
    assert (long.exit_code, long.output) == (-15, "0.0\n1000.0\n")
    assert killer.exit_code == 0


def test_those_of_the_code_outside_stay_outside(world):
    def real():
        import socket

        with socket.socket() as made:
            outer.switch(type(made))

    outer = greenlet.getcurrent()
    theirs = greenlet.greenlet(real)

    def program():
        with pytest.raises(greenlet.error, match="Cannot switch to a different thread"):
            theirs.switch()
        with greenlet.greenlet(lambda: __import__("socket").socket()).switch() as made:
            return type(made)

    found = theirs.switch()
    simulated = world.call(program)
    assert simulated is not found
    theirs.switch()
    assert theirs.dead
    assert greenlet.greenlet.switch.__objclass__ is greenlet.greenlet
