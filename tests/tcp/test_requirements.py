"""Requirements of RFC 9293 that no other test shows; docs/rfc9293.md names for each one where it is shown."""

from __future__ import annotations

import errno
import socket
import time
from functools import partial
from itertools import pairwise

import pytest
from speak import Dialogue

from portside import Network
from portside.addr.abi import MILLISECOND, SECOND
from portside.addr.ip import parse
from portside.facts.settings import Settings
from portside.ip.link import TO_ALL
from portside.sim import faults
from portside.tcp import arrives
from portside.wire.packet import SYN, Packet, TcpSegment

# -- segments --


def test_the_largest_window_field_is_not_a_negative_number() -> None:
    """MUST-1, REC-1."""
    scaled = Dialogue().established(scale=14)
    scaled.say("A", window=0xFFFF)
    assert scaled.tcb.snd_wnd == 0xFFFF << 14
    plain = Dialogue().established()
    plain.say("A", window=0xFFFF)
    assert plain.send(b"x") == 1
    plain.hear("PA", data=b"x")


def test_segment_sizes_are_told_in_syns_only_and_always_there() -> None:
    """MUST-65, MAY-3."""
    dialogue = Dialogue(timestamps=True).listening()
    dialogue.say("S", seq=0, mss=1000)
    seen = dialogue.heard()
    dialogue.say("A", seq=1)
    dialogue.say("PA", seq=1, data=b"hello")
    dialogue.say("S", seq=2000)
    seen += dialogue.heard()
    seen += Dialogue().connect().heard()
    assert len(seen) >= 3
    for segment in seen:
        assert (segment.mss is not None) == bool(segment.flags & SYN)


def test_without_an_mss_option_536_is_assumed() -> None:
    """MUST-15."""
    dialogue = Dialogue().connect()
    dialogue.hear("S")
    dialogue.say("SA", seq=0, ack=1)
    dialogue.hear("A")
    dialogue.send(b"x" * 2000)
    assert [len(segment.data) for segment in dialogue.heard()][:3] == [536, 536, 536]


def test_a_reset_may_carry_data() -> None:
    """SHLD-2."""
    dialogue = Dialogue().established()
    dialogue.say("RA", seq=1, data=b"for this reason")
    assert dialogue.state == "CLOSED"
    assert dialogue.recv() == -errno.ECONNRESET
    dialogue.silent()


def test_a_reset_counts_though_the_window_is_closed() -> None:
    """MUST-66."""
    dialogue = Dialogue().established(rcvbuf=4608, rcvbuf_locked=True)

    def next_number() -> int:
        return (dialogue.tcb.rcv_nxt - dialogue.peer) & 0xFFFFFFFF

    window = 100
    for _ in range(100):
        dialogue.say("PA", seq=next_number(), data=b"x" * min(window, 100))
        dialogue.wait(300)
        window = dialogue.heard()[-1].window
        if not window:
            break
    assert window == 0
    dialogue.say("R", seq=next_number())
    assert dialogue.state == "CLOSED"


def test_the_offered_window_never_shrinks() -> None:
    """SHLD-14: the right edge stays where it was offered, whatever the buffer becomes."""
    dialogue = Dialogue().established()
    edge = dialogue.tcb.rcv_wup + dialogue.tcb.rcv_wnd
    windows = []
    for turn in range(20):
        dialogue.say("PA", seq=1 + 100 * turn, data=b"x" * 100)
        if turn == 5:
            dialogue.tcb.rcvbuf = 32768
        dialogue.wait(50)
        (segment,) = dialogue.heard()
        windows.append(segment.window)
        assert segment.ack + segment.window >= edge
        edge = segment.ack + segment.window
    assert windows[19] < windows[5], "the smaller buffer is felt"
    assert windows[19] > 32768, "but what was offered stands"


# -- a window that shrinks --


def shrunk() -> Dialogue:
    """Five segments are in flight, and the peer takes its window back behind the first of them."""
    dialogue = Dialogue().established()
    dialogue.send(b"x" * 5000)
    assert len(dialogue.heard()) == 5
    dialogue.say("A", ack=1001, window=500)
    return dialogue


def test_a_shrunk_window_stops_new_data_but_not_old() -> None:
    """MUST-34, SHLD-15, SHLD-16, MAY-7."""
    dialogue = shrunk()
    dialogue.send(b"y" * 1000)
    dialogue.silent()
    dialogue.wait(300)
    again = dialogue.hear("A", seq=1001)
    assert bytes(again.data) == b"x" * 1000
    dialogue.say("A", ack=5001)
    dialogue.hear("PA", seq=5001, data=b"y" * 1000)
    assert dialogue.state == "ESTABLISHED"


def test_a_window_that_closes_over_data_in_flight_is_probed() -> None:
    """MUST-35, SHLD-17: the retransmission is the probe; while it is answered the connection stays."""
    dialogue = Dialogue().established()
    dialogue.send(b"x" * 1000)
    dialogue.heard()
    for _ in range(40):
        dialogue.say("A", ack=1, window=0)
        dialogue.wait(120_000)
        assert dialogue.heard()
    assert dialogue.state == "ESTABLISHED"
    dialogue.say("A", ack=1001, window=5000)
    assert dialogue.tcb.sent is None


def test_the_first_probe_comes_after_the_retransmission_timeout_and_then_less_and_less_often() -> None:
    """MUST-36, SHLD-29, SHLD-30."""
    dialogue = Dialogue().established()
    dialogue.say("A", window=0)
    dialogue.send(b"x")
    began = dialogue.world.now
    timeout = dialogue.tcb.rto
    times = []
    for _ in range(5):
        dialogue.silent()
        while not dialogue.world.log:
            dialogue.wait(1)
        times.append(dialogue.world.now - began)
        dialogue.heard()
        dialogue.say("A", window=0)
    assert abs(times[0] - timeout) <= 2 * MILLISECOND
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(later >= 1.9 * earlier for earlier, later in pairwise(gaps))


# -- acknowledgments --


def test_an_acknowledgment_is_never_half_a_second_late() -> None:
    """MUST-40: whatever the pace of the data was before."""
    dialogue = Dialogue().established()
    seq = 1
    for gap in (10, 300, 700, 40, 5, 2000, 90, 450, 450, 450, 450):
        dialogue.say("PA", seq=seq, data=b"x" * 10)
        seq += 10
        began = dialogue.world.now
        while not dialogue.world.log:
            dialogue.wait(1)
            assert dialogue.world.now - began < SECOND // 2
        assert dialogue.heard()[-1].ack == dialogue.tcb.rcv_nxt
        dialogue.recv()
        dialogue.wait(gap)
        dialogue.heard()


def test_what_was_queued_is_acknowledged_at_once_when_the_gap_is_filled() -> None:
    """MUST-58, MUST-59: one ACK for all of it."""
    dialogue = Dialogue().established()
    for piece in (1, 2, 3):
        dialogue.say("A", seq=1 + 1000 * piece, data=b"x" * 1000)
        dialogue.hear("A", ack=1)
    dialogue.say("A", seq=1, data=b"x" * 1000)
    dialogue.hear("A", ack=4001)
    dialogue.silent()


# -- keepalive --


def test_keepalive_is_off_and_two_hours_by_default_and_has_no_data() -> None:
    """MUST-25, MUST-28, SHLD-12."""
    assert Settings().tcp_keepalive_time == 7200
    quiet = Dialogue().established()
    quiet.wait(24 * 3600 * 1000)
    quiet.silent()
    keeping = Dialogue().established(keepalive=True)
    keeping.wait(7199 * 1000)
    keeping.silent()
    keeping.wait(2 * 1000)
    probe = keeping.hear("A", seq=0, ack=1)
    assert not probe.data


def test_keepalive_is_silent_while_data_is_outstanding() -> None:
    """MUST-26: the retransmission asks already."""
    dialogue = Dialogue().established(keepalive=True, keepidle=1)
    dialogue.send(b"x")
    dialogue.wait(3_500)
    assert all(segment.data for segment in dialogue.heard())


# -- errors told by ICMP --


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.EPROTO])
@pytest.mark.parametrize("hard", [False, True])
def test_no_icmp_error_aborts_a_connection(number: int, hard: bool) -> None:
    """MUST-56; SHLD-26 asks for it when the error is hard, and Linux doesn't either."""
    dialogue = Dialogue().established()
    dialogue.send(b"x")
    (segment,) = dialogue.heard()
    arrives.icmp_error(dialogue.tcb, number, hard, segment, 0, dialogue.world.now)
    assert dialogue.state == "ESTABLISHED"
    assert dialogue.tcb.soft_error == number
    dialogue.say("A", ack=2)
    assert dialogue.send(b"y") == 1


# -- what takes a host --


def two_hosts() -> tuple[Network, list[TcpSegment]]:
    """alice and bob on one link, and every segment that travels there."""
    network = Network(seed=1)
    link = network.link(network.host("alice", "10.0.0.1/24"), network.host("bob", "10.0.0.2/24"))
    seen: list[TcpSegment] = []

    def watch(packet: Packet) -> None:
        if isinstance(packet, TcpSegment):
            seen.append(packet)

    link.add(faults.When(watch))
    return network, seen


def test_initial_sequence_numbers_follow_a_clock_and_a_secret() -> None:
    """MUST-8, MUST-9, SHLD-1: ISN = M + F(4-tuple, secret)."""

    def numbers(seed: int) -> list[int]:
        network = Network(seed=seed)
        stack = network.host("alice", "10.0.0.1/24").machine.stack
        tcb = stack.new_connection(None)
        found = []
        for tcb.rport in (80, 81):
            for now in (0, 4_000, SECOND):
                stack.world.now = now
                found.append(stack.new_isn(tcb))
        return found

    first = numbers(1)
    for isn in (first[:3], first[3:]):
        assert (isn[1] - isn[0]) & 0xFFFFFFFF >= 1
        assert (isn[2] - isn[0]) & 0xFFFFFFFF == SECOND >> 6
    assert abs(first[3] - first[0]) > 100_000, "each 4-tuple begins elsewhere"
    assert abs(numbers(2)[0] - first[0]) > 100_000, "and nobody knows where"


def test_one_may_listen_on_a_port_from_which_another_connects() -> None:
    """MUST-41, MUST-42."""

    def program() -> list[int]:
        opening, listening = socket.socket(), socket.socket()
        for sock in (opening, listening):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind(("10.0.0.1", 8080))
        assert opening.connect_ex(("10.0.0.2", 80)) == errno.EINPROGRESS
        listening.listen()
        time.sleep(0.1)
        names = [sock.getsockname()[1] for sock in (opening, listening)]
        opening.close()
        listening.close()
        return names

    network, seen = two_hosts()
    done = network.hosts["alice"].spawn(program)
    network.run()
    assert done.result == [8080, 8080]
    assert any(segment.flags == SYN for segment in seen)


def test_service_and_hop_limit_of_a_connection_can_be_set_and_changed() -> None:
    """MUST-48, MUST-49, SHLD-21, SHLD-22."""

    def program() -> None:
        with socket.create_server(("10.0.0.1", 80)) as listener, listener.accept()[0] as connection:
            connection.recv(10)
            connection.recv(10)

    def client() -> None:
        with socket.socket() as sock:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x28)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 9)
            sock.connect(("10.0.0.1", 80))
            sock.send(b"one")
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
            sock.send(b"two")

    network, seen = two_hosts()
    network.hosts["alice"].spawn(program)
    network.hosts["bob"].spawn(client, start=1)
    network.run(drain=1)
    # The last ACK is that of the TIME-WAIT, which has no options any more.
    sent = [segment for segment in seen if segment.dport == 80][:-1]
    assert {segment.ttl for segment in sent} == {9}
    assert {segment.ttl for segment in seen if segment.sport == 80} == {64}
    tos = {bytes(segment.data): segment.tos for segment in sent if segment.data}
    assert tos == {b"one": 0x28, b"two": 0xB8}
    assert sent[0].flags == SYN
    assert sent[0].tos == 0x28


@pytest.mark.parametrize("destination", ["10.0.0.255", "255.255.255.255", "224.0.0.1"])
@pytest.mark.parametrize("port", [80, 81])
def test_a_syn_to_many_is_dropped_in_silence(destination: str, port: int) -> None:
    """MUST-57: with a listener on the port and without."""
    network, seen = two_hosts()
    network.hosts["alice"].spawn(partial(listen_for_a_while, 80))
    ip = network.hosts["bob"].machine.ip
    syn = TcpSegment(parse("10.0.0.2"), parse(destination), 1234, port, 1, 0, SYN, 1000)

    def say() -> None:
        ip.emit(syn, ip.interface_named("eth0"), TO_ALL)

    network.at(1, say)
    network.run()
    assert seen == [syn]


@pytest.mark.parametrize("source", ["255.255.255.255", "224.0.0.1", "10.0.0.255", "127.0.0.1", "0.0.0.0"])
def test_a_syn_from_nobody_is_dropped_in_silence(source: str) -> None:
    """MUST-63."""
    network, seen = two_hosts()
    network.hosts["alice"].spawn(partial(listen_for_a_while, 80))
    bob, alice = (network.hosts[name].machine.ip for name in ("bob", "alice"))
    syn = TcpSegment(parse(source), parse("10.0.0.1"), 1234, 80, 1, 0, SYN, 1000)

    def say() -> None:
        bob.emit(syn, bob.interface_named("eth0"), alice.interface_named("eth0").link_address)

    network.at(1, say)
    network.run()
    assert seen == [syn]


def listen_for_a_while(port: int) -> None:
    with socket.create_server(("", port)):
        time.sleep(3)
