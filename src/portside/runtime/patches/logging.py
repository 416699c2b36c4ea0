"""`logging`: the state of loggers is a program's own, though the logger objects are shared as their modules are.

Handlers, levels and filters that one program configures would otherwise be every program's, and outlive it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from portside.runtime.patcher import Patcher
from portside.runtime.program import current_program

_ABSENT: Final = object()

DEFAULTS: Final[dict[str, Callable[[], object]]] = {
    "level": int, "handlers": list, "filters": list, "disabled": bool, "propagate": lambda: True, "_cache": dict,
}  # fmt: skip
"""What a logger has when nobody has configured it; the root logger's level is WARNING."""


def _property(name: str, default: Callable[[], object]) -> property:
    def get(logger: logging.Logger) -> object:
        program = current_program()
        if program is None:
            found = logger.__dict__.get(name, _ABSENT)
            if found is _ABSENT:  # made by a simulated program, and met outside for the first time
                found = logger.__dict__[name] = fresh(logger)
            return found
        own = program.logging.get((logger, name), _ABSENT)
        if own is _ABSENT:
            own = program.logging[logger, name] = fresh(logger)
        return own

    def fresh(logger: logging.Logger) -> object:
        return logging.WARNING if name == "level" and isinstance(logger, logging.RootLogger) else default()

    def put(logger: logging.Logger, value: object) -> None:
        program = current_program()
        if program is None:
            logger.__dict__[name] = value
        else:
            program.logging[logger, name] = value

    return property(get, put)


def _complete() -> None:
    """Loggers that simulated programs made have no state of their own yet."""
    for logger in [logging.root, *logging.Logger.manager.loggerDict.values()]:
        if isinstance(logger, logging.Logger):
            for name, default in DEFAULTS.items():
                logger.__dict__.setdefault(name, default())


def add(patcher: Patcher) -> None:
    """Give loggers properties for the run."""
    patcher.hook(lambda: None, _complete)
    for name, default in DEFAULTS.items():
        patcher.attribute(logging.Logger, name, _property(name, default))
