"""A snapshot as `ip address show` of iproute2 prints it (ip-address(8))."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6
from portside.facts import interface as facts
from portside.facts.interface import Address, Interface
from portside.facts.snapshot import Snapshot
from portside.views.names import interface
from portside.views.table import Misuse, Report, clean, printed

# The names in the order in which ip prints them; without a carrier it says so first.
_FLAGS: Final = (
    (facts.IFF_LOOPBACK, "LOOPBACK"),
    (facts.IFF_BROADCAST, "BROADCAST"),
    (facts.IFF_POINTOPOINT, "POINTOPOINT"),
    (facts.IFF_MULTICAST, "MULTICAST"),
    (facts.IFF_NOARP, "NOARP"),
    (facts.IFF_PROMISC, "PROMISC"),
    (facts.IFF_UP, "UP"),
    (facts.IFF_LOWER_UP, "LOWER_UP"),
)
_ADDRESS_FLAGS: Final = (
    (facts.IFA_F_SECONDARY, "secondary"),
    (facts.IFA_F_NODAD, "nodad"),
    (facts.IFA_F_DADFAILED, "dadfailed"),
    (facts.IFA_F_DEPRECATED, "deprecated"),
    (facts.IFA_F_TENTATIVE, "tentative"),
)
_SECOND: Final = 1_000_000_000


def show(snapshot: Snapshot, arguments: Sequence[str] = ()) -> Report:
    """What `ip [-4|-6] address [show] [dev NAME]` prints; `arguments` are the words after `ip`.

    Raises Misuse.
    """
    families = [AF_INET6 if word == "-6" else AF_INET for word in arguments if word in ("-4", "-6")]
    words = [word for word in arguments if word not in ("-4", "-6")]
    known = not words or "address".startswith(words.pop(0))
    if words and words[0] in ("show", "list", "ls", "lst", "sh"):
        words.pop(0)
    if words and words[0] == "dev":
        words.pop(0)
    if not known or len(words) > 1 or any(word.startswith("-") for word in words):
        raise Misuse(f"{' '.join(arguments)!r} is not understood; write ip [-4|-6] address show [dev NAME]")
    shown = [each for each in snapshot.interfaces if not words or each.name == words[0]]
    if words and not shown:
        return printed("", f'Device "{clean(words[0])}" does not exist.\n', 1)
    return printed("".join(line + "\n" for each in shown for line in _lines(snapshot, each, families)))


def _lines(snapshot: Snapshot, each: Interface, families: Sequence[int]) -> Iterator[str]:
    addresses = [address for address in each.addresses if not families or ip.family_of(address.address) in families]
    if families and not addresses:
        return
    yield f"{each.index}: {clean(each.name)}{_below(snapshot, each)}: {_flags(each)} {_state(snapshot, each, families)}"
    if not families:
        yield f"    link/{_hardware(each)}"
    # IPv4 before IPv6, each in the order of the kernel.
    for address in sorted(addresses, key=lambda address: ip.family_of(address.address)):
        yield _address(each, address)
        preferred = 0 if address.flags & facts.IFA_F_DEPRECATED else address.preferred
        yield f"       valid_lft {_lifetime(address.valid)} preferred_lft {_lifetime(preferred)}"


def _below(snapshot: Snapshot, each: Interface) -> str:
    """What it is stacked on, or its veth peer: `@eth0`, `@if7` in another namespace, `@NONE`."""
    if not each.link:
        return ""
    if each.link_namespace is not None:
        return f"@if{each.link}"
    return f"@{clean(interface(snapshot, each.link))}"


def _flags(each: Interface) -> str:
    names = [name for bit, name in _FLAGS if each.flags & bit]
    if each.flags & facts.IFF_UP and not each.flags & (facts.IFF_LOWER_UP | facts.IFF_RUNNING):
        names.insert(0, "NO-CARRIER")
    return f"<{','.join(names)}>"


def _state(snapshot: Snapshot, each: Interface, families: Sequence[int]) -> str:
    whole = list(families) != [AF_INET6]  # the kernel tells less of a link to who asks for IPv6 only
    told = f"mtu {each.mtu}"
    told += f" qdisc {clean(each.queue_discipline)}" if whole and each.queue_discipline else ""
    told += f" master {clean(interface(snapshot, each.master))}" if each.master else ""
    told += f" state {clean(each.state)}" + (f" group {clean(each.group)}" if whole else "")
    return told + (f" qlen {each.queue_length}" if each.queue_length else "")


def _hardware(each: Interface) -> str:
    kind = "loopback" if each.flags & facts.IFF_LOOPBACK else "ether" if len(each.mac) == 6 else "none"
    mac = each.mac or (bytes(6) if kind == "loopback" else b"")
    if not mac:
        return f"{kind} "
    told = f"{kind} {mac.hex(':')} brd {(bytes(6) if kind == 'loopback' else bytes([255] * 6)).hex(':')}"
    return told + (f" link-netnsid {each.link_namespace}" if each.link_namespace is not None else "")


def _address(each: Interface, address: Address) -> str:
    four = ip.is_v4(address.address)
    told = f"    inet{'' if four else '6'} {ip.text(address.address)}"
    told += f" peer {ip.text(address.peer)}" if address.peer is not None and address.peer != address.address else ""
    told += f"/{address.prefix_length}"
    told += f" brd {ip.text(address.broadcast)}" if address.broadcast is not None else ""
    told += f" scope {facts.SCOPE_NAMES.get(address.scope, address.scope)} {_address_flags(address, four)}"
    return told + (clean(address.label or each.name) if four else "")


def _address_flags(address: Address, four: bool) -> str:
    told = "".join(f"{name} " for bit, name in _ADDRESS_FLAGS if address.flags & bit)
    told = told.replace("secondary", "secondary" if four else "temporary")
    # One that came from a router or from DHCP has its time.
    told += "dynamic " if address.flags and not address.flags & facts.IFA_F_PERMANENT else ""
    return told + ("noprefixroute " if address.flags & facts.IFA_F_NOPREFIXROUTE else "")


def _lifetime(left: int | None) -> str:
    return "forever" if left is None else f"{left // _SECOND}sec"
