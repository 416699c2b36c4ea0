"""What a host is told when it asks for a name that its /etc/hosts does not know: the answers of the DNS.

The network sets a host's `resolver`. Codes are those of getaddrinfo(3).
"""

from __future__ import annotations

from typing import Final, Protocol

EAI_NONAME: Final = -2
EAI_AGAIN: Final = -3
EAI_FAIL: Final = -4
EAI_NODATA: Final = -5


class Answer:
    """An answer: the names from the one that was asked for to the canonical one, and addresses of both families.

    `failure` is an EAI_ code, 0 for success; `delay` is how long the answer takes, in ns. To the question whose an
    address is, `names` are its names.
    """

    __slots__ = ("addresses", "delay", "failure", "names")

    def __init__(
        self, names: tuple[str, ...] = (), addresses: tuple[int, ...] = (), failure: int = 0, delay: int = 0
    ) -> None:
        self.names = names
        self.addresses = addresses
        self.failure = failure
        self.delay = delay


class Resolver(Protocol):
    """Who answers. It is asked once for both families (A and AAAA are sent together)."""

    def forward(self, name: str) -> Answer:
        """The addresses of a name, as it was written but for the dot at its end."""

    def reverse(self, address: int) -> Answer:
        """The names of an address."""


class Nobody:
    """The resolver of a host without a network: nothing has a name."""

    def forward(self, name: str) -> Answer:
        """EAI_NONAME."""
        return Answer(failure=EAI_NONAME)

    def reverse(self, address: int) -> Answer:
        """EAI_NONAME."""
        return Answer(failure=EAI_NONAME)
