"""What generated machines are made of: namespaces, listeners, the veth pairs between them, and what is tried."""

from __future__ import annotations

from dataclasses import dataclass, field

PORTS = (22, 80, 443, 5000, 8080, 9000)


@dataclass
class Listener:
    """A TCP socket of a namespace: how it is made, where, and for which port."""

    kind: str
    port: int
    address: str = ""
    device: str = ""
    udp: bool = False


@dataclass
class Space:
    """One network namespace."""

    number: int
    links: list[str] = field(default_factory=list)  # names of its interfaces
    commands: list[str] = field(default_factory=list)  # of ip(8), after the links are there
    addresses: list[tuple[str, str]] = field(default_factory=list)  # address, interface
    sysctls: dict[str, str] = field(default_factory=dict)
    ruleset: str = ""
    iptables: str = ""  # what iptables-restore(8) is given
    ip6tables: str = ""
    listeners: list[Listener] = field(default_factory=list)


@dataclass
class Target:
    """An attempt: from a namespace, to an address (with its zone) and a port."""

    space: int
    address: str
    port: int
    udp: bool = False
    uid: int = 0


@dataclass
class Machine:
    """Namespaces, the veth pairs between them (namespace, name, namespace, name), and what is tried."""

    seed: int
    spaces: list[Space] = field(default_factory=list)
    pairs: list[tuple[int, str, int, str]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    @property
    def by_iptables(self) -> bool:
        """Whether iptables(8) is needed to make it."""
        return any(space.iptables or space.ip6tables for space in self.spaces)
