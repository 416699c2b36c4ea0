"""What Linux passes and portside does not, and the exceptions from the rule that there is nothing such."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from tests.suites.running import Outcome, Run

EXCEPTIONS = Path(__file__).with_name("exceptions.toml")

NOT_RUN = Outcome("not run", 0.0, "it did not come to it")


class Difference(NamedTuple):
    """A test that passes on Linux and not on portside; the exception that names it, or nothing."""

    test: str
    here: Outcome
    exception: str


def exceptions() -> dict[str, str]:
    """The reasons, by the name of a test or of a class of tests, in which * stands for any part."""
    reasons: dict[str, str] = tomllib.loads(EXCEPTIONS.read_text(encoding="utf-8"))
    return reasons


def excepted(test: str, reasons: Mapping[str, str]) -> str:
    """The name under which the exceptions have a test: its own or its class's; or nothing."""
    return next((name for name in reasons if names(name, test)), "")


def names(name: str, test: str) -> bool:
    """Whether a name in the list of exceptions means this test."""
    return fnmatchcase(test, name) or fnmatchcase(test, name + ".*")


def differences(linux: Run, portside: Run, reasons: Mapping[str, str]) -> list[Difference]:
    """What passes on Linux and not on portside."""
    return [
        Difference(test, portside.tests.get(test, NOT_RUN), excepted(test, reasons))
        for test, there in linux.tests.items()
        if there.outcome == "passed" and portside.tests.get(test, NOT_RUN).outcome != "passed"
    ]


def unneeded(linux: Run, found: Iterable[Difference], reasons: Mapping[str, str]) -> list[str]:
    """Exceptions whose tests Linux passes, and portside too."""
    needed = {difference.exception for difference in found}
    passed = [test for test, outcome in linux.tests.items() if outcome.outcome == "passed"]
    return [name for name in reasons if name not in needed and any(names(name, test) for test in passed)]
