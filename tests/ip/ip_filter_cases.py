"""Generated filter rule sets and packets, shown to the model and to nft on the real kernel."""

from __future__ import annotations

import errno as errnos
import random
import select
import socket
import struct
import subprocess
from typing import Any

import ip_kernel as kernel
from ip_kernel import ip, outcome, settle, sysctl
from ip_world import Host, World

from portside.addr.ip import parse
from portside.facts.verdict import Verdict
from portside.wire.packet import ACK, SYN, TcpSegment, UdpDatagram

REJECTS = ["port-unreachable", "host-unreachable", "no-route", "admin-prohibited"]
V4_REJECTS = ["net-unreachable", "prot-unreachable", "net-prohibited", "host-prohibited"]
ADDRESSES = {"ip": ["127.0.0.1", "127.0.0.2", "10.0.0.1"], "ip6": ["::1", "2001:db8::1"]}
PREFIXES = {"ip": ["127.0.0.0/8", "127.0.0.2", "10.0.0.0/24", "0.0.0.0/0"], "ip6": ["::1", "2001:db8::/32", "::/0"]}
PORTS = [53, 80, 1000]


def generate(seed: int) -> dict[str, Any]:
    """Rules for input and output, and packets from a port to an address and port of the same host."""
    draw = random.Random(seed)
    chains = {}
    for hook in ("input", "output"):
        rules = [_rule(draw, hook) for _ in range(draw.randint(0, 4))]
        chains[hook] = {"policy": "drop" if draw.random() < 0.15 else "accept", "rules": rules}
    packets = []
    for number in range(16):
        family = draw.choice(["ip", "ip", "ip6"])
        packets.append(
            {"proto": draw.choice(["udp", "tcp"]), "family": family, "dst": draw.choice(ADDRESSES[family]),
             "dport": draw.choice(PORTS), "sport": 20000 + number}
        )  # fmt: skip
    return {"chains": chains, "packets": packets}


def _rule(draw: random.Random, hook: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"verdict": draw.choice(["accept", "drop", "drop", *REJECTS, "tcp-reset", *V4_REJECTS[:2]])}
    if rule["verdict"] in V4_REJECTS:
        rule["family"] = "ip"
    family = rule.get("family") or draw.choice(["ip", "ip6"])
    for key in ("src", "dst"):
        if draw.random() < 0.25:
            rule[key] = draw.choice(PREFIXES[family])
    if draw.random() < 0.5:
        rule["proto"] = draw.choice(["tcp", "udp"])
        if draw.random() < 0.7:
            rule["dport"] = draw.choice(["53", "80", "1000", "50-90", "20000-65535"])
        if draw.random() < 0.2:
            rule["sport"] = draw.choice(["20000-20007", "53", "80"])
    if rule["verdict"] == "tcp-reset":
        rule["proto"] = "tcp"
    if draw.random() < 0.3:
        rule["state"] = draw.choice(["new", "established", "related", "established,related", "invalid"])
    if draw.random() < 0.2:
        rule["iif" if hook == "input" else "oif"] = draw.choice(["lo", "ve0", "l*"])
    return rule


# -- the model --


def model(case: dict[str, Any]) -> list[Any]:
    """What becomes of each packet on a simulated host."""
    host = Host(World(), "10.0.0.1/24 2001:db8::1/64")
    for hook, chain in case["chains"].items():
        for rule in chain["rules"]:
            host.ip.firewall.add(hook, **rule)
        host.ip.firewall.set_policy(hook, chain["policy"])
    return [(_model_udp if packet["proto"] == "udp" else _model_tcp)(host, packet) for packet in case["packets"]]


def _model_send(host: Host, packet: Any) -> list[Any]:
    """Errno, whether it was delivered, and the ICMP errors that came of it."""
    route = host.ip.lookup(packet.dst, packet.src)
    assert not isinstance(route, Verdict)
    host.received.clear()
    host.errors.clear()
    host.quoted.clear()
    host.resets = 0
    errno = host.ip.send(packet, route)
    host.ip.run_backlog()
    delivered = any(received is packet for received, _ in host.received)
    errors = [list(error[1:3]) for error, about in zip(host.errors, host.quoted, strict=True) if about is packet]
    return [errnos.errorcode.get(errno, 0), delivered, errors]


def _source(host: Host, packet: dict[str, Any]) -> int:
    route = host.ip.lookup(parse(packet["dst"]))
    assert not isinstance(route, Verdict)
    return route.src


def _model_udp(host: Host, packet: dict[str, Any]) -> list[Any]:
    host.ports = set(PORTS) | {packet["sport"]}
    src, dst = _source(host, packet), parse(packet["dst"])
    result = _model_send(host, UdpDatagram(src, dst, packet["sport"], packet["dport"], b"x"))
    reply = None
    if result[1]:
        reply = _model_send(host, UdpDatagram(dst, src, packet["dport"], packet["sport"], b"y"))[:2]
    return [*result, reply]


def _model_tcp(host: Host, packet: dict[str, Any]) -> list[Any]:
    src, dst = _source(host, packet), parse(packet["dst"])
    sport, dport = packet["sport"], packet["dport"]
    _, delivered, errors = _model_send(host, TcpSegment(src, dst, sport, dport, 1, 0, SYN, 1000))
    if host.resets:
        return ["reset"]
    if not delivered:
        return errors or ["nothing"]
    answered = _model_send(host, TcpSegment(dst, src, dport, sport, 1, 2, SYN | ACK, 1000))[1]
    if not answered:
        return ["nothing"]
    _model_send(host, TcpSegment(src, dst, sport, dport, 2, 2, ACK, 1000))
    return ["reset"] if host.resets else ["established"]


# -- the kernel --


def linux(case: dict[str, Any]) -> list[Any]:
    """What becomes of each packet on the real kernel, in a fresh namespace."""
    return kernel.in_namespace(_linux, case)


def nft(case: dict[str, Any]) -> str:
    """The rule set in the words of nft(8)."""
    lines = ["table inet filter {"]
    for hook, chain in case["chains"].items():
        lines += [f"chain {hook} {{", f"type filter hook {hook} priority 0; policy {chain['policy']};"]
        lines += [_nft_rule(rule) for rule in chain["rules"]] + ["}"]
    return "\n".join([*lines, "}", ""])


def _nft_rule(rule: dict[str, Any]) -> str:
    words = []
    for key, name in (("iif", "iifname"), ("oif", "oifname")):
        if key in rule:
            words.append(f'{name} "{rule[key]}"')
    if "family" in rule:
        words.append(f"meta nfproto {'ipv4' if rule['family'] == 'ip' else 'ipv6'}")
    for key, name in (("src", "saddr"), ("dst", "daddr")):
        if key in rule:
            words.append(f"{'ip6' if ':' in rule[key] else 'ip'} {name} {rule[key]}")
    if "proto" in rule:
        words.append(f"meta l4proto {rule['proto']}")
        words += [f"{rule['proto']} {key} {rule[key]}" for key in ("sport", "dport") if key in rule]
    if "state" in rule:
        words.append(f"ct state {rule['state']}")
    verdict = rule["verdict"]
    if verdict in REJECTS:
        verdict = f"reject with icmpx type {verdict}"
    elif verdict in V4_REJECTS:
        verdict = f"reject with icmp type {verdict}"
    elif verdict == "tcp-reset":
        verdict = "reject with tcp reset"
    return " ".join([*words, verdict])


def _linux(case: dict[str, Any]) -> list[Any]:
    sysctl("net.ipv6.conf.default.accept_dad", 0)
    assert all(ip("link add index 2 name ve0 type vxlan id 2 dstport 4002", "link set ve0 up",
                  "address add 10.0.0.1/24 dev ve0", "address add 2001:db8::1/64 dev ve0 nodad"))  # fmt: skip
    settle()
    loaded = subprocess.run(["nft", "-f", "-"], input=nft(case), text=True, capture_output=True)
    assert not loaded.returncode, loaded.stderr
    servers = {}
    for port in PORTS:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            server = servers[port, kind] = socket.socket(socket.AF_INET6, kind)
            server.bind(("::", port))
            server.setblocking(False)
            if kind == socket.SOCK_STREAM:
                server.listen(100)
            else:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    return [
        _linux_udp(servers[packet["dport"], socket.SOCK_DGRAM], packet) if packet["proto"] == "udp"
        else _linux_tcp(packet)
        for packet in case["packets"]
    ]  # fmt: skip


def _client(packet: dict[str, Any], kind: int) -> socket.socket:
    v4 = packet["family"] == "ip"
    sock = socket.socket(socket.AF_INET if v4 else socket.AF_INET6, kind)
    sock.setsockopt(socket.IPPROTO_IP if v4 else socket.IPPROTO_IPV6, 11 if v4 else 25, 1)  # IP_RECVERR
    sock.setblocking(False)
    sock.bind(("", packet["sport"]))
    return sock


def _error_queue(sock: socket.socket) -> list[Any]:
    """Type and code of the ICMP errors in the error queue."""
    errors = []
    while True:
        try:
            _, ancillary, _, _ = sock.recvmsg(1000, 1000, socket.MSG_ERRQUEUE)
        except OSError:
            return errors
        for _, _, data in ancillary:
            _, origin, type, code = struct.unpack_from("IBBB", data)
            if origin in (2, 3):
                errors.append([type, code])


def _linux_udp(server: socket.socket, packet: dict[str, Any]) -> list[Any]:
    with _client(packet, socket.SOCK_DGRAM) as sock:
        sock.connect((packet["dst"], packet["dport"]))
        sent = outcome(sock.send, b"x")
        errors = _error_queue(sock)
        reply = None
        received = outcome(server.recvmsg, 100, 100)
        delivered = not isinstance(received, str)
        if delivered:
            _, ancillary, _, peer = received
            result = outcome(server.sendmsg, [b"y"], ancillary, 0, peer)
            outcome(sock.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)
            reply = [0 if result == 1 else result, outcome(sock.recv, 10) == b"y"]
            server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return [0 if sent == 1 else sent, delivered, errors, reply]


def _linux_tcp(packet: dict[str, Any]) -> list[Any]:
    with _client(packet, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.connect_ex((packet["dst"], packet["dport"]))
        errors = _error_queue(sock)
        if errors:
            return errors
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        events = poll.poll(0)
        if events and events[0][1] & select.POLLHUP:
            return ["reset"]
        # An error here is about the third segment of the handshake: the connection is there.
        return ["established"] if events else ["nothing"]
