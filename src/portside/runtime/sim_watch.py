"""How an asyncio loop watches the sockets of its transports: each is an item of the host's epoll that says what to run.

Between the kernel's wake and the callback stand no descriptor to look up, no key of a selector and no handle. Whoever
looks at the loop's selector himself is told of them as of all others: then they become usual keys of it (`aside`).
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from portside.addr.abi import POLLERR, POLLHUP, POLLIN, POLLOUT
from portside.host.epoll import Epoll, Item
from portside.host.file import File

READ: Final = 1  # selectors.EVENT_READ
WRITE: Final = 2  # selectors.EVENT_WRITE
_ALWAYS: Final = POLLERR | POLLHUP


class Step:
    """A handle that nobody outside sees: of a task, or of a transport's own. Made in a tenth of a Handle's time.

    `owner` is told of it with the exception that a callback raised, and makes a handle of it for who asks for one.
    """

    _source_traceback: ClassVar[None] = None  # which a loop in debug mode looks at

    def __init__(self, owner: Any, loop: Any, callback: Any, args: tuple[object, ...], context: Any) -> None:
        self._owner = owner
        self._loop = loop
        self._callback = callback
        self._args = args
        self._context = context
        self._cancelled = False

    def _run(self) -> None:
        """For turns that are not taken here: a program may have put another method in the place of Handle._run."""
        self._owner.handle_of(self)._run()

    def __repr__(self) -> str:
        return repr(self._owner.handle_of(self))

    def cancel(self) -> None:
        """Let it not run, and hold nobody: a callback may hold it."""
        self._cancelled = True
        self._callback = None
        self._args = ()


class Watch(Item):
    """What a transport's socket is watched for, and what runs when that is there.

    It is watched while it has a reader or a writer. `known` are the watches of its loop, by descriptor; `aside` says
    that the loop's selector has taken over.
    """

    __slots__ = ("aside", "fd", "known", "reader", "writer")

    def __init__(self, epoll: Epoll, file: File, fd: int, known: dict[int, Watch]) -> None:
        super().__init__(epoll, file, fd, 0, fd)
        self.fd = fd
        self.known = known
        self.reader: Any = None
        self.writer: Any = None
        self.aside = False

    def direct(self) -> bool:
        """Whether the kernel watches it for the loop itself. It does not when the descriptor was closed meanwhile."""
        return self.events != 0 and not self.aside

    def over(self) -> bool:
        """Whether it can't be watched anew: who is, stands behind others, and this one may stand where it was."""
        return self.aside or self.queued

    def set(self, way: int, handle: Any) -> None:
        """Let `handle` run when the socket is ready for `way`, READ or WRITE, instead of what did so before."""
        if way == READ:
            before, self.reader = self.reader, handle
        else:
            before, self.writer = self.writer, handle
        if before is not None:
            before.cancel()
            return
        events = self.events
        self.events = events | _ALWAYS | (POLLIN if way == READ else POLLOUT)
        if events:
            self.epoll.look(self)
        else:
            self.known[self.fd] = self
            self.epoll.watch(self)

    def clear(self, way: int) -> bool:
        """Watch for it no more; whether it was watched for."""
        if way == READ:
            before, self.reader, rest = self.reader, None, self.writer
        else:
            before, self.writer, rest = self.writer, None, self.reader
        if before is None:
            return False
        before.cancel()
        if rest is not None:
            self.events = self.events & ~(POLLIN if way == READ else POLLOUT)
        else:
            self.events = 0
            self.epoll.forget(self)
            if self.known.get(self.fd) is self:
                del self.known[self.fd]
        return True

    def ways(self) -> int:
        """READ, WRITE or both: what it is watched for."""
        return (READ if self.reader is not None else 0) | (WRITE if self.writer is not None else 0)

    def leave(self) -> None:
        """Leave it to the loop's selector from here on, in the place where it is on the ready list."""
        self.aside = True
        self.reader = self.writer = None
        del self.known[self.fd]

    def tell(self, ready: Any) -> None:
        """Make ready what waits for what has happened (BaseSelectorEventLoop._process_events)."""
        happened = self.happened
        reader, writer = self.reader, self.writer
        if reader is not None and happened & ~POLLOUT:
            ready.append(reader)
        if writer is not None and happened & ~POLLIN:
            ready.append(writer)


def run(step: Step) -> None:
    """Handle._run."""
    args = step._args
    try:
        if not args:
            step._context.run(step._callback)
        elif len(args) == 1:  # without a list and a second tuple in between
            step._context.run(step._callback, args[0])
        else:
            step._context.run(step._callback, *args)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        step._owner.report(step, error)
