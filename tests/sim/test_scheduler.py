"""The order of tasks and timers, and what moves the clock."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from random import Random

import pytest
from greenlet import greenlet

from portside.host.file import Blocked, File
from portside.sim import scheduler
from portside.sim.errors import Deadlock, WorldClosed, WorldError
from portside.sim.scheduler import QUIET_EVENTS, QUIET_TIME, Scheduler, Task
from portside.sim.timers import FREE_CALLS, FREE_TURNS

MS = 1_000_000
SECOND = 1_000_000_000
WAIT = Blocked("waiting")


class Process:
    def __init__(self, name: str, pid: int, host: str) -> None:
        self.name = name
        self.pid = pid
        self.host = type("Host", (), {"name": host})()


@pytest.fixture
def world():
    world = Scheduler(seed=7)
    yield world
    if world._hub is None:
        world.close()


def spawn(world: Scheduler, body: Callable[[], object], name: str = "task", **options) -> Task:
    return world.spawn(None, body, name, **options)


class TestOrder:
    def test_a_task_that_has_ended_holds_nothing(self, world):
        class Thing:
            pass

        thing = Thing()
        gone = weakref.ref(thing)
        task = spawn(world, lambda kept=thing: world.block(5, WAIT))
        world.at(0, lambda: world.wake(task))
        spawn(world, lambda: world.block(3, WAIT))
        del thing
        world.run(until=4)
        assert task.ended  # and its timer at 5 is still to come
        assert gone() is None

    def test_ready_tasks_run_in_the_order_in_which_they_became_ready(self, world):
        seen = []
        for name in "abc":
            spawn(world, lambda name=name: seen.append(name), name)
        world.run()
        assert seen == ["a", "b", "c"]

    def test_equal_times_run_in_the_order_in_which_they_were_asked(self, world):
        seen = []
        spawn(world, lambda: world.block(2 * MS, WAIT))
        world.at(MS, seen.append, "first")
        world.at(0, seen.append, "now")
        world.at(MS, seen.append, "second")
        world.run()
        assert seen == ["now", "first", "second"]

    def test_sleepers_of_equal_deadline_wake_in_the_order_in_which_they_asked(self, world):
        """Also where one of them has an older, earlier entry in the heap from a wait that was cut short."""
        seen = []

        def sleeper(name, first_wait):
            if first_wait:
                assert world.block(first_wait, WAIT)
            world.block(5 * SECOND, WAIT)
            seen.append(name)

        a = spawn(world, lambda: sleeper("a", 5 * SECOND), "a")
        spawn(world, lambda: sleeper("b", 0), "b")
        world.at(MS, world.wake, a)
        world.run()
        assert seen == ["b", "a"]
        assert world.now == 5 * SECOND

    def test_a_start_time_is_kept(self, world):
        seen = []
        spawn(world, lambda: seen.append(("late", world.now)), start=3 * SECOND)
        spawn(world, lambda: seen.append(("early", world.now)))
        world.run()
        assert seen == [("early", 0), ("late", 3 * SECOND)]

    def test_time_moves_only_when_nobody_is_ready(self, world):
        times = []

        def body():
            for _ in range(3):
                times.append(world.now)
                world.block(world.now + SECOND, WAIT)

        spawn(world, body)
        spawn(world, body)
        world.run()
        assert times == [0, 0, SECOND, SECOND, 2 * SECOND, 2 * SECOND]


class TestBlock:
    def test_says_whether_it_was_woken_or_its_deadline_came(self, world):
        answers = []

        def body():
            answers.append(world.block(SECOND, WAIT))
            answers.append(world.block(2 * SECOND, WAIT))

        task = spawn(world, body)
        world.at(MS, world.wake, task)
        world.run()
        assert answers == [True, False]
        assert world.now == 2 * SECOND

    def test_waking_a_task_that_is_ready_changes_nothing(self, world):
        answers = []

        def waiter():
            answers.append(world.block(None, WAIT))
            answers.append(world.block(SECOND, WAIT))

        task = spawn(world, waiter)

        def waker():
            world.wake(task)
            world.wake(task)
            world.wake(world.current())

        spawn(world, waker)
        world.run()
        assert answers == [True, False]

    def test_outside_of_a_task_nobody_can_wait(self, world):
        with pytest.raises(WorldError, match="recv\\(2\\)"):
            world.block(None, Blocked("recv(2)"))

    def test_a_timer_cannot_wait(self, world):
        spawn(world, lambda: world.block(SECOND, WAIT))
        world.at(0, world.block, None, WAIT)
        with pytest.raises(WorldError, match="only a task"):
            world.run()

    @pytest.mark.parametrize("seed", range(5))
    def test_timers_of_all_distances_ring_in_order(self, world, seed):
        random = Random(seed)
        asked, rung = [], []

        def ask(depth):
            when = world.now + random.choice([0, 1, MS, SECOND - 1, SECOND, SECOND + 1, random.randrange(10**13)])
            number = len(asked)
            asked.append(when)
            world.at(when, ring, number, depth)

        def ring(number, depth):
            assert world.now == asked[number]
            rung.append((world.now, number))
            for _ in range(random.randrange(3) if depth else 0):
                ask(depth - 1)

        for _ in range(50):
            ask(5)
        until = 0
        while len(rung) < len(asked):  # in pieces, as a world that is run until some time and then on
            until += random.randrange(10**12)
            world.run(until)
        assert rung == sorted(rung)
        assert sorted(number for _, number in rung) == list(range(len(asked)))

    def test_who_waits_for_long_is_in_nobodys_way(self, world):
        for _ in range(100):
            spawn(world, lambda: world.block(100 * SECOND, WAIT))
        sizes = []

        def body():
            while world.now < 10 * SECOND:
                world.block(world.now + 10 * MS, WAIT)
                sizes.append(len(world._heap))

        spawn(world, body)
        world.run()
        assert max(sizes) <= 1
        assert world.now == 100 * SECOND

    def test_many_shortened_waits_leave_a_bounded_heap(self, world):
        """A long wait cut short, then a short one that runs out, a thousand times."""
        sizes = []

        def body():
            for _ in range(1000):
                world.block(world.now + 100 * SECOND, WAIT)
                world.block(world.now + MS, WAIT)
                sizes.append(len(world._heap) + len(world._far))

        task = spawn(world, body)

        def poke():
            if not task.ended:
                world.wake(task)
                world.at(world.now + 3 * MS, poke)

        world.at(0, poke)
        world.run()
        assert len(sizes) == 1000
        assert max(sizes) <= 4

    def test_a_wait_that_was_cut_short_does_not_move_the_clock_later(self, world):
        def body():
            world.block(50 * SECOND, WAIT)
            world.block(None, WAIT)

        task = spawn(world, body)
        world.at(MS, world.wake, task)
        with pytest.raises(Deadlock):
            world.run()
        assert world.now == MS


class TestCurrent:
    def test_is_the_running_task(self, world):
        seen = []
        task = spawn(world, lambda: seen.append(world.current()))
        world.run()
        assert seen == [task]

    def test_in_a_timer_it_is_nobody(self, world):
        seen = []
        task = spawn(world, lambda: world.block(SECOND, WAIT))
        world.at(MS, lambda: seen.append(world.current()))
        world.run()
        assert seen[0] is not task
        assert seen[0].process is None

    def test_a_spawned_task_is_a_daemon_if_its_parent_is(self, world):
        made = []
        spawn(world, lambda: made.append(spawn(world, lambda: None)), daemon=True)
        spawn(world, lambda: made.append(spawn(world, lambda: None)))
        world.run(drain=1)
        assert [task.daemon for task in made] == [True, False]


class TestEnds:
    def test_daemons_are_not_waited_for(self, world):
        def forever():
            while True:
                world.block(world.now + SECOND, WAIT)

        spawn(world, forever, daemon=True)
        spawn(world, lambda: world.block(3 * SECOND + 1, WAIT))
        world.run()
        assert world.now == 3 * SECOND + 1

    def test_until_stops_the_clock_there_and_run_goes_on_later(self, world):
        times = []

        def body():
            for _ in range(4):
                world.block(world.now + SECOND, WAIT)
                times.append(world.now)

        spawn(world, body)
        world.run(until=2_500 * MS)
        assert (world.now, times) == (2_500 * MS, [SECOND, 2 * SECOND])
        world.run()
        assert times == [SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND]

    def test_until_with_everybody_waiting_for_ever_is_no_deadlock(self, world):
        task = spawn(world, lambda: world.block(None, WAIT))
        world.run(until=SECOND)
        assert world.now == SECOND
        world.wake(task)
        world.run()
        assert task.ended

    def test_daemons_alone_run_until_the_time_given(self, world):
        times = []

        def forever():
            while True:
                world.block(world.now + SECOND, WAIT)
                times.append(world.now)

        spawn(world, forever, daemon=True)
        world.run(until=2 * SECOND)
        assert times == [SECOND, 2 * SECOND]
        world.run()
        assert times == [SECOND, 2 * SECOND]

    def test_drain_lets_timers_go_on_after_the_last_task(self, world):
        seen = []
        for when in (MS, 2 * MS, 2 * SECOND):
            world.at(when, seen.append, when)
        spawn(world, lambda: None)
        world.run(drain=SECOND)
        assert seen == [MS, 2 * MS]
        assert world.now == 2 * MS

    def test_without_drain_timers_are_left(self, world):
        seen = []
        world.at(MS, seen.append, 1)
        spawn(world, lambda: None)
        world.run()
        assert seen == []

    def test_an_empty_world_ends_at_once(self, world):
        world.run()
        assert world.now == 0

    def test_what_a_task_lets_out_comes_out_of_run(self, world):
        def body():
            world.block(SECOND, WAIT)
            raise AssertionError("ours")

        spawn(world, body)
        spawn(world, lambda: world.block(None, WAIT))
        with pytest.raises(AssertionError, match="ours"):
            world.run()

    def test_what_a_timer_lets_out_comes_out_of_run(self, world):
        def broken():
            raise AssertionError("in a timer")

        after = []

        def body():
            try:
                world.block(None, WAIT)
            except BaseException as error:
                after.append(type(error))
                raise

        spawn(world, body)
        world.at(SECOND, broken)
        with pytest.raises(AssertionError, match="in a timer"):
            world.run()
        assert after == []  # the task that happened to wait last is not blamed
        world.close()
        assert after == [WorldClosed]

    def test_stop_in_a_task_ends_the_run_there(self, world):
        seen = []

        def body():
            seen.append("before")
            world.stop(KeyboardInterrupt())
            seen.append("after")

        spawn(world, body)
        spawn(world, lambda: seen.append("other"))
        with pytest.raises(KeyboardInterrupt):
            world.run()
        assert seen == ["before"]

    def test_stop_in_a_timer_ends_the_run(self, world):
        spawn(world, lambda: world.block(None, WAIT))
        world.at(SECOND, world.stop)
        world.at(2 * SECOND, pytest.fail, "too late")
        world.run()
        assert world.now == SECOND

    def test_a_world_does_not_run_twice_at_once(self, world):
        errors = []

        def body():
            try:
                world.run()
            except WorldError as error:
                errors.append(str(error))

        spawn(world, body)
        world.run()
        assert errors == ["this world runs already"]


class TestDeadlock:
    def test_is_reported_with_process_host_call_and_file(self, world):
        class Listening(File):
            def describe(self):
                return "tcp 10.0.0.1:80 LISTEN"

        why = Blocked("accept(2)", Listening())
        world.spawn(Process("server", 101, "alpha"), lambda: world.block(None, why), "server")
        world.spawn(Process("client", 102, "beta"), lambda: world.block(None, WAIT), "Thread-1")
        with pytest.raises(Deadlock) as caught:
            world.run()
        assert caught.value.waiting == [
            "server (pid 101) on alpha: accept(2) on tcp 10.0.0.1:80 LISTEN",
            "client, Thread-1 (pid 102) on beta: waiting",
        ]
        assert "accept(2) on tcp 10.0.0.1:80 LISTEN" in str(caught.value)
        assert "0.000000 s" in str(caught.value)

    def test_comes_only_after_the_last_timer(self, world):
        task = spawn(world, lambda: world.block(None, WAIT))
        world.at(60 * SECOND, world.wake, task)
        world.run()
        assert world.now == 60 * SECOND

    def test_comes_after_timers_that_wake_nobody(self, world):
        spawn(world, lambda: world.block(None, WAIT))
        world.at(60 * SECOND, lambda: None)
        with pytest.raises(Deadlock):
            world.run()
        assert world.now == 60 * SECOND

    def test_timers_that_only_lead_to_timers_keep_no_world_alive(self, world):
        def probe():
            world.at(world.now + 120 * SECOND, probe)

        def main():
            probe()
            world.block(None, WAIT)

        spawn(world, main)
        with pytest.raises(Deadlock):
            world.run()
        with pytest.raises(Deadlock):
            world.run()
        world.run(until=world.now + 2 * QUIET_TIME)

    @pytest.mark.parametrize("pause", [60 * SECOND, 9 * 3600 * SECOND])
    def test_but_what_was_asked_for_is_waited_for(self, world, pause):
        def probe():
            if not world.now > 30 * QUIET_TIME:
                world.at(world.now + pause, probe)

        def main():
            world.at(3 * QUIET_TIME, world.wake, task)
            probe()
            world.block(None, WAIT)
            assert world.now == 3 * QUIET_TIME
            assert not world.block(7 * QUIET_TIME, WAIT)

        task = spawn(world, main)
        world.run()
        assert world.now == 7 * QUIET_TIME

    def test_nor_is_a_long_chain_cut_short(self, world):
        left = [QUIET_EVENTS // 4]

        def probe():
            left[0] -= 1
            if left[0]:
                world.at(world.now + 3600 * SECOND, probe)
            else:
                world.wake(task)

        def main():
            probe()
            world.block(None, WAIT)

        task = spawn(world, main)
        world.run()
        assert world.now == (QUIET_EVENTS // 4 - 1) * 3600 * SECOND


class TestKill:
    def test_raises_where_the_task_waits(self, world):
        seen = []

        def body():
            try:
                world.block(None, WAIT)
            except ZeroDivisionError as error:
                seen.append(error)
                raise

        task = spawn(world, body)
        error = ZeroDivisionError()
        world.at(SECOND, world.kill, task, error)
        world.run()
        assert seen == [error]
        assert task.ended

    def test_a_killed_task_cannot_wait_again(self, world):
        attempts = []

        def stubborn():
            while len(attempts) < 1_000_000:
                try:
                    world.block(None, WAIT)
                except BaseException:
                    attempts.append(1)

        task = spawn(world, stubborn)
        world.at(SECOND, world.kill, task, ZeroDivisionError())
        world.run()
        assert task.ended
        assert len(attempts) == 100

    def test_one_that_has_not_begun_never_does(self, world):
        seen = []
        task = spawn(world, lambda: seen.append(1), start=SECOND)
        spawn(world, lambda: world.kill(task, ZeroDivisionError()))
        world.run()
        assert seen == []

    def test_a_running_task_is_told_at_its_next_wait(self, world):
        seen = []

        def body():
            world.kill(world.current(), ZeroDivisionError())
            seen.append("still here")
            world.block(None, WAIT)
            seen.append("never")

        spawn(world, body)
        world.run()
        assert seen == ["still here"]


class TestClose:
    def test_parked_tasks_may_clean_up(self, world):
        seen = []

        def body():
            try:
                world.block(None, WAIT)
            finally:
                seen.append("cleaned")

        spawn(world, body)
        world.run(until=SECOND)
        world.close()
        assert seen == ["cleaned"]
        with pytest.raises(WorldError):
            world.run()
        with pytest.raises(WorldError):
            spawn(world, lambda: None)

    def test_a_task_that_will_not_end_is_left_behind(self, world):
        def stubborn():
            while True:
                with contextlib.suppress(BaseException):
                    world.block(None, WAIT)

        spawn(world, stubborn)
        world.run(until=SECOND)
        world.close()
        assert world.closed


class TestSpinGuard:
    def test_a_few_fruitless_calls_are_free(self, world):
        def body():
            for _ in range(FREE_CALLS):
                world.spin()

        spawn(world, body)
        world.run()
        assert world.now == 0

    def test_a_clock_that_is_polled_goes_on(self, world):
        calls = 0

        def body():
            nonlocal calls
            while world.now < 60 * SECOND and calls < 1_000_000:
                world.spin()
                calls += 1

        spawn(world, body)
        world.run()
        assert 60 * SECOND <= world.now < 60 * SECOND + MS

    def test_two_that_yield_to_each_other_let_time_go_on(self, world):
        done = []
        turns = 0

        def spinner():
            nonlocal turns
            while not done and turns < 100_000:
                world.pause()
                turns += 1

        spawn(world, spinner)
        spawn(world, spinner)
        world.at(50 * MS, done.append, True)
        world.run()
        assert 50 * MS <= world.now <= 51 * MS

    def test_pause_lets_the_others_run_first(self, world):
        seen = []

        def body(name):
            for turn in range(2):
                seen.append((name, turn))
                world.pause()

        spawn(world, lambda: body("a"))
        spawn(world, lambda: body("b"))
        world.run()
        assert seen == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]

    def test_a_ping_pong_without_end_lets_a_sleeper_wake(self, world):
        tasks = []
        done = []
        turns = 0

        def player(other):
            nonlocal turns
            while not done and turns < 1_000_000:
                turns += 1
                world.wake(tasks[other])
                world.block(None, WAIT)
            world.wake(tasks[other])

        tasks.append(spawn(world, lambda: player(1)))
        tasks.append(spawn(world, lambda: player(0)))

        def stopper():
            world.block(SECOND, WAIT)
            done.append(world.now)

        spawn(world, stopper)
        world.run()
        assert SECOND <= done[0] <= SECOND + MS
        paid = SECOND // 10_000  # 10 us each
        assert abs(turns - FREE_TURNS - paid) <= 20

    def test_waiting_makes_fruitless_calls_free_again(self, world):
        def body():
            for _ in range(10):
                for _ in range(FREE_CALLS):
                    world.spin()
                world.block(world.now + MS, WAIT)

        spawn(world, body)
        world.run()
        assert world.now == 10 * MS


class TestCost:
    @staticmethod
    def calls(sleepers: int, timers: int) -> tuple[int, int]:
        """Python and C function calls of 1,000 hand-overs, and the comparisons of heap entries among them."""
        world = Scheduler()
        compared = 0

        class Time(int):
            def __lt__(self, other):
                nonlocal compared
                compared += 1
                return int(self) < other

        tasks: list[Task] = []
        count = 0

        def player(other):
            nonlocal count
            for turn in range(500):
                if turn == 1 and other == 1:
                    sys.setprofile(counting)
                world.wake(tasks[other])
                world.block(None, WAIT)
            sys.setprofile(None)
            world.wake(tasks[other])

        def counting(frame, event, argument):
            nonlocal count
            count += frame.f_code.co_filename == scheduler.__file__

        for _ in range(sleepers):
            spawn(world, lambda: world.block(Time(SECOND), WAIT), daemon=True)
        for number in range(timers):
            world.at(Time(SECOND + number), lambda: None)
        tasks.append(spawn(world, lambda: player(1)))
        tasks.append(spawn(world, lambda: player(0)))
        world.run(until=0)  # the sleepers go to sleep
        compared = 0
        world.run()
        world.close()
        return count, compared

    @pytest.fixture
    def no_collection(self):
        """What others left behind is not finalized while calls are counted."""
        gc.collect()
        gc.disable()
        yield
        gc.enable()

    @pytest.mark.usefixtures("no_collection")
    def test_a_hand_over_costs_the_same_among_thousands_of_sleepers(self):
        few = self.calls(0, 0)
        many = self.calls(1000, 5000)
        assert few[0] > 1000
        assert few == many

    def test_a_timer_costs_the_logarithm_of_the_others(self):
        world = Scheduler()
        compared = 0

        class Time(int):
            def __lt__(self, other):
                nonlocal compared
                compared += 1
                return int(self) < other

        for number in range(50_000):
            world.at(Time(SECOND + number), lambda: None)
        compared = 0
        for number in range(1000):
            world.at(Time(number), lambda: None)
        assert compared < 1000 * 20


PROGRAM = """
import sys
from portside.host.file import Blocked
from portside.sim.scheduler import Scheduler

world = Scheduler(seed=int(sys.argv[1]))
WAIT = Blocked("x")
names = {f"n{i}" for i in range(50)}
tasks = {}

def body(name):
    random = world.stream(name)
    for _ in range(20):
        wait = random.randrange(1000) if random.random() < 0.9 else 5000
        woken = world.block(world.now + wait, WAIT)
        print(world.now, name, woken)
        world.wake(tasks[f"n{random.randrange(50)}"])

for name in sorted(names):
    tasks[name] = world.spawn(None, lambda name=name: body(name), name)
world.run()
"""


def trace_of(seed: int, hash_seed: str) -> bytes:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, str(seed)]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout


def test_the_same_seed_gives_the_same_trace_in_every_process():
    first = trace_of(1, "0")
    assert first.count(b"\n") == 1000
    assert trace_of(1, "12345") == first
    assert trace_of(2, "0") != first


def test_stop_ends_the_run_also_while_a_task_acts_outside(world):
    def outside():
        world.stop(KeyboardInterrupt())
        pytest.fail("the task went on")

    spawn(world, lambda: greenlet(outside).switch())
    with pytest.raises(KeyboardInterrupt):
        world.run()


def test_halt_lets_the_task_go_on_until_it_waits(world):
    seen = []

    def body():
        world.halt()
        seen.append("after")
        world.block(None, WAIT)
        seen.append("never")

    spawn(world, body)
    spawn(world, lambda: seen.append("other"))
    world.run()
    assert seen == ["after"]
