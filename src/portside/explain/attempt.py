"""How an attempt to connect ends, and what is told of it: each step, who would accept, what is not known."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final

from portside.addr.abi import IPPROTO_UDP, SECOND
from portside.addr.ip import is_v4, text
from portside.explain import load
from portside.facts.rule import FirewallRule
from portside.facts.snapshot import Missing
from portside.facts.socket import Socket

# How an attempt ends.
ACCEPTED: Final = "accepted"
FAILED: Final = "failed"
SILENT: Final = "silent"  # UDP: nobody has it, and nobody says so
BEYOND: Final = "beyond"  # it leaves this machine
UNKNOWN: Final = "unknown"

WORDS: Final = {
    errno.ECONNREFUSED: "connection refused", errno.ETIMEDOUT: "timed out", errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable", errno.EACCES: "permission denied", errno.EINVAL: "invalid argument",
    errno.ECONNRESET: "connection reset by peer", errno.ENOPROTOOPT: "protocol not available",
    errno.EADDRNOTAVAIL: "cannot assign requested address", errno.EPERM: "operation not permitted",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happens to the attempt: where, what, and because of what. `errno` is 0 while it goes on."""

    machine: str
    what: str  # name, route, filter, nat, neighbour, delivered, listener, answer, edge
    sentence: str
    errno: int = 0
    because: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one address would come to.

    `outcome` is one of ACCEPTED, FAILED, SILENT, BEYOND and UNKNOWN. `by` has the sockets of which one would accept,
    and `place` the namespace that they are in. `after` is how long it takes, ns. `open` is what could not be decided,
    and `ends` has every end that it may come to then, where all of them are known.
    """

    address: int
    port: int
    outcome: str
    errno: int = 0
    by: tuple[Socket, ...] = ()
    place: str = ""
    after: int = 0
    steps: tuple[Step, ...] = ()
    open: tuple[object, ...] = ()
    ends: tuple[Attempt, ...] = ()

    def json(self) -> dict[str, object]:
        """The attempt as plain values: the sockets that would accept by inode, and what is written of them."""
        return {
            "address": text(self.address), "port": self.port, "outcome": self.outcome,
            "errno": errno.errorcode.get(self.errno) if self.errno else None, "sentence": self.sentence,
            "seconds": self.after / SECOND, "namespace": self.place,
            "by": [{"inode": each.inode, "what": owner_words(each)} for each in self.by],
            "open": [open_words(each) for each in self.open],
            "ends": [each.sentence for each in self.ends],
            "steps": [
                {"namespace": step.machine, "what": step.what, "sentence": step.sentence,
                 "errno": errno.errorcode.get(step.errno) if step.errno else None}
                for step in self.steps
            ],
        }  # fmt: skip

    @property
    def sentence(self) -> str:
        """How it ends, in a sentence."""
        where = endpoint(self.address, self.port)
        if self.outcome == ACCEPTED:
            who = " or ".join(dict.fromkeys(owner_words(each) for each in self.by)) or "a socket"
            return f"{where} would be accepted by {who}" + (f" in {self.place}" if self.place else "")
        if self.outcome == FAILED:
            name = errno.errorcode.get(self.errno, str(self.errno))
            return f"{where} would fail: {WORDS.get(self.errno, name)} ({name})"
        if self.outcome == SILENT:
            return f"what is sent to {where} would be lost, and nobody would say so"
        if self.outcome == BEYOND:
            return f"beyond this machine: {self.steps[-1].sentence if self.steps else where}"
        because = "; ".join(dict.fromkeys(map(open_words, self.open)))
        ends = " or ".join(each.sentence for each in self.ends)
        return f"unknown, because this can't be read or foreseen: {because}" + (f": {ends}" if ends else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The answer to `why HOST:PORT`: each address tried in order, and what to change."""

    host: str
    port: int
    proto: int
    attempts: tuple[Attempt, ...] = ()
    remedy: str = ""
    missing: tuple[Missing, ...] = ()  # what could not be read, and might change the answer

    def json(self) -> dict[str, object]:
        """The answer as plain values."""
        return {
            "host": self.host, "port": self.port, "protocol": "udp" if self.proto == IPPROTO_UDP else "tcp",
            "outcome": self.outcome, "errno": errno.errorcode.get(self.errno) if self.errno else None,
            "sentence": self.sentence, "remedy": self.remedy,
            "attempts": [each.json() for each in self.attempts],
            "missing": [{"what": each.what, "why": each.why, "remedy": each.remedy} for each in self.missing],
        }  # fmt: skip

    def __bool__(self) -> bool:
        """Whether it would certainly be accepted."""
        return self.outcome == ACCEPTED

    @property
    def outcome(self) -> str:
        """How the last attempt ends, which is the whole's: a program tries the addresses until one is accepted."""
        return self.attempts[-1].outcome if self.attempts else FAILED

    @property
    def errno(self) -> int:
        """The errno that a program would be left with; 0 where none is certain."""
        return self.attempts[-1].errno if self.attempts else 0

    @property
    def sentence(self) -> str:
        """How it ends, in a sentence."""
        return self.attempts[-1].sentence if self.attempts else f"{self.host} has no address"


def endpoint(address: int, port: int) -> str:
    """`10.0.0.1:80`, `[::1]:80`."""
    return f"{text(address)}:{port}" if is_v4(address) else f"[{text(address)}]:{port}"


def owner_words(socket: Socket) -> str:
    """A socket by the processes that hold it, or else by what it is."""
    names = dict.fromkeys(f"{owner.command} (pid {owner.pid})" for owner in socket.owners)
    return ", ".join(names) or load.words(socket)


def open_words(about: object) -> str:
    """What is not known, by the rule that leaves it open."""
    return about.text if isinstance(about, FirewallRule) else str(about)
