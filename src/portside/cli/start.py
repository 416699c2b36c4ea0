"""Where the command begins: what must answer at once is run without the command line's library, all else with it."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

TOOLS = ("ss", "netstat", "lsof", "fuser", "ip")
"""The commands whose flags are a tool's (`tools.ToolCommand`)."""
OWN = ("--snapshot", "--namespace", "--json", "--help", "-h")
"""The options of those that are portside's."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The `portside` command."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    command, others = words[:1], words[1:]
    if "_PORTSIDE_COMPLETE" not in os.environ:
        if command == ["who"] and len(others) == 1 and others[0][:1] not in ("", "-"):
            _end(lambda: _who(others[0]))
        elif command and command[0] in TOOLS and not any(word.partition("=")[0] in OWN for word in others):
            _end(lambda: _tool(command[0], others))
    from portside.cli.main import main as whole

    whole(words)


def _who(what: str) -> int:
    """`portside who WHAT`, without an option: half of its time would be the import of click."""
    from portside.cli import who

    return who.run(what)


def _tool(name: str, flags: Sequence[str]) -> int:
    """A familiar tool, without an option of portside's: all that stands there is the tool's to read."""
    from portside.cli import views
    from portside.cli.source import HERE

    return views.run(name, tuple(flags), HERE)


def _end(run: Callable[[], int]) -> NoReturn:
    """Run it, and end this process as it says."""
    from portside.cli import end
    from portside.cli.source import simulated

    if simulated() is None:
        # All memory is given back at once. To look for reference cycles would be a fifth of the time for a list of a
        # hundred thousand sockets. A simulated process ends, and those beside it go on in this interpreter.
        gc.disable()
    try:
        status = run()
    except KeyboardInterrupt:
        status = end.INTERRUPTED
    except Exception as error:
        status = end.failed(error)
    end.leave(status)
