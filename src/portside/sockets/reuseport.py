"""SO_REUSEPORT groups."""

from __future__ import annotations


class Group:
    """Sockets that share what arrives."""
