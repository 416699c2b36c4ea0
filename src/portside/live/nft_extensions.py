"""What iptables-nft(8) put into the rules: extensions of xtables, of which nft(8) tells no more than the name.

The kernel tells all: which match or target it is, its revision, and the structure that iptables(8) filled in.
Source: nf_tables_api.c nf_tables_dump_rules, nft_compat.c nft_extension_dump_info.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from portside.live.netlink import NETLINK_NETFILTER, Netlink, attributes, text_of

NFT_MSG_GETRULE: Final = 10 << 8 | 7  # NFNL_SUBSYS_NFTABLES
_GENERIC: Final = struct.Struct("=BBH")
"""struct nfgenmsg: family, version, resource."""
NFTA_RULE_TABLE: Final = 1
NFTA_RULE_HANDLE: Final = 3
NFTA_RULE_EXPRESSIONS: Final = 4
NFTA_EXPR_NAME: Final = 1
NFTA_EXPR_DATA: Final = 2
NFTA_COMPAT_NAME: Final = 1  # of a match and of a target
NFTA_COMPAT_REV: Final = 2
NFTA_COMPAT_INFO: Final = 3
FAMILIES: Final = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
"""<linux/netfilter.h>, in the words of nft(8)."""
MATCH: Final = "match"
TARGET: Final = "target"

Place = tuple[str, str, int]
"""Family and name of a table, and the handle of a rule."""


@dataclass(frozen=True, slots=True)
class Extension:
    """A match or a target of iptables-extensions(8) in a rule. `info` is its structure, as <linux/netfilter/xt_*.h>
    has it, in the byte order of this machine."""

    kind: str
    name: str
    revision: int
    info: bytes
    family: str = "ip"


def extensions() -> dict[Place, tuple[Extension, ...]]:
    """The extensions of all rules that have any, in their order in the rule. Raises OSError."""
    with Netlink(NETLINK_NETFILTER) as netlink:
        bodies = [body for _, body in netlink.whole(NFT_MSG_GETRULE, _GENERIC.pack(0, 0, 0))]
    return {place: found for place, found in map(_of_rule, bodies) if found}


def _of_rule(body: memoryview) -> tuple[Place, tuple[Extension, ...]]:
    family, _, _ = _GENERIC.unpack_from(body)
    name = FAMILIES.get(family, str(family))
    found = dict(attributes(body, _GENERIC.size))
    handle = int.from_bytes(found.get(NFTA_RULE_HANDLE, b""), "big")
    expressions = found.get(NFTA_RULE_EXPRESSIONS, memoryview(b""))
    return (name, text_of(found.get(NFTA_RULE_TABLE)), handle), tuple(_of_expressions(name, expressions))


def _of_expressions(family: str, body: memoryview) -> Iterator[Extension]:
    for _, element in attributes(body):
        expression = dict(attributes(element))
        kind = text_of(expression.get(NFTA_EXPR_NAME))
        if kind not in (MATCH, TARGET) or NFTA_EXPR_DATA not in expression:
            continue
        data = dict(attributes(expression[NFTA_EXPR_DATA]))
        yield Extension(
            kind=kind, name=text_of(data.get(NFTA_COMPAT_NAME)), family=family,
            revision=int.from_bytes(data.get(NFTA_COMPAT_REV, b""), "big"), info=bytes(data.get(NFTA_COMPAT_INFO, b"")),
        )  # fmt: skip


def filled_in(expressions: Sequence[dict[str, Any]], found: Sequence[Extension]) -> list[dict[str, Any]]:
    """The expressions of a rule in nft(8)'s JSON, with an Extension where it only says `xt`.

    They stay as they are where the two do not fit: the rule is another than the one that was read.
    """
    if sum("xt" in each for each in expressions) != len(found):
        return list(expressions)
    following = iter(found)
    return [{"xt": next(following)} if "xt" in each else each for each in expressions]
