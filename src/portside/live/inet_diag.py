"""Asking sock_diag(7) for internet sockets: requests of <linux/inet_diag.h>; `diag_socket` reads what answers them."""

from __future__ import annotations

import struct
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP
from portside.facts.socket import Socket
from portside.facts.state import LISTEN
from portside.live.diag_socket import Addresses, Holders, nobody, rows
from portside.live.sock_diag import SOCK_DIAG_BY_FAMILY, TCPDIAG_GETSOCK, Link, attribute

BOUND: Final = 1 << 13
"""The state bit that asks for TCP sockets that are bound and neither listen nor connect (TCPF_BOUND_INACTIVE)."""
EVERY_STATE: Final = 0xFFF | BOUND
LISTENING: Final = 1 << LISTEN
UNCONNECTED: Final = 1 << LISTEN | BOUND
"""TCP sockets without a peer. To ask for closed ones would make the kernel walk over all connections."""

# Bits of idiag_ext ask for attributes: the bit is the attribute's number less one.
ASK_INFO: Final = 1 << 1
ASK_CONGESTION: Final = 1 << 3
ASK_MEMORY: Final = 1 << 6

_REQ_BYTECODE: Final = 1
_BYTECODE: Final = struct.Struct("=BBH")  # struct inet_diag_bc_op: code, offset if it holds, offset if not
_PORT_AT_LEAST: Final = 2  # INET_DIAG_BC_S_GE; the port stands in the next operation
_PORT_AT_MOST: Final = 3  # INET_DIAG_BC_S_LE

_REQUEST: Final = struct.Struct("=BBBxI")  # struct inet_diag_req_v2 without its id: family, protocol, ext, states
_OLD_REQUEST: Final = struct.Struct("=BxxB48sI4x")  # struct inet_diag_req: family, ext, id, states
_ANY_ID: Final = bytes(40) + b"\xff" * 8  # no address, no port, no cookie


def request(family: int, proto: int, states: int, ask: int, port: int | None = None) -> bytes:
    """What to send for a dump, and for one local port a filter that the kernel applies.

    It is struct inet_diag_req_v2, or for AF_UNSPEC struct inet_diag_req: the older request, for TCP of both families.

    Args: states: one bit for each state, and BOUND. ask: ASK_* bits. port: only sockets with this local port.
    """
    if family:
        body = _REQUEST.pack(family, proto, ask, states) + _ANY_ID
    else:
        body = _OLD_REQUEST.pack(family, ask, _ANY_ID, states)
    if port is not None:
        body += attribute(_REQ_BYTECODE, _port_filter(port))
    return body


def _port_filter(port: int) -> bytes:
    """`sport >= port and sport <= port` for inet_diag_bc_run: two comparisons, each with its number behind it."""
    # Where it does not hold, the way leads four bytes beyond the end: inet_diag_bc_audit takes that for "no".
    return b"".join(
        (
            _BYTECODE.pack(_PORT_AT_LEAST, 8, 20),
            _BYTECODE.pack(0, 0, port),
            _BYTECODE.pack(_PORT_AT_MOST, 8, 12),
            _BYTECODE.pack(0, 0, port),
        )
    )


def dump(
    link: Link,
    family: int,
    proto: int,
    states: int = EVERY_STATE,
    *,
    ask: int = ASK_MEMORY,
    port: int | None = None,
    holders: Holders = nobody,
) -> list[Socket]:
    """The sockets of one family and protocol, in the kernel's order.

    Args: family: AF_INET or AF_INET6; for TCP, AF_UNSPEC for both, by one walk over the kernel's tables: they are large
    even where sockets are few. proto: IPPROTO_TCP, _UDP, _UDPLITE or _RAW. states: one bit for each state, and BOUND.
    ask: ASK_* bits. port: only sockets with this local port. holders: who holds each.
    Raises Refused when the kernel has no module for it.
    """
    addresses = Addresses()
    found: list[Socket] = []
    body = request(family, proto, states, ask, port)
    for piece in link.dump(body, SOCK_DIAG_BY_FAMILY if family else TCPDIAG_GETSOCK):
        found += rows(piece, proto, addresses, holders)
    return found


def reached(
    link: Link, proto: int, local: tuple[int, int], remote: tuple[int, int], interface: int = 0
) -> Socket | None:
    """The socket that a packet from `remote` to `local` reaches here, as the kernel's own lookup says: no dump.

    Args: proto: IPPROTO_TCP, _UDP or _UDPLITE. local, remote: address and port. interface: index of the one that it
    comes in by; 0 for none in particular. None when no socket is there.
    Source: inet_diag_find_one_icsk() and udp_dump_one(), whose key is the other way round.
    """
    family = AF_INET if local[0] >> 32 == 0xFFFF else AF_INET6
    here, there = (local, remote) if proto == IPPROTO_TCP else (remote, local)
    body = _REQUEST.pack(family, proto, ASK_MEMORY, EVERY_STATE)
    body += struct.pack("!HH", here[1], there[1]) + _raw(here[0], family) + _raw(there[0], family)
    body += struct.pack("=I", interface) + b"\xff" * 8
    piece = link.one(body)
    if piece is None:
        return None
    return rows(piece, proto, Addresses())[0]


def _raw(address: int, family: int) -> bytes:
    """Sixteen bytes as struct inet_diag_sockid has them."""
    if family == AF_INET:
        return (address & 0xFFFFFFFF).to_bytes(4, "big") + bytes(12)
    return address.to_bytes(16, "big")
