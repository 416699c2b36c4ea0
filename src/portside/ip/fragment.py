"""Fragments: cutting a datagram to an MTU, and putting it together again (RFC 791 section 3.2, RFC 8200 section 4.5)."""

from __future__ import annotations
