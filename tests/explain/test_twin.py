"""A namespace's twin finds the ways that the kernel finds: generated routes, tables and rules."""

from __future__ import annotations

import errno
import random
import struct
from typing import Any

import pytest
from tests.explain.real import settle
from tests.live.apart import apart, ip, lacking
from tests.live.test_rtnetlink import generate

from portside.addr.ip import is_v4, parse
from portside.explain.choices import Choices
from portside.explain.machine import Machine
from portside.explain.world import Clock
from portside.facts.route import BLACKHOLE, PROHIBIT, UNREACHABLE
from portside.facts.snapshot import Snapshot
from portside.facts.verdict import Verdict
from portside.live import fib, rtnetlink, sysctls
from portside.live.netlink import NETLINK_ROUTE, Netlink, address_of, attribute, attributes, number_of

DESTINATIONS = [f"10.{n}.0.7" for n in (0, 1, 2, 3, 9, 20, 21, 22, 23, 24, 25, 26, 27, 50)] + [
    "10.0.0.1", "10.0.0.2", "10.0.0.9", "127.0.0.1", "127.5.0.1", "192.168.7.9", "172.16.9.9", "8.8.8.8", "10.1.0.2",
    "fd00::1", "fd00::2", "fd00::9", "fd00:1::7", "fd07::1", "fd05::1", "2001:db8::1", "::1",
    *(f"fd00:{n}::7" for n in range(9, 17)),
]  # fmt: skip
ERRORS = {BLACKHOLE: errno.EINVAL, UNREACHABLE: errno.EHOSTUNREACH, PROHIBIT: errno.EACCES}
RTA_PREFSRC, RTA_GATEWAY, RTA_OIF, RTA_DST, RTA_VIA = 7, 5, 4, 1, 18


def of_kernel(netlink: Netlink, dst: int, oif: int) -> Any:
    """What RTM_GETROUTE answers: the name of an errno, or interface, gateway and source."""
    v4 = is_v4(dst)
    family, length = (2, 4) if v4 else (10, 16)
    packed = (dst & 0xFFFFFFFF if v4 else dst).to_bytes(length, "big")
    body = struct.pack("=BBBBBBBBI", family, 8 * length, 0, 0, 0, 0, 0, 0, 0) + attribute(RTA_DST, packed)
    if oif:
        body += attribute(RTA_OIF, struct.pack("=I", oif))
    try:
        answer = netlink.request(fib.RTM_GETROUTE, body)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    assert answer is not None
    kind = answer[1][7]
    if kind in ERRORS:
        return errno.errorcode[ERRORS[kind]]
    found = dict(attributes(answer[1], 12))
    gateway = found.get(RTA_GATEWAY) or (found[RTA_VIA][2:] if RTA_VIA in found else None)
    source = found.get(RTA_PREFSRC)
    # An IPv6 route of this host's own is by lo in the one place, and by the address's interface in the other.
    return (
        0 if kind == 2 and not v4 else number_of(found.get(RTA_OIF)),
        address_of(gateway) if gateway is not None else 0,
        address_of(source) if source is not None else 0,
    )


def of_twin(machine: Machine, dst: int, oif: int) -> Any:
    route = machine.ip.lookup_unscoped(dst, 0, oif)  # connect(2) asks again, with the source that it got
    if isinstance(route, Verdict):
        return errno.errorcode[route.errno]
    via = route.next_hop if route.next_hop != route.dst else 0
    lo = route.local and is_v4(dst)
    return (0 if route.local and not lo else 1 if lo else route.interface.index, via, route.src)


def look(seed: int) -> tuple[Snapshot, list[tuple[int, int, Any]]]:
    ip(*generate(seed))
    settle()
    snapshot = Snapshot(
        host="here", interfaces=rtnetlink.interfaces(), routes=rtnetlink.routes(),
        policy_rules=rtnetlink.policy_rules(), settings=sysctls.settings(),
    )  # fmt: skip
    draw = random.Random(seed)
    asked = []
    with Netlink(NETLINK_ROUTE) as netlink:
        for notation in DESTINATIONS:
            oif = draw.choice([0, 0, 0, *(each.index for each in snapshot.interfaces if each.flags & 1)])
            asked.append((parse(notation), oif, of_kernel(netlink, parse(notation), oif)))
    return snapshot, asked


@pytest.mark.linux
@pytest.mark.skipif(lacking("ip") != "", reason=lacking("ip"))
@pytest.mark.parametrize("seed", range(30))
def test_ways_are_those_of_the_kernel(seed: int) -> None:
    snapshot, asked = apart(look, seed)
    ways = {route.destination for route in snapshot.routes if route.hops}
    machine = Machine(snapshot, Clock(), Choices(), 1)
    compared = 0
    for dst, oif, theirs in asked:
        ours = of_twin(machine, dst, oif)
        bits = 16 if is_v4(dst) else 80
        if any(dst >> bits == way >> bits for way in ways):
            continue  # a hash with a secret chooses between several ways
        compared += 1
        assert ours == theirs, (dst, oif)
    assert compared > len(DESTINATIONS) // 2
