"""epoll(7): which of many watched files are ready, at a cost of the ready ones (fs/eventpoll.c).

An item hears of events through the wake of its file and then stands on the ready list, in the order in which
the events came. epoll_wait(2) takes items from the head, asks each file what is true of it, forgets those of
which nothing is, and puts level-triggered ones back at the tail: so they take turns when more are ready than
the caller has room for.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import Final

from portside.addr.abi import (
    EPOLLET,
    EPOLLEXCLUSIVE,
    EPOLLONESHOT,
    EPOLLWAKEUP,
    POLLERR,
    POLLFREE,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDNORM,
)
from portside.host.errors import fail
from portside.host.file import Blocked, File, Task, World, several
from portside.host.waiting import unhold

CTL_ADD: Final = 1
CTL_DEL: Final = 2
CTL_MOD: Final = 3
MAX_NESTS: Final = 4
MAX_EVENTS: Final = 0x7FFFFFFF // 12  # INT_MAX / sizeof(struct epoll_event)

_PRIVATE: Final = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE
_EXCLUSIVE_OK: Final = POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE
_READABLE: Final = POLLIN | POLLRDNORM


class Item:
    """One watched descriptor: `events` as asked for, `data` as handed back, `epoll` whose it is.

    `happened` are the events that the last look at it found; `queued`: it stands on the ready list.
    """

    __slots__ = ("data", "epoll", "events", "file", "happened", "key", "queued")

    def __init__(self, epoll: Epoll, file: File, fd: int, events: int, data: int) -> None:
        self.epoll = epoll
        self.file = file
        self.key: tuple[int, File] = (fd, file)
        self.events = events
        self.data = data
        self.happened = 0
        self.queued = False

    def notify(self, file: File, events: int) -> None:
        """The file's wake: stand on the ready list if it is of interest (ep_poll_callback)."""
        mask = self.events
        if events & mask and mask & ~_PRIVATE:
            self.epoll.item_ready(self)
        if events == POLLFREE:
            self.epoll.forget(self)


class ExclusiveItems:
    """The EPOLLEXCLUSIVE items of one file: its wake goes on until one of their epolls has woken a task.

    Stands behind the file's other waiters (add_wait_queue_exclusive).
    """

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[Item] = []

    def notify(self, file: File, events: int) -> None:
        """Tell the items in order, until one was enough (__wake_up_common with nr_exclusive of 1)."""
        for item in tuple(self.items):
            mask = item.events
            if events == POLLFREE:
                item.epoll.forget(item)
            elif events & mask and mask & ~_PRIVATE and item.epoll.item_ready(item):
                asked = events & (POLLIN | POLLOUT)
                # An epoll that waits for one direction only is woken by it alone: EPOLLEXCLUSIVE in ep_poll_callback.
                if asked in (0, POLLIN | POLLOUT) or mask & asked:
                    return


class Sleeper(Blocked):
    """A task in epoll_wait(2)."""

    __slots__ = ("task", "woken")

    def __init__(self, task: Task, epoll: Epoll) -> None:
        self.call = "epoll_wait"
        self.file = epoll
        self.task = task
        self.woken = False


class Epoll(File):
    """An epoll instance. `items` are what it watches, by descriptor and file: a dup'ed descriptor is a second item.

    `ready` is the ready list; its order is the one in which epoll_wait(2) reports. An item that is watched no more
    stays on it until its turn comes, and is passed over: it has no events.
    """

    __slots__ = ("_sleepers", "items", "ready", "world")

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.items: dict[tuple[int, File], Item] = {}
        self.ready: deque[Item] = deque()
        self._sleepers: deque[Sleeper] = deque()

    def add(self, fd: int, file: File, events: int, data: int) -> None:
        """Watch `file`, known as `fd` (EPOLL_CTL_ADD). EEXIST; ELOOP for a ring or a nest too deep."""
        if events & EPOLLEXCLUSIVE and (isinstance(file, Epoll) or events & 0xFFFFFFFF & ~_EXCLUSIVE_OK):
            raise fail(errno.EINVAL)
        if isinstance(file, Epoll):
            self._check_nesting(file)
        if (fd, file) in self.items:
            raise fail(errno.EEXIST)
        self.watch(Item(self, file, fd, events | POLLERR | POLLHUP, data))

    def watch(self, item: Item) -> None:
        """Watch what an item says (ep_insert). Its file is no epoll, and none of `items` has its key."""
        self.items[item.key] = item
        _attach(item)
        self.look(item)

    def modify(self, fd: int, file: File, events: int, data: int) -> None:
        """Change what is of interest (EPOLL_CTL_MOD). ENOENT; EINVAL where EPOLLEXCLUSIVE is or was asked for."""
        if events & EPOLLEXCLUSIVE:
            raise fail(errno.EINVAL)
        item = self.items.get((fd, file))
        if item is None:
            raise fail(errno.ENOENT)
        if item.events & EPOLLEXCLUSIVE:
            raise fail(errno.EINVAL)
        item.events = events | POLLERR | POLLHUP
        item.data = data
        self.look(item)

    def delete(self, fd: int, file: File) -> None:
        """Watch it no more (EPOLL_CTL_DEL). ENOENT."""
        item = self.items.get((fd, file))
        if item is None:
            raise fail(errno.ENOENT)
        self.forget(item)

    def forget(self, item: Item) -> None:
        """Drop an item: deleted, or its file was closed by its last descriptor."""
        if self.items.pop(item.key, None) is not None:
            _detach(item)
            item.events = 0
            if item.queued and self.ready[-1] is item:
                self.ready.pop()
                item.queued = False

    def wait(self, maxevents: int, deadline: int | None) -> list[tuple[int, int]]:
        """Up to `maxevents` ready items as (data, events), waiting until `deadline` for the first (epoll_wait(2)).

        None waits for ever; a deadline that has passed does not wait. EINVAL for a `maxevents` out of range.
        """
        if not 0 < maxevents <= MAX_EVENTS:
            raise fail(errno.EINVAL)
        return [(item.data, item.happened) for item in self.wait_for_items(maxevents, deadline)]

    def wait_for_items(self, maxevents: int, deadline: int | None) -> list[Item]:
        """The items of `wait`; each says what happened."""
        while True:
            if self.ready:
                found = self.take(maxevents)
                if found:
                    return found
            if not self._sleep(deadline):
                return self.take(maxevents) if self.ready else []

    def item_ready(self, item: Item) -> bool:
        """Put an item on the ready list; True if a task was waiting for that and is awake now."""
        if not item.queued:
            item.queued = True
            self.ready.append(item)
        woke = self._wake_sleeper()
        if self.waiters:
            self.wake(POLLIN)  # and not POLLRDNORM, though poll() says both (ep_poll_safewake)
        return woke

    def poll(self) -> int:
        """POLLIN while an item is ready (ep_eventpoll_poll); items of which nothing is true leave the list."""
        ready = self.ready
        while ready:
            item = ready[0]
            if item.events and item.file.poll() & item.events:
                return _READABLE
            item.queued = False
            ready.popleft()
        return 0

    def release(self) -> None:
        """Let go of every watched file."""
        for item in tuple(self.items.values()):
            self.forget(item)
        self.ready.clear()

    def describe(self) -> str:
        """`epoll of tcp 0.0.0.0:80 LISTEN, udp 10.0.0.1:53, pipe:[7], and 2 more`."""
        return f"epoll of {several([file for _, file in self.items]) or 'nothing'}"

    def take(self, maxevents: int) -> list[Item]:
        """Take from the head of the ready list what is true (ep_send_events): `maxevents` items at most."""
        ready = self.ready
        found: list[Item] = []
        for _ in range(len(ready)):
            item = ready.popleft()
            item.queued = False
            mask = item.events
            events = item.file.poll() & mask if mask else 0
            if not events:
                continue
            item.happened = events
            found.append(item)
            if mask & EPOLLONESHOT:
                item.events = mask & _PRIVATE
            elif not mask & EPOLLET:
                item.queued = True
                ready.append(item)
            if len(found) == maxevents:
                break
        if ready and self._sleepers:
            self._wake_sleeper()
        return found

    def _sleep(self, deadline: int | None) -> bool:
        """Park the task until an item becomes ready; False when the deadline came."""
        world = self.world
        if deadline is not None and deadline <= world.now:
            return False
        sleeper = Sleeper(world.current(), self)
        self._sleepers.append(sleeper)
        self.references += 1
        try:
            woken = world.block(deadline, sleeper)
        except BaseException:
            if sleeper.woken:  # the wake was for whoever can use it
                self._wake_sleeper()
            raise
        finally:
            if not sleeper.woken:
                self._sleepers.remove(sleeper)
            unhold(world, self)
        return woken

    def _wake_sleeper(self) -> bool:
        """Wake the task that has waited longest; each waits exclusively (ep_poll)."""
        if not self._sleepers:
            return False
        sleeper = self._sleepers.popleft()
        sleeper.woken = True
        self.world.wake(sleeper.task)
        return True

    def look(self, item: Item) -> None:
        """What is true already makes an item ready at once (ep_insert, ep_modify)."""
        if not item.queued and item.file.poll() & item.events:
            self.item_ready(item)

    def _check_nesting(self, inner: Epoll) -> None:
        """ELOOP when `inner` watches this epoll, or epolls would stand more than MAX_NESTS deep (ep_loop_check)."""
        depth = _depth(inner, self)
        if depth is None or depth + _height(self) + 1 > MAX_NESTS:
            raise fail(errno.ELOOP)


def _depth(epoll: Epoll, forbidden: Epoll) -> int | None:
    """How many levels of epolls `epoll` watches below itself; None when `forbidden` is among them."""
    if epoll is forbidden:
        return None
    deepest = 0
    for item in epoll.items.values():
        if isinstance(item.file, Epoll):
            below = _depth(item.file, forbidden)
            if below is None:
                return None
            deepest = max(deepest, below + 1)
    return deepest


def _height(epoll: Epoll) -> int:
    """How many levels of epolls watch `epoll`."""
    above = [_height(waiter.epoll) + 1 for waiter in epoll.waiters if isinstance(waiter, Item)]
    return max(above, default=0)


def _attach(item: Item) -> None:
    """Join the waiters of the file: the newest first (add_wait_queue), exclusive ones last in order of arrival."""
    waiters = item.file.waiters
    if not item.events & EPOLLEXCLUSIVE:
        waiters.insert(0, item)
        return
    for waiter in waiters:
        if isinstance(waiter, ExclusiveItems):
            waiter.items.append(item)
            return
    group = ExclusiveItems()
    group.items.append(item)
    waiters.append(group)


def _detach(item: Item) -> None:
    waiters = item.file.waiters
    if len(waiters) == 1 and waiters[0] is item:
        waiters.clear()
        return
    if item in waiters:
        waiters.remove(item)
        return
    for waiter in waiters:
        if isinstance(waiter, ExclusiveItems) and item in waiter.items:
            waiter.items.remove(item)
            if not waiter.items:
                waiters.remove(waiter)
            return
