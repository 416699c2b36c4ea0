"""Whether attributes of classes and modules are still what they were: a program may have put its own in their place."""

from __future__ import annotations

from types import ModuleType
from typing import Any


class Unchanged:
    """Attributes that are relied on, asked about so often that it counts.

    They are looked up in the dictionaries of the classes, in a fifth of the time that getattr() takes on a class. A
    class that is asked before the one that has the attribute must not get one of that name.
    """

    def __init__(self) -> None:
        self._never = False
        self._views: dict[Any, Any] = {}  # a class has no dict, but a view of one
        self._same: list[tuple[Any, str, object]] = []  # a dictionary, a name, what it stands for
        self._absent: list[tuple[Any, str]] = []
        self._sizes: list[tuple[Any, int]] = []  # of the dictionaries from which names are absent

    def rely_on(self, holder: type | ModuleType, *names: str) -> None:
        """From now on what these names stand for in a class or a module is relied on. Raises AttributeError."""
        for name in names:
            self.rely_on_as(holder, name, getattr(holder, name))

    def rely_on_as(self, holder: type | ModuleType, name: str, value: object) -> None:
        """As `rely_on`, of a name that stands for this, now or later. Raises AttributeError when there is none."""
        kinds: Any = holder.__mro__ if isinstance(holder, type) else (holder,)
        for kind in kinds:
            kept = self._views.setdefault(kind, kind.__dict__)
            if name in kept:
                self._same.append((kept, name, value))
                self._measure()
                return
            self._absent.append((kept, name))
        raise AttributeError(f"{holder.__name__} has no {name}")

    def give_up(self) -> None:
        """What is relied on was not there from the beginning."""
        self._never = True

    def holds(self) -> bool:
        """Whether each name stands for what it did."""
        if self._never:
            return False
        try:
            for kept, name, value in self._same:
                if kept[name] is not value:  # compiled, a sixth of the time of get()
                    return False
        except KeyError:
            return False
        for kept, size in self._sizes:
            if len(kept) != size:
                return self._are_absent()
        return True

    def _are_absent(self) -> bool:
        """Whether the names are still absent from the dictionaries, which have got others."""
        if any(name in kept for kept, name in self._absent):
            return False
        self._measure()
        return True

    def _measure(self) -> None:
        """Remember how many names the dictionaries have: while it is the same, they have got no other."""
        kinds = {id(kept): kept for kept, _ in self._absent}
        self._sizes = [(kept, len(kept)) for kept in kinds.values()]
