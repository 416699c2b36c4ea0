"""A host with nothing but its socket tables, for tests that read as tables: 127.0.0.0/8, 10.0.0.1, ::1 and fd00::1."""

from __future__ import annotations

import errno
from random import Random

from tests.sockets.oracle import World

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP
from portside.facts.settings import Settings
from portside.facts.state import ESTABLISHED
from portside.facts.verdict import Verdict
from portside.sockets import bind, connect, datagram, lookup
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable

FAR = "192.0.2.7"


def endpoint(text: str) -> tuple[int, int]:
    """`127.0.0.1:80` or `[::1]:80`."""
    address, _, port = text.rpartition(":")
    return ip.parse(address.strip("[]")), int(port)


class Machine:
    """Socket calls with addresses as text; each answers 0 or the errno's name."""

    def __init__(self, **settings: object) -> None:
        self.settings = Settings(**settings)  # type: ignore[arg-type]
        self.tcp = SocketTable(IPPROTO_TCP, self.settings, 1)
        self.udp = SocketTable(IPPROTO_UDP, self.settings, 1)
        self.world = World()
        self.random = Random(1)
        self.verdict: Verdict | None = None

    def table(self, entry: Entry) -> SocketTable:
        return self.tcp if entry.proto == IPPROTO_TCP else self.udp

    def socket(self, kind: str = "tcp", family: int = 4, uid: int = 0, **options: object) -> Entry:
        table = self.tcp if kind == "tcp" else self.udp
        entry = table.open(AF_INET if family == 4 else AF_INET6, uid)
        for name, value in options.items():
            setattr(entry, name, value)
        return entry

    def answer(self, verdict: Verdict) -> int | str:
        self.verdict = verdict
        return errno.errorcode[verdict.errno] if verdict.errno else 0

    def bind(self, entry: Entry, where: str, scope: int = 0) -> int | str:
        address, port = endpoint(where)
        return self.answer(bind.bind(self.table(entry), entry, address, port, self.world, self.random, scope))

    def listen(self, entry: Entry) -> int | str:
        return self.answer(bind.listen(self.tcp, entry, self.random))

    def server(self, where: str, family: int = 0, **options: object) -> Entry:
        """A TCP listener; it must work."""
        entry = self.socket("tcp", family or (6 if "[" in where else 4), **options)
        assert self.bind(entry, where) == 0
        assert self.listen(entry) == 0
        return entry

    def connect(self, entry: Entry, where: str, source: str = "", **more: object) -> int | str:
        address, port = endpoint(where)
        origin = ip.parse(source) if source else self.world.source_for(address)
        if entry.proto == IPPROTO_UDP:
            answer = self.answer(datagram.autobind(self.udp, entry, self.random))
            if not answer:
                datagram.connect(self.udp, entry, address, port, origin)
            return answer
        now = more.pop("now", 0)
        return self.answer(connect.connect(self.tcp, entry, address, port, origin, now, self.random, **more))  # type: ignore[arg-type]

    def accept(self, listener: Entry, to: str, peer: str) -> Entry:
        """An established connection to a listener, without its peer's socket."""
        (local, _), (remote, port) = endpoint(to), endpoint(peer)
        child = self.tcp.child(listener, local, remote, port, listener.device)
        assert self.tcp.inherit_port(listener, child)
        child.state = ESTABLISHED
        return child

    def arrives(self, kind: str, to: str, peer: str = "127.0.0.1:9999", device: int = 0) -> Entry | None:
        """Who gets a packet."""
        (src, sport), (dst, dport) = endpoint(peer), endpoint(to)
        device = device or self.world.device_of(dst)
        if kind == "tcp":
            return lookup.tcp(self.tcp, src, sport, dst, dport, device)
        return lookup.udp(self.udp, src, sport, dst, dport, device)
