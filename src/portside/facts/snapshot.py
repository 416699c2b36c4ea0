"""One host at an instant: the same whether it was read from a simulated host or from the machine you sit
at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # a command that needs a few of them must not wait for all: each dataclass takes time to be made
    from portside.facts.interface import Interface, Neighbor
    from portside.facts.process import Process
    from portside.facts.route import PolicyRule, Route
    from portside.facts.rule import Chain
    from portside.facts.settings import Settings
    from portside.facts.socket import Socket, UnixSocket


def _defaults() -> Settings:
    from portside.facts.settings import Settings

    return Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Something that could not be read: what, why, and how to get it."""

    what: str
    why: str
    remedy: str = ""


UNENTERED: Final = "interfaces, routes, packet filter and settings of the network namespace"
"""What is missing (`Missing.what`) from a network namespace that could only be looked at from outside."""
ONLY_ROOT_ENTERS: Final = "only root may enter it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A network namespace: its identity, and the name people know it by (`ip netns`, a container).

    `inode` is 0 where it could not be read; the name is then that of a process in it, `pid 4711`.
    """

    inode: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A host, seen from one of its network namespaces.

    Sockets stand in the order in which the kernel lists them. `others` are the further network namespaces of
    the same machine, each with the processes that live in it; a simulated host has none. `missing` names what
    could not be read: what is absent from the snapshot for that reason is unknown, not untrue.
    """

    host: str
    taken: int = 0  # nanoseconds: virtual time of a simulated host, time since the epoch of a real one
    system: str = "Linux"
    release: str = ""
    namespace: Namespace = field(default_factory=Namespace)
    sockets: tuple[Socket, ...] = ()
    unix_sockets: tuple[UnixSocket, ...] = ()
    processes: tuple[Process, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    neighbors: tuple[Neighbor, ...] = ()
    routes: tuple[Route, ...] = ()
    policy_rules: tuple[PolicyRule, ...] = ()
    local_table: bool | None = None  # IPv4 has the table `local`, which comes with a namespace's first address
    chains: tuple[Chain, ...] = ()
    listen_overflows: int | None = None  # how often any listener's accept queue was full: TcpExtListenOverflows
    settings: Settings = field(default_factory=_defaults)
    users: tuple[tuple[int, str], ...] = ()  # uid, name
    others: tuple[Snapshot, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def entered(self) -> bool:
        """Whether its interfaces, routes and filter were read: those of a namespace seen from outside are unknown."""
        return self.lacking is None

    @property
    def lacking(self) -> Missing | None:
        """Why its interfaces, routes and filter were not read; None where they were."""
        return next((each for each in self.missing if each.what == UNENTERED), None)
