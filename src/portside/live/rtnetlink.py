"""Interfaces, neighbours, routes and routing rules of the calling thread's network namespace, by rtnetlink(7)."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, SECOND
from portside.facts.interface import Address, Interface, Neighbor
from portside.live.fib import policy_rules, routes
from portside.live.netlink import NETLINK_ROUTE, Netlink, address_of, attribute, attributes, number_of, text_of

__all__ = ["interfaces", "neighbors", "policy_rules", "routes"]

RTM_GETLINK: Final = 18
RTM_GETADDR: Final = 22
RTM_GETNEIGH: Final = 30
RTM_GETNSID: Final = 90

# struct ifinfomsg: family, type, index, flags, change.
_LINK: Final = struct.Struct("=BxHiII")
IFLA_ADDRESS: Final = 1
IFLA_IFNAME: Final = 3
IFLA_MTU: Final = 4
IFLA_LINK: Final = 5
IFLA_QDISC: Final = 6
IFLA_MASTER: Final = 10
IFLA_TXQLEN: Final = 13
IFLA_OPERSTATE: Final = 16
IFLA_LINKINFO: Final = 18
IFLA_STATS64: Final = 23
IFLA_GROUP: Final = 27
IFLA_LINK_NETNSID: Final = 37
IFLA_INFO_KIND: Final = 1
IFLA_INFO_SLAVE_KIND: Final = 4
IFLA_INFO_SLAVE_DATA: Final = 5
IFLA_BRPORT_ISOLATED: Final = 33  # <linux/if_link.h>

# struct ifaddrmsg: family, prefix length, flags, scope, index.
_ADDRESS: Final = struct.Struct("=BBBBI")
IFA_ADDRESS: Final = 1
IFA_LOCAL: Final = 2
IFA_LABEL: Final = 3
IFA_BROADCAST: Final = 4
IFA_CACHEINFO: Final = 6
IFA_FLAGS: Final = 8
FOREVER: Final = 0xFFFFFFFF

# struct ndmsg: family, index, state, flags, type.
_NEIGHBOR: Final = struct.Struct("=BxxxiHBB")
NDA_DST: Final = 1
NDA_LLADDR: Final = 2

NETNSA_NSID: Final = 1
NETNSA_FD: Final = 3

_STATS: Final = struct.Struct("=8Q")

OPERATIONAL_STATES: Final = ("UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP")
"""RFC 2863 section 3.1.14, by the numbers of <linux/if.h>."""

NEIGHBOR_STATES: Final = {
    0x00: "NONE", 0x01: "INCOMPLETE", 0x02: "REACHABLE", 0x04: "STALE", 0x08: "DELAY", 0x10: "PROBE",
    0x20: "FAILED", 0x40: "NOARP", 0x80: "PERMANENT",
}  # fmt: skip
"""<linux/neighbour.h>"""

GROUPS: Final = Path("/etc/iproute2/group")


# -- interfaces --


def interfaces(namespaces: Mapping[int, int] | None = None) -> tuple[Interface, ...]:
    """The interfaces with their addresses, in the order of the kernel, which is that of `ip address`.

    Args: namespaces: open file descriptors of network namespaces by their inode. With them `link_namespace` is the
    inode of the one that a veth's other end is in; it is 0 for one that is in none of them.
    Raises OSError.
    """
    with Netlink(NETLINK_ROUTE, strict=True) as netlink:
        links = [body for _, body in netlink.whole(RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0))]
        addresses: dict[int, list[Address]] = {}
        for _, body in netlink.whole(RTM_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)):
            index, address = _address(body)
            if address is not None:
                addresses.setdefault(index, []).append(address)
        found = [_link(body, addresses) for body in links]
        inodes: dict[int, int] = {}
        if namespaces and any(interface.link_namespace is not None for interface in found):
            inodes = dict(_numbers_of(netlink, namespaces))
    return tuple(_with_namespace(interface, inodes) for interface in found)


def _link(body: memoryview, addresses: Mapping[int, list[Address]]) -> Interface:
    """One interface; `link_namespace` is a number that only this namespace knows (RTM_GETNSID)."""
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = dict(attributes(body, _LINK.size))
    received, sent, received_bytes, sent_bytes, _, _, received_drops, sent_drops = (
        _STATS.unpack_from(found[IFLA_STATS64]) if IFLA_STATS64 in found else (0,) * 8
    )
    group = number_of(found.get(IFLA_GROUP))
    return Interface(
        index=index,
        name=text_of(found.get(IFLA_IFNAME)),
        kind=_kind(found.get(IFLA_LINKINFO)),
        flags=flags,
        mtu=number_of(found.get(IFLA_MTU)),
        mac=bytes(found.get(IFLA_ADDRESS, b"")),
        state=_state(found.get(IFLA_OPERSTATE)),
        queue_discipline=text_of(found.get(IFLA_QDISC)),
        queue_length=number_of(found.get(IFLA_TXQLEN)),
        group=group_name(group),
        master=number_of(found.get(IFLA_MASTER)),
        isolated=_isolated(found.get(IFLA_LINKINFO)),
        link=number_of(found.get(IFLA_LINK)),
        link_namespace=number_of(found[IFLA_LINK_NETNSID]) if IFLA_LINK_NETNSID in found else None,
        addresses=tuple(addresses.get(index, ())),
        received_packets=received,
        received_bytes=received_bytes,
        received_drops=received_drops,
        sent_packets=sent,
        sent_bytes=sent_bytes,
        sent_drops=sent_drops,
    )


def _with_namespace(interface: Interface, inodes: Mapping[int, int]) -> Interface:
    if interface.link_namespace is None:
        return interface
    return replace(interface, link_namespace=inodes.get(interface.link_namespace, 0))


def _kind(info: memoryview | None) -> str:
    """veth, bridge, vlan ... (IFLA_INFO_KIND)."""
    if info is None:
        return ""
    return text_of(dict(attributes(info)).get(IFLA_INFO_KIND))


def _isolated(info: memoryview | None) -> bool:
    """Whether it is an isolated port of a bridge (IFLA_INFO_SLAVE_DATA)."""
    found = {} if info is None else dict(attributes(info))
    if IFLA_INFO_SLAVE_DATA not in found or text_of(found.get(IFLA_INFO_SLAVE_KIND)) != "bridge":
        return False
    return any(dict(attributes(found[IFLA_INFO_SLAVE_DATA])).get(IFLA_BRPORT_ISOLATED, b"\0"))


def _state(value: memoryview | None) -> str:
    number = value[0] if value is not None else 0
    return OPERATIONAL_STATES[number] if number < len(OPERATIONAL_STATES) else str(number)


def group_name(number: int) -> str:
    """The name of a group of interfaces: `default` for 0, else what /etc/iproute2/group says, else the number."""
    if number == 0:
        return "default"
    try:
        lines = GROUPS.read_text(errors="surrogateescape").splitlines()
    except OSError:  # a machine without iproute2
        return str(number)
    for line in lines:
        words = line.split("#")[0].split()
        if len(words) == 2 and words[0] == str(number):
            return words[1]
    return str(number)


def _numbers_of(netlink: Netlink, namespaces: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """By which number this namespace knows each of those, if it does: number, inode."""
    for inode, descriptor in namespaces.items():
        payload = bytes(4) + attribute(NETNSA_FD, struct.pack("=I", descriptor))
        try:
            answer = netlink.request(RTM_GETNSID, payload)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):  # it ended meanwhile
                raise
            continue
        if answer is not None:
            number = dict(attributes(answer[1], 4)).get(NETNSA_NSID)
            if number is not None:
                yield number_of(number), inode


def _address(body: memoryview) -> tuple[int, Address | None]:
    """One address, and the index of its interface."""
    family, length, flags, scope, index = _ADDRESS.unpack_from(body)
    found = dict(attributes(body, _ADDRESS.size))
    remote = found.get(IFA_ADDRESS)
    own = found.get(IFA_LOCAL, remote)
    if family not in (AF_INET, AF_INET6) or own is None:
        return index, None
    preferred, valid = _lifetimes(found.get(IFA_CACHEINFO))
    broadcast = found.get(IFA_BROADCAST)
    return index, Address(
        address=address_of(own),
        prefix_length=length,
        scope=scope,
        peer=address_of(remote) if remote is not None and remote != own else None,
        broadcast=address_of(broadcast) if broadcast is not None else None,
        label=text_of(found.get(IFA_LABEL)),
        flags=number_of(found.get(IFA_FLAGS)) or flags,
        preferred=preferred,
        valid=valid,
    )


def _lifetimes(info: memoryview | None) -> tuple[int | None, int | None]:
    """How long an address is preferred and valid, ns (struct ifa_cacheinfo)."""
    if info is None:
        return None, None
    preferred, valid = struct.unpack_from("=II", info)
    return (None if preferred == FOREVER else preferred * SECOND, None if valid == FOREVER else valid * SECOND)


# -- neighbours --


def neighbors() -> tuple[Neighbor, ...]:
    """The neighbour table of IPv4 and IPv6, in the order of the kernel. Raises OSError."""
    with Netlink(NETLINK_ROUTE, strict=True) as netlink:
        messages = netlink.whole(RTM_GETNEIGH, _NEIGHBOR.pack(0, 0, 0, 0, 0))
    return tuple(_neighbors(body for _, body in messages))


def _neighbors(bodies: Iterable[memoryview]) -> Iterator[Neighbor]:
    for body in bodies:
        family, index, state, _, _ = _NEIGHBOR.unpack_from(body)
        found = dict(attributes(body, _NEIGHBOR.size))
        if family in (AF_INET, AF_INET6) and NDA_DST in found:
            yield Neighbor(
                address=address_of(found[NDA_DST]),
                interface=index,
                mac=bytes(found.get(NDA_LLADDR, b"")),
                state=NEIGHBOR_STATES.get(state, str(state)),
            )
