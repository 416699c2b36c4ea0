"""What is recorded, and who hears of it."""

from io import StringIO

from portside.addr.ip import parse
from portside.ip.interface import Interface
from portside.sim.trace import Trace
from portside.wire.packet import UdpDatagram

A, B = parse("10.0.0.1"), parse("10.0.0.2")


class World:
    now = 1_500_000_000


def udp():
    return UdpDatagram(A, B, 40000, 53, b"four")


def test_events_are_lines_with_time_host_interface_and_reason():
    trace = Trace(World())
    trace.keep()
    trace.packet("alpha", "send", udp(), Interface(2, "eth0"))
    trace.packet("beta", "drop", udp(), None, "lost")
    trace.note("alpha", "server exits with 0")
    assert trace.lines() == [
        "1.500000 alpha eth0 Out IP 10.0.0.1.40000 > 10.0.0.2.53: UDP, length 4",
        "1.500000 beta * Drop IP 10.0.0.1.40000 > 10.0.0.2.53: UDP, length 4 (lost)",
        "1.500000 alpha server exits with 0",
    ]


def test_observers_switch_the_hooks_on_and_off():
    switched = []
    trace = Trace(World(), switched.append)
    seen = []
    trace.note("alpha", "unheard")
    trace.observe(seen.append)
    trace.keep()
    trace.keep()
    assert switched == [True]
    trace.note("alpha", "heard")
    trace.forget(seen.append)
    trace.forget(trace.events.append)
    assert switched == [True, False]
    assert len(seen) == len(trace.events) == 1
    assert not trace.on


def test_lines_are_written_as_they_come():
    stream = StringIO()
    trace = Trace(World())
    trace.write_to(stream)
    trace.note("alpha", "begins")
    assert stream.getvalue() == "1.500000 alpha begins\n"
