"""What can go wrong with a world as a whole, as opposed to what goes wrong in a program that runs in it."""

from __future__ import annotations


class WorldError(Exception):
    """A simulated world cannot go on, or was asked for what it cannot do."""


class Deadlock(WorldError):
    """Everybody waits for ever: no task is ready, and no timer or packet is left that could wake one.

    `waiting` has one line for each task that waits, in the order in which the tasks were started; `now` is
    the virtual time in nanoseconds.
    """

    def __init__(self, now: int, waiting: list[str]) -> None:
        self.now = now
        self.waiting = waiting
        lines = "".join(f"\n  {line}" for line in waiting)
        super().__init__(
            f"everybody waits for ever: at {now / 1e9:.6f} s of virtual time nothing is left that could wake "
            f"any of these {len(waiting)}:{lines}"
        )


class WorldClosed(BaseException):
    """Thrown into a task that is still parked when its world ends.

    Not an Exception, so that a program's `except Exception` does not keep it alive.
    """
