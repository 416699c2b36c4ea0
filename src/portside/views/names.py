"""What numbers are called: users, services, interfaces, hosts."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from portside.addr import ip
from portside.addr.abi import IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.facts.snapshot import Snapshot

PROTOCOLS: Final = {IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp", IPPROTO_UDPLITE: "udplite"}
"""Names of the protocols that have ports; a socket of another one is raw."""

RAW_NAMES: Final = {
    1: "icmp", 2: "igmp", 3: "ggp", 4: "ipencap", 5: "st", 6: "tcp", 8: "egp", 9: "igp", 12: "pup", 17: "udp",
    20: "hmp", 22: "xns-idp", 27: "rdp", 29: "iso-tp4", 33: "dccp", 36: "xtp", 37: "ddp", 38: "idpr-cmtp", 41: "ipv6",
    43: "ipv6-route", 44: "ipv6-frag", 45: "idrp", 46: "rsvp", 47: "gre", 50: "esp", 51: "ah", 57: "skip",
    58: "ipv6-icmp", 59: "ipv6-nonxt", 60: "ipv6-opts", 73: "rspf", 81: "vmtp", 88: "eigrp", 89: "ospf", 93: "ax.25",
    94: "ipip", 97: "etherip", 98: "encap", 103: "pim", 108: "ipcomp", 112: "vrrp", 115: "l2tp", 124: "isis",
    132: "sctp", 133: "fc", 135: "mobility-header", 136: "udplite", 137: "mpls-in-ip", 138: "manet", 139: "hip",
    140: "shim6", 141: "wesp", 142: "rohc", 143: "ethernet", 262: "mptcp",
}  # fmt: skip
"""Names of IP protocols that raw sockets are made for: IANA's registry, as protocols(5) has them."""


class ServiceNames:
    """The names of a services file (services(5)): the first line of a port, or of a name or alias, counts."""

    def __init__(self, text: str) -> None:
        self._names: dict[tuple[int, str], str] = {}
        self._ports: dict[str, int] = {}
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            number, slash, protocol = words[1].partition("/") if len(words) > 1 else ("", "", "")
            if not slash or not (number.isascii() and number.isdecimal()):
                continue  # getservbyport(3) passes over such a line too
            self._names.setdefault((int(number), protocol), words[0])
            for name in (words[0], *words[2:]):
                self._ports.setdefault(name, int(number))

    def name(self, port: int, protocol: str) -> str | None:
        """What the port is called; None when it has no name."""
        return self._names.get((port, protocol))

    def port(self, name: str) -> int | None:
        """The port of that name; None when there is none."""
        return self._ports.get(name)


class HostNames:
    """The names of a hosts file (hosts(5)): which name an address has, and which address a name.

    Args: services: the text of the services file of the machine, where it is one's own: then ports have the names that
    its other tools show. None: those of portside's own table.
    """

    def __init__(self, text: str = "", services: str | None = None) -> None:
        self._services_text = services
        self._names: dict[int, str] = {}
        self._addresses: dict[str, list[int]] = {}
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            try:
                address = ip.parse(words[0]) if len(words) > 1 else None
            except ValueError:
                continue  # gethostbyaddr(3) passes over such a line too
            if address is not None:
                self._names.setdefault(address, words[1])
                for name in words[1:]:
                    self._addresses.setdefault(name.lower(), []).append(address)

    def name(self, address: int) -> str | None:
        """The first name of the address; None when it has none."""
        return self._names.get(address)

    @cached_property
    def _services(self) -> ServiceNames | None:
        return None if self._services_text is None else ServiceNames(self._services_text)

    def service(self, port: int, proto: int) -> str | None:
        """What a port of the protocol is called; None when it has no name."""
        protocol = PROTOCOLS.get(proto)
        if protocol is None:
            return RAW_NAMES.get(port)
        protocol = "udp" if protocol == "udplite" else protocol
        if self._services is not None:
            return self._services.name(port, protocol)
        from portside.addr import services

        found = services.by_port(port, protocol)
        return None if found is None else found.name

    def port(self, name: str) -> int | None:
        """The port of a service: by the machine's own name for it, or by one that portside knows."""
        known = None if self._services is None else self._services.port(name)
        if known is not None:
            return known
        from portside.addr import services

        found = services.by_name(name)
        return None if found is None else found.port

    def addresses(self, name: str) -> list[int]:
        """The addresses of a name, or the one that its text stands for.

        ValueError when it is neither.
        """
        text = name[1:-1] if name.startswith("[") and name.endswith("]") else name
        found = self._addresses.get(text.lower())
        if found:
            return found
        try:
            return [ip.parse(text)]
        except ValueError:
            raise ValueError(f"{name!r} is no address, and no name that the hosts file knows") from None


NO_NAMES: Final = HostNames()


def user(snapshot: Snapshot, uid: int) -> str:
    """The name of a user, or its number where the snapshot has no name for it."""
    return next((name for number, name in snapshot.users if number == uid), str(uid))


def interface(snapshot: Snapshot, index: int) -> str:
    """The name of an interface, `if7` where there is none of that index."""
    return next((each.name for each in snapshot.interfaces if each.index == index), f"if{index}")
