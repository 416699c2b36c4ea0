"""Working directory, asyncio policy and running loop: each program or thread has its own, the caller keeps his."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    for name in ("one", "two", "caller"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    monkeypatch.chdir(tmp_path / "caller")
    return tmp_path


def wander(directory, change=os.chdir):
    import time

    seen = []
    time.sleep(1)
    seen.append(open("file").read())  # noqa: SIM115
    os.chdir(directory) if change is os.chdir else os.fchdir(os.open(directory, os.O_RDONLY))
    for _ in range(3):
        time.sleep(1)
        seen.append((os.path.basename(os.getcwd()), open("file").read()))  # noqa: SIM115
    return seen


def test_each_process_has_its_own(world, here):
    one = world.host.spawn(wander, here / "one")
    two = world.host.spawn(wander, here / "two", os.fchdir)
    still = world.host.spawn(wander, here / "caller")
    world.network.run()
    for name, program in (("one", one), ("two", two), ("caller", still)):
        assert program.result == ["caller", *[(name, name)] * 3]
    assert os.getcwd() == str(here / "caller")


def test_the_threads_of_a_process_share_it_and_it_lasts_from_run_to_run(world, here):
    def program():
        import time

        seen = []

        def look():
            time.sleep(5)
            seen.append(os.getcwd())

        threading.Thread(target=look).start()
        os.chdir(here / "one")
        time.sleep(10)
        return [*seen, os.getcwd()]

    spawned = world.host.spawn(program)
    world.network.run(until=3)
    assert os.getcwd() == str(here / "caller")
    world.network.run()
    assert spawned.result == [str(here / "one")] * 2
    assert os.getcwd() == str(here / "caller")


def test_the_caller_comes_back_to_a_directory_whose_name_is_gone(world, here):
    def program():
        os.chdir(here / "one")
        os.rename(here / "caller", here / "moved")
        with pytest.raises(FileNotFoundError):
            os.chdir(here / "caller")
        with pytest.raises(NotADirectoryError):
            os.chdir("file")

    world.call(program)
    assert os.getcwd() == str(here / "moved")


def test_what_is_written_meanwhile_is_written_where_the_program_is(world, here):
    def program():
        os.chdir(here / "two")
        print("x", flush=True)
        with open("made", "w") as file:
            file.write("y")

    world.call(program)
    assert (here / "two" / "made").read_text() == "y"


def serve_once():
    async def main():
        async def answer(reader, writer):
            assert asyncio.get_running_loop() is loop
            writer.write((await reader.readline()).upper())
            writer.close()

        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(answer, "127.0.0.1", 80)
        async with server:
            await server.serve_forever()

    asyncio.run(main())


def ask():
    async def main():
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        seen = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", 80)
            writer.write(b"hi\n")
            seen.append(await reader.readline())
            writer.close()
            await asyncio.sleep(1)
            assert asyncio.get_running_loop() is loop
            assert asyncio.current_task() is task
        return seen

    return asyncio.run(main())


ANSWERS = [b"HI\n"] * 3


def test_each_process_has_a_running_loop_of_its_own(world):
    world.host.spawn(serve_once, background=True)
    programs = [world.host.spawn(ask, start=1) for _ in range(3)]
    world.network.run(until=2.5)
    assert asyncio.events._get_running_loop() is None
    world.network.run()
    assert [program.result for program in programs] == [ANSWERS] * 3


def test_each_thread_too(world):
    def program():
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(lambda _: ask(), range(3)))

    world.host.spawn(serve_once, background=True)
    spawned = world.host.spawn(program, start=1)
    world.network.run()
    assert spawned.result == [ANSWERS] * 3


def test_a_world_may_be_run_by_a_coroutine_of_the_caller(world):
    async def caller():
        loop = asyncio.get_running_loop()
        world.host.spawn(serve_once, background=True)
        program = world.host.spawn(ask, start=1)
        world.network.run()
        assert asyncio.get_running_loop() is loop
        await asyncio.sleep(0)
        return program.result

    assert asyncio.run(caller()) == ANSWERS


class Loop(asyncio.SelectorEventLoop):
    pass


class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        return Loop()


SETS_A_POLICY = """
import asyncio, time
class Loop(asyncio.SelectorEventLoop):
    pass
class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        return Loop()
policy = Policy()
asyncio.set_event_loop_policy(policy)
time.sleep(2)
async def main():
    await asyncio.sleep(2)
    return type(asyncio.get_running_loop()) is Loop
print(asyncio.run(main()), asyncio.get_event_loop_policy() is policy)
"""
HAS_NONE = """
import asyncio
async def main():
    await asyncio.sleep(2)
    return type(asyncio.get_running_loop()) is asyncio.SelectorEventLoop
print(asyncio.run(main()), type(asyncio.get_event_loop_policy()) is asyncio.DefaultEventLoopPolicy)
"""


@pytest.mark.parametrize("of_the_caller", [None, Policy()], ids=["none", "own"])
def test_each_program_has_an_asyncio_policy_and_the_caller_keeps_his(world, of_the_caller):
    before = asyncio.events._event_loop_policy
    asyncio.set_event_loop_policy(of_the_caller)
    try:
        starts = [(SETS_A_POLICY, start) for start in (0, 1, 3, 9)] + [(HAS_NONE, start) for start in (1, 3, 9)]
        programs = [world.host.spawn(code=code, start=start) for code, start in starts]
        world.network.run()
        assert [program.output.strip() for program in programs] == ["True True"] * len(programs)
        assert asyncio.events._event_loop_policy is of_the_caller
    finally:
        asyncio.set_event_loop_policy(before)
