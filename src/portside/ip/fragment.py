"""Fragments: cutting a datagram to an MTU, and putting it together again (RFC 791 section 3.2, RFC 8200
section 4.5).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Final, Protocol

from portside.addr.abi import SECOND
from portside.addr.ip import is_v4
from portside.wire.packet import Fragment, Packet

V4_HEADER: Final = 20
V6_HEADER: Final = 40
FRAGMENT_HEADER: Final = 8  # of IPv6

V4_TIME: Final = 30 * SECOND  # net.ipv4.ipfrag_time
V6_TIME: Final = 60 * SECOND  # net.ipv6.ip6frag_time
HIGH_THRESHOLD: Final = 4 << 20  # net.ipv4.ipfrag_high_thresh and net.ipv6.ip6frag_high_thresh, bytes
QUEUE_COST: Final = 256  # what a datagram in pieces costs before its first piece
PIECE_COST: Final = 768  # what a piece costs beyond its bytes: sk_buff with the least head
MAX_PAYLOAD: Final = 65535


def split(packet: Packet, mtu: int) -> list[Fragment]:
    """Cut a datagram, or a fragment of one, into fragments no larger than `mtu` bytes.

    All but the last carry a multiple of 8 bytes. Raises ValueError when the MTU has no room for 8.
    Source: ip_fragment, ip6_fragment.
    """
    v4 = is_v4(packet.src)
    room = mtu - (V4_HEADER if v4 else V6_HEADER + FRAGMENT_HEADER) & ~7
    if room < 8:
        raise ValueError(f"no fragment fits an MTU of {mtu}")
    if isinstance(packet, Fragment):
        whole, start, end, more = packet.whole, packet.offset, packet.offset + packet.length, packet.more
    else:
        whole, start, end, more = packet, 0, packet.payload_length(), False
    pieces = []
    while start < end:
        length = min(room, end - start)
        piece = Fragment(whole, start, length, more or start + length < end)
        piece.ttl = packet.ttl
        piece.ident = packet.ident
        pieces.append(piece)
        start += length
    return pieces


class Reassembly:
    """A datagram of which not all pieces have come (struct ipq, struct frag_queue)."""

    __slots__ = ("cost", "end", "first", "gone", "key", "received", "runs")

    def __init__(self, key: tuple[int, int, int, int, int]) -> None:
        self.key = key
        self.runs: list[tuple[int, int]] = []  # what has come, as (start, end), in order and apart from each other
        self.received = 0  # bytes
        self.end = -1  # length of the datagram once the last piece has come
        self.first: Fragment | None = None  # the piece at offset 0
        self.cost = QUEUE_COST
        self.gone = False


class ReassemblyEffects(Protocol):
    """What reassembly asks of the layer that it is part of."""

    @property
    def now(self) -> int:
        """The virtual time, ns."""

    def at(self, when: int, action: Callable[..., None], *arguments: object) -> None:
        """Call `action(*arguments)` at virtual time `when`."""

    def reassembly_timed_out(self, first: Fragment, ifindex: int) -> None:
        """Pieces are missing after the time allowed, and the first one had come: tell the sender."""


class Reassembler:
    """Puts datagrams together that came in pieces, in any order; pieces that come twice are ignored.

    A piece that overlaps another and is not a repetition of what came ends the whole datagram (RFC 5722;
    since Linux 4.19 for IPv4 too). Memory is bounded: above 4 MiB no new datagram is begun
    (inet_frag_create).
    """

    def __init__(self, effects: ReassemblyEffects) -> None:
        self.effects = effects
        self.queues: dict[tuple[int, int, int, int, int], Reassembly] = {}
        self.memory = {True: 0, False: 0}  # bytes, by whether IPv4

    def add(self, piece: Fragment, ifindex: int) -> Packet | None:
        """Take a piece; the whole datagram when it was the last that was missing, otherwise None.

        Source: ip_defrag, ip_frag_queue; ip6_frag_queue; inet_frag_queue_insert.
        """
        if not piece.offset and not piece.more:
            return _joined(piece)  # an atomic fragment (RFC 6946)
        v4 = is_v4(piece.src)
        # The interface distinguishes only where addresses do not: link-local ones (ip6frag_match).
        scope = ifindex if not v4 and piece.src >> 118 == 0x3FA else 0
        key = (piece.src, piece.dst, piece.ident, piece.proto, scope)
        queue = self.queues.get(key)
        if queue is None:
            if self.memory[v4] > HIGH_THRESHOLD:
                return None
            queue = self.queues[key] = Reassembly(key)
            self.memory[v4] += QUEUE_COST
            life = V4_TIME if v4 else V6_TIME
            self.effects.at(self.effects.now + life, self._expire, queue, ifindex)
        added = self._insert(queue, piece, v4)
        if added is None:
            self._drop(queue)
        if not added or queue.first is None or queue.received != queue.end:
            return None
        self._drop(queue)
        return _joined(queue.first)

    def _insert(self, queue: Reassembly, piece: Fragment, v4: bool) -> bool | None:
        """Note a piece: True; it is a repetition: False; the datagram is void by it: None."""
        start, end = piece.offset, piece.offset + piece.length
        if end > MAX_PAYLOAD - (V4_HEADER if v4 else 0) or (piece.more and piece.length & 7):
            return None
        if not self._note_end(queue, end, piece.more):
            return None
        added = _merge(queue.runs, start, end)
        if added:
            queue.received += piece.length
            cost = PIECE_COST + piece.length
            queue.cost += cost
            self.memory[v4] += cost
            if start == 0:
                queue.first = piece
        return added

    @staticmethod
    def _note_end(queue: Reassembly, end: int, more: bool) -> bool:
        """Whether the piece agrees with what is known of the datagram's length."""
        if more:
            return queue.end < 0 or end <= queue.end
        if (queue.end >= 0 and queue.end != end) or (queue.runs and queue.runs[-1][1] > end):
            return False
        queue.end = end
        return True

    def _drop(self, queue: Reassembly) -> None:
        queue.gone = True
        del self.queues[queue.key]
        self.memory[is_v4(queue.key[0])] -= queue.cost

    def _expire(self, queue: Reassembly, ifindex: int) -> None:
        """The time for a datagram is up (ip_expire, ip6frag_expire_frag_queue)."""
        if queue.gone:
            return
        self._drop(queue)
        if queue.first is not None:
            self.effects.reassembly_timed_out(queue.first, ifindex)


def _merge(runs: list[tuple[int, int]], start: int, end: int) -> bool | None:
    """Add a piece to the runs: True; one run holds all of it: False; it overlaps what came: None.

    Only what follows the last run directly makes it longer, as in inet_frag_queue_insert: so a repetition
    that spans two pieces counts as an overlap where they came out of order.
    """
    at = bisect_right(runs, start, key=_start_of)
    if at and runs[at - 1][1] > start:
        return False if end <= runs[at - 1][1] else None
    if at < len(runs) and runs[at][0] < end:
        return None
    if at and at == len(runs) and runs[-1][1] == start:
        runs[-1] = (runs[-1][0], end)
    else:
        runs.insert(at, (start, end))
    return True


def _start_of(run: tuple[int, int]) -> int:
    return run[0]


def _joined(first: Fragment) -> Packet:
    """The datagram as it is delivered: with the header of its first piece. The sender's own stays as it was."""
    whole = first.whole.copy()
    whole.ttl = first.ttl
    whole.tos = first.tos
    return whole
