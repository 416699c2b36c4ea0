"""Greenlets that a simulated program makes itself: each is a part of the thread that switches to it.

A simulated thread is a greenlet too (`sim.scheduler.Task`), and who calls is told by the greenlet that runs. While one
of a program's own runs, the thread that it belongs to counts as the caller; when it waits the thread waits, and goes on
in it. Where no program has one, nothing looks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary, ref

from greenlet import error, getcurrent, greenlet

from portside.runtime.patcher import Patcher
from portside.sim.scheduler import Task

_OURS: Final = "portside.runtime."
_ASKED: Final = "getcurrent"

_real: Final = getcurrent
_switch: Final = greenlet.switch
_throw: Final = greenlet.throw

_threads: Final[WeakKeyDictionary[greenlet, Task]] = WeakKeyDictionary()
"""Whose part the greenlets of programs are."""

_inside: Final[WeakKeyDictionary[Task, ref[greenlet]]] = WeakKeyDictionary()
"""In which greenlet a thread is or waits, of threads that have switched to one."""


def thread_of(current: greenlet) -> Task | None:
    """The simulated thread that a greenlet is, or is a part of; None for what is outside of the world."""
    return current if type(current) is Task else _threads.get(current)


def current_thread() -> greenlet:
    """What modules of the runtime have for greenlet.getcurrent() once it is needed: the thread, not a part of it."""
    current = _real()
    return current if type(current) is Task else _threads.get(current, current)


def _elsewhere(task: Task) -> greenlet | None:
    """The greenlet in which the thread waits, when that is not the current one; None, too, where it has ended."""
    inside = _inside[task]()
    return None if inside is None or inside is _real() or inside.dead else inside


class Greenlets:
    """Makes the switches of programs known."""

    def __init__(self, patcher: Patcher) -> None:
        self._patcher = patcher
        self._modules = 0  # how many there were when it looked for those that ask

    def go(self, call: Callable[..., object], target: greenlet, *arguments: object, **keywords: object) -> object:
        """greenlet.switch and greenlet.throw."""
        task = thread_of(_real())  # the greenlet itself is not held here: it ends when nobody else knows it
        if task is None:
            return call(target, *arguments, **keywords)
        self._adopt(target, task)
        _inside[task] = ref(target)
        try:
            result = call(target, *arguments, **keywords)
            while (waiting := _elsewhere(task)) is not None:
                result = _switch(waiting)  # the scheduler lets the thread go on: in the greenlet that waits
            return result
        finally:
            _inside[task] = ref(_real())

    def _adopt(self, target: greenlet, task: Task) -> None:
        if thread_of(target) is task:
            return
        if thread_of(target) is not None or target:  # it runs already, outside of the world
            raise error(f"Cannot switch to a different thread\n\tCurrent:  {_real()!r}\n\tExpected: {target!r}")
        _threads[target] = task
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            for name, module in list(sys.modules.items()):
                if name.startswith(_OURS) and name != __name__ and vars(module).get(_ASKED) is _real:
                    self._patcher.put(module, _ASKED, current_thread)

    def begin(self) -> None:
        """Each module has the original: the replacements go in, or have come out."""
        self._modules = 0


def add(patcher: Patcher) -> None:
    """Replace how greenlets are switched to. The scheduler keeps the original."""
    greenlets = Greenlets(patcher)

    def switch(self: greenlet, *arguments: object, **keywords: object) -> object:
        return greenlets.go(_switch, self, *arguments, **keywords)

    def throw(self: greenlet, *arguments: object) -> object:
        return greenlets.go(_throw, self, *arguments)

    patcher.method(greenlet, "switch", switch)
    patcher.method(greenlet, "throw", throw)
    patcher.hook(greenlets.begin, greenlets.begin)
