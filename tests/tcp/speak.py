"""A dialogue with one connection: we are its peer, and say segments by hand; every word of its is heard."""

from __future__ import annotations

from pair import ALICE, BOB, Endpoint, World

from portside.addr.abi import MILLISECOND
from portside.facts.state import NAMES
from portside.tcp import arrives, calls, listen
from portside.tcp.listen import Listener
from portside.tcp.tcb import Tcb
from portside.wire.packet import ACK, FIN, PSH, RST, SYN, URG, TcpSegment

MASK = 0xFFFFFFFF
LETTERS = {"S": SYN, "A": ACK, "F": FIN, "R": RST, "P": PSH}
ISN = 5000  # theirs: the connection under test
PEER = 9000  # ours


def flags_of(letters: str) -> int:
    value = 0
    for letter in letters:
        value |= LETTERS[letter]
    return value


def letters_of(flags: int) -> str:
    return "".join(letter for letter, bit in LETTERS.items() if flags & bit)


class Dialogue:
    """Numbers are relative: `seq` 0 is our SYN, `ack` 0 is theirs, as packet analyzers show them."""

    def __init__(self, isn: int = ISN, peer: int = PEER, timestamps: bool = False, **settings: object) -> None:
        self.world = World()
        self.host: Endpoint = self.world.host(ALICE, **settings)
        self.isn = isn
        self.peer = peer
        self.timestamps = timestamps
        self.tcb: Tcb = self.host.tcb()
        self.listener: Listener | None = None
        self.window = 65535
        self.port = 12345
        self.echo = 0

    # -- beginnings --

    def connect(self, **options: object) -> Dialogue:
        """The connection under test opens actively: its SYN is out."""
        for name, value in options.items():
            setattr(self.tcb, name, value)
        self.host.connect(BOB, 80, self.tcb, isn=self.isn)
        return self

    def listening(self, backlog: int = 5, **options: object) -> Dialogue:
        for name, value in options.items():
            setattr(self.tcb, name, value)
        self.listener = self.host.listen(80, backlog, self.tcb)
        self.host.next_isn = (self.isn - 100_000) & MASK
        return self

    def established(self, scale: int | None = None, mss: int = 1000, **options: object) -> Dialogue:
        self.connect(**options)
        self.hear("S")
        self.say("SA", seq=0, ack=1, mss=mss, scale=scale)
        self.hear("A", seq=1, ack=1)
        self.silent()
        return self

    def accepted(self, **options: object) -> Dialogue:
        """As `established`, by way of a listener."""
        self.listening(**options)
        self.say("S", seq=0, mss=1000)
        self.hear("SA", seq=0, ack=1)
        self.say("A", seq=1, ack=1)
        assert self.listener is not None
        child = listen.accept(self.listener)
        assert child is not None
        child.owner = object()
        self.tcb = child
        return self

    # -- words --

    def say(
        self, letters: str, seq: int = 1, ack: int | None = 1, data: bytes = b"", window: int | None = None,
        mss: int | None = None, scale: int | None = None, ts: tuple[int, int] | None = None, port: int | None = None,
        urgent: int = 0,
    ) -> None:  # fmt: skip
        """Our segment arrives. Args: urgent: its pointer, if it has URG."""
        flags = flags_of(letters) | (URG if urgent else 0)
        ours = self.world.hosts[ALICE]
        lport = self.tcb.lport
        port = port or (80 if self.listener is None else self.port)
        segment = TcpSegment(
            BOB, ALICE, port, lport, (self.peer + seq) & MASK,
            (self.isn + (ack or 0)) & MASK if flags & ACK else 0, flags,
            self.window if window is None else window, data,
        )  # fmt: skip
        segment.urgent = urgent
        segment.mss = mss
        segment.window_scale = scale
        if ts is None and self.timestamps:
            ts = (self.world.now // MILLISECOND & MASK, self.echo)
        segment.timestamps = ts
        ours.deliver(segment)

    def heard(self) -> list[TcpSegment]:
        """What was said and not yet listened to."""
        said = [segment for _, segment in self.world.log]
        self.world.log.clear()
        return said

    def hear(
        self, letters: str, seq: int | None = None, ack: int | None = None, data: bytes | None = None,
        window: int | None = None,
    ) -> TcpSegment:  # fmt: skip
        """The next segment that it said, which must be this one."""
        assert self.world.log, f"nothing was said, not {letters}"
        _, segment = self.world.log.pop(0)
        assert set(letters_of(segment.flags)) == set(letters), f"{show(segment, self)}, not {letters}"
        if seq is not None:
            assert (segment.seq - self.isn) & MASK == seq & MASK, show(segment, self)
        if ack is not None:
            assert (segment.ack - self.peer) & MASK == ack & MASK, show(segment, self)
        if data is not None:
            assert bytes(segment.data) == data, show(segment, self)
        if window is not None:
            assert segment.window == window, show(segment, self)
        if segment.timestamps is not None:
            self.echo = segment.timestamps[0]
        return segment

    def silent(self) -> None:
        """It has said nothing more."""
        assert not self.world.log, ", ".join(show(segment, self) for _, segment in self.world.log)

    def wait(self, milliseconds: float) -> None:
        self.world.advance(int(milliseconds * MILLISECOND))

    # -- the program --

    def send(self, data: bytes, more: bool = False) -> int:
        return calls.send(self.tcb, data, self.world.now, more)

    def recv(self, limit: int = 1 << 20, peek: bool = False) -> bytes | int | None:
        return calls.receive(self.tcb, limit, self.world.now, peek)

    def shutdown(self, how: int) -> int:
        return calls.shutdown(self.tcb, how, self.world.now)

    def close(self) -> None:
        calls.close(self.tcb, self.world.now)

    def poll(self) -> int:
        return calls.poll(self.tcb)

    def expire_all(self) -> None:
        arrives.predict(self.tcb)

    @property
    def state(self) -> str:
        return NAMES[self.tcb.state]

    @property
    def heir(self) -> str | None:
        """The state of what holds the 4-tuple: of the TIME-WAIT once there is one."""
        tcb = self.tcb
        holder = self.host.connections.get((tcb.laddr, tcb.lport, tcb.raddr, tcb.rport))
        return None if holder is None else NAMES[holder.state]

    def in_state(self, name: str) -> Dialogue:
        """Lead an established connection into one of the later states."""
        match name:
            case "ESTABLISHED":
                pass
            case "FIN-WAIT-1":
                self.shutdown(1)
                self.hear("FA", seq=1)
            case "FIN-WAIT-2":
                self.in_state("FIN-WAIT-1")
                self.say("A", ack=2)
            case "CLOSING":
                self.in_state("FIN-WAIT-1")
                self.say("FA", seq=1, ack=1)
                self.hear("A", ack=2)
            case "CLOSE-WAIT":
                self.say("FA", seq=1, ack=1)
                self.wait(40)
                self.hear("A", ack=2)
            case "LAST-ACK":
                self.in_state("CLOSE-WAIT")
                self.shutdown(1)
                self.hear("FA", seq=1, ack=2)
            case _:
                raise ValueError(name)
        assert self.state == name
        self.silent()
        return self


def show(segment: TcpSegment, dialogue: Dialogue) -> str:
    return (
        f"<{letters_of(segment.flags)} seq {(segment.seq - dialogue.isn) & MASK}"
        f" ack {(segment.ack - dialogue.peer) & MASK} win {segment.window} len {len(segment.data)}>"
    )
