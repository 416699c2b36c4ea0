"""Socket experiments on the real kernel and on our tables: the same steps, the same answers.

An experiment is a list of steps for `kernel_worker.Machine`. `Model` takes the same steps with `portside.sockets` and
the least of a host around it: local addresses, a handshake that always works, orderly close. Ports in a step may be
negative: -1, -2 ... stand for ports that no other experiment uses.
"""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from random import Random

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP
from portside.facts.settings import Settings
from portside.facts.state import CLOSE_WAIT, CLOSED, ESTABLISHED, FIN_WAIT_1, LISTEN
from portside.sockets import bind, connect, datagram, ephemeral, lookup
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable

WORKER = Path(__file__).with_name("kernel_worker.py")
DEVICES = {"lo": [], "eth0": ["10.0.0.1/24", "10.0.0.2/24", "fd00::1/64", "fd00::2/64", "fe80::1/64"]}
INDEX = {"lo": 1, "eth0": 2}
PORTS_PER_EXPERIMENT = 3
FIRST_PORT = 2000
EXPERIMENTS_PER_MACHINE = 9000
BATCH = 500

Steps = list[list]


class Unavailable(Exception):
    """No network namespace can be had here."""


class Kernel:
    """A worker process in a network namespace of its own."""

    def __init__(self, sysctls: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        answer = self._ask({"devices": DEVICES, "sysctls": sysctls or {}})
        if "error" in answer:
            self.close()
            raise Unavailable(answer["error"])
        self.uids: bool = answer["uids"]
        self.release: str = answer["release"]

    def _ask(self, question: object) -> dict:
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline() or '{"error": "the worker ended"}')

    def run(self, experiments: list[Steps]) -> list[list]:
        """The answers to each experiment's steps."""
        answer = self._ask(experiments)
        if isinstance(answer, dict):
            raise RuntimeError(answer["error"])
        return answer

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def placed(steps: Steps, number: int) -> Steps:
    """The steps with real ports for -1, -2 ..."""
    first = FIRST_PORT + number % EXPERIMENTS_PER_MACHINE * PORTS_PER_EXPERIMENT
    low = 100 + number % 900

    def place(step: list) -> list:
        return [
            (low if part == -9 else first - part - 1) if isinstance(part, int) and -9 <= part < 0 else part
            for part in step
        ]

    return [place(step) for step in steps]


class World:
    """The addresses of the machine of the experiments, and a process with or without capabilities."""

    def __init__(self) -> None:
        self.root = True
        self.local = {
            ip.parse(notation.partition("/")[0]): INDEX[name]
            for name, notations in DEVICES.items()
            for notation in notations
        }
        self.local[ip.V6_LOOPBACK] = 1
        self.broadcasts = {ip.parse("10.0.0.255"), ip.parse("127.255.255.255")}

    def device_of(self, address: int) -> int:
        return 1 if address >> 24 == 0xFFFF7F else self.local.get(address, 0)

    def is_local_address(self, address: int, device: int) -> bool:
        owner = 0 if address in self.broadcasts else self.device_of(address)
        if not owner:
            return False
        if address >> 32 != 0xFFFF and not (ip.is_link_local(address) or ip.is_loopback(address)):
            return True
        return device in (0, owner)

    def is_broadcast_address(self, address: int) -> bool:
        return address == ip.V4_BROADCAST or address in self.broadcasts

    def has_interface(self, index: int) -> bool:
        return index in (1, 2)

    def capable(self, capability: int) -> bool:
        return self.root

    def source_for(self, destination: int) -> int:
        """The source address that the route to a local address, or to loopback's broadcast, prefers."""
        if destination >> 24 == 0xFFFF7F:
            return ip.V4_LOOPBACK
        if destination == ip.parse("10.0.0.2"):
            return ip.parse("10.0.0.1")
        return destination


class Refusal(Exception):
    """An errno."""


class UnknownMember(Exception):
    """A SO_REUSEPORT group of several has chosen by its own hash."""


class Model:
    """The sockets of one experiment, by number, in our tables."""

    def __init__(self, seed: int = 0, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.tcp = SocketTable(IPPROTO_TCP, self.settings, seed)
        self.udp = SocketTable(IPPROTO_UDP, self.settings, seed)
        self.world = World()
        self.random = Random(seed)
        self.entries: dict[int, Entry] = {}
        self.table: dict[int, SocketTable] = {}
        self.peers: dict[Entry, Entry] = {}
        self.waiting: dict[Entry, list[Entry]] = {}
        self.inbox: list[set[int]] = []  # for each datagram, the numbers of those who may have got it
        self.hint: object = None

    def run(self, steps: Steps, theirs: list | None = None) -> list:
        """Our answers. Which member of a SO_REUSEPORT group gets something is taken from `theirs`.

        They end early where a connection went to an unknown member.
        """
        results: list = []
        for step, self.following in zip(steps, [*steps[1:], ["end"]], strict=True):
            self.hint = theirs[len(results)] if theirs else None
            try:
                results.append(getattr(self, step[0])(*step[1:]) or 0)
            except UnknownMember:
                break
            except Refusal as refusal:
                results.append(str(refusal))
            except KeyError:
                results.append("EBADF")
        return results

    def check(self, verdict: object) -> None:
        if verdict.errno:
            assert verdict.sentence
            raise Refusal(errno.errorcode[verdict.errno])

    def socket(self, number: int, family: int, kind: str, uid: int = 0) -> None:
        table = self.tcp if kind == "tcp" else self.udp
        self.table[number] = table
        self.entries[number] = table.open(AF_INET if family == 4 else AF_INET6, uid, number)

    def opt(self, number: int, name: str, value: object) -> None:
        entry = self.entries[number]
        if name == "device":
            self.table[number].set_device(entry, INDEX[value] if value else 0)
        elif name == "v6only" and entry.lport:
            raise Refusal("EINVAL")
        elif name in ("reuseaddr", "reuseport", "v6only"):
            setattr(entry, name, bool(value))
            self.table[number].option_changed(entry)
        elif name not in ("linger", "broadcast"):
            setattr(entry, name, tuple(value) if name == "port_range" else bool(value))

    def getopt(self, number: int, name: str) -> int:
        return int(getattr(self.entries[number], name))

    def bind(self, number: int, address: str, port: int, scope: int = 0) -> None:
        entry, table = self.entries[number], self.table[number]
        where = ip.parse(address)
        foreseen = bind.decide(table, entry, where, port, self.world, scope) if port else None
        verdict = bind.bind(table, entry, where, port, self.world, self.random, scope)
        assert foreseen is None or foreseen.errno == verdict.errno, (foreseen, verdict)
        self.check(verdict)

    def bind_to(self, number: int, address: str, other: int) -> None:
        self.bind(number, address, self.entries[other].name[1])

    def bind_as(self, uid: int, number: int, address: str, port: int) -> None:
        self.world.root = uid == 0
        try:
            self.bind(number, address, port)
        finally:
            self.world.root = True

    def listen(self, number: int, backlog: int = 8) -> None:
        entry = self.entries[number]
        if entry.proto != IPPROTO_TCP:
            raise Refusal("EOPNOTSUPP")
        if entry.state not in (CLOSED, LISTEN):
            raise Refusal("EINVAL")
        foreseen = bind.decide_listen(self.tcp, entry) if entry.lport else None
        verdict = bind.listen(self.tcp, entry, self.random)
        assert foreseen is None or foreseen.errno == verdict.errno, (foreseen, verdict)
        self.check(verdict)

    def connect_later(self, number: int, address: str, port: int) -> None:
        self.connect(number, address, port, wait=False)

    def connect(self, number: int, address: str, port: int, scope: int = 0, wait: bool = True) -> None:
        entry = self.entries[number]
        destination = ip.parse(address)
        source = self.world.source_for(destination)
        if entry.proto == IPPROTO_UDP:
            self.check(datagram.autobind(self.udp, entry, self.random))
        if entry.state != CLOSED and entry.proto == IPPROTO_TCP:
            raise Refusal("EISCONN")
        if entry.family == AF_INET6:
            if entry.v6only and ip.is_v4(destination):
                raise Refusal("ENETUNREACH")
            if ip.is_v4(entry.saddr) and not ip.is_v4(destination):
                raise Refusal("EAFNOSUPPORT")
        if entry.proto == IPPROTO_UDP:
            datagram.connect(self.udp, entry, destination, port, source)
            return
        self.check(connect.connect(self.tcp, entry, destination, port, source, 0, self.random, self.reusable))
        there = self.world.device_of(destination)
        listener = lookup.tcp(self.tcp, entry.laddr, entry.lport, destination, port, there)
        if listener is not None and listener.time_wait:  # it makes way for a newer SYN
            self.tcp.remove(listener)
            listener = lookup.tcp(self.tcp, entry.laddr, entry.lport, destination, port, there)
        if listener is entry:
            entry.state = ESTABLISHED
            self.peers[entry] = entry
            return
        several = listener is not None and listener.group is not None and len(listener.group.members) > 1
        if several and self.following[0] != "accepted_by":
            raise UnknownMember
        if listener is None or listener.state != LISTEN:
            connect.closed(self.tcp, entry)
            if wait:
                connect.disconnect(self.tcp, entry)
            raise Refusal("ECONNREFUSED")
        child = self.tcp.child(listener, destination, entry.laddr, entry.lport, listener.device)
        assert self.tcp.inherit_port(listener, child)
        entry.state = child.state = ESTABLISHED
        self.peers[entry] = child
        self.peers[child] = entry
        self.waiting.setdefault(listener, []).append(child)

    def reusable(self, entry: Entry, chosen: bool) -> int:
        return ephemeral.NEVER if chosen else 0

    def end(self, entry: Entry) -> None:
        """A connection is reset; it goes unless somebody holds it."""
        if entry.owner is None:
            self.tcp.remove(entry)
        else:
            connect.closed(self.tcp, entry)

    def connect_to(self, number: int, other: int) -> None:
        address, port = self.name(other)
        self.connect(number, address, port)

    def disconnect(self, number: int) -> None:
        entry = self.entries[number]
        if entry.proto == IPPROTO_UDP:
            datagram.disconnect(self.udp, entry)
            return
        self.reset(entry)
        connect.disconnect(self.tcp, entry)

    def reset(self, entry: Entry) -> None:
        """The peer's end goes; a listener's waiting connections too."""
        peer = self.peers.pop(entry, None)
        if peer is not None and peer is not entry:
            self.peers.pop(peer, None)
            self.end(peer)
        for child in self.waiting.pop(entry, []):
            self.reset(child)
            self.tcp.remove(child)

    def accept(self, number: int, new: int) -> None:
        entry = self.entries[number]
        if entry.state != LISTEN:
            raise Refusal("EINVAL")
        queue = self.waiting.get(entry)
        if not queue:
            raise Refusal("EAGAIN")
        child = queue.pop(0)
        self.entries[new] = child
        self.table[new] = self.tcp
        child.owner = new
        child.uid = 0  # it belongs to whoever accepts
        self.tcp.option_changed(child)

    def accepted_by(self, numbers: list[int], new: int) -> int:
        holders = [number for number in numbers if number in self.entries and self.waiting.get(self.entries[number])]
        if not holders:
            return -1
        holder = self.entries[holders[0]]
        group = holder.group
        asked = self.entries.get(self.hint) if isinstance(self.hint, int) else None
        if asked is not None and asked is not holder and group is not None and asked in group.members:
            self.waiting[asked] = self.waiting.pop(holder)
            holder = asked
        self.accept(holder.owner, new)
        return holder.owner

    def send(self, number: int, address: str, port: int, scope: int = 0) -> None:
        entry = self.entries[number]
        self.check(datagram.autobind(self.udp, entry, self.random))
        destination = ip.parse(address)
        source = entry.saddr if not ip.is_any(entry.saddr) else self.world.source_for(destination)
        there = self.world.device_of(destination)
        if destination in self.world.broadcasts:
            everyone = lookup.udp_multicast(self.udp, source, entry.lport, destination, port, 1)
            self.inbox += [{one.owner} for one in everyone]
            return
        found = lookup.udp(self.udp, source, entry.lport, destination, port, there)
        if found is not None:
            group = found.group if found.group and not found.group.has_connections else None
            members = group.members if group else [found]
            self.inbox.append({member.owner for member in members})

    def received_by(self, numbers: list[int]) -> list[int]:
        found = set()
        for possible in self.inbox:
            agreed = {number - 1 for number in self.hint or ()} & possible
            found.add(min(agreed or possible))
        self.inbox.clear()
        return sorted(number + 1 for number in found if number in numbers)

    def name(self, number: int) -> list:
        entry = self.entries[number]
        address, port = entry.name
        return [ip.text(address) if entry.family == AF_INET else ip.text_v6(address), port]

    def close(self, number: int) -> None:
        entry, table = self.entries.pop(number), self.table.pop(number)
        entry.owner = None
        if self.peers.get(entry) is entry:
            del self.peers[entry]
            connect.time_wait(self.tcp, entry)
        elif entry.state == ESTABLISHED and table is self.tcp:
            # The peer's delayed ACK leaves it in FIN-WAIT-1 for the rest of the experiment.
            entry.state = FIN_WAIT_1
            self.peers[entry].state = CLOSE_WAIT
        elif entry.state == CLOSE_WAIT:
            peer = self.peers.pop(entry)
            self.peers.pop(peer, None)
            connect.time_wait(self.tcp, peer)
            table.remove(entry)
        else:
            self.reset(entry)
            table.remove(entry)


def same(ours: list, theirs: list) -> bool:
    """Whether the answers agree; ephemeral ports agree with each other."""
    return [_masked(each) for each in ours] == [_masked(each) for each in theirs]


def _masked(answer: object) -> object:
    if isinstance(answer, list) and len(answer) == 2 and isinstance(answer[0], str) and answer[1] >= 32768:
        return [answer[0], "ephemeral"]
    return answer


def differences(
    experiments: list[Steps], sysctls: dict[str, str] | None = None, settings: Settings | None = None
) -> list[tuple]:
    """The experiments on which kernel and model disagree: steps, ours, theirs.

    Each is tried again, since delayed ACKs and the like make a rare one depend on the time that it took.
    """
    found = _compare(experiments, sysctls, settings)
    for _ in range(2):
        found = _compare([steps for steps, *_ in found], sysctls, settings)
    return found


def _compare(experiments: list[Steps], sysctls: dict[str, str] | None, settings: Settings | None) -> list[tuple]:
    found = []
    for first in range(0, len(experiments), EXPERIMENTS_PER_MACHINE):
        with Kernel(sysctls) as kernel:
            last = min(first + EXPERIMENTS_PER_MACHINE, len(experiments))
            for start in range(first, last, BATCH):
                numbers = range(start, min(start + BATCH, last))
                answers = kernel.run([placed(experiments[number], number) for number in numbers])
                for number, theirs in zip(numbers, answers, strict=True):
                    ours = Model(number, settings).run(placed(experiments[number], number), theirs)
                    if not same(ours, theirs[: len(ours)]):
                        found.append((placed(experiments[number], number), ours, theirs))
    return found


def show(difference: tuple) -> str:
    """A difference for a person."""
    steps, ours, theirs = difference
    lines = []
    for step, our, their in zip(steps, ours, theirs, strict=False):
        mark = "" if _masked(our) == _masked(their) else f"   <-- ours {our}"
        lines.append(f"{step} -> {their}{mark}")
    return "\n".join(lines)
