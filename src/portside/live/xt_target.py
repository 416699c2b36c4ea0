"""The targets of iptables-extensions(8), out of the structures that the kernel keeps of them.

Source: <linux/netfilter/xt_*.h>, <linux/netfilter/nf_nat.h>, <linux/netfilter_ipv4/ipt_REJECT.h>,
<linux/netfilter_ipv6/ip6t_REJECT.h>.
"""

from __future__ import annotations

import struct
from typing import Final

from portside.addr.abi import IPPROTO_TCP
from portside.addr.ip import V4_PREFIX
from portside.addr.ip import text as ip_text
from portside.facts.rule import FirewallRule, Match
from portside.live.nft_extensions import Extension
from portside.live.nft_match import Matches
from portside.live.nft_values import NotUnderstoodError
from portside.live.xt_match import address_at

HARMLESS: Final = frozenset({
    "LOG", "NFLOG", "ULOG", "AUDIT", "LED", "IDLETIMER", "RATEEST", "TRACE", "CHECKSUM", "CLASSIFY", "TCPMSS", "DSCP",
    "TOS", "TTL", "HL", "ECN", "TCPOPTSTRIP", "SECMARK", "CONNSECMARK", "SET", "TEE",
})  # fmt: skip
"""Those that decide nothing about the packet at hand."""
PASSING: Final = HARMLESS | {"MARK", "CONNMARK", "CT", "NOTRACK", "HMARK"}
"""Those after which the packet goes on to the next rule."""
REJECT_V4: Final = (
    "net-unreachable", "host-unreachable", "prot-unreachable", "port-unreachable", "", "net-prohibited",
    "host-prohibited", "tcp-reset", "admin-prohibited",
)  # fmt: skip
REJECT_V6: Final = (
    "no-route", "admin-prohibited", "", "addr-unreachable", "port-unreachable", "", "tcp-reset", "policy-fail",
    "reject-route",
)  # fmt: skip
REJECT: Final = "reject"
NAT: Final = {"DNAT": "dnat", "SNAT": "snat", "MASQUERADE": "masquerade", "REDIRECT": "redirect"}
TCP: Final = Match(key="proto", values=((IPPROTO_TCP, IPPROTO_TCP),))
ADDRESSES, PORTS, OFFSET, PREFIX = 0x01, 0x02, 0x20, 0x40  # NF_NAT_RANGE_*


def outcome(extension: Extension) -> tuple[Matches, FirewallRule]:
    """What a target does, and what must hold besides for it to do it. Raises NotUnderstoodError."""
    name, info, v4 = extension.name, extension.info, extension.family == "ip"
    if extension.family not in ("ip", "ip6"):
        raise NotUnderstoodError(f"{name} of the family {extension.family}")
    try:
        if name == "REJECT":
            return _reject(info, v4)
        if name in NAT:
            return (), _translation(extension, v4)
        if name == "MARK":
            return (), _mark(extension)
        if name in ("CT", "NOTRACK"):
            return (), _tracking(extension)
        if name == "CONNMARK":
            return (), _connection_mark(extension)
    except (struct.error, IndexError) as error:
        raise NotUnderstoodError(f"{name}: {error}") from error
    if name == "NFQUEUE":
        return (), FirewallRule(verdict="queue")
    raise NotUnderstoodError(name)


def words(extension: Extension) -> str:
    """What a target does in the words of nft(8), as far as it decides about the packet; empty for all others."""
    try:
        _, rule = outcome(extension)
    except NotUnderstoodError:
        return ""
    if rule.verdict == REJECT:
        return f"{REJECT} with {rule.reject_with}"
    if rule.verdict not in NAT.values():
        return ""
    address = "-".join(dict.fromkeys(map(ip_text, rule.to_address or ())))
    port = "-".join(dict.fromkeys(map(str, rule.to_port or ())))
    if address and port and ":" in address:
        address = f"[{address}]"
    to = f"{address}:{port}" if port else address
    return f"{rule.verdict} to {to}" if to else rule.verdict


def _reject(info: bytes, v4: bool) -> tuple[Matches, FirewallRule]:
    """struct ipt_reject_info, struct ip6t_reject_info."""
    (number,) = struct.unpack_from("=I", info)
    named = (REJECT_V4 if v4 else REJECT_V6)[number]
    if not named:
        raise NotUnderstoodError(f"REJECT {number}")
    return (TCP,) if named == "tcp-reset" else (), FirewallRule(verdict=REJECT, reject_with=named)


def _translation(extension: Extension, v4: bool) -> FirewallRule:
    """struct nf_nat_ipv4_multi_range_compat of the oldest revision for IPv4, else struct nf_nat_range."""
    info, verdict = extension.info, NAT[extension.name]
    if v4 and extension.revision == 0:
        _, flags, low, high = struct.unpack_from("=II4s4s", info)
        addresses = tuple(V4_PREFIX | int.from_bytes(each, "big") for each in (low, high))
        ports = struct.unpack_from("!HH", info, 16)
    else:
        (flags,) = struct.unpack_from("=I", info)
        addresses = address_at(info, 4, v4), address_at(info, 20, v4)
        ports = struct.unpack_from("!HH", info, 36)
    if flags & (OFFSET | PREFIX):
        raise NotUnderstoodError("NAT of whole prefixes, or by an offset")
    return FirewallRule(
        verdict=verdict,
        to_address=(addresses[0], addresses[1]) if flags & ADDRESSES and verdict in ("dnat", "snat") else None,
        to_port=(ports[0], ports[1]) if flags & PORTS else None,
    )


def _mark(extension: Extension) -> FirewallRule:
    """struct xt_mark_tginfo2: the bits of the mask are cleared, then those of the mark turned around."""
    if extension.revision != 2:
        raise NotUnderstoodError(f"MARK revision {extension.revision}")
    mark, mask = struct.unpack_from("=II", extension.info)
    if mark & ~mask:
        raise NotUnderstoodError("bits of the mark that are turned around")
    return FirewallRule(set_mark=(mark, mask))


def _tracking(extension: Extension) -> FirewallRule:
    """struct xt_ct_target_info: flags, zone. Helpers and timeouts decide nothing about the packet."""
    if extension.name == "NOTRACK":
        return FirewallRule(verdict="notrack")
    flags, zone = struct.unpack_from("=HH", extension.info)
    if flags & ~3 or zone:  # 2: it was written as -j NOTRACK
        raise NotUnderstoodError("a zone of connection tracking")
    return FirewallRule(verdict="notrack" if flags & 1 else "continue")


def _connection_mark(extension: Extension) -> FirewallRule:
    """struct xt_connmark_tginfo1 and 2: the mark of the connection is set, or the packet's put into it; or the other
    way, as is not foreseen."""
    (mode,) = struct.unpack_from("=B", extension.info, 14 if extension.revision == 2 else 12)
    if mode not in (0, 1):
        raise NotUnderstoodError("the mark of the connection")
    return FirewallRule()
