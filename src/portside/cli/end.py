"""How the command ends: what went wrong, in a sentence, and the exit code. Imports little."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Final, NoReturn

from portside.cli.source import Complaint, say

BUG: Final = 70
"""EX_SOFTWARE of sysexits.h."""
PIPE: Final = 141
"""128 + SIGPIPE: whoever read the output has gone."""
INTERRUPTED: Final = 130
"""128 + SIGINT."""
UNWRITTEN: Final = 120
"""What was to be written has no room, as CPython ends then."""
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def failed(error: Exception) -> int:
    """Say what was wrong. Returns the exit code.

    Raises what is a mistake of portside's own again when PORTSIDE_TRACEBACK is set.
    """
    if isinstance(error, Complaint):
        error.show()
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        return PIPE
    if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
        _say_unwritten(error)
        return UNWRITTEN
    if os.environ.get("PORTSIDE_TRACEBACK"):
        raise error
    say(f"portside: {type(error).__name__}: {error}", err=True)
    say("This is a mistake of portside's own; with PORTSIDE_TRACEBACK=1 it shows where.", err=True)
    return BUG


def _say_unwritten(error: OSError) -> None:
    with suppress(OSError):  # standard error may be as full
        say(f"portside: cannot write: {error.strerror}", err=True)


def leave(status: int) -> NoReturn:
    """End this process at once: what simulated programs left unfinished is not run to its end."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # it was closed from the beginning
            continue
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            if not status and isinstance(error, OSError) and error.errno in FULL:
                _say_unwritten(error)
            status = status or UNWRITTEN  # as CPython does when standard output cannot be flushed
        except RuntimeError:  # Ctrl-C came while it was being written
            pass
    os._exit(status)
