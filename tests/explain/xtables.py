"""Filters as iptables(8) takes them, for generated machines: at random, and as Docker and ufw write them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.explain.parts import PORTS, Space

ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
DOUBTFUL = ("-m limit --limit 1/sec", "-m statistic --mode random --probability 0.5", "-m ttl --ttl-lt 3",
            "-m hashlimit --hashlimit-above 5/sec --hashlimit-name q")  # fmt: skip
BUILT_IN = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}


@dataclass
class Tables:
    """What iptables-restore(8) is given: rules by table and chain, policies, in the words of one family."""

    v6: bool = False
    policies: dict[str, str] = field(default_factory=dict)  # of chains of `filter`
    rules: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def add(self, table: str, chain: str, *lines: str) -> None:
        """Append rules; the chain is made."""
        self.rules.setdefault(table, {}).setdefault(chain, []).extend(lines)

    def text(self) -> str:
        """The input of iptables-restore(8)."""
        found = []
        for table, chains in self.rules.items():
            built_in = BUILT_IN[table]
            found.append(f"*{table}")
            names = dict.fromkeys((*(built_in if table == "filter" else ()), *chains))
            for name in names:
                policy = self.policies.get(name, "ACCEPT") if table == "filter" else "ACCEPT"
                found.append(f":{name} {policy if name in built_in else '-'} [0:0]")
            found += [f"-A {name} {line}" for name, lines in chains.items() for line in lines]
            found.append("COMMIT")
        return "\n".join(found) + "\n" if found else ""


def write(spaces: list[Space], space: Space, draw: random.Random) -> None:
    """Give a namespace a filter of iptables(8) instead of the one that it has."""
    kind = draw.choice(["random", "random", "docker", "ufw", "none"])
    space.ruleset = "" if draw.random() < 0.8 else space.ruleset
    for v6 in False, True:
        tables = Tables(v6)
        if kind == "docker":
            inside = draw.choice(space.links) if space.links else "lo"
            containers = [address for other in spaces if other is not space for address, _ in other.addresses]
            docker(tables, inside, _of(containers, v6), draw)
        elif kind == "ufw":
            ufw(tables, draw)
        elif kind == "random":
            at_random(tables, spaces, space, draw)
        text = tables.text()
        if v6:
            space.ip6tables = text
        else:
            space.iptables = text


def _of(addresses: Iterable[str], v6: bool) -> list[str]:
    return [address for address in addresses if (":" in address) is v6]


# -- as Docker writes them --


def docker(tables: Tables, bridge: str, containers: list[str], draw: random.Random) -> None:
    """The chains of dockerd for one network, with published ports."""
    published = [(address, draw.choice(PORTS), draw.choice(PORTS)) for address in containers[:3]]
    nat, loopback = "nat", "::1/128" if tables.v6 else "127.0.0.0/8"
    everything = "::/0" if tables.v6 else "0.0.0.0/0"
    subnet = everything if not containers else f"{containers[0]}/{64 if tables.v6 else 24}"
    tables.add(nat, "PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER")
    tables.add(nat, "OUTPUT", f"! -d {loopback} -m addrtype --dst-type LOCAL -j DOCKER")
    tables.add(nat, "POSTROUTING", f"-s {subnet} ! -o {bridge} -j MASQUERADE")
    tables.add(nat, "DOCKER", *([f"-i {bridge} -j RETURN"] if draw.random() < 0.5 else []))
    tables.policies["FORWARD"] = "DROP"
    tables.add("filter", "FORWARD", "-j DOCKER-USER", "-j DOCKER-ISOLATION-STAGE-1", f"-o {bridge} {ESTABLISHED}",
               f"-o {bridge} -j DOCKER", f"-i {bridge} ! -o {bridge} -j ACCEPT",
               *([f"-i {bridge} -o {bridge} -j ACCEPT"] if draw.random() < 0.7 else []))  # fmt: skip
    tables.add("filter", "DOCKER")
    tables.add("filter", "DOCKER-ISOLATION-STAGE-1", f"-i {bridge} ! -o {bridge} -j DOCKER-ISOLATION-STAGE-2",
               "-j RETURN")  # fmt: skip
    tables.add("filter", "DOCKER-ISOLATION-STAGE-2", "-o other0 -j DROP", "-j RETURN")
    user = [f"-i {bridge} -p tcp -m tcp --dport {draw.choice(PORTS)} -j REJECT --reject-with tcp-reset"]
    tables.add("filter", "DOCKER-USER", *(user if draw.random() < 0.3 else []), "-j RETURN")
    for address, outside, inside in published:
        single = f"{address}/{128 if tables.v6 else 32}"
        shown = f"[{address}]" if tables.v6 else address
        tables.add(nat, "POSTROUTING", f"-s {single} -d {single} -p tcp -m tcp --dport {inside} -j MASQUERADE")
        tables.add(nat, "DOCKER", f"! -i {bridge} -p tcp -m tcp --dport {outside} "
                   f"-j DNAT --to-destination {shown}:{inside}")  # fmt: skip
        tables.add(
            "filter", "DOCKER", f"-d {single} ! -i {bridge} -o {bridge} -p tcp -m tcp --dport {inside} -j ACCEPT"
        )
        if draw.random() < 0.3:
            tables.add("raw", "PREROUTING", f"-d {single} ! -i {bridge} -j DROP")


# -- as ufw writes them --


def ufw(tables: Tables, draw: random.Random) -> None:
    """The chains of ufw(8), with some ports allowed, limited, denied and rejected."""
    prefix = "ufw6" if tables.v6 else "ufw"
    filter_ = "filter"
    logged = '-m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "'
    for chain, policy in (("INPUT", "DROP"), ("FORWARD", "DROP"), ("OUTPUT", "ACCEPT")):
        tables.policies[chain] = policy
        side = chain.lower()
        tables.add(filter_, chain, *(f"-j {prefix}-{part}-{side}" for part in
                   ("before-logging", "before", "after", "after-logging", "reject", "track")))  # fmt: skip
        for part in ("before-logging", "after-logging", "after", "reject", "user"):
            tables.add(filter_, f"{prefix}-{part}-{side}")
    tables.add(filter_, f"{prefix}-logging-deny", "-m conntrack --ctstate INVALID -m limit --limit 3/min "
               "--limit-burst 10 -j RETURN", logged)  # fmt: skip
    tables.add(filter_, f"{prefix}-skip-to-policy-input", f"-j {draw.choice(['DROP', 'REJECT'])}")
    invalid = [
        "-m conntrack --ctstate INVALID -j " + f"{prefix}-logging-deny",
        "-m conntrack --ctstate INVALID -j DROP",
    ]
    pings = ["-p ipv6-icmp -j ACCEPT"] if tables.v6 else [
        f"-p icmp -m icmp --icmp-type {kind} -j ACCEPT" for kind in (3, 11, 12, 8)
    ]  # fmt: skip
    mdns = "ff02::fb/128" if tables.v6 else "224.0.0.251/32"
    tables.add(filter_, f"{prefix}-before-input", "-i lo -j ACCEPT", ESTABLISHED, *invalid, *pings,
               f"-j {prefix}-not-local", f"-d {mdns} -p udp -m udp --dport 5353 -j ACCEPT",
               f"-j {prefix}-user-input")  # fmt: skip
    tables.add(filter_, f"{prefix}-before-output", "-o lo -j ACCEPT", ESTABLISHED, *(pings if tables.v6 else []),
               f"-j {prefix}-user-output")  # fmt: skip
    tables.add(filter_, f"{prefix}-before-forward", ESTABLISHED, *pings, f"-j {prefix}-user-forward")
    others = [] if tables.v6 else ["-m addrtype --dst-type BROADCAST -j RETURN"]
    tables.add(filter_, f"{prefix}-not-local", "-m addrtype --dst-type LOCAL -j RETURN",
               "-m addrtype --dst-type MULTICAST -j RETURN", *others,
               f"-m limit --limit 3/min --limit-burst 10 -j {prefix}-logging-deny", "-j DROP")  # fmt: skip
    if not tables.v6:
        tables.add(
            filter_, f"{prefix}-after-input", f"-m addrtype --dst-type BROADCAST -j {prefix}-skip-to-policy-input"
        )
    tables.add(filter_, f"{prefix}-after-logging-input", logged)
    tables.add(filter_, f"{prefix}-track-output", "-p tcp -m conntrack --ctstate NEW -j ACCEPT",
               "-p udp -m conntrack --ctstate NEW -j ACCEPT")  # fmt: skip
    for side in "input", "forward":
        tables.add(filter_, f"{prefix}-track-{side}")
    for port in draw.sample(PORTS, draw.randint(1, 4)):
        what = draw.choice(["-j ACCEPT", "-j ACCEPT", "-j DROP", "-j REJECT --reject-with tcp-reset"])
        many = f"-m multiport --dports {port},{port + 1}" if draw.random() < 0.3 else f"-m tcp --dport {port}"
        tables.add(filter_, f"{prefix}-user-input", f"-p tcp {many} {what}")
        if "REJECT" not in what:
            tables.add(filter_, f"{prefix}-user-input", f"-p udp -m udp --dport {port} {what}")
    if draw.random() < 0.3:
        tables.add(filter_, f"{prefix}-user-forward", f"-p tcp -m tcp --dport {draw.choice(PORTS)} -j ACCEPT")
    if draw.random() < 0.3:
        tables.add(filter_, f"{prefix}-user-output", f"-p tcp -m tcp --dport {draw.choice(PORTS)} -j REJECT")


# -- at random --


def at_random(tables: Tables, spaces: list[Space], space: Space, draw: random.Random) -> None:
    """Rules of any kind in some chains."""
    for chain in draw.sample(["INPUT", "OUTPUT", "FORWARD"], draw.randint(1, 3)):
        tables.add("filter", chain, *(_rule(tables.v6, chain, spaces, space, draw) for _ in range(draw.randint(1, 4))))
        if draw.random() < 0.15:
            tables.policies[chain] = "DROP"
            kept = tables.rules["filter"][chain]
            kept.insert(0, ESTABLISHED)
            if tables.v6:
                kept.insert(0, "-p ipv6-icmp -j ACCEPT")
    tables.add("filter", "user", *(_rule(tables.v6, "user", spaces, space, draw) for _ in range(draw.randint(0, 2))))
    if draw.random() < 0.4:
        chain = draw.choice(BUILT_IN["mangle"])
        mark = draw.choice(["5", "0x5/0xff", "0x5/0x5"])
        about = draw.choice(["-m mark --mark 5 ", ""])
        tables.add("mangle", chain, f"-p tcp -m tcp --dport {draw.choice(PORTS)} -j MARK --set-xmark {mark}",
                   f"-p tcp -m tcp --dport {draw.choice(PORTS)} {about}-j DROP")  # fmt: skip
        if chain == "PREROUTING" and draw.random() < 0.4:
            tables.add("mangle", chain, "-m rpfilter --invert -j DROP")
    if draw.random() < 0.15:
        tables.add("raw", draw.choice(BUILT_IN["raw"]), f"-p tcp -m tcp --dport {draw.choice(PORTS)} -j CT --notrack")
    if draw.random() < 0.5:
        _nat(tables, spaces, space, draw)


def _rule(v6: bool, chain: str, spaces: list[Space], space: Space, draw: random.Random) -> str:
    words: list[str] = []
    if draw.random() < 0.3 and chain in ("INPUT", "FORWARD"):
        words.append(f"{_turned(draw)}-i {draw.choice([*space.links, 'lo', 'p+'])}")
    elif draw.random() < 0.3 and chain in ("OUTPUT", "FORWARD"):
        words.append(f"{_turned(draw)}-o {draw.choice([*space.links, 'lo', 'p+'])}")
    addresses = _of((address for other in spaces for address, _ in other.addresses), v6)
    if addresses and draw.random() < 0.25:
        words.append(f"{_turned(draw)}{draw.choice(['-s', '-d'])} {draw.choice(addresses)}")
    proto = draw.choice(["tcp", "tcp", "tcp", "udp"])
    ports = sorted(draw.sample(PORTS, 2))
    words.append(f"-p {proto}")
    words.append(draw.choice([
        f"-m {proto} {_turned(draw)}--dport {ports[0]}", f"-m {proto} --dport {ports[0]}:{ports[1]}",
        f"-m multiport {_turned(draw)}--dports {ports[0]},{ports[1]}", f"-m multiport --ports {ports[0]}:{ports[1]}",
        f"-m multiport {_turned(draw)}--sports {ports[0]}", f"-m {proto} --sport {ports[0]}", "",
    ]))  # fmt: skip
    words.append(_condition(v6, chain, addresses, draw))
    if draw.random() < 0.05:
        words.append(draw.choice([each for each in DOUBTFUL if not v6 or "ttl" not in each]))
    if chain == "user":
        verdict = draw.choice(["ACCEPT", "DROP", "RETURN", "REJECT"])
    else:
        verdict = draw.choice(["ACCEPT", "DROP", "DROP", "REJECT", _rejected(v6, proto, draw), "user", "RETURN", "LOG"])
    words.append("-g user" if verdict == "user" and draw.random() < 0.3 else f"-j {verdict}")
    return " ".join(filter(None, words))


def _turned(draw: random.Random) -> str:
    return draw.choice(["", "", "! "])


def _condition(v6: bool, chain: str, addresses: list[str], draw: random.Random) -> str:
    """Something besides addresses and ports."""
    turned = _turned(draw)
    found = [
        "", "", "", "-m comment --comment why", f"-m conntrack {turned}--ctstate NEW", "-m state --state ESTABLISHED",
        f"-m conntrack {turned}--ctstate INVALID,UNTRACKED", f"-m conntrack {turned}--ctstate DNAT",
        f"-m conntrack --ctorigdstport {draw.choice(PORTS)}", f"-m conntrack {turned}--ctstate NEW,DNAT",
        "-m conntrack --ctdir REPLY", f"-m mark {turned}--mark 5/0xff", f"-m pkttype {turned}--pkt-type unicast",
        f"-m addrtype {turned}--src-type LOCAL",
    ]  # fmt: skip
    if addresses:
        address = draw.choice(addresses)
        found += [f"-m iprange {turned}--dst-range {address}-{address}",
                  f"-m conntrack {turned}--ctorigdst {address}",
                  f"-m conntrack --ctstate NEW,INVALID --ctorigdst {address}"]  # fmt: skip
    if chain != "user":
        found.append(f"-m addrtype {turned}--dst-type LOCAL")
    if chain == "INPUT":
        found.append(f"-m addrtype {turned}--dst-type LOCAL --limit-iface-in")
    if chain == "OUTPUT":
        found += [f"-m owner {turned}--uid-owner {draw.choice(['0', '1000', '500-1500'])}"] * 2
    if not v6:
        found.append(f"-m addrtype {turned}--dst-type UNICAST")
    return draw.choice(found)


def _rejected(v6: bool, proto: str, draw: random.Random) -> str:
    if proto == "tcp" and draw.random() < 0.5:
        return "REJECT --reject-with tcp-reset"
    names = (("icmp6-no-route", "icmp6-adm-prohibited", "icmp6-addr-unreachable", "icmp6-port-unreachable") if v6 else
             ("icmp-net-unreachable", "icmp-host-unreachable", "icmp-proto-unreachable", "icmp-net-prohibited",
              "icmp-host-prohibited", "icmp-admin-prohibited"))  # fmt: skip
    return f"REJECT --reject-with {draw.choice(names)}"


def _nat(tables: Tables, spaces: list[Space], space: Space, draw: random.Random) -> None:
    """Published ports, redirection and masquerading."""
    others = _of((address for other in spaces if other is not space for address, _ in other.addresses), tables.v6)
    own = _of((address for address, _ in space.addresses), tables.v6)
    for _ in range(draw.randint(1, 3)):
        port, new = draw.choice(PORTS), draw.choice(PORTS)
        target = draw.choice(others or ["fd00::9" if tables.v6 else "10.9.9.9"])
        shown = f"[{target}]:{new}" if tables.v6 else f"{target}:{new}"
        what = draw.choice([f"DNAT --to-destination {shown}", f"REDIRECT --to-ports {new}", "REDIRECT"])
        local = draw.choice(["-m addrtype --dst-type LOCAL ", "", f"-i {draw.choice(space.links or ['lo'])} "])
        tables.add("nat", "PREROUTING", f"{local}-p tcp -m tcp --dport {port} -j {what}")
        if draw.random() < 0.5:
            local = draw.choice(["-m addrtype --dst-type LOCAL ", ""])
            tables.add("nat", "OUTPUT", f"{local}-p tcp -m tcp --dport {port} -j {what}")
    for _ in range(draw.randint(0, 2)):
        where = draw.choice([f"-o {draw.choice(space.links or ['lo'])} ", "", "! -o lo "])
        what = draw.choice(
            ["MASQUERADE", "MASQUERADE", f"SNAT --to-source {draw.choice(own)}" if own else "MASQUERADE"]
        )
        tables.add("nat", "POSTROUTING", f"{where}-p tcp -j {what}")
