"""Where the command begins: what must answer at once is run without the command line's library, all else with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """The `portside` command."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    plain = len(words) == 2 and words[1][:1] not in ("", "-") and "_PORTSIDE_COMPLETE" not in os.environ
    if plain and words[0] == "who":
        _who(words[1])
    from portside.cli.main import main as whole

    whole(words)


def _who(what: str) -> None:
    """`portside who WHAT`, without an option: half of its time would be the import of click."""
    from portside.cli import end
    from portside.cli import who as finder

    try:
        status = finder.run(what)
    except KeyboardInterrupt:
        status = end.INTERRUPTED
    except Exception as error:
        status = end.failed(error)
    end.leave(status)
