"""What a packet takes of a buffer: the sk_buff around it (truesize), on x86-64 with pages of 4 KiB.

Source: __alloc_skb(), __ip_append_data(), __ip6_append_data(); measured on Linux 6.18 with SO_MEMINFO and SIOCOUTQ.
"""

from __future__ import annotations

from typing import Final

from portside.wire.packet import Fragment, Packet

SK_BUFF: Final = 256  # struct sk_buff
SHARED_INFO: Final = 320  # struct skb_shared_info, behind the data
SMALL_HEAD: Final = 576  # the head for small packets (SKB_SMALL_HEAD_CACHE_SIZE)
MAX_ALLOC: Final = 16064  # the most that is kept in one piece (SKB_MAX_ALLOC)
EMPTY_COST: Final = SK_BUFF + SMALL_HEAD

V4_ROOM: Final = 51  # IP header, link header aligned (16), and 15 to align
V6_ROOM: Final = 64  # IPv6 header, link header, and room for a fragment header (8)


def head_cost(need: int) -> int:
    """The bytes of buffer that an sk_buff takes whose head has room for `need` bytes: heads come in powers of two."""
    head = (need + 63 & ~63) + SHARED_INFO
    if head <= SMALL_HEAD:
        return EMPTY_COST
    return SK_BUFF + (1 << (head - 1).bit_length())


def cost(length: int, v4: bool) -> int:
    """The bytes of buffer that a packet with `length` bytes after its IP header takes.

    What is too large for four pages lies in pages of its own and counts as it is, but for its UDP header.
    """
    need = length + (V4_ROOM if v4 else V6_ROOM)
    return head_cost(need) if need < MAX_ALLOC else EMPTY_COST + length - 8


def cost_of(packet: Packet) -> int:
    """The same for a packet, or for a piece of one."""
    length = packet.length if isinstance(packet, Fragment) else packet.payload_length()
    return cost(length, packet.src >> 32 == 0xFFFF)
