"""Generated route tables and destinations, asked of the model and of the real kernel."""

from __future__ import annotations

import errno
import random
import socket
from typing import Any

import ip_kernel as kernel
from ip_kernel import ip, outcome, route_get, settle, sysctl

from portside.addr.ip import is_v4, parse, prefix_of, text
from portside.facts.settings import Settings
from portside.facts.verdict import Verdict
from portside.ip.interface import make_link_address
from portside.ip.layer import IpLayer
from portside.ip.route import BLACKHOLE, PROHIBIT, UNICAST, UNREACHABLE

KINDS = {"unicast": UNICAST, "blackhole": BLACKHOLE, "unreachable": UNREACHABLE, "prohibit": PROHIBIT}
DEVICES = ["lo", "ve0", "ve1"]
V4_POOL = ["10.0.0.1", "10.0.0.2", "10.0.0.200", "10.0.1.1", "10.1.0.1", "172.16.5.5", "192.168.0.10", "127.0.0.5"]
V6_POOL = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "fd00::1", "fd00:1::1", "2002:a00:1::1", "2001:db8:1::9"]
V4_DST = [*V4_POOL, "10.0.0.0", "10.0.0.255", "10.0.0.77", "10.0.1.255", "10.0.3.3", "10.1.255.255", "10.9.9.9",
          "0.0.0.0", "127.0.0.1", "127.1.2.3", "127.255.255.255", "255.255.255.255", "224.0.0.1", "239.1.1.1",
          "8.8.8.8", "172.16.0.1", "192.168.0.255", "192.168.1.1", "0.1.2.3", "240.0.0.1"]  # fmt: skip
V6_DST = [*V6_POOL, "::", "::1", "::2", "2001:db8::77", "2001:db8:0:1::77", "fd00::77", "2002::1", "fe80::1",
          "fe80::ff:fe00:2", "fe80::ff:fe00:3", "ff02::1", "ff0e::1", "2a00::1", "64:ff9b::1"]  # fmt: skip


def generate(seed: int) -> dict[str, Any]:
    """A configuration in the words of ip(8), and questions."""
    draw = random.Random(seed)
    steps: list[list[Any]] = []
    homes: dict[str, str] = {}  # an IPv4 address on two interfaces belongs to whom the kernel's hash says
    for _ in range(draw.randint(1, 7)):
        v4 = draw.random() < 0.5
        address = draw.choice(V4_POOL if v4 else V6_POOL)
        length = draw.choice([8, 16, 24, 24, 25, 30, 31, 32] if v4 else [16, 32, 48, 64, 64, 120, 127, 128])
        device = draw.choice(["ve0", "ve0", "ve1", "lo"])
        steps.append(["address", address, length, homes.setdefault(address, device) if v4 else device])
    for _ in range(draw.randint(0, 6)):
        steps.append(_route(draw))
    if draw.random() < 0.3:
        steps.append(_change(draw, steps))
        if draw.random() < 0.5:
            steps.append(_route(draw))
    questions = []
    for _ in range(24):
        v4 = draw.random() < 0.5
        dst = draw.choice(V4_DST if v4 else V6_DST)
        src = draw.choice([*V4_POOL, "127.0.0.1"] if v4 else [*V6_POOL, "::1"]) if draw.random() < 0.3 else ""
        device = draw.choice(DEVICES) if draw.random() < 0.25 or dst.startswith("fe80") else ""
        questions.append([dst, src, device])
    return {"steps": steps, "questions": questions}


def _route(draw: random.Random) -> list[Any]:
    v4 = draw.random() < 0.5
    base = parse(draw.choice(V4_DST if v4 else V6_DST))
    length = draw.choice([0, 0, 8, 16, 24, 28, 32] if v4 else [0, 0, 16, 32, 48, 64, 128])
    kind = draw.choice(["unicast"] * 7 + ["blackhole", "unreachable", "prohibit"])
    via = device = source = ""
    if kind == "unicast":
        if draw.random() < 0.6:
            gateways = ["10.0.0.254", "10.0.1.254", "10.1.0.254"] if v4 else ["2001:db8::fe", "fd00::fe", "fe80::fe"]
            via = draw.choice(gateways)
        if not via or draw.random() < 0.3 or via.startswith("fe80"):
            device = draw.choice(["ve0", "ve1"])
        if draw.random() < 0.2:
            source = draw.choice(V4_POOL if v4 else V6_POOL)
    prefix = text(prefix_of(base, length))
    metric = draw.choice([None, None, None, 5, 100, 2000])
    return ["route", prefix, length, kind, via, device, metric, source]


def _change(draw: random.Random, steps: list[list[Any]]) -> list[Any]:
    device = draw.choice(["ve0", "ve1"])
    addresses = [step for step in steps if step[0] == "address"]
    choice = draw.randrange(4)
    if choice == 0:
        return ["down", device]
    if choice == 1:
        return ["flap", device]
    routes = [step for step in steps if step[0] == "route"]
    if choice == 2 and routes:
        step = draw.choice(routes)
        return ["unroute", step[1], step[2], step[6]]
    _, address, length, where = draw.choice(addresses)
    return ["unaddress", address, length, where]


# -- the model --


class Nothing:
    """The effects of a layer that is only asked."""

    now = 0

    def at(self, *arguments: object) -> None: ...

    def deliver(self, *arguments: object) -> None: ...

    def icmp_error(self, *arguments: object) -> None: ...

    def tcp_reset(self, *arguments: object) -> None: ...

    def released(self, *arguments: object) -> None: ...


def model(case: dict[str, Any]) -> dict[str, Any]:
    """What portside does and answers."""
    layer = IpLayer(Settings(), Nothing())
    for name in ("ve0", "ve1"):
        layer.add_interface(name)
    done = [_apply(layer, step) for step in case["steps"]]
    return {"done": done, "answers": [_ask(layer, *question) for question in case["questions"]]}


def _apply(layer: IpLayer, step: list[Any]) -> bool:
    what, *rest = step
    if what == "address":
        address, length, name = rest
        return layer.add_address(layer.interface_named(name), parse(address), length) == 0
    if what == "unaddress":
        address, length, name = rest
        return layer.remove_address(layer.interface_named(name), parse(address), length) == 0
    if what == "unroute":
        prefix, length, metric = rest
        return layer.remove_route(parse(prefix), length, metric=metric) == 0
    if what in ("down", "flap"):
        interface = layer.interface_named(rest[0])
        layer.set_up(interface, False)
        if what == "flap":
            layer.set_up(interface, True)
        return True
    prefix, length, kind, via, name, metric, source = rest
    return layer.add_route(
        parse(prefix), length, via=parse(via) if via else 0, interface=layer.interface_named(name) if name else None,
        kind=KINDS[kind], metric=metric, source=parse(source) if source else 0,
    ) == 0  # fmt: skip


def _ask(layer: IpLayer, dst: str, src: str, device: str) -> list[Any]:
    oif = layer.interface_named(device).index if device else 0
    address = parse(dst)
    source = parse(src) if src else 0
    if source and layer.kind_of(source, oif) != 2:
        return ["not local"]
    route = layer.lookup(address, source, oif)
    if isinstance(route, Verdict):
        return [errno.errorcode[route.errno]]
    gateway = text(route.next_hop) if route.next_hop not in (0, route.dst) else ""
    where = "lo" if route.local else route.interface.name
    return [text(route.src), route.kind if is_v4(address) else 0, where, gateway]


# -- the kernel --


def linux(case: dict[str, Any]) -> dict[str, Any]:
    """What the kernel does and answers, in a fresh namespace."""
    return kernel.in_namespace(_linux, case)


def _linux(case: dict[str, Any]) -> dict[str, Any]:
    sysctl("net.ipv6.conf.default.accept_dad", 0)
    sysctl("net.ipv6.conf.default.router_solicitations", 0)
    for index, name in ((2, "ve0"), (3, "ve1")):
        # A vxlan device is up at once; a veth pair's carrier is noticed a second later.
        mac = ":".join(f"{byte:02x}" for byte in make_link_address(0, index).to_bytes(6, "big"))
        kind = f"vxlan id {index} dstport {4000 + index}"
        assert all(ip(f"link add index {index} name {name} mtu 1500 address {mac} type {kind}", f"link set {name} up"))
    done = [_perform(step) for step in case["steps"]]
    return {"done": done, "answers": [_question(*question) for question in case["questions"]]}


def _perform(step: list[Any]) -> bool:
    done = ip(_command(step))[0]
    settle()
    return done


def _command(step: list[Any]) -> str:
    what, *rest = step
    if what in ("address", "unaddress"):
        address, length, name = rest
        nodad = " nodad" if ":" in address and what == "address" else ""
        return f"address {'add' if what == 'address' else 'del'} {address}/{length} dev {name}{nodad}"
    if what == "flap":
        return f"link set {rest[0]} down\nlink set {rest[0]} up"
    if what == "down":
        return f"link set {rest[0]} down"
    if what == "unroute":
        prefix, length, metric = rest
        return f"route del {prefix}/{length}" + (f" metric {metric}" if metric is not None else "")
    prefix, length, kind, via, name, metric, source = rest
    words = [f"route add {kind} {prefix}/{length}"]
    words += [f"via {via}"] * bool(via) + [f"dev {name}"] * bool(name) + [f"src {source}"] * bool(source)
    return " ".join(words) + (f" metric {metric}" if metric is not None else "")


def _question(dst: str, src: str, device: str) -> list[Any]:
    v4 = ":" not in dst
    oif = socket.if_nametoindex(device) if device else 0
    with socket.socket(socket.AF_INET if v4 else socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if src and outcome(sock.bind, (src, 0)):
            return ["not local"]
        failed = outcome(sock.connect, (dst, 9))
        if failed:
            return [failed]
        source, peer = sock.getsockname()[0].partition("%")[0], sock.getpeername()[0].partition("%")[0]
    found = route_get(peer, "" if device and not v4 else src and source, oif)
    if isinstance(found, str):
        return [source, "route " + found]
    where = "lo" if found["kind"] == 2 else socket.if_indextoname(found["oif"])
    return [source, found["kind"] if v4 else 0, where, found["gateway"]]


