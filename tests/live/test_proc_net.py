"""Rows of /proc/net: what is read of them is what was written; and hostile names in /proc/net/unix."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, SOCK_DGRAM, SOCK_STREAM
from portside.facts.socket import Socket, TcpInfo, UnixSocket
from portside.facts.state import CLOSED, ESTABLISHED, LISTEN
from portside.live import proc_net
from portside.views import proc_net as view

FILES = {"tcp": AF_INET, "tcp6": AF_INET6, "udp": AF_INET, "udp6": AF_INET6, "udplite": AF_INET, "udplite6": AF_INET6}
PROTOCOLS = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP, "udplite": IPPROTO_UDPLITE}

counts = st.integers(0, 2**31 - 1)
ports = st.integers(0, 65535)


@st.composite
def sockets(draw, name):
    """One that the kernel could have written into the file of this name."""
    family, proto = FILES[name], PROTOCOLS[name.removesuffix("6")]
    v4 = st.integers(0, 2**32 - 1).map(lambda value: ip.V4_PREFIX | value)
    addresses = v4 if family == AF_INET else st.integers(0, 2**128 - 1) | v4
    stream = proto == IPPROTO_TCP
    state = draw(st.sampled_from((ESTABLISHED, LISTEN) if stream else (ESTABLISHED, CLOSED)))
    queue = draw(counts)
    timer = draw(st.sampled_from((0, 1, 2, 4))) if stream else 0
    laddr = draw(addresses)
    return Socket(
        family=family, proto=proto, type=SOCK_STREAM if stream else SOCK_DGRAM, state=state,
        laddr=laddr, lport=draw(ports) or 1, raddr=draw(addresses), rport=draw(ports),
        v6only=False if family == AF_INET or ip.is_v4(laddr) else None,
        uid=draw(counts), inode=draw(counts), send_queue=draw(counts),
        receive_queue=0 if state == LISTEN else queue, accept_queue=queue if state == LISTEN else 0,
        backlog=None if state == LISTEN else 0,  # the text has none
        timer=timer, timer_left=draw(st.integers(0, 10**6)) * 10_000_000 if timer else 0,
        retransmits=draw(st.integers(0, 255)) if stream else 0, probes=draw(st.integers(0, 255)) if stream else 0,
        keepalive=True if timer == 2 else None, drops=0 if stream else draw(counts),
        references=draw(counts), pointer=draw(st.integers(0, 2**64 - 1)), slot=0 if stream else draw(counts),
        tcp=TcpInfo() if stream else None,
    )  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@settings(deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_what_is_read_is_what_was_written(name, data, tmp_path_factory):
    given_one = data.draw(sockets(name))
    writer = getattr(view, name.replace("udplite", "udp"))
    text = writer([given_one], IPPROTO_UDPLITE) if "lite" in name else writer([given_one])
    path = tmp_path_factory.mktemp("net")
    (path / name).write_text(text)
    (got,) = proc_net.inet(name, str(path))
    expected = {each: getattr(given_one, each) for each in Socket.__dataclass_fields__ if each != "tcp"}
    assert {each: getattr(got, each) for each in expected} == expected


@pytest.mark.parametrize(
    ("name", "line", "facts"),
    [
        (
            "raw",
            "   1: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 31 2 0012 0",
            {"type": 3, "proto": 1, "lport": 1, "laddr": ip.V4_ANY, "inode": 31, "slot": 1},
        ),
        (
            "icmp6",
            "    7: 00000000000000000000000001000000:0007 00000000000000000000000000000000:0000 07 00000000:00000200 "
            "00:00000000 00000000  1000        0 31 2 0000000012 3",
            {"type": 2, "proto": 58, "lport": 7, "laddr": ip.V6_LOOPBACK, "uid": 1000, "receive_queue": 512},
        ),
        (
            "tcp",  # a TIME-WAIT
            "   0: 0100007F:A29E 0100007F:1F90 06 00000000:00000000 03:00001770 00000000     0        0 0 3 00000000ab",
            {"state": 6, "lport": 41630, "rport": 8080, "timer": 3, "timer_left": 60_000_000_000, "inode": 0},
        ),
    ],
)  # fmt: skip
def test_rows_of_other_kinds(name, line, facts):
    one = proc_net.read_inet(name, line)
    assert {each: getattr(one, each) for each in facts} == facts


def unix_names(tmp_path, body):
    (tmp_path / "unix").write_bytes(b"Num       RefCount Protocol Flags    Type St Inode Path\n" + body)
    return list(proc_net.unix(str(tmp_path)))


ROW = b"000000002cb19f13: 00000003 00000000 00000000 0001 03  1076"


def test_unix_sockets(tmp_path):
    listener = b"0000000000000001: 00000002 00000000 00010000 0001 01 12345 /run/a b\n"
    waiting = b"0000000000000002: 00000003 00000000 00000000 0001 02     0 /run/a b\n"
    abstract = b"0000000000000003: 00000002 00000000 00000000 0002 01 22222 @a@b\xff\n"
    assert unix_names(tmp_path, ROW + b"\n" + listener + waiting + abstract) == [
        UnixSocket(type=1, state=ESTABLISHED, inode=1076, references=3, pointer=0x2CB19F13),
        UnixSocket(type=1, state=LISTEN, inode=12345, path=b"/run/a b", pointer=1),
        UnixSocket(type=1, state=ESTABLISHED, path=b"/run/a b", attached=False, references=3, pointer=2),
        UnixSocket(type=2, state=CLOSED, inode=22222, path=b"\0a\0b\xff", pointer=3),
    ]


@pytest.mark.parametrize("name", [b"/a\nb", b"/a\r\n\r\n", b"/\n0000: 1", b"/ \x1b[2J \xff", b"/\x0b\x0c\x1c\xc2\x85x"])
def test_names_that_would_break_the_lines(tmp_path, name):
    (first, second) = unix_names(tmp_path, ROW + b" " + name + b"\n" + ROW + b"\n")
    assert first.path == name
    assert second.path is None


def test_what_there_is_not_is_empty(tmp_path):
    assert list(proc_net.inet("tcp", str(tmp_path))) == []
    assert list(proc_net.unix(str(tmp_path))) == []
    with pytest.raises(ValueError, match="no line of /proc/net/unix: 'x'"):
        proc_net.read_unix("x")
