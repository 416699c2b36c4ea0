"""`os.environ` of simulated programs: each has its own, which begins as the caller's with what the lab adds.

A program may change it; the caller's stays as it is, and so does the real process's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from threading import Lock
from typing import Final

from portside.runtime.trap import current_process

_guard: Final = Lock()
_users = 0
_putenv: Final = os.putenv
_unsetenv: Final = os.unsetenv

_own: Final[dict[object, dict[bytes, bytes]]] = {}
"""The variables of each process that runs."""


class PerProcess(MutableMapping[bytes, bytes]):
    """What stands in `os.environ._data` during a run: the current program's variables, or the caller's."""

    def __init__(self, outside: MutableMapping[bytes, bytes]) -> None:
        self.outside = outside

    def current(self) -> MutableMapping[bytes, bytes]:
        """The variables of who asks."""
        process = current_process()
        return self.outside if process is None else _own.get(process, self.outside)

    def __getitem__(self, key: bytes) -> bytes:
        return self.current()[key]

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.current()[key] = value

    def __delitem__(self, key: bytes) -> None:
        del self.current()[key]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.current())

    def __len__(self) -> int:
        return len(self.current())


def give(process: object, variables: Mapping[str, str]) -> None:
    """Let a process begin with the caller's variables and these."""
    data = _data()
    own = _own[process] = dict(data.outside if isinstance(data, PerProcess) else data)
    own.update({os.fsencode(name): os.fsencode(value) for name, value in variables.items()})


def forget(process: object) -> None:
    """A process has ended."""
    _own.pop(process, None)


def _put(name: bytes, value: bytes) -> None:
    if current_process() is None:
        _putenv(name, value)


def _unset(name: bytes) -> None:
    if current_process() is None:
        _unsetenv(name)


@contextmanager
def separate() -> Iterator[None]:
    """Within this, programs have environments of their own. It may be entered more than once."""
    global _users  # noqa: PLW0603 - the interpreter has one os.environ
    with _guard:
        if not _users:
            _replace(PerProcess(_data()))
            os.putenv, os.unsetenv = _put, _unset  # type: ignore[assignment]
        _users += 1
    try:
        yield
    finally:
        with _guard:
            _users -= 1
            if not _users:
                data = _data()
                if isinstance(data, PerProcess):
                    _replace(data.outside)
                os.putenv, os.unsetenv = _putenv, _unsetenv


def _data() -> MutableMapping[bytes, bytes]:
    return os.environ._data  # type: ignore[attr-defined,no-any-return]


def _replace(data: MutableMapping[bytes, bytes]) -> None:
    os.environ._data = data  # type: ignore[attr-defined]
