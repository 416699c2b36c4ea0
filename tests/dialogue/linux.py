"""Dialogues on the real kernel: a worker process that gives each one a network namespace of its own."""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.dialogue.program import Program, normalise

ROOT = Path(__file__).parents[2]


class NoNamespaces(Exception):
    """This machine gives no network namespace to the user that runs the tests."""


class DialogueFailed(Exception):
    """The harness broke while it carried out a dialogue; the program under test did not."""


class Linux:
    """A worker on the real kernel. `run` takes a program, or the `module:name` of a function."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.dialogue.worker"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            _, reason = self._process.communicate()
            raise NoNamespaces(reason.strip().splitlines()[-1] if reason.strip() else "the worker ended")

    def __enter__(self) -> Linux:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker."""
        self._process.communicate()

    def raw(self, program: Program) -> list[str]:
        """The answers as they came."""
        answers: list[str] = self._ask(
            calls=program.calls, addresses=program.addresses, sysctls=program.sysctls
        )
        return answers

    def run(self, program: Program) -> list[str]:
        """The answers, with what is left to chance as symbols."""
        return normalise(program, self.raw(program))

    def call(self, function: str, addresses: tuple[str, ...] = ()) -> Any:
        """What the function `module:name` returns."""
        return self._ask(function=function, addresses=addresses)

    def _ask(self, **request: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise DialogueFailed(self._process.communicate()[1])
        answer = json.loads(line)
        if "failed" in answer:
            raise DialogueFailed(answer["failed"])
        return answer["answers"]


@functools.cache
def shared() -> Linux | str:
    """The worker that the tests of this process share, or the reason why there is none."""
    try:
        worker = Linux()
    except (NoNamespaces, OSError) as error:
        return f"no network namespaces here: {error}"
    atexit.register(worker.close)
    return worker
