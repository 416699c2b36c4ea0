"""Generated machines: namespaces, links, addresses, routes, listeners, filters and NAT, as plain data."""

from __future__ import annotations

import random

from tests.explain import odd, xtables
from tests.explain.parts import PORTS, Listener, Machine, Space, Target

SETS = {
    "ip": "    set near { type ipv4_addr; flags interval; elements = { 10.0.1.0/24, 10.0.2.1-10.0.2.7 }; }\n",
    "ip6": "    set near { type ipv6_addr; flags interval; elements = { fd00:1::/64, fd00:2::1 }; }\n",
}
SETS["inet"] = SETS["ip"]
SETS = {family: named + "    set ports { type inet_service; flags interval; elements = { 80, 5000-8080 }; }\n"
        "    map say { type inet_service : verdict; elements = { 22 : drop, 443 : accept, 9000 : jump user }; }\n"
        for family, named in SETS.items()}  # fmt: skip
UNREADABLE = ("limit rate 1/second", "numgen random mod 2 0", "ip ttl < 3", "meta pkttype broadcast")
VERDICTS = ("accept", "drop", "reject", "reject with tcp reset", "reject with icmpx admin-prohibited",
            "reject with icmpx host-unreachable", "reject with icmpx no-route", "jump user", "goto user", "return",
            "meta mark set 5")  # fmt: skip
FRAMES_FROM = 60_000
"""Machines of smaller seeds have no chains that see frames: those once foretold wrong stay as they were."""
XTABLES_FROM = 100_000
"""Of larger seeds, some machines have the filters of iptables(8)."""
ODD_FROM = 300_000
"""Of larger seeds, machines have neighbours set by hand, ways that are several, tunnels, and further sysctls."""
POOL = ("dual", "v6only", "v4", "v4 address", "v6 address", "loopback", "device", "full", "bound", "shared", "mapped")


def generate(seed: int, targets: int = 60) -> Machine:
    """A machine from a seed."""
    draw = random.Random(seed)
    machine = Machine(seed)
    machine.spaces = [Space(number) for number in range(draw.randint(2, 4))]
    if draw.random() < 0.3:
        _bridged(machine, draw)
    else:
        _chained(machine, draw)
    for space in machine.spaces:
        _routes(machine, space, draw)
        _sysctls(space, draw)
        _listeners(space, draw)
        _filter(machine, space, draw)
    by_iptables = random.Random(f"{seed} iptables")
    if seed >= XTABLES_FROM and by_iptables.random() < 0.7:
        for space in machine.spaces:
            xtables.write(machine.spaces, space, by_iptables)
    apart = random.Random(f"{seed} frames")  # of its own, so that the rest of a seed's machine stays what it was
    if seed >= FRAMES_FROM and apart.random() < 0.4:
        for space in machine.spaces:
            _frames(machine, space, apart)
    oddly = random.Random(f"{seed} odd")
    if seed >= ODD_FROM:
        odd.make(machine, oddly)
    _targets(machine, draw, targets)
    return machine


def _chained(machine: Machine, draw: random.Random) -> None:
    """Each namespace is linked to an earlier one; now and then by two links."""
    subnet = 0
    for space in machine.spaces[1:]:
        for _ in range(2 if draw.random() < 0.2 else 1):
            other = draw.choice(machine.spaces[: space.number])
            subnet += 1
            _pair(machine, other, space)
            _number(other, other.links[-1], subnet, 1, draw)
            _number(space, space.links[-1], subnet, 2, draw)


def _pair(machine: Machine, one: Space, other: Space) -> None:
    names = [f"p{space.number}x{len(space.links)}" for space in (one, other)]
    for space, name in zip((one, other), names, strict=True):
        space.links.append(name)
        space.commands.append(f"link set {name} up")
    machine.pairs.append((one.number, names[0], other.number, names[1]))


def _number(space: Space, name: str, subnet: int, host: int, draw: random.Random) -> None:
    """Addresses for one end of a link: most often those that fit the other end's."""
    odd = draw.random() < 0.07
    v4, v6 = subnet + 40 * odd, subnet + 64 * odd
    for address in (f"10.0.{v4}.{host}/24", f"fd00:{v6:x}::{host}/64"):
        if draw.random() < 0.93:
            nodad = " nodad" if ":" in address else ""
            space.commands.append(f"address add {address} dev {name}{nodad}")
            space.addresses.append((address.split("/")[0], name))
    if draw.random() < 0.15:
        space.commands.append(f"address add 10.0.{subnet}.{host + 10}/24 dev {name}")
        space.addresses.append((f"10.0.{subnet}.{host + 10}", name))
    if draw.random() < 0.5:
        space.commands.append(f"address add fe80::{4 + host}/64 dev {name} nodad")
    if draw.random() < 0.05:
        space.commands.append(f"link set {name} down")


def _bridged(machine: Machine, draw: random.Random) -> None:
    """The first namespace has a bridge, and the others hang on it, as containers do."""
    root = machine.spaces[0]
    for space in machine.spaces[1:]:
        _pair(machine, root, space)
    root.commands = ["link add name br0 type bridge", "link set br0 up", *root.commands]
    for name in tuple(root.links):
        root.commands.append(f"link set {name} master br0")
    _number(root, "br0", 1, 1, draw)
    root.links = ["br0"]
    for space in machine.spaces[1:]:
        _number(space, space.links[0], 1, space.number + 1, draw)


def _subnets(machine: Machine) -> list[str]:
    found = {".".join(address.split(".")[:3]) + ".0/24" for space in machine.spaces for address, _ in space.addresses
             if ":" not in address}  # fmt: skip
    found |= {":".join(address.split(":")[:2]) + "::/64" for space in machine.spaces for address, _ in space.addresses
              if ":" in address}  # fmt: skip
    return sorted(found)


def _routes(machine: Machine, space: Space, draw: random.Random) -> None:
    """Ways to the other namespaces, right and wrong ones."""
    gateways = [address for other in machine.spaces if other is not space for address, _ in other.addresses]
    v4 = [address for address in gateways if ":" not in address]
    v6 = [address for address in gateways if ":" in address]
    for pool, default in ((v4, "default"), (v6, "default")):
        near = [address for address in pool if _near(space, address)]
        if near and draw.random() < 0.75:
            space.commands.append(f"route add {default} via {draw.choice(near)}")
        elif pool and draw.random() < 0.1:
            space.commands.append(f"route add {default} via {draw.choice(pool)}")
    for subnet in _subnets(machine):
        if draw.random() < 0.12:
            kind = draw.choice(["blackhole", "unreachable", "prohibit", "throw"])
            single = draw.choice(v6 or ["fd00::9"]) if ":" in subnet else draw.choice(v4 or ["10.0.0.9"])
            prefix = subnet if draw.random() < 0.4 else single
            space.commands.append(f"route add {kind} {prefix}")
        near = [address for address in gateways if (":" in address) == (":" in subnet) and _near(space, address)]
        if near and draw.random() < 0.15:
            space.commands.append(f"route add {subnet} via {draw.choice(near)} metric {draw.randint(1, 2000)}")
    if draw.random() < 0.15:
        _policy(space, draw, gateways)
    for pool, prefix in ((v4, "10.77.0.0/16"), (v6, "fd77::/32")):
        near = [address for address in pool if _near(space, address)]
        if len(near) > 1 and draw.random() < 0.5:
            hops = " ".join(f"nexthop via {address}" for address in draw.sample(near, 2))
            space.commands.append(f"route add {prefix} {hops}")


def _policy(space: Space, draw: random.Random, gateways: list[str]) -> None:
    """Rules and a table of their own."""
    near = [address for address in gateways if _near(space, address)]
    for address in near[:2]:
        flag = "-6 " if ":" in address else ""
        space.commands.append(f"{flag}route add default via {address} table 100")
        alike = [other for other in gateways if (":" in other) == (":" in address)]
        selector = draw.choice([f"to {draw.choice(alike)}",
                                "uidrange 1000-2000", "ipproto tcp dport 80", "from all", "iif lo", "fwmark 5",
                                "not from 10.0.0.0/8" if not flag else "from all"])  # fmt: skip
        action = draw.choice(["lookup 100", "lookup 100", "prohibit", "unreachable", "blackhole"])
        if draw.random() < 0.6:
            action = "lookup 100"
        space.commands.append(f"{flag}rule add {selector} {action} priority {draw.randint(1, 40000)}")


def _near(space: Space, address: str) -> bool:
    cut = address.rsplit(":" if ":" in address else ".", 1)[0]
    return any(own.rsplit(":" if ":" in own else ".", 1)[0] == cut for own, _ in space.addresses)


def _sysctls(space: Space, draw: random.Random) -> None:
    if draw.random() < 0.6:
        space.sysctls["net/ipv4/ip_forward"] = "1"
        space.sysctls["net/ipv6/conf/all/forwarding"] = "1"
    if draw.random() < 0.15:
        space.sysctls["net/ipv4/conf/all/rp_filter"] = draw.choice(["1", "2"])
    if draw.random() < 0.1:
        space.sysctls["net/ipv4/conf/all/route_localnet"] = "1"
    if draw.random() < 0.1:
        space.sysctls["net/ipv6/bindv6only"] = "1"
    if draw.random() < 0.1:
        space.sysctls["net/ipv4/conf/all/accept_local"] = "1"
    bridged = draw.choice(["0", "1"])  # whether the filter sees what bridges carry
    space.sysctls["net/bridge/bridge-nf-call-iptables"] = space.sysctls["net/bridge/bridge-nf-call-ip6tables"] = bridged
    if draw.random() < 0.05:
        space.commands.append("link set lo down")


def _listeners(space: Space, draw: random.Random) -> None:
    for port in draw.sample(PORTS, draw.randint(2, 5)):
        for kind in draw.sample(POOL, draw.choice([1, 1, 2])):
            listener = Listener(kind, port)
            v4 = [address for address, _ in space.addresses if ":" not in address]
            v6 = [address for address, _ in space.addresses if ":" in address]
            if kind == "v4 address":
                listener.address = draw.choice(v4 or ["127.0.0.1"])
            elif kind == "v6 address":
                listener.address = draw.choice(v6 or ["::1"])
            elif kind == "loopback":
                listener.address = draw.choice(["127.0.0.1", "::1", "127.0.0.5"])
            elif kind == "device":
                listener.device = draw.choice([*space.links, "lo"])
            space.listeners.append(listener)
    for port in draw.sample(PORTS, 2):
        kind = draw.choice(["dual", "v6only", "v4", "v4 address", "shared", "device"])
        listener = Listener(kind, port, udp=True)
        if kind == "v4 address":
            own = [address for address, _ in space.addresses if ":" not in address]
            listener.address = draw.choice(own or ["127.0.0.1"])
        elif kind == "device":
            listener.device = draw.choice([*space.links, "lo"])
        space.listeners.append(listener)


# -- filters --


def _filter(machine: Machine, space: Space, draw: random.Random) -> None:
    tables: list[str] = []
    for number in range(draw.choice([0, 1, 1, 2])):
        family = draw.choice(["inet", "inet", "ip", "ip6"])
        chains = []
        for hook in draw.sample(["input", "output", "forward", "prerouting", "postrouting"], draw.randint(1, 3)):
            policy = "drop" if draw.random() < 0.15 else "accept"
            priority = draw.choice(["0", "0", "-10", "10", "-300", "-150"])
            rules = [_rule(machine, space, family, hook, draw) for _ in range(draw.randint(0, 4))]
            kind = "route" if hook == "output" and draw.random() < 0.3 else "filter"
            if hook in ("prerouting", "output") and draw.random() < 0.1:
                priority = "-300"
                rules.insert(0, f"tcp dport {draw.choice(PORTS)} notrack")
            if policy == "drop":
                discovery = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"
                rules = ["ct state established,related accept", *rules]
                if family != "ip" and draw.random() < 0.8:
                    rules.insert(0, discovery)
            lines = "\n        ".join(rules)
            head = f"type {kind} hook {hook} priority {priority}; policy {policy};"
            chains.append(f"    chain {hook} {{\n        {head}\n        {lines}\n    }}")
        user = "\n        ".join(_rule(machine, space, family, "user", draw) for _ in range(draw.randint(0, 2)))
        chains.insert(0, SETS[family])
        chains.insert(1, f"    chain user {{\n        {user}\n    }}")
        tables.append(f"table {family} t{number} {{\n" + "\n".join(chains) + "\n}")
    if draw.random() < 0.45:
        tables.append(_nat(machine, space, draw))
    space.ruleset = "\n".join(tables)


def _rule(machine: Machine, space: Space, family: str, hook: str, draw: random.Random) -> str:
    words: list[str] = []
    addresses = [address for other in machine.spaces for address, _ in other.addresses]
    if draw.random() < 0.35 and hook not in ("output", "postrouting", "user"):
        words.append(f'iifname {draw.choice(["", "!= "])}"{draw.choice([*space.links, "lo", "p*"])}"')
    elif draw.random() < 0.35 and hook in ("output", "postrouting"):
        words.append(f'oifname {draw.choice(["", "!= "])}"{draw.choice([*space.links, "lo", "p*"])}"')
    fitting = [address for address in addresses if family == "inet" or (family == "ip6") == (":" in address)]
    if fitting and draw.random() < 0.35:
        address = draw.choice(fitting)
        side = draw.choice(["saddr", "daddr"])
        words.append(f"{'ip6' if ':' in address else 'ip'} {side} {draw.choice(['', '!= '])}{address}")
    verdict = draw.choice(VERDICTS if hook != "user" else ("accept", "drop", "drop", "return", "meta mark set 5"))
    if hook in ("prerouting", "postrouting") and verdict.startswith("reject"):
        verdict = "drop"
    if draw.random() < 0.15:
        words.append(draw.choice(["ct state new", "ct state established,related", "ct state != new", "meta mark 5",
                                  "fib daddr type local", "ct status dnat", "ct direction reply"]))  # fmt: skip
        if hook in ("output", "postrouting", "user") and words[-1].startswith("fib"):
            words.pop()
    if hook == "output" and draw.random() < 0.15:
        words.append(draw.choice(["meta skuid 0", "meta skuid 1000", "meta skuid != 0"]))
    ports = sorted(draw.sample(PORTS, draw.randint(1, 2)))
    proto = draw.choice(["tcp", "tcp", "tcp", "udp"])
    if verdict == "reject with tcp reset":
        proto = "tcp"
    family_name = "ip6" if family == "ip6" else "ip"
    mixed = any(word.startswith("ip6 " if family_name == "ip" else "ip ") for word in words)
    if draw.random() < 0.06 and not mixed:
        words.append(f"{family_name} {draw.choice(['saddr', 'daddr'])} {draw.choice(['', '!= '])}@near")
    if draw.random() < 0.08:
        words.append(draw.choice(["counter", "counter", 'log prefix "x"']))
    if draw.random() < 0.03 and family == "inet":
        words.append(draw.choice([each for each in UNREADABLE if not mixed or not each.startswith("ip ")]))
    shape = draw.random()
    if shape < 0.06:
        words.append(f"{proto} dport {draw.choice(['', '!= '])}@ports")
    elif shape < 0.1 and hook != "user":
        return " ".join([*words, f"{proto} dport vmap @say"])
    elif shape < 0.13 and family == "inet" and not mixed:
        words.append(f"ip daddr . {proto} dport {{ 10.0.1.2 . {ports[0]}, 10.0.1.1 . {ports[-1]} }}")
    elif shape < 0.16:
        words.append("tcp flags & (fin | syn | rst | ack) == syn")
    elif shape < 0.55:
        words.append(f"{proto} dport {ports[0] if len(ports) == 1 else '{ ' + ', '.join(map(str, ports)) + ' }'}")
    elif shape < 0.65:
        words.append(f"{proto} dport {ports[0]}-{ports[0] + 3000}")
    elif shape < 0.72:
        words.append(f"{proto} dport vmap {{ {ports[0]} : drop, {ports[-1] + 1} : accept }}")
        return " ".join(words)
    elif verdict in ("drop", "reject") or verdict.startswith("reject with"):
        words.append(f"{proto} dport != {ports[0]}")
    if "icmpx" in verdict and family != "inet":
        verdict = "reject"
    if verdict.startswith("reject") and not any(word.startswith(("tcp", "udp")) for word in words):
        words.append("meta l4proto { tcp, udp }" if verdict != "reject with tcp reset" else "meta l4proto tcp")
    return " ".join([*words, verdict])


def _nat(machine: Machine, space: Space, draw: random.Random) -> str:
    """A published port, as container runtimes make it; and masquerading."""
    others = [address for other in machine.spaces if other is not space for address, _ in other.addresses]
    rules: dict[str, list[str]] = {"prerouting": [], "output": [], "postrouting": [], "input": []}
    for _ in range(draw.randint(1, 3)):
        port, new = draw.choice(PORTS), draw.choice(PORTS)
        v6 = draw.random() < 0.35
        fitting = [address for address in others if (":" in address) == v6]
        local = draw.choice(["fib daddr type local ", "", f'iifname "{draw.choice(space.links)}" '])
        target = draw.choice(fitting) if fitting else ("fd00::9" if v6 else "10.9.9.9")
        shown = f"[{target}]:{new}" if v6 else f"{target}:{new}"
        statement = draw.choice([f"dnat {'ip6' if v6 else 'ip'} to {shown}", f"redirect to :{new}"])
        if not v6 and draw.random() < 0.1:
            statement = f"dnat ip to 10.0.1.1-10.0.1.2:{new}"
        elif draw.random() < 0.1:
            statement = "redirect"
        rules["prerouting"].append(f"{local}tcp dport {port} {statement}")
        if draw.random() < 0.5:
            local = draw.choice(["fib daddr type local ", ""])
            rules["output"].append(f"{local}tcp dport {port} {statement}")
    for _ in range(draw.randint(0, 2)):
        where = draw.choice([f'oifname "{draw.choice(space.links)}" ', "", "ip saddr 127.0.0.0/8 "])
        own = [address for address, _ in space.addresses if ":" not in address]
        statement = draw.choice(["masquerade", "masquerade", f"snat ip to {draw.choice(own)}" if own else "masquerade"])
        rules["postrouting"].append(f"{where}meta l4proto tcp {statement}")
    priority = {"prerouting": -100, "output": -100, "postrouting": 100, "input": 100}
    chains = []
    for hook, lines in rules.items():
        if lines:
            body = "\n        ".join(lines)
            head = f"type nat hook {hook} priority {priority[hook]};"
            chains.append(f"    chain {hook} {{\n        {head}\n        {body}\n    }}")
    return "table inet nat {\n" + "\n".join(chains) + "\n}"


def _frames(machine: Machine, space: Space, draw: random.Random) -> None:
    """Chains that see frames: of a device, or of the bridge."""
    ports = [each[1] for each in machine.pairs if each[0] == space.number]
    ports += [each[3] for each in machine.pairs if each[2] == space.number]
    chains: list[tuple[str, str, str]] = []
    if draw.random() < 0.5:
        device = draw.choice(sorted({*ports, *space.links, "lo"}))
        chains.append(("netdev", draw.choice(["ingress", "ingress", "egress"]), f' device "{device}"'))
    if any("type bridge" in command for command in space.commands) and draw.random() < 0.7:
        chains.append(("bridge", draw.choice(["prerouting", "input", "forward", "output", "postrouting"]), ""))
    for family, hook, device in chains:
        rules = []
        for _ in range(draw.randint(1, 3)):
            side, port = draw.choice(["sport", "dport", "dport"]), draw.choice(PORTS)
            address = draw.choice([each for other in machine.spaces for each, _ in other.addresses] or ["10.0.1.1"])
            family_of = "ip6" if ":" in address else "ip"
            about = draw.choice(["", "", f"{family_of} {draw.choice(['saddr', 'daddr'])} {address} "])
            rules.append(f"{about}{draw.choice(['tcp', 'tcp', 'udp'])} {side} {draw.choice(['', '!= '])}{port} "
                         f"{draw.choice(['drop', 'drop', 'accept'])}")  # fmt: skip
        policy = "drop" if draw.random() < 0.1 else "accept"
        head = f"type filter hook {hook}{device} priority {draw.choice([-10, 0, 5])}; policy {policy};"
        lines = "\n        ".join(rules)
        space.ruleset += f"\ntable {family} frames {{\n    chain f {{\n        {head}\n        {lines}\n    }}\n}}\n"


# -- what is tried --


def _targets(machine: Machine, draw: random.Random, count: int) -> None:
    everything: list[Target] = []
    everywhere = [address for space in machine.spaces for address, _ in space.addresses]
    for space in machine.spaces:
        places = [*everywhere, "127.0.0.1", "::1", "0.0.0.0", "::", "127.0.0.9", "10.0.1.77", "fd00:1::77", "10.77.0.1",
                  "fd77::1", "224.0.0.1", "255.255.255.255"]  # fmt: skip
        weights = [4] * len(everywhere) + [3, 3] + [1] * (len(places) - len(everywhere) - 2)
        used = sorted({listener.port for other in machine.spaces for listener in other.listeners if not listener.udp})
        places += [f"fe80::5%{name}" for name in space.links[:2]]
        weights += [1] * len(space.links[:2])
        for _ in range(count):
            address = draw.choices(places, weights)[0]
            udp = draw.random() < 0.15 and address not in ("224.0.0.1", "255.255.255.255")
            port = draw.choice([*used, *used, *PORTS, 7])
            everything.append(Target(space.number, address, port, udp, draw.choice([0, 0, 0, 1000])))
    draw.shuffle(everything)
    seen: set[tuple[object, ...]] = set()
    for target in everything:
        key = (target.space, target.address, target.port, target.udp, target.uid)
        if key not in seen and len(machine.targets) < count:
            seen.add(key)
            machine.targets.append(target)
