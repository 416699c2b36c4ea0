"""What would leave the world: calls that are refused with an error that names them and says what to do instead."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Callable
from typing import Final

from portside.runtime.patcher import Patcher
from portside.runtime.trap import current_process


class EscapeError(PermissionError):
    """A simulated program called something that would act on the real machine, or start something out there.

    `call` is what it called, as it is written in a program. To a program it is the EPERM of a machine that forbids the
    call: a library that can do without (`platform.platform()` asks uname(1)) does.
    """

    def __init__(self, call: str, advice: str) -> None:
        self.call = call
        super().__init__(errno.EPERM, f"{call} would leave the simulated world: {advice}")


_PROCESS: Final = (
    "a simulated process cannot become or start a real one. Start each program with Host.spawn(), or as a program of "
    "LAB.toml; run parts of one program in threads; serve from one process, without workers and without a reloader "
    "(uvicorn, waitress and werkzeug do, gunicorn can't)"
)
_THREADS: Final = "use threads (threading, concurrent.futures.ThreadPoolExecutor), which are simulated"

REFUSED: Final[tuple[tuple[str, tuple[str, ...], str], ...]] = (
    ("os", ("fork", "forkpty", "posix_spawn", "posix_spawnp", "execv", "execve", "system"), _PROCESS),
    ("os", ("pidfd_open",), "a simulated process has no children"),
    ("os", ("openpty", "login_tty", "posix_openpt"), "there are no terminals"),
    ("os", ("eventfd", "memfd_create", "timerfd_create", "splice", "copy_file_range"), "use pipes and ordinary files"),
    ("os", ("chroot", "unshare", "setns"), "a host is a namespace of its own: make another host"),
    ("subprocess", ("Popen",), _PROCESS),
    ("_posixsubprocess", ("fork_exec",), _PROCESS),
    ("_multiprocessing", ("SemLock",), _THREADS),
    ("signal", ("pidfd_send_signal",), "use os.kill(), within the host"),
)

_NAMES: Final = {"_posixsubprocess.fork_exec": "subprocess.Popen", "_multiprocessing.SemLock": "multiprocessing"}


def _refusal(call: str, advice: str) -> Callable[..., object]:
    def refuse(real: Callable[..., object], *arguments: object, **keywords: object) -> object:
        if current_process() is None:
            return real(*arguments, **keywords)
        raise EscapeError(call, advice)

    return refuse


class Guarded:
    """Stands for a type: making an instance, which would reach the real machine, is refused in a simulated program."""

    __slots__ = ("_advice", "_call", "_real")

    def __init__(self, real: type, call: str, advice: str) -> None:
        self._real = real
        self._call = call
        self._advice = advice

    def __call__(self, *arguments: object, **keywords: object) -> object:
        """Make an instance of the type, outside the world only."""
        if current_process() is not None:
            raise EscapeError(self._call, self._advice)
        return self._real(*arguments, **keywords)

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return (self._real,)

    def __instancecheck__(self, thing: object) -> bool:
        return isinstance(thing, self._real)

    def __subclasscheck__(self, kind: type) -> bool:
        return issubclass(kind, self._real)

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def __repr__(self) -> str:
        return repr(self._real)


def add(patcher: Patcher) -> None:
    """Replace what is refused. Modules that nobody has loaded are loaded only where that is cheap."""
    for module_name, names, advice in REFUSED:
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        for name in names:
            original = getattr(module, name, None)
            if original is None:
                continue
            call = f"{module_name}.{name}"
            call = _NAMES.get(call, call)
            if isinstance(original, type):
                patcher.value(original, Guarded(original, call, advice))
            else:
                patcher.function(module, name, _refusal(call, advice))
