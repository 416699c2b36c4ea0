"""Programs that Hypothesis makes up: few addresses, few ports, many ways for sockets to meet.

Each program draws first what it is about (families, protocols, which options, users, devices, waiting), so that one
which is about few things gets deep into them; then some scenes (a listener, a connected pair, sockets on one
port), then single calls. It ends with all that can be asked of every socket.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from hypothesis import strategies as st
from tests.dialogue.program import Program, Word

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[T]], T]

V4: Final = ("127.0.0.1",) * 8 + ("127.0.0.2",) * 3 + ("0.0.0.0",) * 4
V4_ODD: Final = ("127.255.255.255", "10.9.9.9", "224.0.0.1", "255.255.255.255", "127.0.0.0", "240.0.0.1")
V4_FAR: Final = ("10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.255", "192.168.7.7")
V6: Final = ("::1",) * 7 + ("::",) * 4
V6_MAPPED: Final = ("::ffff:127.0.0.1",) * 4 + ("::ffff:127.0.0.2", "::ffff:0.0.0.0")
V6_ODD: Final = ("fd00::9", "fe80::1", "ff02::1", "::ffff:10.9.9.9", "::ffff:127.255.255.255", "::127.0.0.1")
V6_FAR: Final = ("fd00::1", "fd00::1", "fd00::2", "::ffff:10.0.0.1", "fd01::1")

PORTS: Final = (8080,) * 8 + (8081,) * 3 + (9, 80)
DATA: Final = ("a", "hello", "two-words", "-", "x*100", "x*1000", "x*1500", "x*5000", "x*20000", "x*60000")
LENGTHS: Final = (0, 1, 3, 5, 100, 2000, 10000)
EVENTS: Final = ("IN", "OUT", "IN|OUT", "IN|ET", "IN|OUT|ET", "IN|RDHUP|ONESHOT", "OUT|ONESHOT", "0")

FLAGS_ON: Final = ("SO_REUSEADDR", "SO_KEEPALIVE", "SO_BROADCAST", "SO_OOBINLINE", "SO_DONTROUTE")
TCP_FLAGS: Final = ("TCP_NODELAY", "TCP_CORK", "TCP_QUICKACK")
NUMBERS: Final = (-1, 0, 1, 2, 5, 100, 4096, 20000, 1 << 20)
NUMBERED: Final = (
    "SO_SNDBUF", "SO_RCVBUF", "SO_RCVLOWAT", "SO_PRIORITY", "IP_TTL", "IP_TOS", "IPV6_UNICAST_HOPS", "IP_RECVERR",
    "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_SYNCNT", "TCP_LINGER2", "TCP_MAXSEG", "TCP_USER_TIMEOUT",
    "TCP_DEFER_ACCEPT", "TCP_WINDOW_CLAMP", "TCP_NOTSENT_LOWAT", "IP_MTU_DISCOVER", "IP_MULTICAST_TTL", "SO_DEBUG",
    "SO_ERROR", "SO_TYPE", "SO_BINDTOIFINDEX", "IPV6_RECVERR", "SO_ACCEPTCONN", "6/99", "1/999",
)  # fmt: skip
READABLE: Final = (
    "SO_ERROR", "SO_TYPE", "SO_DOMAIN", "SO_PROTOCOL", "SO_REUSEADDR", "SO_REUSEPORT", "SO_ACCEPTCONN", "SO_SNDBUF",
    "SO_RCVBUF", "SO_LINGER", "SO_KEEPALIVE", "SO_BROADCAST", "SO_BINDTODEVICE", "SO_RCVLOWAT", "SO_RCVTIMEO", "IP_TTL",
    "IP_TOS", "IP_MTU", "IP_FREEBIND", "IP_BIND_ADDRESS_NO_PORT", "IP_LOCAL_PORT_RANGE", "IPV6_V6ONLY", "TCP_NODELAY",
    "TCP_MAXSEG", "TCP_CORK", "TCP_KEEPIDLE", "TCP_LINGER2", "TCP_DEFER_ACCEPT", "TCP_CONGESTION", "IPV6_UNICAST_HOPS",
)  # fmt: skip
SYSCTLS: Final = (
    ("ipv6/bindv6only", "1"), ("ipv4/ip_nonlocal_bind", "1"), ("ipv6/ip_nonlocal_bind", "1"),
    ("ipv4/tcp_abort_on_overflow", "1"), ("core/somaxconn", "1"), ("ipv4/tcp_timestamps", "0"),
    ("ipv4/tcp_tw_reuse", "0"), ("ipv4/ip_unprivileged_port_start", "0"), ("ipv4/tcp_window_scaling", "0"),
)  # fmt: skip


class Author:
    """Writes one program. What it remembers of the sockets serves only to make interesting calls likely."""

    def __init__(self, draw: Draw[object]) -> None:
        self._draw = draw
        self.calls: list[tuple[Word, ...]] = []
        self.kinds: dict[str, str] = {}
        self.listening: list[str] = []
        self.connected: list[str] = []
        self.epolls: list[str] = []
        self.named: set[str] = set()  # sockets that probably have a port; only ever asked, never iterated
        self.made = 0
        self.families = self.pick((("4",), ("4",), ("6",), ("4", "6"), ("4", "6")))
        self.protocols = self.pick((("tcp",), ("tcp",), ("udp",), ("tcp", "udp")))
        self.interfaces = self.chance(8)
        self.odd_addresses = self.chance(3)
        self.reuseport = self.chance(5)
        self.devices = self.chance(8)
        self.users = self.chance(8)
        self.waiting = self.chance(20)
        self.settling = self.chance(10)
        self.epoll = self.chance(10)
        self.free_addresses = self.chance(8)
        self.ranges = self.chance(10)
        self.many_options = self.chance(6)
        self.sysctls = [self.pick(SYSCTLS)] if self.chance(8) else []

    def pick(self, options: Sequence[T]) -> T:
        picked: T = self._draw(st.sampled_from(options))  # type: ignore[assignment]
        return picked

    def chance(self, one_in: int) -> bool:
        return self._draw(st.integers(0, one_in - 1)) == one_in - 1

    def call(self, *words: Word) -> None:
        if words[0] in ("bind", "listen", "connect", "sendto", "accept"):
            self.named.add(str(words[2] if words[0] == "accept" else words[1]))
        self.calls.append(words)

    def other(self, name: str) -> str | None:
        """Another socket, one that has a port mostly."""
        others = [other for other in self.kinds if other != name]
        named = [other for other in others if other in self.named]
        if named and not self.chance(8):
            return self.pick(named)
        return self.pick(others) if others else None

    # -- words ------------------------------------------------------------------------------------------------

    def new_name(self) -> str:
        self.made += 1
        return "abcdefghijklmnopqrstuvwxyz"[(self.made - 1) % 26]

    def socket(self) -> str:
        if not self.kinds:
            return self.make()
        return self.pick(list(self.kinds))

    def of(self, group: list[str]) -> str:
        """One of the group mostly; any other sometimes."""
        alive = [name for name in group if name in self.kinds]
        return self.pick(alive) if alive and not self.chance(8) else self.socket()

    def port(self) -> Word:
        others = list(self.kinds)
        if others and self.chance(6):
            return "@" + self.pick(others)
        return self.pick(PORTS)

    def address(self, kind: str, port: Word | None = None, to: bool = False) -> tuple[Word, ...]:
        """An address for a socket of this kind; `to`: one to send or connect to."""
        words = list(V4 if kind.endswith("4") else V6)
        if kind.endswith("6") and "4" in self.families:
            words += V6_MAPPED
        if self.odd_addresses:
            words += V4_ODD if kind.endswith("4") else V6_ODD
        if self.interfaces:
            words += V4_FAR * 2 if kind.endswith("4") else V6_FAR * 2
        host = self.pick(words)
        if port is None:
            port = self.port() if to or not self.chance(6) else 0
        if host.startswith(("fe80", "ff02")) and self.chance(2):
            return host, port, 0, 1
        return host, port

    def facing(self, kind: str, other: str) -> tuple[Word, ...]:
        """An address at which the socket `other` may be found."""
        if kind.endswith("4"):
            return "127.0.0.1", "@" + other
        return "::1" if self.kinds[other].endswith("6") else "::ffff:127.0.0.1", "@" + other

    # -- scenes -----------------------------------------------------------------------------------------------

    def make(self) -> str:
        name = self.new_name()
        kind = self.pick(self.protocols) + self.pick(self.families)
        self.call("socket", name, kind)
        self.kinds[name] = kind
        return name

    def make_with_options(self) -> str:
        name = self.make()
        for _ in range(self.pick((0, 0, 1, 1, 2, 3))):
            self.set_option(name)
        return name

    def bind_one(self) -> None:
        name = self.make_with_options() if not self.chance(3) else self.socket()
        self.call("bind", name, *self.address(self.kinds[name]))

    def listener(self) -> None:
        name = self.make_with_options()
        if not self.chance(6):
            self.call("bind", name, *self.address(self.kinds[name]))
        if self.kinds[name].startswith("tcp"):
            self.call("listen", name, self.pick((5, 5, 5, 128, 1, 0, -1)))
            self.listening.append(name)

    def client(self) -> None:
        name = self.make_with_options()
        if self.chance(5):
            self.call("bind", name, *self.address(self.kinds[name]))
        others = [other for other in self.kinds if other != name and self.kinds[other][:3] == self.kinds[name][:3]]
        found = [other for other in self.listening if other in others]
        found = found or [other for other in others if other in self.named] or others
        if found and not self.chance(6):
            self.call("connect", name, *self.facing(self.kinds[name], self.pick(found)))
        else:
            self.call("connect", name, *self.address(self.kinds[name], to=True))
        self.connected.append(name)

    def pair(self) -> None:
        """A listener, its client and the accepted socket; or two datagram sockets, one connected to the other."""
        family = self.pick(self.families)
        protocol = self.pick(self.protocols)
        server, client = self.new_name(), self.new_name()
        for name in (server, client):
            self.call("socket", name, protocol + family)
            self.kinds[name] = protocol + family
            if self.chance(4):
                self.set_option(name)
        self.call("bind", server, "127.0.0.1" if family == "4" else "::1", self.pick((8080, 8081, 0)))
        if protocol == "tcp":
            self.call("listen", server, 5)
            self.listening.append(server)
        self.call("connect", client, *self.facing(protocol + family, server))
        self.connected.append(client)
        if protocol == "tcp" and not self.chance(6):
            self.accept(server)

    def accept(self, server: str) -> None:
        name = self.new_name()
        self.call("accept", server, name)
        self.kinds[name] = self.kinds[server]
        self.connected.append(name)

    # -- single calls -----------------------------------------------------------------------------------------

    def set_option(self, name: str) -> None:
        kind = self.kinds[name]
        choices: list[tuple[Word, ...]] = [("SO_REUSEADDR", 1)] * 6 + [(self.pick(FLAGS_ON), self.pick((0, 1)))]
        if kind.startswith("tcp"):
            choices += [("SO_LINGER", self.pick(("1,0", "1,0", "0,0")))] * 2
            choices += [(self.pick(TCP_FLAGS), self.pick((0, 1)))]
        if kind.endswith("6"):
            choices += [("IPV6_V6ONLY", self.pick((0, 1)))] * 3
        if self.reuseport:
            choices += [("SO_REUSEPORT", self.pick((1, 1, 0)))] * 6
        if self.devices:
            device = self.pick(("lo", "lo", "-", "eth0" if self.interfaces else "nope"))
            choices += [("SO_BINDTODEVICE", device)] * 5
        if self.free_addresses:
            choices += [(self.pick(("IP_FREEBIND", "IPV6_FREEBIND", "IP_TRANSPARENT")), self.pick((1, 1, 0)))] * 3
            choices += [("IP_BIND_ADDRESS_NO_PORT", 1)] * 3
        if self.ranges:
            choices += [("IP_LOCAL_PORT_RANGE", self.pick(("45000-45000", "45001-45001", "0-0", "9-5")))] * 3
        if self.many_options:
            choices += [(self.pick(NUMBERED), self.pick(NUMBERS))] * 8
        self.call("setsockopt", name, *self.pick(choices))

    def change_option(self) -> None:
        self.set_option(self.socket())

    def read_option(self) -> None:
        self.call("getsockopt", self.socket(), self.pick(("SO_ERROR", "SO_ERROR", *READABLE)))

    def bind_again(self) -> None:
        name = self.socket()
        self.call("bind", name, *self.address(self.kinds[name]))

    def listen_again(self) -> None:
        name = self.socket()
        self.call("listen", name, self.pick((5, 1, 0)))
        self.listening.append(name)

    def connect(self) -> None:
        name = self.socket()
        other = self.other(name)
        if other and not self.chance(3):
            self.call("connect", name, *self.facing(self.kinds[name], other))
        else:
            self.call("connect", name, *self.address(self.kinds[name], to=True))
        self.connected.append(name)

    def disconnect(self) -> None:
        self.call("disconnect", self.of(self.connected))

    def accept_one(self) -> None:
        self.accept(self.of(self.listening))

    def send(self) -> None:
        flags = self.pick(("0",) * 8 + ("MORE", "DONTWAIT", "NOSIGNAL", "CONFIRM"))
        self.call(self.pick(("send", "send", "send", "sendmsg")), self.of(self.connected), self.pick(DATA), flags)

    def sendto(self) -> None:
        name = self.socket()
        other = self.other(name)
        to = self.facing(self.kinds[name], other) if other and not self.chance(3) else None
        flags = self.pick(("0", "0", "0", "MORE"))
        self.call("sendto", name, self.pick(DATA), flags, *(to or self.address(self.kinds[name], to=True)))

    def receive(self) -> None:
        flags = self.pick(("0",) * 8 + ("PEEK", "PEEK", "TRUNC", "PEEK|TRUNC", "WAITALL", "DONTWAIT"))
        call = self.pick(("recv", "recv", "recv", "recvfrom", "recvmsg"))
        self.call(call, self.of(self.connected) if not self.chance(3) else self.socket(), self.pick(LENGTHS), flags)

    def shut_down(self) -> None:
        self.call("shutdown", self.of(self.connected), self.pick(("WR", "WR", "RD", "RDWR")))

    def close(self) -> None:
        name = self.socket()
        self.call("close", name)
        self.kinds.pop(name)

    def duplicate(self) -> None:
        name = self.socket()
        new = self.new_name()
        self.call("dup", name, new)
        self.kinds[new] = self.kinds[name]

    def ask(self) -> None:
        self.call(self.pick(("getsockname", "getpeername")), self.socket())

    def poll(self) -> None:
        self.call(self.pick(("poll", "poll", "poll", "select")), *((self.socket(),) if self.chance(2) else ()))

    def states(self) -> None:
        self.call("settle")
        self.call("states")

    def settle(self) -> None:
        self.call("settle")

    def change_user(self) -> None:
        self.call("seteuid", self.pick((1000, 0, 1000)))

    def wait_or_not(self) -> None:
        name = self.socket()
        self.call(*self.pick((("block", name, 20), ("unblock", name), ("timeout", name, 20))))

    def use_epoll(self) -> None:
        if not self.epolls:
            self.epolls.append("E")
            self.call("epoll", "E")
        choice = self.pick(("add", "add", "wait", "wait", "wait", "mod", "del"))
        if choice == "wait":
            self.call("epoll_wait", "E")
        elif choice == "del":
            self.call("epoll_del", "E", self.socket())
        else:
            self.call("epoll_" + choice, "E", self.socket(), self.pick(EVENTS))

    def actions(self) -> list[Callable[[], object]]:
        """What may come next, as often as it is likely."""
        actions: list[Callable[[], object]] = []
        for action, weight in (
            (self.bind_one, 6), (self.listener, 4), (self.client, 6), (self.pair, 3), (self.make_with_options, 1),
            (self.change_option, 4), (self.read_option, 4), (self.bind_again, 3), (self.listen_again, 2),
            (self.connect, 5), (self.disconnect, 2), (self.accept_one, 6), (self.send, 8), (self.sendto, 3),
            (self.receive, 9), (self.shut_down, 5), (self.close, 5), (self.duplicate, 1), (self.ask, 3), (self.poll, 5),
            (self.states, 3), (self.change_user, 5 * self.users), (self.wait_or_not, 6 * self.waiting),
            (self.use_epoll, 12 * self.epoll), (self.settle, 3 * self.settling),
        ):  # fmt: skip
            actions += [action] * weight
        return actions

    def write(self) -> Program:
        """The whole program."""
        for _ in range(self.pick((0, 1, 1, 2))):
            self.pick((self.pair, self.pair, self.listener, self.bind_one))()
        actions = self.actions()
        for _ in range(self._draw(st.integers(1, 30))):  # type: ignore[call-overload]
            self.pick(actions)()
        if self.users:
            self.call("seteuid", 0)
        self.call("everything")
        self.call("settle")  # a bare FIN is acknowledged at the next tick of a clock that stands still here
        self.call("states")
        addresses = ("10.0.0.1/24@eth0", "fd00::1/64@eth0") if self.interfaces else ()
        return Program(tuple(self.calls), addresses, tuple(self.sysctls))


@st.composite
def programs(draw: Draw[object]) -> Program:
    """Any program."""
    return Author(draw).write()
