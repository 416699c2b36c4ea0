"""Chance that a seed replays: named streams, so that a new draw in one place never moves another."""

from __future__ import annotations

from hashlib import sha256
from random import Random


class Streams:
    """The random streams of one seed. The same seed and name give the same draws on every machine and
    Python."""

    __slots__ = ("_streams", "seed")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, Random] = {}

    def stream(self, name: str) -> Random:
        """The stream of that name; asking twice gives the same stream, further on."""
        stream = self._streams.get(name)
        if stream is None:
            digest = sha256(f"{self.seed}\0{name}".encode()).digest()
            stream = self._streams[name] = Random(int.from_bytes(digest, "big"))
        return stream
