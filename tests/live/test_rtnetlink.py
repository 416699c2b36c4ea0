from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.live.apart import apart, ip, ip_json, lacking

from portside.addr.ip import is_multicast, is_v4, parse, text
from portside.facts.interface import SCOPE_NAMES, Interface
from portside.facts.route import KIND_NAMES, Route
from portside.live import rtnetlink

pytestmark = [pytest.mark.linux, pytest.mark.skipif(lacking("ip") != "", reason=lacking("ip"))]

TABLES = {"local": 255, "main": 254, "default": 253}
SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}
PROTOCOLS = {"redirect": 1, "kernel": 2, "boot": 3, "static": 4, "ra": 9, "dhcp": 16}
FLAG_BITS = {"UP": 1, "BROADCAST": 2, "LOOPBACK": 8, "POINTOPOINT": 16, "NOARP": 0x80, "PROMISC": 0x100,
             "MULTICAST": 0x1000, "LOWER_UP": 0x10000}  # fmt: skip

ADDRESSES = ("10.0.0.1/24", "10.0.0.2/24", "10.9.0.1/32", "192.168.7.3/16", "fd00::1/64", "fd00::2/128", "fe80::5/64",
             "10.1.0.1 peer 10.1.0.2/32", "10.2.0.1/24 brd + scope link", "10.3.0.1/24 label PORT:a",
             "fd00:1::1/64 valid_lft 1000 preferred_lft 500", "172.16.0.1/12 noprefixroute")  # fmt: skip
TARGETS = ("via 10.0.0.9", "dev pa", "via 10.0.0.9 dev pa onlink", "blackhole", "unreachable", "prohibit", "throw",
           "nexthop via 10.0.0.8 weight 3 nexthop via 10.0.0.9", "dev pa src 10.0.0.1 mtu 1300 advmss 1000",
           "via inet6 fd00::9 dev pa")  # fmt: skip
TARGETS_V6 = ("via fd00::9", "dev pa", "via fe80::9 dev pa", "blackhole", "unreachable", "prohibit",
              "nexthop via fd00::8 weight 3 nexthop via fd00::9", "dev pa src fd00::1 mtu 1300",
              "from fd00:2::/64 dev pa")  # fmt: skip
RULES = ("from 10.0.0.0/8 table 100", "to 10.5.0.0/16 iif pa prohibit", "fwmark 0x5/0xff lookup 1000",
         "oif pa blackhole",
         "uidrange 1000-2000 unreachable", "ipproto tcp dport 80-90 table 7", "sport 5 ipproto udp table 7",
         "not from 10.6.0.0/16 table main suppress_prefixlength 0", "priority 5 goto 32766", "tos 0x10 table 9",
         "iif lo table 8", "fwmark 0 lookup 77", "nop priority 3")  # fmt: skip


def generate(seed: int) -> list[str]:
    """Commands that make interfaces, addresses, neighbours, routes and rules."""
    draw = random.Random(seed)
    commands = ["link set lo up", "link add name pa type veth peer name pb", "link add name br0 type bridge",
                "link add name pd type ifb", "link add link pa name pa.5 type vlan id 5"]  # fmt: skip
    commands += draw.sample(["link set pb master br0", "link set pd mtu 1300", "link set pd group 7",
                             "link set pd txqueuelen 5", "link set pa address 02:00:00:00:00:01",
                             "link set pd promisc on"], 3)  # fmt: skip
    commands += [
        f"link set {name} up" for name in ("pa", "pb", "br0", "pd", "pa.5") if draw.random() < 0.8 or name == "pa"
    ]
    for address in draw.sample(ADDRESSES, 6):
        port = draw.choice(["pa", "pd", "br0", "pa"])
        nodad = " nodad" if ":" in address.split("/")[0] else ""
        commands.append(f"address add {address.replace('PORT', port)}{nodad} dev {port}")
    commands += ["address add 10.0.0.1/24 dev pa", "address add fd00::1/64 nodad dev pa"]
    for number in range(8):
        table = draw.choice(["", "", "table 100", "table 1000"])
        metric = draw.choice(["", f"metric {draw.randint(1, 9000)}"])
        tos = draw.choice(["", "", "tos 0x10"])
        for options, prefix in ((TARGETS, f"10.{20 + number}.0.0/16"), (TARGETS_V6, f"fd00:{number + 9}::/48")):
            target = draw.choice(options)
            kind, rest = (target, "") if " " not in target else ("", target)
            words = f"{kind} {prefix} {tos if options is TARGETS else ''} {metric} {table}"
            commands.append(f"route add {words} {rest}")
    commands += ["route add default via 10.0.0.9", "route add default via fd00::9"]
    for number in range(3):
        state = draw.choice(["permanent", "stale", "noarp"])
        commands.append(f"neigh add 10.0.0.{20 + number} lladdr 02:00:00:00:00:0{number} dev pa nud {state}")
    commands += ["neigh add fd00::20 lladdr 02:00:00:00:00:20 dev pa", "neigh add 10.0.0.40 dev pa nud failed"]
    for rule in draw.sample(RULES, 6):
        for family in ("", "-6 "):
            words = rule.replace("10.5.0.0/16", "fd05::/16").replace("10.0.0.0/8", "fd00::/8") if family else rule
            commands.append(f"{family}rule add {words}")
    return [command for command in commands if command]


@pytest.fixture(params=range(12))
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_interfaces_are_as_ip_shows_them(seed: int) -> None:
    ours, theirs = apart(_interfaces, generate(seed))
    assert [interface.name for interface in ours] == [entry["ifname"] for entry in theirs]
    for interface, entry in zip(ours, theirs, strict=True):
        _same_interface(interface, entry, {entry["ifname"]: entry["ifindex"] for entry in theirs})


def _interfaces(commands: list[str]) -> Any:
    ip(*commands)
    before = after = None
    while before is None or before != after:  # the kernel notices a moment later what a link's other end did
        before, found, after = ip_json("address"), rtnetlink.interfaces(), ip_json("address")
    return found, after


def _same_interface(interface: Interface, entry: dict[str, Any], indexes: dict[str, int]) -> None:
    assert (interface.index, interface.mtu, interface.state) == (entry["ifindex"], entry["mtu"], entry["operstate"])
    assert (interface.queue_discipline, interface.group) == (entry["qdisc"], entry["group"])
    assert interface.queue_length == entry.get("txqlen", 0)
    assert interface.mac.hex(":") == entry.get("address", "")
    assert interface.kind == entry.get("linkinfo", {}).get("info_kind", "")
    assert interface.master == indexes.get(entry.get("master", ""), 0)
    assert interface.link == indexes.get(entry.get("link", ""), entry.get("link_index") or 0)
    shown = set(entry["flags"]) - {"NO-CARRIER", "M-DOWN"}
    assert {name for name, bit in FLAG_BITS.items() if interface.flags & bit} == shown
    assert len(interface.addresses) == len(entry["addr_info"])
    for address, shown_address in zip(interface.addresses, entry["addr_info"], strict=True):
        assert text(address.address) == shown_address["local"]
        assert address.prefix_length == shown_address["prefixlen"]
        assert SCOPE_NAMES[address.scope] == shown_address["scope"]
        assert (text(address.peer) if address.peer is not None else None) == shown_address.get("address")
        assert (text(address.broadcast) if address.broadcast is not None else None) == shown_address.get("broadcast")
        assert address.label == shown_address.get("label", "")
        assert bool(address.flags & 0x200) is shown_address.get("noprefixroute", False)
        assert bool(address.flags & 1) is (
            shown_address.get("secondary", False) or shown_address.get("temporary", False)
        )
        for ours, name in ((address.preferred, "preferred_life_time"), (address.valid, "valid_life_time")):
            theirs = None if shown_address[name] == 0xFFFFFFFF else shown_address[name] * 10**9
            assert ours == theirs or (ours is not None and theirs is not None and abs(ours - theirs) <= 10**9)


def test_routes_of_all_tables_are_as_ip_shows_them(seed: int) -> None:
    ours, theirs, indexes = apart(_routes, generate(seed))
    mine = sorted(_shown_route(route, {index: name for name, index in indexes.items()}) for route in ours)
    assert mine == sorted(_their_route(entry, v6) for v6, entries in theirs for entry in entries)


def _routes(commands: list[str]) -> Any:
    ip(*commands)
    theirs = [(v6, ip_json(family, "-N", "route", "show", "table", "all")) for v6, family in ((0, "-4"), (1, "-6"))]
    return rtnetlink.routes(), theirs, {entry["ifname"]: entry["ifindex"] for entry in ip_json("link")}


Row = tuple[str, ...]


def _shown_route(route: Route, names: dict[int, str]) -> Row:
    whole = 32 if is_v4(route.destination) else 128
    destination = f"{text(route.destination)}/{route.prefix_length}"
    if route.prefix_length == 0:
        destination = f"default{whole}"
    hops = [
        (_address(hop.gateway), names.get(hop.interface, ""), hop.weight, hop.onlink, hop.dead) for hop in route.hops
    ]
    return (destination, KIND_NAMES[route.kind], _address(route.gateway), names.get(route.interface, ""),
            _address(route.source), str(route.metric), str(route.table), str(route.scope if whole == 32 else ""),
            str(route.protocol), str(route.tos), str(route.mtu), str(route.advmss), str(hops), str(route.dead),
            str(route.link_down), str(route.onlink),
            f"{_address(route.from_prefix[0])}/{route.from_prefix[1]}" if route.from_prefix else "")  # fmt: skip


def _address(address: int | None) -> str:
    return "" if address is None else text(address)


def _their_route(entry: dict[str, Any], v6: int) -> Row:
    whole = 128 if v6 else 32
    destination = entry["dst"]
    if destination == "default":
        destination = f"default{whole}"
    elif "/" not in destination:
        destination += f"/{whole}"
    metrics = {name: value for each in entry.get("metrics", []) for name, value in each.items()}
    via = entry.get("via", {})
    flags = set(entry.get("flags", []))
    hops = [
        (hop.get("gateway", hop.get("via", {}).get("host", "")), hop.get("dev", ""), hop.get("weight", 1),
         "onlink" in hop["flags"], "dead" in hop["flags"]) for hop in entry.get("nexthops", [])
    ]  # fmt: skip
    table = entry.get("table", "254")
    scope = entry.get("scope", "0")
    return (destination, _kind_name(entry.get("type", "1")), entry.get("gateway", via.get("host", "")),
            entry.get("dev", ""), entry.get("prefsrc", ""), str(entry.get("metric", 0)),
            str(TABLES.get(table, table)), "" if v6 else str(SCOPES.get(scope, scope)),
            str(PROTOCOLS.get(entry["protocol"], entry["protocol"])), str(int(str(entry.get("tos", "0")), 16)),
            str(metrics.get("mtu", 0)), str(metrics.get("advmss", 0)), str(hops),
            str("dead" in flags), str("linkdown" in flags), str("onlink" in flags), entry.get("from", ""))  # fmt: skip


def _kind_name(shown: str) -> str:
    return KIND_NAMES[int(shown)] if shown.isdigit() else shown


def test_policy_rules_are_as_ip_shows_them(seed: int) -> None:
    ours, theirs = apart(_rules, generate(seed))
    mine = [_shown_rule(rule) for rule in ours]
    assert mine == [_their_rule(entry) for entry in theirs]
    assert len(mine) > 8


def _rules(commands: list[str]) -> Any:
    ip(*commands)
    return rtnetlink.policy_rules(), ip_json("-4", "-N", "rule") + ip_json("-6", "-N", "rule")


def _shown_rule(rule: Any) -> Row:
    prefix = [f"{text(each[0])}/{each[1]}" if each else "" for each in (rule.source, rule.destination)]
    ports = [f"{each[0]}-{each[1]}" if each else "" for each in (rule.source_ports, rule.destination_ports, rule.uids)]
    mark = f"{rule.mark[0]}/{rule.mark[1]}" if rule.mark else ""
    return (str(rule.priority), rule.action, str(rule.table if rule.action == "lookup" else ""),
            str(rule.target or ""), *prefix, rule.input_interface, rule.output_interface, mark, *ports,
            str(rule.proto or ""), str(rule.tos or ""), str(rule.inverted),
            str(rule.suppress_prefix_length))  # fmt: skip


def _their_rule(entry: dict[str, Any]) -> Row:
    def prefix(name: str, length: str) -> str:
        if entry.get(name, "all") == "all":
            return ""
        return f"{entry[name]}/{entry.get(length, 128 if ':' in entry[name] else 32)}"

    def bounds(name: str) -> str:
        if name in entry:
            return f"{entry[name]}-{entry[name]}"
        return f"{entry[name + '_start']}-{entry[name + '_end']}" if name + "_start" in entry else ""

    mark = ""
    if "fwmark" in entry:
        mark = f"{int(entry['fwmark'], 16)}/{int(entry.get('fwmask', '0xffffffff'), 16)}"
    uids = f"{entry['uid_start']}-{entry['uid_end']}" if "uid_start" in entry else ""
    table = str(TABLES.get(entry.get("table", ""), entry.get("table", "")))
    action = _action(entry)
    proto = str(entry.get("ipproto", "")).removeprefix("ipproto-")
    return (str(entry["priority"]), action, table if action == "lookup" else "",
            str(entry.get("goto", "")), prefix("src", "srclen"), prefix("dst", "dstlen"), entry.get("iif", ""),
            entry.get("oif", ""), mark, bounds("sport"), bounds("dport"), uids,
            proto, str(int(entry["tos"], 16)) if "tos" in entry else "",
            str("not" in entry), str(entry.get("suppress_prefixlen")))  # fmt: skip


def _action(entry: dict[str, Any]) -> str:
    if "l3mdev" in entry:
        return "l3mdev"
    if "goto" in entry:
        return "goto"
    if "nop" in entry:
        return "nop"
    number = entry.get("action", "lookup")
    return {"6": "blackhole", "7": "unreachable", "8": "prohibit"}.get(number, number)


def test_neighbors_are_as_ip_shows_them(seed: int) -> None:
    ours, theirs, indexes = apart(_neighbors, generate(seed))
    names = {index: name for name, index in indexes.items()}
    # The kernel itself makes rows for the multicasts that it sends, and they may come between two looks.
    rows = [(text(row.address), names[row.interface], row.mac.hex(":"), row.state) for row in ours]
    mine = sorted(row for row in rows if not is_multicast(parse(row[0])))
    shown = ((entry["dst"], entry["dev"], entry.get("lladdr", ""), entry["state"][0]) for entry in theirs)
    assert mine == sorted(row for row in shown if not is_multicast(parse(row[0])))
    assert len(mine) > 3


def _neighbors(commands: list[str]) -> Any:
    ip(*commands)
    return rtnetlink.neighbors(), ip_json("neigh", "show", "nud", "all"), {
        entry["ifname"]: entry["ifindex"] for entry in ip_json("link")
    }  # fmt: skip


def test_both_ends_of_a_veth_name_each_other_and_the_namespace_of_the_other() -> None:
    here, there, inodes = apart(_veth)
    mine, theirs = (next(i for i in ends if i.kind == "veth") for ends in (here, there))
    assert (mine.link, theirs.link) == (theirs.index, mine.index)
    assert (mine.link_namespace, theirs.link_namespace) == (inodes[1], inodes[0])


def test_a_peer_in_a_namespace_that_is_not_known_is_in_namespace_0() -> None:
    here, _, _ = apart(_veth, False)
    assert next(i for i in here if i.kind == "veth").link_namespace == 0


def test_a_peer_in_the_same_namespace_has_none() -> None:
    ours, _ = apart(_interfaces, ["link add name pa type veth peer name pb"])
    assert [interface.link_namespace for interface in ours if interface.kind == "veth"] == [None, None]


def _veth(known: bool = True) -> Any:
    from tests.live.apart import CLONE_NEWNET, libc, unshare

    mine = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    unshare()
    theirs = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    namespaces = {os.fstat(fd).st_ino: fd for fd in (mine, theirs)} if known else {}
    assert libc.setns(mine, CLONE_NEWNET) == 0
    ip("link add name one type veth peer name two", f"link set two netns /proc/{os.getpid()}/fd/{theirs}")
    here = rtnetlink.interfaces(namespaces)
    assert libc.setns(theirs, CLONE_NEWNET) == 0
    there = rtnetlink.interfaces(namespaces)
    return here, there, [os.fstat(fd).st_ino for fd in (mine, theirs)]


def test_names_of_interfaces_may_hold_any_byte() -> None:
    assert "ps\udcff\x1b" in apart(_odd_name)


def _odd_name() -> list[str]:
    subprocess.run([b"ip", b"link", b"add", b"ps\xff\x1b", b"type", b"bridge"], check=True)
    return [interface.name for interface in rtnetlink.interfaces()]


def test_groups_have_the_names_that_the_machine_gives_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "group"
    file.write_text("# comment\n0 default\n7 servers # seven\n")
    monkeypatch.setattr(rtnetlink, "GROUPS", file)
    assert [rtnetlink.group_name(number) for number in (0, 7, 8)] == ["default", "servers", "8"]
    monkeypatch.setattr(rtnetlink, "GROUPS", tmp_path / "none")
    assert rtnetlink.group_name(7) == "7"
