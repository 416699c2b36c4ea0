"""The fields that an IPv4 header and an IPv6 header with its fragment header have in common."""

from __future__ import annotations


class Header:
    """An IP header: addresses as in `addr/ip.py`, `offset` of a fragment in bytes, `ident` 32 bits long in
    IPv6.

    `fragmented` says that it is a piece of a datagram.
    """

    __slots__ = (
        "dont_fragment", "dst", "fragmented", "ident", "more", "offset", "proto", "src", "tos", "ttl",
    )  # fmt: skip

    def __init__(self, src: int, dst: int, proto: int, ttl: int, tos: int, ident: int) -> None:
        """Fields of a whole datagram; the rest is set where it differs."""
        self.src = src
        self.dst = dst
        self.proto = proto
        self.ttl = ttl
        self.tos = tos
        self.ident = ident
        self.dont_fragment = False
        self.more = False
        self.offset = 0
        self.fragmented = False
