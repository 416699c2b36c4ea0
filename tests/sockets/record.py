"""Record the transcripts anew from the kernel under us: `python -m tests.sockets.record`, as root."""

from __future__ import annotations

import os

if __name__ == "__main__":
    os.environ["PORTSIDE_RECORD"] = "1"
    from tests.sockets import test_ephemeral, test_oracle

    test_ephemeral.record()
    test_oracle.record()
