"""Properties: any network delivers the stream, any segment is survived, and no stray moves a valid connection."""

from __future__ import annotations

import errno
import heapq
import os
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair import ALICE, BOB, World
from speak import Dialogue

from portside.addr.abi import MILLISECOND, SECOND
from portside.facts.state import CLOSED
from portside.tcp import calls, listen
from portside.tcp.tcb import Tcb
from portside.tcp.timewait import TimeWait
from portside.wire.packet import ACK, FIN, RST, SYN, TcpSegment

MASK = 0xFFFFFFFF
# How long a network loses segments: then the next retransmission comes through, before either side may give up by
# tcp_synack_retries (the one at 31 s of 63 s) or by tcp_retries2 (924 s).
HANDSHAKE = 20 * SECOND
CONVERSATION = 600 * SECOND
EXAMPLES = int(os.environ.get("PORTSIDE_EXAMPLES", "60"))  # more for a deep run
FAST = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


class BadNetwork(World):
    """Loses, doubles and delays segments, by chance from a seed."""

    def __init__(self, seed: int, loss: float, double: float, jitter: int) -> None:
        super().__init__()
        self.random = Random(seed)
        self.loss = loss
        self.double = double
        self.jitter = jitter
        self.lossy_until = HANDSHAKE
        self.cut = self.treat

    def treat(self, segment: TcpSegment) -> bool:
        for _ in range(2 if self.random.random() < self.double else 1):
            if self.random.random() >= self.loss or self.now > self.lossy_until:
                self.arm(segment, self.now + MILLISECOND + self.random.randrange(self.jitter + 1))
        return True


class Program:
    """Writes a stream in pieces while it may, reads what comes, and closes when it has said all."""

    def __init__(self, tcb: Tcb, stream: bytes, piece: int, reads: int) -> None:
        self.tcb = tcb
        self.stream = stream
        self.piece = piece
        self.reads = reads
        self.said = 0
        self.heard: list[bytes] = []
        self.ended = False
        self.shut = False

    def step(self, now: int) -> None:
        tcb = self.tcb
        while self.said < len(self.stream):
            taken = calls.send(tcb, self.stream[self.said : self.said + self.piece], now)
            assert taken >= 0, taken
            if not taken:
                break
            self.said += taken
        if self.said == len(self.stream) and not self.shut:
            self.shut = True
            calls.shutdown(tcb, 1, now)
        while not self.ended:
            data = calls.receive(tcb, self.reads, now)
            if data is None:
                break
            assert isinstance(data, bytes), data
            if data:
                self.heard.append(data)
            else:
                self.ended = True


def converse(
    network: World, isns: tuple[int, int], streams: tuple[bytes, bytes], piece: int, reads: int, **options: int
) -> tuple[Program, Program]:  # fmt: skip
    alice, bob = network.host(ALICE), network.host(BOB)
    bob.next_isn = isns[1] - 100_000
    template = bob.tcb()
    listener = bob.listen(80, 5, template)
    tcb = alice.tcb()
    for name, value in options.items():
        setattr(tcb, name, value)
        setattr(template, name, value)
    client = alice.connect(BOB, 80, tcb, isn=isns[0])
    accepted = None
    while accepted is None:
        network.advance(100 * MILLISECOND)
        assert client.state != CLOSED, client.error
        accepted = listen.accept(listener)
    accepted.owner = object()
    if isinstance(network, BadNetwork):
        network.lossy_until = network.now + CONVERSATION
    programs = Program(client, streams[0], piece, reads), Program(accepted, streams[1], piece, reads)
    limit = network.now + 3600 * SECOND
    while not all(program.ended and program.shut for program in programs):
        for program in programs:
            program.step(network.now)
        network.advance(20 * MILLISECOND)
        assert network.now < limit, "the conversation does not come to an end"
    return programs


@FAST
@given(
    seed=st.integers(0, 2**32), loss=st.floats(0, 0.25), double=st.floats(0, 0.2),
    jitter=st.sampled_from([0, 1000, 5 * MILLISECOND, 50 * MILLISECOND]),
    lengths=st.tuples(st.integers(0, 60_000), st.integers(0, 20_000)),
    piece=st.sampled_from([1, 100, 1448, 5000, 70_000]), reads=st.sampled_from([1, 1000, 65536]),
    isns=st.tuples(
        st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**32 - 20_000]), st.sampled_from([0, 2**32 - 1, 2**32 - 5])
    ),
    buffers=st.sampled_from([0, 5000, 20_000]), nodelay=st.booleans(),
)  # fmt: skip
def test_the_stream_arrives_whole_and_both_end_closed(
    seed: int, loss: float, double: float, jitter: int, lengths: tuple[int, int], piece: int, reads: int,
    isns: tuple[int, int], buffers: int, nodelay: bool,
) -> None:  # fmt: skip
    if piece == 1 or reads == 1:
        lengths = (lengths[0] % 500, lengths[1] % 500)
    random = Random(seed)
    streams = random.randbytes(lengths[0]), random.randbytes(lengths[1])
    network = BadNetwork(seed, loss, double, jitter)
    options: dict[str, int] = {"nodelay": nodelay}
    if buffers:
        options |= {"sndbuf": buffers, "sndbuf_locked": True, "rcvbuf": buffers, "rcvbuf_locked": True}
    client, server = converse(network, isns, streams, piece, reads, **options)
    assert b"".join(server.heard) == streams[0]
    assert b"".join(client.heard) == streams[1]
    for program in (client, server):
        calls.close(program.tcb, network.now)
    network.loss = 0
    network.advance(600 * SECOND)
    for host in network.hosts.values():
        assert not {key: who for key, who in host.connections.items() if who.state != 10}
    for program in (client, server):
        tcb = program.tcb
        assert tcb.state == CLOSED
        # A SYN,ACK lost for half a minute is taken for a round trip of as long; then the FIN sent again may find the
        # peer's TIME-WAIT over, or the orphan's time.
        assert not tcb.error or (tcb.error in (errno.ECONNRESET, errno.ETIMEDOUT) and tcb.rto > 10 * SECOND)
        assert tcb.sent is None
        assert tcb.unsent is None
        assert tcb.snd_memory == 0


@FAST
@given(seed=st.integers(0, 2**32), piece=st.sampled_from([10, 1448, 9000]), size=st.integers(1, 400_000))
def test_a_good_network_loses_no_time(seed: int, piece: int, size: int) -> None:
    """Without loss nothing is sent twice, and no timer of seconds is waited for."""
    network = World()
    network.latency = 5 * MILLISECOND
    if piece == 10:
        size %= 3000
    stream = Random(seed).randbytes(size)
    _, server = converse(network, (1, 2), (stream, b""), piece, 65536)
    assert b"".join(server.heard) == stream
    seen = set()
    for _, segment in network.log:
        if len(segment.data):
            key = (segment.src, segment.seq)
            assert key not in seen, "sent twice"
            seen.add(key)


# -- anything at all --

STATES = ["ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSING", "CLOSE-WAIT", "LAST-ACK"]

around = st.one_of(st.integers(-5, 10), st.integers(-70_000, 70_000), st.integers(0, MASK))
segments = st.lists(
    st.tuples(
        st.integers(0, 255), around, around, st.integers(0, 65535), st.integers(0, 1500),
        st.one_of(st.none(), st.tuples(st.integers(0, MASK), st.integers(0, MASK))), st.integers(0, 3),
    ),
    min_size=1, max_size=30,
)  # fmt: skip


def begin(name: str) -> Dialogue:
    match name:
        case "LISTEN":
            return Dialogue().listening()
        case "SYN-SENT":
            return Dialogue().connect()
        case "SYN-RECEIVED":
            dialogue = Dialogue().connect()
            dialogue.say("S", seq=0)
            return dialogue
        case "REQUEST":
            dialogue = Dialogue().listening()
            dialogue.say("S", seq=0)
            return dialogue
        case "TIME-WAIT":
            dialogue = Dialogue().established().in_state("FIN-WAIT-2")
            dialogue.say("FA", ack=2)
            return dialogue
        case "ORPHAN":
            dialogue = Dialogue().established()
            dialogue.close()
            dialogue.say("A", ack=2)
            return dialogue
    return Dialogue().established().in_state(name)


def throw(dialogue: Dialogue, parts: tuple[int, int, int, int, int, tuple[int, int] | None, int]) -> None:
    flags, seq, ack, window, length, timestamps, what = parts
    segment = TcpSegment(
        BOB, ALICE, 80 if dialogue.listener is None else dialogue.port, dialogue.tcb.lport,
        (dialogue.peer + seq) & MASK, (dialogue.isn + ack) & MASK, flags, window, bytes(length),
    )  # fmt: skip
    segment.timestamps = timestamps
    if flags & SYN:
        segment.mss = length
        segment.window_scale = window & 15
    dialogue.host.deliver(segment)
    dialogue.world.wire.clear()
    if what == 1:
        dialogue.send(b"x" * length)
    elif what == 2:
        dialogue.recv(length + 1)
    elif what == 3:
        dialogue.wait(length)


@FAST
@given(
    state=st.sampled_from([*STATES, "LISTEN", "SYN-SENT", "SYN-RECEIVED", "REQUEST", "TIME-WAIT", "ORPHAN"]),
    script=segments,
)
def test_nothing_that_arrives_crashes_or_grows_without_bound(
    state: str, script: list[tuple[int, int, int, int, int, tuple[int, int] | None, int]]
) -> None:
    dialogue = begin(state)
    for parts in script:
        throw(dialogue, parts)
        for who in [dialogue.tcb, *dialogue.host.connections.values()]:
            if isinstance(who, TimeWait):
                continue
            assert who.rcv_memory <= who.rcvbuf + 70_000
            assert who.snd_memory >= 0
            assert who.cwnd >= 1
            assert 0 <= who.lost_out <= len(who.sent or ())
            assert who.retransmitted_out <= len(who.sent or ())
            queued = sum(map(len, who.received or ())) - who.received_offset
            if who.state != CLOSED:
                assert queued == calls.receive_queue(who) - who.fin_queued or who.state == 10
    dialogue.world.advance(2000 * SECOND)


@FAST
@given(
    state=st.sampled_from(STATES),
    script=st.lists(
        st.tuples(st.sampled_from([RST, RST | ACK, SYN, SYN | ACK, ACK, FIN | ACK, FIN, 0]), st.integers(0, MASK),
                  st.integers(0, MASK), st.integers(0, 10)),
        max_size=20,
    ),
)  # fmt: skip
def test_what_the_rfcs_tell_to_ignore_moves_nothing(state: str, script: list[tuple[int, int, int, int]]) -> None:
    dialogue = Dialogue().established().in_state(state)
    tcb = dialogue.tcb
    before = (tcb.state, tcb.snd_una, tcb.snd_nxt, tcb.rcv_nxt, tcb.error)
    for flags, seq, ack, length in script:
        place = (dialogue.peer + seq - tcb.rcv_nxt) & MASK
        number = (dialogue.isn + ack) & MASK
        if flags & RST:
            believed = place in (0, MASK)
        elif flags & SYN:
            believed = False
        else:
            believed = place < 70_000 or place > MASK - 2000 or not flags & ACK
            believed = believed and flags & ACK != 0
        if believed:
            continue
        place = (dialogue.peer + seq) & MASK
        segment = TcpSegment(BOB, ALICE, 80, tcb.lport, place, number, flags, 1000, bytes(length))
        dialogue.host.deliver(segment)
        assert (tcb.state, tcb.snd_una, tcb.snd_nxt, tcb.rcv_nxt, tcb.error) == before
        assert tcb.received is None


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_tells_the_same_story(seed: int) -> None:
    stories = []
    for _ in range(2):
        network = BadNetwork(seed, 0.1, 0.1, 5 * MILLISECOND)
        converse(network, (1, 2), (Random(seed).randbytes(50_000), b"answer"), 1000, 4096)
        stories.append(
            [(at, s.src, s.seq, s.ack, s.flags, s.window, bytes(s.data), s.timestamps) for at, s in network.log]
        )
    assert stories[0] == stories[1]


def test_an_alarm_never_lies_in_the_past_and_the_last_one_dies() -> None:
    network = BadNetwork(1, 0.2, 0.1, MILLISECOND)
    client, server = converse(network, (1, 2), (bytes(30_000), bytes(3000)), 1000, 4096)
    calls.close(client.tcb, network.now)
    calls.close(server.tcb, network.now)
    network.loss = 0
    network.advance(1000 * SECOND)
    assert not [alarm for alarm in network.alarms if not isinstance(alarm[2], TcpSegment)]
    heapq.heapify(network.alarms)
