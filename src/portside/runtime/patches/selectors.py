"""`selectors.EpollSelector` of simulated programs: the same answers without the way through every layer below it.

An event loop asks its selector on each turn, most often only to hear that nothing is new. Here that is one look at the
ready list of the host's epoll. What is registered stands where the standard library keeps it, so that everything else
of the class stays the interpreter's own. Measured: a fifth of the time of an asyncio echo.
"""

from __future__ import annotations

import selectors
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from portside.host.epoll import CTL_ADD, CTL_DEL, CTL_MOD
from portside.runtime.patcher import Patcher
from portside.runtime.sim_epoll import EVENTS, INT_MAX, SimEpoll, wait, wanted
from portside.runtime.sim_watch import READ, WRITE

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

Selector = selectors.EpollSelector
Key = selectors.SelectorKey

_register: Final = Selector.register
_unregister: Final = Selector.unregister
_modify: Final = Selector.modify
_select: Final = Selector.select
_get_key: Final = Selector.get_key
_get_map: Final = Selector.get_map


def _plain(fd: object, events: object) -> bool:
    """Whether a descriptor and events are what needs no more looking at."""
    return type(fd) is int and 0 <= fd <= INT_MAX and type(events) is int and 0 < events <= READ | WRITE


def _usual(self: Selector, fileobj: object) -> object:
    """The selector's epoll, in which no loop watches `fileobj` directly: who asks for it shall see it.

    Other objects than numbers may have any descriptor.
    """
    epoll: object = self._selector  # type: ignore[attr-defined]
    if type(epoll) is SimEpoll and epoll.watches and (type(fileobj) is not int or fileobj in epoll.watches):
        epoll.sim_asked()
    return epoll


def select_ready(self: Selector, timeout: float | None = None) -> list[tuple[Key, int]]:
    """EpollSelector.select."""
    epoll = self._selector  # type: ignore[attr-defined]
    if type(epoll) is not SimEpoll:
        return _select(self, timeout)
    epoll.sim_asked()
    keys = cast(dict[int, Key], self._fd_to_key)  # type: ignore[attr-defined]
    return [
        (keys[fd], wanted(event, keys[fd].events)) for fd, event in wait(epoll, timeout, len(keys) or 1) if fd in keys
    ]


def register(self: Selector, fileobj: object, events: int, data: object = None) -> Key:
    """EpollSelector.register."""
    epoll = _usual(self, fileobj)
    keys = cast(dict[object, Key], self._fd_to_key)  # type: ignore[attr-defined]
    if type(epoll) is not SimEpoll or type(fileobj) is not int or fileobj in keys or not _plain(fileobj, events):
        return _register(self, fileobj, events, data)  # type: ignore[arg-type]
    epoll.sim_control(CTL_ADD, fileobj, EVENTS[events])
    key = keys[fileobj] = Key(fileobj, fileobj, events, data)
    return key


def unregister(self: Selector, fileobj: object) -> Key:
    """EpollSelector.unregister."""
    epoll = _usual(self, fileobj)
    key = self._fd_to_key.get(fileobj) if type(fileobj) is int else None  # type: ignore[attr-defined]
    if type(epoll) is not SimEpoll or key is None:
        return _unregister(self, fileobj)  # type: ignore[arg-type]
    del self._fd_to_key[fileobj]  # type: ignore[attr-defined]
    with suppress(OSError):  # it was closed since: the original passes over that too
        epoll.sim_control(CTL_DEL, key.fd, 0)
    return cast(Key, key)


def modify(self: Selector, fileobj: object, events: int, data: object = None) -> Key:
    """EpollSelector.modify."""
    epoll = _usual(self, fileobj)
    key = self._fd_to_key.get(fileobj) if type(fileobj) is int else None  # type: ignore[attr-defined]
    if type(epoll) is not SimEpoll or key is None or not _plain(fileobj, events):
        return _modify(self, fileobj, events, data)  # type: ignore[arg-type]
    if events != key.events:
        try:
            epoll.sim_control(CTL_MOD, key.fd, EVENTS[events])
        except BaseException:
            del self._fd_to_key[fileobj]  # type: ignore[attr-defined]
            raise
    changed = self._fd_to_key[fileobj] = Key(key.fileobj, key.fd, events, data)  # type: ignore[attr-defined]
    return changed


def get_key(self: Selector, fileobj: object) -> Key:
    """EpollSelector.get_key."""
    if type(fileobj) is not int or fileobj < 0 or type(self._selector) is not SimEpoll or self._map is None:  # type: ignore[attr-defined]
        return _get_key(self, fileobj)  # type: ignore[arg-type]
    _usual(self, fileobj)
    key = self._fd_to_key.get(fileobj)  # type: ignore[attr-defined]
    if key is None:
        raise KeyError(f"{fileobj!r} is not registered")
    return cast(Key, key)


def get_map(self: Selector) -> Mapping[FileDescriptorLike, Key]:
    """EpollSelector.get_map."""
    if type(self._selector) is SimEpoll:  # type: ignore[attr-defined]
        self._selector.sim_asked()  # type: ignore[attr-defined]
    return _get_map(self)


def add(patcher: Patcher) -> None:
    """Replace the methods that a loop calls on each turn."""
    for function in (register, unregister, modify, get_key, get_map):
        patcher.attribute(Selector, function.__name__, function)
    patcher.attribute(Selector, "select", select_ready)
