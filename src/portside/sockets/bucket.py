"""The holders of one port."""

from __future__ import annotations


class AddressBucket:
    """The holders of one port on one address."""


class Kind:
    """Holders alike in all that a conflict depends on."""
