"""Command lines of the views: whatever is typed is shown or refused with a sentence; what only one of them has."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from view_facts import held, machine, tcp, udp

from portside.addr import ip
from portside.addr.abi import SOCK_STREAM
from portside.facts.interface import Address, Interface
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Owner, UnixSocket
from portside.facts.state import CLOSED, ESTABLISHED, LISTEN, SYN_RECEIVED, SYN_SENT, TIME_WAIT
from portside.views import fuser, ip_addr, lsof, netstat, ss
from portside.views.names import HostNames
from portside.views.ss_details import duration, rate
from portside.views.table import Misuse, clean

MS = 1_000_000

WORDS = [
    "-t", "-u", "-w", "-x", "-l", "-a", "-n", "-p", "-e", "-m", "-o", "-i", "-4", "-6", "-H", "-O", "-r", "-B", "-A",
    "-f", "-N", "-K", "-tulpn", "-anp", "-ano", "-W", "-U", "-s", "-c", "-F", "-T", "-R", "-P", "-nP", "-v", "-k",
    "--windows", "--tcp", "--numeric", "--foo", "-sTCP:LISTEN", "-sTCP:FOO", "-i:80", ":80", "4", "6",
    "-iTCP@127.0.0.1:80", "-iTCP@", "-i@", "-i:", "-p1", "^1", "root", "^root", "/x/", "/(/i", "+c", "0", "x", "-F0",
    "-Fpcn", "state", "established", "listening", "nonsense", "exclude", "all", "sport", "dport", "src", "dst", "dev",
    "=", "!=", ">=", "<=", ">", "<", "==", "(", ")", "and", "or", "not", "!", "&", "|", "&&", "||", "80", ":http",
    "10.0.0.0/8", "10.0.0.1:80", "[::1]:80", "[::1", "::1", "10.0.0.1/99", "*", "fwmark", "0x1/0x1", "autobound",
    "eth0", "80/tcp", "53/udp", "http/tcp", "80,10.0.0.1,90/tcp", ",,,/tcp", "tcp", "udp", "file", "/run/x", "addr",
    "show", "lo", "--", "\x1b[2J", "\udcff", "\xe4",
]  # fmt: skip
words = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)), max_size=6)


def everything() -> Snapshot:
    """A bit of everything."""
    return machine(
        tcp("127.0.0.1:80", owners=held(7)),
        tcp("[::]:80", v6only=True, owners=held(8, 4, "nginx")),
        tcp("10.0.0.1:80", "10.0.0.2:5000", ESTABLISHED, owners=held(7, 5)),
        tcp("10.0.0.1:80", "10.0.0.2:5001", SYN_RECEIVED, timer=1, timer_left=990 * MS),
        tcp("10.0.0.1:80", "10.0.0.2:5002", TIME_WAIT, timer=3, timer_left=59 * 1000 * MS),
        tcp("10.0.0.1:9", state=CLOSED, owners=held(7, 6)),
        udp("*:53", owners=held(9)),
        UnixSocket(type=SOCK_STREAM, inode=7, path=b"/run/x", state=LISTEN, owners=held(7, 9)),
        UnixSocket(type=77, inode=8),
    )


@pytest.mark.parametrize("view", [ss, netstat, lsof, fuser, ip_addr])
@given(typed=words)
def test_what_is_typed_is_shown_or_refused(view: Any, typed: list[str]) -> None:
    snapshot = everything()
    try:
        report = view.show(snapshot, typed)
    except Misuse as refused:
        sentence = str(refused)
    else:
        sentence = ""
    if sentence:
        assert sentence == clean(sentence)
        return
    assert report.status in (0, 1)
    if view is not ip_addr:
        assert isinstance(view.wants(typed), frozenset)
        inet, unix = view.select(snapshot, typed)
        assert {id(each) for each in inet} <= {id(each) for each in snapshot.sockets}
        assert {id(each) for each in unix} <= {id(each) for each in snapshot.unix_sockets}


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (684, "684ms"), (4, "004ms"), (2684, "2.684ms"), (9684, "9.684ms"), (11_684, "11sec"), (58_684, "58sec"),
        (60_684, "1min"), (69_684, "1min9sec"), (118_684, "1min58sec"), (599_684, "9min59sec"), (600_684, "10min"),
        (7_199_684, "119min"), (32_766_684, "546min"),
    ],
)  # fmt: skip
def test_times_as_ss_wrote_them(milliseconds: int, shown: str) -> None:
    assert duration(milliseconds * MS) == shown


def test_rates_as_ss_writes_them() -> None:
    assert [rate(bits, True) for bits in (0.4e3, 261928000000.0)] == ["400bps", "261928000000bps"]
    assert [rate(bits, False) for bits in (512, 1500, 2.5e6, 261928000000.0, 3e12)] == [
        "512bps", "1.5kbps", "2.5Mbps", "262Gbps", "3Tbps",
    ]  # fmt: skip


def test_a_half_open_connection_has_no_owner_and_no_inside() -> None:
    lines = ss.show(everything(), ["-tanpei", "state", "syn-recv"]).text.splitlines()
    assert lines[1].endswith("timer:(on,990ms,0) ino:0 sk:0")
    assert lines[2] == "\t"


class TestWindows:
    """`netstat` when the snapshot is of a Windows machine."""

    def shown(self, *flags: str, **fields: Any) -> list[str]:
        listener = tcp("[::]:80", owners=held(8), v6only=False)
        only = tcp("[::]:81", owners=held(8), v6only=True)
        peer = tcp("127.0.0.1:80", "127.0.0.1:50000", ESTABLISHED, mapped=True, owners=held(8))
        local = tcp("[fe80::1]:7", scope=12, owners=held(8))
        calling = tcp("10.0.0.1:5", "10.0.0.2:6", SYN_SENT, owners=held(9))
        made = machine(listener, only, peer, local, calling, udp("*:53", owners=held(9)), system="Windows", **fields)
        return netstat.show(made, flags).text.splitlines()

    def test_a_dual_stack_listener_stands_in_both_families(self) -> None:
        assert self.shown("-an") == [
            "",
            "Active Connections",
            "",
            "  Proto  Local Address          Foreign Address        State",
            "  TCP    0.0.0.0:80             0.0.0.0:0              LISTENING",
            "  TCP    127.0.0.1:80           127.0.0.1:50000        ESTABLISHED",
            "  TCP    10.0.0.1:5             10.0.0.2:6             SYN_SENT",
            "  TCP    [::]:80                [::]:0                 LISTENING",
            "  TCP    [::]:81                [::]:0                 LISTENING",
            "  TCP    [fe80::1%12]:7         [::]:0                 LISTENING",
            "  UDP    0.0.0.0:53             *:*                    ",
        ]

    def test_with_the_process(self) -> None:
        rows = self.shown("-ano")
        assert rows[3] == "  Proto  Local Address          Foreign Address        State           PID"
        assert rows[4] == "  TCP    0.0.0.0:80             0.0.0.0:0              LISTENING       8"
        assert rows[-1] == "  UDP    0.0.0.0:53             *:*                                    9"

    def test_only_connections_without_a(self) -> None:
        assert [row.split()[1] for row in self.shown("-n")[4:]] == ["127.0.0.1:80", "10.0.0.1:5"]


class TestLsof:
    def shown(self, *flags: str) -> list[str]:
        return lsof.show(everything(), shlex.split(" ".join(flags))).text.splitlines()

    def test_status_is_1_when_something_asked_for_is_not_there(self) -> None:
        assert lsof.show(everything(), ["-i", ":80"]).status == 0
        assert lsof.show(everything(), ["-i", ":80", "-i", ":81"]).status == 1
        assert lsof.show(everything(), ["-p", "7,99", "-i"]).status == 1
        assert lsof.show(everything(), ["-i", ":81"]).status == 1
        assert lsof.show(everything(), ["-u", "ann"]).status == 1

    def test_conditions_are_or_and_with_a_and(self) -> None:
        assert len(self.shown("-i :53 -c nginx")) == 3
        assert self.shown("-a -i :53 -c nginx") == []
        assert self.shown("-t -i :80 -p ^7") == ["8"]

    def test_fields_with_nul_between_them(self) -> None:
        assert lsof.show(everything(), ["-nP", "-F", "0pn", "-i", ":53"]).text == "p9\0\nn*:53\0\n"

    def test_names_and_commands_by_expression(self) -> None:
        assert self.shown("-t -c /^NGI/i") == ["8"]
        with pytest.raises(Misuse):
            self.shown("-c /(/")

    def test_the_process_may_be_gone(self) -> None:
        made = machine(tcp("*:80", owners=(Owner(7, 3, "gone"),)), processes=())
        assert lsof.show(made, ["-nPi", "-R"]).text.splitlines()[1].split()[:4] == ["gone", "7", "?", "3u"]


class TestFuser:
    def shown(self, *arguments: str) -> tuple[str, str, int]:
        report = fuser.show(everything(), arguments, HostNames("10.0.0.2 client\n"))
        return report.text, report.errors, report.status

    def test_a_path_a_peer_a_service(self) -> None:
        assert self.shown("/run/x") == ("     7", "/run/x:             \n", 0)
        assert self.shown("80,client/tcp") == ("     7", "80,client/tcp:      \n", 0)
        assert self.shown("http,client,5000/tcp")[0] == "     7"
        assert self.shown(",client/tcp")[2] == 0
        assert self.shown("/run/y") == ("", "Specified filename /run/y does not exist.\n", 1)

    def test_families(self) -> None:
        assert self.shown("-4", "80/tcp")[0] == "     7"
        assert self.shown("-6", "80/tcp")[0] == "     8"
        assert self.shown("-46", "80/tcp")[0] == "     7     8"


class TestIpAddress:
    def test_lifetimes_peers_labels_and_what_it_is_stacked_on(self) -> None:
        second = 1_000_000_000
        addresses = (
            Address(address=ip.parse("10.0.0.1"), prefix_length=32, peer=ip.parse("10.0.0.2"), label="tun0:1",
                    flags=0x80),
            Address(address=ip.parse("2001:db8::1"), prefix_length=64, flags=0x221, valid=86000 * second, preferred=0),
        )  # fmt: skip
        made = machine(interfaces=(
            Interface(index=7, name="tun0", flags=0x1090, link=3, link_namespace=5, addresses=addresses),
            Interface(index=8, name="v8", flags=0x1, link=7, master=7, mac=bytes(6)),
        ))  # fmt: skip
        assert ip_addr.show(made).text.splitlines() == [
            "7: tun0@if3: <POINTOPOINT,MULTICAST,NOARP> mtu 1500 state UNKNOWN group default",
            "    link/none ",
            "    inet 10.0.0.1 peer 10.0.0.2/32 scope global tun0:1",
            "       valid_lft forever preferred_lft forever",
            "    inet6 2001:db8::1/64 scope global temporary deprecated dynamic noprefixroute ",
            "       valid_lft 86000sec preferred_lft 0sec",
            "8: v8@tun0: <NO-CARRIER,UP> mtu 1500 master tun0 state UNKNOWN group default",
            "    link/ether 00:00:00:00:00:00 brd ff:ff:ff:ff:ff:ff",
        ]


def test_names_of_hosts() -> None:
    names = HostNames("127.0.0.1 localhost\n10.0.0.1 web www # web\nbad line\n::1 localhost\n\n10.0.0.1 other")
    assert names.name(ip.parse("10.0.0.1")) == "web"
    assert names.addresses("WWW") == [ip.parse("10.0.0.1")]
    assert names.addresses("localhost") == [ip.V4_LOOPBACK, 1]
    assert names.addresses("[::1]") == [1]
    with pytest.raises(ValueError, match="no address"):
        names.addresses("nowhere")
