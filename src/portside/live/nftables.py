"""The packet filter of the calling thread's network namespace, as `nft -j list ruleset` tells of it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from portside.facts.rule import Chain, FirewallRule
from portside.facts.snapshot import Missing
from portside.live import proc
from portside.live.netlink import NETLINK_NETFILTER, Forbidden, Netlink
from portside.live.nft_extensions import Extension, Place, extensions
from portside.live.nft_match import Lookup
from portside.live.nft_rule import rules
from portside.live.nft_values import NotUnderstoodError

NFT_MSG_GETTABLE: Final = 10 << 8 | 1  # NFNL_SUBSYS_NFTABLES
FILTER: Final = "the packet filter"
LEGACY: Final = {"iptables-legacy": "ip_tables_names", "ip6tables-legacy": "ip6_tables_names"}
PLACES: Final = ("/usr/sbin", "/sbin", "/usr/local/sbin")
"""Where nft(8) is, though these may not be in PATH: cron(8) leaves them out."""
TIME_LIMIT: Final = 30  # seconds that nft(8) may take

Key = tuple[str, str]
"""Family and name of a table."""
NONE: Final[Mapping[Place, Sequence[Extension]]] = MappingProxyType({})
Found = tuple[tuple[Chain, ...], tuple[Missing, ...]]


def chains() -> Found:
    """The chains of all tables that are in effect, in the order of nft(8), and what could not be read.

    nft(8) is asked only where the kernel has tables at all. It sees what iptables-nft set up, not what the older
    iptables did: that is missing. Raises Forbidden, OSError.
    """
    legacy = _legacy()
    try:
        with Netlink(NETLINK_NETFILTER) as netlink:
            if not netlink.whole(NFT_MSG_GETTABLE, bytes(4)):
                return (), legacy
    except Forbidden:
        raise
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP):  # a kernel without nf_tables
            return (), legacy
        if error.errno not in (errno.EPERM, errno.EACCES):
            raise
        remedy = proc.remedy("CAP_NET_ADMIN")
        return (), (Missing(what=FILTER, why="only root may read its rules", remedy=remedy), *legacy)
    try:
        listed = _run("-j")
        lines = _run("-a").splitlines()
    except FileNotFoundError:
        remedy = "install nftables"
        return (), (Missing(what=FILTER, why="there are rules, but no nft(8) to read them", remedy=remedy), *legacy)
    except subprocess.SubprocessError as error:
        words = getattr(error, "stderr", None) or str(error)
        return (), (Missing(what=FILTER, why=f"nft: {str(words).strip()}", remedy="nft list ruleset"), *legacy)
    ruleset = json.loads(listed)
    return parse(ruleset, lines, extensions() if _has_extensions(ruleset) else {}), legacy


def _run(option: str) -> str:
    tool = shutil.which("nft", path=os.pathsep.join((os.environ.get("PATH", os.defpath), *PLACES)))
    if tool is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "nft")
    done = subprocess.run(
        [tool, option, "list", "ruleset"],
        capture_output=True, check=True, timeout=TIME_LIMIT, encoding="utf-8", errors="surrogateescape",
    )  # fmt: skip
    return done.stdout


def _has_extensions(listed: Mapping[str, Any]) -> bool:
    """Whether iptables-nft(8) made rules of which nft(8) cannot tell all."""
    found = (entry["rule"].get("expr", ()) for entry in listed["nftables"] if "rule" in entry)
    return any("xt" in expression for expressions in found for expression in expressions)


def _legacy() -> tuple[Missing, ...]:
    """The tables of the iptables that came before nf_tables, which nft(8) does not show."""
    found = []
    for tool, file in LEGACY.items():
        try:
            with open(f"/proc/thread-self/net/{file}", encoding="utf-8") as names:
                tables = names.read().split()
        except OSError:  # there is no such table; or only root may know
            continue
        if tables:
            why = f"{tool} has rules in {', '.join(tables)}, which nft(8) does not show"
            found.append(Missing(what=FILTER, why=why, remedy=f"{tool}-save shows them"))
    return tuple(found)


# -- text --

_HANDLE: Final = re.compile(r"^\s*(.*?)\s*# handle (\d+)$")
_CHAIN: Final = re.compile(r"^\tchain (\S+) \{")
_HOOKED: Final = re.compile(r"^\t\ttype \S+ hook \S+ devices? (.*?) ?priority ")
_NAMED: Final = re.compile(r'[^\s{}=,"]+')
_TABLE: Final = re.compile(r"^table (\S+) (\S+) \{")


def texts_of(lines: Iterable[str]) -> dict[tuple[str, str, int], str]:
    """The rules of `nft -a list ruleset` by their table and handle."""
    found: dict[tuple[str, str, int], str] = {}
    family = table = ""
    for line in lines:
        opening = _TABLE.match(line)
        if opening is not None:
            family, table = opening.groups()
            continue
        numbered = _HANDLE.match(line)
        if numbered is not None and not numbered[1].endswith("{"):
            found[family, table, int(numbered[2])] = numbered[1]
    return found


def dormant_of(lines: Iterable[str]) -> set[Key]:
    """The tables of `nft list ruleset` that have the flag `dormant`, which its JSON does not always tell."""
    found: set[Key] = set()
    table = "", ""
    for line in lines:
        opening = _TABLE.match(line)
        if opening is not None:
            table = opening[1], opening[2]
        elif line.startswith("\tflags ") and "dormant" in line:
            found.add(table)
    return found


def devices_of(lines: Iterable[str]) -> dict[tuple[str, str, str], str]:
    """The devices of base chains by family, table and name, which nft(8) does not always tell in JSON."""
    found: dict[tuple[str, str, str], str] = {}
    family = table = name = ""
    for line in lines:
        opening, chain, hooked = _TABLE.match(line), _CHAIN.match(line), _HOOKED.match(line)
        if opening is not None:
            family, table = opening.groups()
        elif chain is not None:
            name = chain[1]
        elif hooked is not None:
            found[family, table, name] = " ".join(_NAMED.findall(hooked[1]))
    return found


# -- JSON: libnftables-json(5) --


def parse(
    listed: Mapping[str, Any], lines: Sequence[str], found: Mapping[Place, Sequence[Extension]] = NONE
) -> tuple[Chain, ...]:
    """The chains of a ruleset. Those of a dormant table do nothing, and are left out.

    Args: listed: what `nft -j list ruleset` prints; lines: what `nft -a list ruleset` does. found: the extensions of
    iptables-nft(8) in the rules.
    """
    texts, dormant, devices = texts_of(lines), dormant_of(lines), devices_of(lines)
    entries = [next(iter(entry.items())) for entry in listed["nftables"]]
    sets = {(_table(what), what["name"]): what for kind, what in entries if kind in ("set", "map")}
    contents: dict[tuple[Key, str], list[FirewallRule]] = {}
    for kind, what in entries:
        if kind == "rule":
            table = _table(what)
            place = (*table, what.get("handle", 0))
            text = texts.get(place) or json.dumps(what.get("expr"))
            read = rules(what, text, _lookup(sets, table), found.get(place, ()))
            contents.setdefault((table, what["chain"]), []).extend(read)
    return tuple(
        _chain(what, devices, tuple(contents.get((_table(what), what["name"]), ())))
        for kind, what in entries
        if kind == "chain" and _table(what) not in dormant
    )


def _table(what: Mapping[str, Any], name: str = "table") -> Key:
    return what["family"], what[name]


def _lookup(sets: Mapping[tuple[Key, str], Mapping[str, Any]], table: Key) -> Lookup:
    def lookup(name: str) -> Any:
        found = sets.get((table, name.removeprefix("@")))
        if found is None:
            raise NotUnderstoodError(name)
        return found.get("elem", [])

    return lookup


def _chain(
    what: Mapping[str, Any], devices: Mapping[tuple[str, str, str], str], found: tuple[FirewallRule, ...]
) -> Chain:
    device = what.get("dev", "") or devices.get((*_table(what), what["name"]), "")
    return Chain(
        family=what["family"],
        table=what["table"],
        name=what["name"],
        kind=what.get("type", "filter"),
        hook=what.get("hook"),
        priority=what.get("prio", 0),
        policy=what.get("policy", "accept"),
        device=device if isinstance(device, str) else " ".join(device),
        rules=found,
    )
