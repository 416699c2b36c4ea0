"""`python -m tests.suites`: CPython's own test suites on real Linux and on a simulated host, side by side."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence

from tests.suites.comparing import Difference, differences, exceptions, unneeded
from tests.suites.running import PATIENCE, Run, linux, portside, suites

KERNELS = {"linux": linux, "portside": portside}
COLUMNS = ("run", "passed", "skipped", "failed", "seconds")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites; 0 when portside passes what Linux passes."""
    asked = parse(arguments)
    if not suites():
        sys.exit("this Python is installed without its test package")
    kernels = [asked.only] if asked.only else list(KERNELS)
    runs: dict[str, dict[str, Run]] = {}
    if not asked.json:
        print(head(kernels))
    for suite in asked.suites or suites():
        runs[suite] = {kernel: KERNELS[kernel](suite, asked.patience) for kernel in kernels}
        if not asked.json:
            print(row(suite, runs[suite].values()), flush=True)
            for line in trouble(runs[suite], asked.only):
                print("   ", line, flush=True)
        if asked.verbose:
            print("\n".join(run.output for run in runs[suite].values()))
    if asked.json:
        print(json.dumps({suite: {kernel: as_json(run) for kernel, run in both.items()}
                          for suite, both in runs.items()}, indent=1))  # fmt: skip
    elif not asked.only:
        print(row("total", [total(both[kernel] for both in runs.values()) for kernel in kernels]))
    return 0 if asked.only else judge(runs, sys.stderr if asked.json else sys.stdout)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.suites", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="such as test_socket; all without it")
    parser.add_argument("--only", choices=KERNELS, help="run on one of the two, and tell all that does not pass")
    parser.add_argument("--json", action="store_true", help="print every test's outcome, and nothing else")
    parser.add_argument("--verbose", action="store_true", help="print what the suites print, with tracebacks")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds a suite may take (%(default)s)")
    return parser.parse_args(arguments)


def head(kernels: Iterable[str]) -> str:
    """The two lines over the table."""
    width = 8 * len(COLUMNS)
    names = "".join(f"{kernel:>{width}}" for kernel in kernels)
    columns = "".join(f"{column:>8}" for column in COLUMNS)
    return f"{'':36}{names}\n{'':36}{''.join(columns for _ in kernels)}"


def row(name: str, runs: Iterable[Run]) -> str:
    """One suite's line of the table."""
    return f"{name:36}" + "".join(cells(run) for run in runs)


def cells(run: Run) -> str:
    """A suite's figures on one kernel."""
    counts = run.counts()
    numbers = (len(run.tests), counts["passed"], counts["skipped"], counts["failed"])
    return "".join(f"{number:>8}" for number in numbers) + f"{run.seconds:>8.1f}"


def trouble(runs: dict[str, Run], only: str | None) -> Iterable[str]:
    """What struck a suite as a whole; alone on one kernel, also each test that did not pass."""
    for kernel, run in runs.items():
        if run.trouble:
            yield f"{kernel}: {run.trouble}"
            yield from run.output.splitlines()[-5:]
        if only:
            yield from (f"{test}: {found.outcome}: {found.reason}" for test, found in run.tests.items()
                        if found.outcome == "failed")  # fmt: skip


def total(runs: Iterable[Run]) -> Run:
    """All suites as if they were one."""
    tests: dict[str, object] = {}
    seconds = 0.0
    for run in runs:
        tests.update(run.tests)
        seconds += run.seconds
    return Run(tests, seconds, "", "")  # type: ignore[arg-type]


def as_json(run: Run) -> dict[str, object]:
    """A suite's run for other programs."""
    return {
        "seconds": round(run.seconds, 1),
        "trouble": run.trouble,
        "tests": {test: found._asdict() for test, found in run.tests.items()},
    }


def judge(runs: dict[str, dict[str, Run]], out: object) -> int:
    """Tell what Linux passes and portside does not, and exceptions that nothing needs; 1 when there is any."""
    reasons = exceptions()
    found: list[Difference] = []
    idle: list[str] = []
    passed = 0
    for both in runs.values():
        here = differences(both["linux"], both["portside"], reasons)
        found += here
        idle += unneeded(both["linux"], here, reasons)
        passed += both["linux"].counts()["passed"]
    unnamed = [difference for difference in found if not difference.exception]
    print(f"\nOf {passed} that pass on Linux {passed - len(found)} pass on portside, {len(found) - len(unnamed)} are "
          f"exceptions with a reason, {len(unnamed)} are neither.", file=out)  # type: ignore[call-overload]  # fmt: skip
    for difference in unnamed:
        print(f"{difference.test}: {difference.here.outcome}: {difference.here.reason}", file=out)  # type: ignore[call-overload]
    for name in sorted(set(idle)):
        print(f"an exception that nothing needs any more: {name}", file=out)  # type: ignore[call-overload]
    return 1 if unnamed or idle else 0


if __name__ == "__main__":
    sys.exit(main())
