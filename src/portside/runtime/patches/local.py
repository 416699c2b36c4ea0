"""`_thread._local`: attributes that belong to a task.

The C type keeps them per OS thread, where all tasks are one. `threading.local` is replaced by a subclass that keeps
them per task, and classes that were derived from the C type before are given the same three methods for the run.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable
from typing import Final, cast
from weakref import WeakKeyDictionary

from greenlet import getcurrent

from portside.runtime.patcher import Patcher
from portside.sim.scheduler import Task

Attributes = dict[str, object]

_Local: Final = _thread._local
_ABSENT: Final = object()


class _Kept:
    """The attributes of one local object, by task, and what its `__init__` was called with."""

    __slots__ = ("arguments", "by_task", "keywords")

    def __init__(self, arguments: tuple[object, ...], keywords: Attributes) -> None:
        self.arguments = arguments
        self.keywords = keywords
        self.by_task: WeakKeyDictionary[Task, Attributes] = WeakKeyDictionary()


_kept: Final[dict[int, _Kept]] = {}  # by id of the local object, which takes its entry along when it goes
_watchers: Final[WeakKeyDictionary[object, object]] = WeakKeyDictionary()


class _Watcher:
    """Goes when the object goes that it is kept for."""

    __slots__ = ("key",)

    def __init__(self, key: int) -> None:
        self.key = key

    def __del__(self, forget: Callable[..., object] = _kept.pop) -> None:
        forget(self.key, None)


def _keep(thing: object, arguments: tuple[object, ...] = (), keywords: Attributes | None = None) -> _Kept:
    kept = _kept[id(thing)] = _Kept(arguments, keywords or {})
    _watchers[thing] = _Watcher(id(thing))
    return kept


def _attributes(thing: object, task: Task) -> Attributes:
    kept = _kept.get(id(thing))
    if kept is None:
        kept = _keep(thing)
    attributes = kept.by_task.get(task)
    if attributes is None:
        attributes = kept.by_task[task] = {}
        start = type(thing).__init__
        if start is not object.__init__:
            start(thing, *kept.arguments, **kept.keywords)
    return attributes


def _of_class(kind: type, name: str) -> object:
    for base in kind.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return _ABSENT


def _called(kind: type) -> str:
    """The name of a class in messages: that of a C type has its module."""
    return "_thread._local" if kind is local else kind.__name__


def getattribute(self: object, name: str) -> object:
    """Attribute lookup as object's (data descriptors, own attributes, the class), with the task's own attributes."""
    task = getcurrent()
    if type(task) is not Task:
        return _Local.__getattribute__(self, name)  # type: ignore[arg-type]
    kind = type(self)
    found = _of_class(kind, name)
    if name == "__class__":
        return kind
    attributes = _attributes(self, task)
    if name == "__dict__":
        return attributes
    getter = getattr(type(found), "__get__", None)
    if getter is not None and (hasattr(type(found), "__set__") or hasattr(type(found), "__delete__")):
        return getter(found, self, kind)
    if name in attributes:
        return attributes[name]
    if found is _ABSENT:
        raise AttributeError(f"{_called(kind)!r} object has no attribute {name!r}", name=name, obj=self)
    return found if getter is None else getter(found, self, kind)


def setattribute(self: object, name: str, value: object) -> None:
    """Set an attribute for this task."""
    task = getcurrent()
    if type(task) is not Task:
        return _Local.__setattr__(self, name, value)  # type: ignore[arg-type]
    if name == "__dict__":
        raise AttributeError(f"{type(self).__name__!r} object attribute '__dict__' is read-only")
    found = _of_class(type(self), name)
    setter = getattr(type(found), "__set__", None)
    if setter is not None:
        setter(found, self, value)
    else:
        _attributes(self, task)[name] = value
    return None


def delattribute(self: object, name: str) -> None:
    """Delete an attribute for this task."""
    task = getcurrent()
    if type(task) is not Task:
        return _Local.__delattr__(self, name)  # type: ignore[arg-type]
    if _attributes(self, task).pop(name, _ABSENT) is _ABSENT:
        raise AttributeError(f"{_called(type(self))!r} object has no attribute {name!r}", name=name, obj=self)
    return None


METHODS: Final = {"__getattribute__": getattribute, "__setattr__": setattribute, "__delattr__": delattribute}


def _new(cls: type, /, *args: object, **kwargs: object) -> object:
    thing = cast(Callable[..., object], _Local.__new__)(cls, *args, **kwargs)
    _keep(thing, args, kwargs)
    return thing


local: Final = type("_local", (_Local,), {"__module__": "_thread", "__new__": _new, **METHODS})
"""`threading.local` while a world runs; outside a task it is the C type."""


def _equip() -> list[tuple[object, str, object]]:
    """What the classes derived from the C type are given for a run."""
    derived = [kind for kind in type.__subclasses__(_Local) if kind is not local]
    return [(kind, name, method) for kind in derived for name, method in METHODS.items()]


def add(patcher: Patcher) -> None:
    """Replace `threading.local` and equip what derives from it."""
    patcher.value(_Local, local)
    patcher.attributes(_equip)
