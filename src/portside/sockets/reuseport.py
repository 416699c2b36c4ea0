"""SO_REUSEPORT groups: sockets of one user that share what arrives on one address and port (sock_reuseport.c)."""

from __future__ import annotations

from portside.facts.state import ESTABLISHED
from portside.sockets.entry import Entry


class Group:
    """The members in the order in which they joined. A hash of the packet's addresses and ports picks one."""

    __slots__ = ("has_connections", "members")

    def __init__(self) -> None:
        self.members: list[Entry] = []
        self.has_connections = False  # a UDP member has been connected; sticks

    def join(self, entry: Entry) -> None:
        """Add a member."""
        self.members.append(entry)
        entry.group = self

    def leave(self, entry: Entry) -> None:
        """Take a member out; the last takes its place (reuseport_detach_sock)."""
        members = self.members
        place = members.index(entry)
        last = members.pop()
        if last is not entry:
            members[place] = last
        entry.group = None

    def select(self, chance: int) -> Entry | None:
        """The member that a 32-bit hash picks, or the next that is not connected (reuseport_select_sock_by_hash)."""
        members = self.members
        count = len(members)
        first = chance * count >> 32
        for step in range(count):
            member = members[(first + step) % count]
            if member.state != ESTABLISHED:
                return member
        return None


def four_tuple_hash(seed: int, laddr: int, lport: int, raddr: int, rport: int) -> int:
    """32 bits from addresses and ports, keyed. Hashes of integers do not vary between runs of Python."""
    mixed = hash((seed, raddr, rport, laddr, lport)) * 0x9E3779B97F4A7C15
    return mixed >> 32 & 0xFFFFFFFF


def join_like(entry: Entry, listening: bool) -> None:
    """Put a SO_REUSEPORT socket into the group of the newest socket like it on its port, or into a new one.

    Alike are family, v6only, device, uid, address and having the option (inet_reuseport_add_sock,
    udp_reuseport_add_sock). For TCP only listeners count.
    """
    assert entry.home is not None
    like: Entry | None = None
    for kind in entry.home.kinds.values():
        if (
            kind.reuseport
            and kind.family == entry.family
            and kind.v6only == entry.v6only
            and kind.device == entry.device
            and kind.uid == entry.uid
            and kind.listening == listening
        ):
            newest = kind.newest if kind.newest is not entry else entry.older
            if newest is not None and (like is None or newest.hashed > like.hashed):
                like = newest
    if like is None:
        Group().join(entry)
        return
    if like.group is None:
        Group().join(like)
    assert like.group is not None
    like.group.join(entry)
