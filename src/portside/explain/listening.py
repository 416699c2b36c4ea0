"""Who listens on a machine: each listener with its processes, its reach, and what is likely wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from portside.addr import ip, services
from portside.addr.abi import AF_INET
from portside.explain.exposure import Door, Exposure, exposure, is_listener
from portside.explain.mistakes import WARNING, Finding, findings
from portside.explain.place import Place
from portside.explain.ranges import ranges_text
from portside.explain.words import address_text, device_name, protocol_text, user_name
from portside.facts.process import Process
from portside.facts.snapshot import Namespace, Snapshot
from portside.facts.socket import Owner, Socket

FORMAT: Final = 1
"""Of what `portside ls --json` prints; it grows when a key changes its meaning."""

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener in words. `namespace` is the name of its network namespace, empty for the machine's own."""

    exposure: Exposure
    findings: tuple[Finding, ...]
    namespace: str = ""

    @property
    def socket(self) -> Socket:
        """The socket."""
        return self.exposure.socket

    @property
    def protocol(self) -> str:
        """`tcp`, `udp` ..."""
        return protocol_text(self.socket)

    @property
    def port(self) -> int:
        """The port."""
        return self.socket.lport

    @property
    def address(self) -> str:
        """Address and port as ss(8) writes them: `*:80` for a dual-stack socket."""
        return address_text(self.socket, self.exposure.snapshot)

    @property
    def owners(self) -> tuple[Owner, ...]:
        """The descriptors that refer to it."""
        return self.socket.owners

    @property
    def user(self) -> str:
        """The user who made it."""
        return user_name(self.exposure.snapshot, self.socket.uid)

    @property
    def reach(self) -> str:
        """From where it can be reached, in a word: `machine`, `network`, `everywhere`, `nowhere`, `unknown`."""
        return self.exposure.reach

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The likely mistakes."""
        return tuple(each for each in self.findings if each.level == WARNING)

    def json(self) -> Json:
        """The listener as `portside ls --json` prints it."""
        socket = self.socket
        service = services.by_port(socket.lport, self.protocol)
        return {
            "protocol": self.protocol,
            "address": ip.text(socket.laddr),
            "port": socket.lport,
            "text": self.address,
            "service": None if service is None else service.name,
            "families": ["IPv4" if family == AF_INET else "IPv6" for family in self.exposure.families],
            "v6only": socket.v6only,
            "device": device_name(socket, self.exposure.snapshot) or None,
            "reach": self.reach,
            "words": self.exposure.words,
            "filter_read": self.exposure.filter_read,
            "networks": list(self.exposure.networks),
            "but_for": list(self.exposure.kept_out),
            "doors": [_door_json(door) for door in self.exposure.doors],
            "call": list(self.exposure.calls),
            "user": self.user,
            "uid": socket.uid,
            "inode": socket.inode,
            "owners": [_owner_json(owner, self.exposure.snapshot) for owner in socket.owners],
            "accept_queue": socket.accept_queue,
            "backlog": socket.backlog,
            "drops": socket.drops,
            "namespace": self.namespace or None,
            "findings": [{"name": each.name, "level": each.level, "sentence": each.sentence} for each in self.findings],
        }


def listeners(snapshot: Snapshot) -> tuple[Listener, ...]:
    """Who listens on the machine, in its own network namespace and the others: by port, then by address."""
    found = list(_of(snapshot, ""))
    for other in snapshot.others:
        name = title(other.namespace)
        missing = other.missing or snapshot.missing
        found += _of(replace(other, users=other.users or snapshot.users, missing=missing), name)
    return tuple(found)


def title(namespace: Namespace) -> str:
    """What a network namespace is called: its name, or else its inode."""
    return namespace.name or str(namespace.inode)


def _of(snapshot: Snapshot, namespace: str) -> Iterator[Listener]:
    place = Place(snapshot)
    sockets = sorted(filter(is_listener, snapshot.sockets), key=lambda each: (each.lport, each.proto, each.laddr))
    by_port: dict[tuple[int, int], list[Exposure]] = {}
    for socket in sockets:
        by_port.setdefault((socket.lport, socket.proto), []).append(exposure(place, socket))
    for beside in by_port.values():
        for each in beside:
            yield Listener(each, findings(each, beside, bool(namespace)), namespace)


def _door_json(door: Door) -> Json:
    return {
        "interface": door.interface,
        "address": ip.text(door.address),
        "networks": [f"{ip.text(address)}/{length}" for address, length in door.networks],
        "direct": door.direct,
        "verdict": door.verdict,
        "sources": ranges_text(door.sources),
        "because": door.because or None,
    }


def _owner_json(owner: Owner, snapshot: Snapshot) -> Json:
    process = next((each for each in snapshot.processes if each.pid == owner.pid), None)
    return {"pid": owner.pid, "fd": owner.fd, "command": owner.command, **_process_json(process)}


def _process_json(process: Process | None) -> Json:
    if process is None:
        return {}
    return {"argv": list(process.argv), "unit": process.unit, "container": process.container}
