"""`python -m tests.dialogue.deep --calls 200000 --seed 1`: many generated programs, on Linux and on portside.

It goes on where it stopped when it is started again with the same seed, uses `--jobs` processes, and ends with the
kinds of differences that it found, each with its shortest program. Those of the kind of a dialogue in
docs/differences.md, with the same options and flags, are known and marked so. The exit code is 1 if there are others.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import TypedDict

from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.dialogue import linux as linux_side
from tests.dialogue import simulated
from tests.dialogue.compare import Difference, compare, shrink
from tests.dialogue.generate import programs
from tests.dialogue.program import Program

PROGRAMS_A_CHUNK = 100
DIALOGUE = re.compile(r"^```dialogue\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Found(TypedDict):
    """One kind of difference: how often it was met, and the shortest program that shows it."""

    times: int
    calls: int
    shown: str


class State(TypedDict):
    """What a run keeps between starts."""

    chunks: list[int]
    calls: int
    programs: int
    found: dict[str, Found]


def run_chunk(number: int, base: int, known: list[str]) -> tuple[int, int, int, dict[str, Found]]:
    """Generate, run and compare one chunk: its number, calls, programs, and differences by kind."""
    worker = linux_side.shared()
    if isinstance(worker, str):
        raise SystemExit(worker)
    calls = made = 0
    found: dict[str, Found] = {}

    @seed(base * 1_000_003 + number)
    @settings(
        max_examples=PROGRAMS_A_CHUNK, phases=(Phase.generate,), database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(programs())
    def look(program: Program) -> None:
        nonlocal calls, made
        calls += len(program.calls)
        made += 1
        try:
            difference = compare(program, worker.run, simulated.run)
        except linux_side.DialogueFailed:
            print(f"the harness failed at:\n{program}\n{traceback.format_exc()}", file=sys.stderr)
            return
        if difference is not None:
            note(found, difference, known, worker)

    look()
    return number, calls, made, found


def note(found: dict[str, Found], difference: Difference, known: list[str], worker: linux_side.Linux) -> None:
    """Enter a difference under its kind, as short as it can be made the first time that kind is met."""
    kind = difference.bucket
    if kind in found:
        found[kind]["times"] += 1
        return
    if kind not in known:
        difference = shrink(difference, worker.run, simulated.run)
    found[kind] = {"times": 1, "calls": len(difference.program.calls), "shown": str(difference)}


def merge(state: State, number: int, calls: int, made: int, found: dict[str, Found]) -> None:
    """Add what a chunk found."""
    state["chunks"].append(number)
    state["calls"] += calls
    state["programs"] += made
    for kind, new in found.items():
        old = state["found"].get(kind)
        if old is None:
            state["found"][kind] = new
            print(f"\nnew: {kind}\n{new['shown']}\n", flush=True)
            continue
        old["times"] += new["times"]
        if new["calls"] < old["calls"]:
            old["calls"], old["shown"] = new["calls"], new["shown"]


def numbers(state: State) -> Iterator[int]:
    """The chunks that have not been done."""
    done = set(state["chunks"])
    number = 0
    while True:
        if number not in done:
            yield number
        number += 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.dialogue.deep")
    parser.add_argument("--calls", type=int, default=200_000, help="generated calls in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--state", type=Path, help="where the run is kept; .hypothesis/dialogues-SEED.json")
    arguments = parser.parse_args()
    path: Path = arguments.state or Path(".hypothesis") / f"dialogues-{arguments.seed}.json"
    state: State = {"chunks": [], "calls": 0, "programs": 0, "found": {}}
    if path.exists():
        state = json.loads(path.read_text())
    path.parent.mkdir(exist_ok=True)
    begun, before = time.monotonic(), state["calls"]
    todo = numbers(state)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        running: set[Future[tuple[int, int, int, dict[str, Found]]]] = set()
        while state["calls"] < arguments.calls or running:
            while state["calls"] < arguments.calls and len(running) < arguments.jobs:
                running.add(pool.submit(run_chunk, next(todo), arguments.seed, list(state["found"])))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                merge(state, *future.result())
            path.write_text(json.dumps(state))
            speed = (state["calls"] - before) / (time.monotonic() - begun)
            done_so_far = f"{state['calls']:8} calls in {state['programs']} programs, {speed:.0f} calls/s"
            print(f"{done_so_far}, {len(state['found'])} kinds of differences", flush=True)
    return summary(state)


def summary(state: State) -> int:
    """Print all kinds, the most frequent first; 1 if there are any."""
    known = known_differences() if state["found"] else []
    explained = {
        kind for kind, entry in state["found"].items()
        if any(kind == other and words <= features(entry["shown"]) for other, words in known)
    }  # fmt: skip
    for kind, entry in sorted(state["found"].items(), key=lambda item: -item[1]["times"]):
        mark = " (known)" if kind in explained else ""
        print(f"\n== {entry['times']} times{mark}: {kind}\n{entry['shown']}")
    new = len(state["found"].keys() - explained)
    done = f"{state['calls']} calls in {state['programs']} programs"
    print(f"\n{done}: {len(state['found'])} kinds of differences, {new} of them not known")
    return 1 if new else 0


def known_differences() -> list[tuple[str, set[str]]]:
    """What docs/differences.md explains with a dialogue each: the kind, and the options and flags that it takes."""
    worker = linux_side.shared()
    assert isinstance(worker, linux_side.Linux)
    page = (linux_side.ROOT / "docs" / "differences.md").read_text()
    found = []
    for text in DIALOGUE.findall(page):
        difference = compare(Program.parse(text), worker.run, simulated.run)
        if difference is not None:
            found.append((difference.bucket, features(text)))
    return found


def features(text: str) -> set[str]:
    """Options, flags and IPv4-mapped addresses in the text of a program."""
    return set(re.findall(r"\b[A-Z][A-Z_0-9]{2,}\b|::ffff:", text))


if __name__ == "__main__":
    sys.exit(main())
