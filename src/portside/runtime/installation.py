"""The border goes up while worlds run and comes down with the last of them."""

from __future__ import annotations

import _thread
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Final

from portside.runtime import escapes, extensions, greenlets, loader
from portside.runtime.patcher import Patcher
from portside.runtime.patches.thread import leave_shutdown_locks

PATCHES: Final = (
    "time", "datetime", "lock", "thread", "threading", "queue", "local", "sys", "atexit", "os", "paths", "io", "select",
    "selectors", "socket", "ssl", "signal", "fcntl", "random", "pwd", "logging", "pickle", "traceback", "mmap",
    "asyncio", "scheduling",
)  # fmt: skip

_guard = _thread.allocate_lock()
_turn = _thread.allocate_lock()
_turn_of: int | None = None  # the thread that has it
_get_ident: Final = _thread.get_ident
_patcher: Patcher | None = None
_users = 0


def _the_patcher() -> Patcher:
    global _patcher  # noqa: PLW0603 - made when first needed, once per interpreter
    if _patcher is None:
        patcher = Patcher()
        for name in PATCHES:
            import_module(f"portside.runtime.patches.{name}").add(patcher)
        loader.add(patcher)
        escapes.add(patcher)
        extensions.add(patcher)
        greenlets.add(patcher)
        _patcher = patcher
    return _patcher


def as_a_program_has_it(value: object) -> object:
    """What a simulated program holds where a caller outside holds `value`: `os.kill`, say, is its host's."""
    return next(iter(_the_patcher().replacements([value])), value)


@contextmanager
def in_turn() -> Iterator[None]:
    """Within this, no world of another thread runs: worlds share locks and other state of the standard library.

    A world that a program of another one makes runs within that one's turn.
    """
    global _turn_of  # noqa: PLW0603
    if _turn_of == _get_ident():
        yield
        return
    with _turn:
        _turn_of = _get_ident()
        try:
            yield
        finally:
            _turn_of = None


@contextmanager
def installed() -> Iterator[None]:
    """Within this, simulated tasks reach their host and everything else the real machine.

    It may be entered more than once, by worlds in several threads too; the last to leave puts every original back.
    """
    global _users  # noqa: PLW0603
    _guard.acquire()
    try:
        patcher = _the_patcher()
        if not _users:
            patcher.install()
        _users += 1
    finally:
        _guard.release()
    try:
        yield
    finally:
        _guard.acquire()
        try:
            _users -= 1
            if not _users:
                patcher.restore()
                leave_shutdown_locks()
        finally:
            _guard.release()
