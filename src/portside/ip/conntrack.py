"""Which packets belong to a connection that was seen before: for the packet filter only (nft(8), "ct state")."""

from __future__ import annotations

from typing import Final

NEW: Final = 1
ESTABLISHED: Final = 2
RELATED: Final = 4
INVALID: Final = 8
"""States as bits, so that a rule can name several."""
