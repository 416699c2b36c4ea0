"""What only some machines have, for generated ones: neighbours set by hand, several ways, tunnels, odd sysctls."""

from __future__ import annotations

import random
from collections.abc import Iterable

from tests.explain.parts import Machine, Space

NOBODY = "02:00:00:00:99:99"


def make(machine: Machine, draw: random.Random) -> None:
    """Make a machine odd."""
    macs = _name(machine)
    for space in machine.spaces:
        _settings(space, draw)
        if draw.random() < 0.2:
            _tunnel(space)
        if draw.random() < 0.3:
            _several(machine, space, draw)
        if draw.random() < 0.3:
            _neighbours(machine, space, macs, draw)


def _name(machine: Machine) -> dict[tuple[int, str], str]:
    """Give each interface a MAC of its own; they are by namespace and name."""
    macs: dict[tuple[int, str], str] = {}
    for space in machine.spaces:
        ends = [(one, name) for one, name, _, _ in machine.pairs] + [(one, name) for _, _, one, name in machine.pairs]
        names = [name for number, name in ends if number == space.number]
        for name in names:
            macs[space.number, name] = f"02:00:00:00:{space.number:02x}:{len(macs):02x}"
            space.commands.insert(0, f"link set {name} address {macs[space.number, name]}")
        if "br0" in space.links:
            macs[space.number, "br0"] = f"02:00:00:00:{space.number:02x}:ff"
            place = space.commands.index("link set br0 up")
            space.commands.insert(place, f"link set br0 address {macs[space.number, 'br0']}")
    return macs


def _settings(space: Space, draw: random.Random) -> None:
    for name, values in (("arp_ignore", "123"), ("arp_announce", "12"), ("src_valid_mark", "1")):
        if draw.random() < 0.12:
            space.sysctls[f"net/ipv4/conf/all/{name}"] = draw.choice(values)
    for link in space.links:
        if draw.random() < 0.15 and link != "br0":
            space.sysctls[f"net/ipv4/conf/{link}/{draw.choice(['rp_filter', 'arp_ignore'])}"] = draw.choice("12")


def _tunnel(space: Space) -> None:
    """One without anybody at its other end."""
    own = (f"10.50.{space.number}.1", f"fd50:{space.number}::1")
    space.commands += [
        "tuntap add tun0 mode tun", "link set tun0 up", f"address add {own[0]}/24 dev tun0",
        f"address add {own[1]}/64 dev tun0 nodad", "route add 10.78.0.0/16 dev tun0",
    ]  # fmt: skip
    space.addresses += [(address, "tun0") for address in own]


def _several(machine: Machine, space: Space, draw: random.Random) -> None:
    """All namespaces by either of two gateways."""
    for v6, prefix in ((False, draw.choice(["default", "10.0.0.0/16"])), (True, draw.choice(["default", "fd00::/16"]))):
        near = sorted(
            {address for address in _others(machine, space) if (":" in address) is v6 and _near(space, address)}
        )
        if len(near) > 1:
            hops = " ".join(f"nexthop via {address}" for address in draw.sample(near, 2))
            space.commands.append(f"route add {prefix} metric 7 {hops}")


def _neighbours(machine: Machine, space: Space, macs: dict[tuple[int, str], str], draw: random.Random) -> None:
    """Right ones and wrong ones."""
    near = sorted({address for address in _others(machine, space) if _near(space, address)})
    for address in draw.sample(near, min(len(near), 2)):
        right = next(
            (
                macs.get((other.number, name), NOBODY)
                for other in machine.spaces
                for own, name in other.addresses
                if own == address
            ),
            NOBODY,
        )
        mac = draw.choice([right, right, NOBODY])
        link = draw.choice([name for own, name in space.addresses if _alike(own, address)] or space.links)
        space.commands.append(f"neigh replace {address} lladdr {mac} dev {link} nud permanent")


def _others(machine: Machine, space: Space) -> Iterable[str]:
    return (address for other in machine.spaces if other is not space for address, _ in other.addresses)


def _near(space: Space, address: str) -> bool:
    return any(_alike(own, address) for own, _ in space.addresses)


def _alike(one: str, other: str) -> bool:
    """Whether two addresses are of one subnet, as generated machines have them."""
    cut = ":" if ":" in one else "."
    return one.rpartition(cut)[0] == other.rpartition(cut)[0]
