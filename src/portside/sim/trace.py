"""The record of what happened in a world, in order: packets in the words of tcpdump(1), and notes.

Observers hear of each event as it happens. While there is none, a packet pays nothing: the hosts' hooks are
not set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from portside.addr.abi import IPPROTO_ICMP, IPPROTO_UDP
from portside.addr.ip import is_v4, text
from portside.ip.link import NeighborMessage
from portside.sim.clock import show
from portside.wire.packet import Fragment, IcmpMessage, Packet, TcpSegment, UdpDatagram

if TYPE_CHECKING:
    from portside.ip.interface import Interface

NOTE: Final = "note"
_WORDS: Final = {"send": "Out", "receive": "In", "drop": "Drop"}
_FLAGS: Final = tuple((1 << bit, letter) for bit, letter in enumerate("FSRP.UEW"))
_MASK: Final = 0xFFFFFFFF


class Event:
    """One thing that happened: when (ns), on which host, what.

    `kind` is `send`, `receive`, `drop` or `note`. `packet` is the packet itself, which changes on its way (a
    router lowers its TTL): look at it at once or not at all. `text` is the packet in words, or the note;
    `reason` says why a packet was dropped.
    """

    __slots__ = ("host", "interface", "kind", "packet", "reason", "text", "time")

    def __init__(
        self,
        time: int,
        host: str,
        kind: str,
        packet: Packet | None,
        interface: str,
        text: str,
        reason: str,
    ) -> None:
        self.time = time
        self.host = host
        self.kind = kind
        self.packet = packet
        self.interface = interface
        self.text = text
        self.reason = reason

    def __str__(self) -> str:
        if self.kind == NOTE:
            return f"{show(self.time)} {self.host} {self.text}"
        reason = f" ({self.reason})" if self.reason else ""
        where = f"{self.host} {self.interface or '*'} {_WORDS[self.kind]}"
        return f"{show(self.time)} {where} {self.text}{reason}"


Observer = Callable[[Event], None]


class Clock(Protocol):
    """What a trace asks of the world."""

    now: int


class Trace:
    """The events of one world and who wants to hear of them.

    `switched` is called when the first observer comes and the last one goes: it sets the hosts' hooks.
    """

    def __init__(self, world: Clock, switched: Callable[[bool], None] | None = None) -> None:
        self._world = world
        self._switched = switched
        self._observers: list[Observer] = []
        self._describe = Describer()
        self.events: list[Event] = []

    @property
    def on(self) -> bool:
        """Whether anybody wants to hear."""
        return bool(self._observers)

    def observe(self, observer: Observer) -> None:
        """Let `observer(event)` hear of everything from now on."""
        self._observers.append(observer)
        if len(self._observers) == 1 and self._switched is not None:
            self._switched(True)

    def forget(self, observer: Observer) -> None:
        """Let an observer hear no more."""
        self._observers.remove(observer)
        if not self._observers and self._switched is not None:
            self._switched(False)

    def keep(self) -> None:
        """Keep everything from now on in `events`."""
        if self.events.append not in self._observers:
            self.observe(self.events.append)

    def lines(self) -> list[str]:
        """The kept events as text."""
        return [str(event) for event in self.events]

    def write_to(self, stream: TextIO) -> None:
        """Write each event from now on as a line of text."""
        self.observe(lambda event: _write(stream, event))

    def packet(self, host: str, kind: str, packet: Packet, interface: Interface | None, reason: str = "") -> None:
        """Note what happened to a packet."""
        name = "" if interface is None else interface.name
        self._tell(Event(self._world.now, host, kind, packet, name, self._describe(packet), reason))

    def note(self, host: str, words: str) -> None:
        """Note something else: a program began, a call was made, a link was cut."""
        if self._observers:
            self._tell(Event(self._world.now, host, NOTE, None, "", words, ""))

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)


def _write(stream: TextIO, event: Event) -> None:
    stream.write(f"{event}\n")


class Describer:
    """Packets in the words of tcpdump(1), with sequence numbers relative to the SYNs that it has seen."""

    __slots__ = ("_isn",)

    def __init__(self) -> None:
        self._isn: dict[tuple[int, int, int, int], int] = {}

    def __call__(self, packet: Packet) -> str:
        """One line on one packet."""
        if isinstance(packet, NeighborMessage):
            return _neighbor(packet)
        family = "IP" if is_v4(packet.src) else "IP6"
        if isinstance(packet, TcpSegment):
            return f"{family} {_ends(packet, packet.sport, packet.dport)}: {self._tcp(packet)}"
        if isinstance(packet, UdpDatagram):
            name = "UDP" if packet.proto == IPPROTO_UDP else "UDP-Lite"
            return f"{family} {_ends(packet, packet.sport, packet.dport)}: {name}, length {len(packet.data)}"
        both = f"{family} {text(packet.src)} > {text(packet.dst)}: "
        if isinstance(packet, IcmpMessage):
            return both + _icmp(packet)
        if isinstance(packet, Fragment):
            more = "+" if packet.more else ""
            return f"{both}frag (proto {packet.proto}, {packet.length}@{packet.offset}{more})"
        return f"{both}ip-proto-{packet.proto} {packet.payload_length()}"

    def _tcp(self, segment: TcpSegment) -> str:
        flags = "".join(letter for bit, letter in _FLAGS if segment.flags & bit) or "none"
        key = (segment.src, segment.sport, segment.dst, segment.dport)
        length = len(segment.data)
        seq, ack = segment.seq, segment.ack
        if segment.flags & 0x02:
            self._isn[key] = seq
        else:
            seq = seq - self._isn.get(key, 0) & _MASK
        parts = [f"Flags [{flags}]"]
        if length:
            parts.append(f"seq {seq}:{seq + length & _MASK}")
        elif segment.flags & 0x07:
            parts.append(f"seq {seq}")
        if segment.flags & 0x10:
            back = self._isn.get((segment.dst, segment.dport, segment.src, segment.sport), 0)
            parts.append(f"ack {ack - back & _MASK}")
        parts.append(f"win {segment.window}")
        if segment.flags & 0x20:
            parts.append(f"urg {segment.urgent}")
        options = self._options(segment)
        if options:
            parts.append(f"options [{','.join(options)}]")
        parts.append(f"length {length}")
        return ", ".join(parts)

    def _options(self, segment: TcpSegment) -> list[str]:
        options = []
        if segment.mss is not None:
            options.append(f"mss {segment.mss}")
        if segment.sack_permitted:
            options.append("sackOK")
        if segment.timestamps is not None:
            options.append("TS val {} ecr {}".format(*segment.timestamps))
        if segment.window_scale is not None:
            options.append(f"wscale {segment.window_scale}")
        if segment.sack:
            back = self._isn.get((segment.dst, segment.dport, segment.src, segment.sport), 0)
            blocks = (f"{{{left - back & _MASK}:{right - back & _MASK}}}" for left, right in segment.sack)
            options.append(f"sack {len(segment.sack)} {''.join(blocks)}")
        return options


def _ends(packet: Packet, sport: int, dport: int) -> str:
    return f"{text(packet.src)}.{sport} > {text(packet.dst)}.{dport}"


def _neighbor(message: NeighborMessage) -> str:
    length = message.payload_length() + 20
    address = ":".join(f"{byte:02x}" for byte in message.link_address.to_bytes(6, "big"))
    if is_v4(message.src):
        if message.request:
            return f"ARP, Request who-has {text(message.dst)} tell {text(message.src)}, length {length}"
        return f"ARP, Reply {text(message.src)} is-at {address}, length {length}"
    what = f"who has {text(message.dst)}" if message.request else f"tgt is {text(message.src)}"
    kind = "solicitation" if message.request else "advertisement"
    return f"IP6 {text(message.src)} > {text(message.dst)}: ICMP6, neighbor {kind}, {what}, length 32"


_UNREACHABLE: Final = {
    0: "net {dst} unreachable", 1: "host {dst} unreachable", 2: "{dst} protocol {proto} unreachable",
    3: "{dst} {name} port {port} unreachable", 4: "{dst} unreachable - need to frag (mtu {extra})",
    9: "net {dst} unreachable - admin prohibited", 10: "host {dst} unreachable - admin prohibited",
    13: "host {dst} unreachable - admin prohibited filter",
}  # fmt: skip
_UNREACHABLE6: Final = {
    0: "unreachable route {dst}", 1: "unreachable prohibited {dst}", 3: "unreachable address {dst}",
    4: "unreachable port, {dst} {name} port {port}", 5: "source address {dst} failed policy",
    6: "reject route {dst}",
}  # fmt: skip


def _icmp(message: IcmpMessage) -> str:
    v4 = message.proto == IPPROTO_ICMP
    name = "ICMP" if v4 else "ICMP6,"
    echo = {8: "request", 0: "reply"} if v4 else {128: "request", 129: "reply"}
    length = message.payload_length()
    if message.type in echo:
        ident, number = message.extra >> 16, message.extra & 0xFFFF
        return f"{name} echo {echo[message.type]}, id {ident}, seq {number}, length {length}"
    about = _about(message)
    known: dict[int, str] = {}
    if message.type == (3 if v4 else 1):
        known = _UNREACHABLE if v4 else _UNREACHABLE6
    words = known.get(message.code)
    if words is None and message.type == (11 if v4 else 3):
        words = "time exceeded in-transit" if message.code == 0 else "ip reassembly time exceeded"
    elif words is None and message.type == 2 and not v4:
        words = "packet too big, mtu {extra}"
    elif words is None:
        words = f"type {message.type} code {message.code}"
    return f"{name} {words.format(**about)}, length {length}"


def _about(message: IcmpMessage) -> dict[str, object]:
    quoted = message.quoted
    about: dict[str, object] = {"dst": "?", "proto": "?", "name": "?", "port": "?", "extra": message.extra}
    if quoted is not None:
        about.update(dst=text(quoted.dst), proto=quoted.proto)
    if isinstance(quoted, TcpSegment | UdpDatagram):
        about.update(name="tcp" if isinstance(quoted, TcpSegment) else "udp", port=quoted.dport)
    return about


def render(events: Sequence[Event]) -> str:
    """Events as text, one line each."""
    return "".join(f"{event}\n" for event in events)
