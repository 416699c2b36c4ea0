"""`ss` of a snapshot: rows as ss(8) of iproute2 6.1 wrote them, filters, and what it refuses."""

from __future__ import annotations

import pytest
from view_facts import end, held, machine, tcp, udp

from portside.addr.abi import SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM
from portside.facts.snapshot import Namespace, Snapshot
from portside.facts.socket import Memory, Owner, Socket, UnixSocket
from portside.facts.state import CLOSE_WAIT, CLOSED, ESTABLISHED, LISTEN, SYN_SENT, TIME_WAIT
from portside.views import ss
from portside.views.table import Misuse

LINK_LOCAL = "[fe80::9cbf:19ff:feeb:8db2]:9000"
S = 1_000_000_000


def sockets() -> tuple[Socket, ...]:
    """Those of one run of the real tool."""
    python = held(4968, 3)
    return (
        tcp("127.0.0.1:8080", backlog=5, owners=python),
        tcp("*:80", backlog=5),
        tcp("10.99.0.2:52852", "10.99.0.1:99", SYN_SENT, send_queue=1, timer=1, timer_left=784_000_000, retransmits=2),
        tcp("127.0.0.1:80", "127.0.0.1:53920", TIME_WAIT, timer=3, timer_left=57 * S),
        tcp("127.0.0.1:53918", "127.0.0.1:80", CLOSE_WAIT, receive_queue=1),
        tcp("127.0.0.1:8080", "127.0.0.1:50612", receive_queue=5, state=ESTABLISHED),
        tcp(LINK_LOCAL, backlog=1, v6only=True, device=3, scope=3),
        tcp("[::]:22", accept_queue=1, backlog=128),
        tcp("[::]:80", backlog=128, v6only=True),
        tcp("127.0.0.1:22", "127.0.0.1:34244", ESTABLISHED, mapped=True, timer=2, timer_left=7195 * S),
        tcp("127.0.0.1:7000", state=CLOSED),
    )


def shown(snapshot: Snapshot, *arguments: str) -> str:
    report = ss.show(snapshot, arguments)
    assert report.status == 0
    return report.text


def rows(snapshot: Snapshot, *arguments: str) -> list[str]:
    """Local and peer of each row."""
    return [" ".join(line.split()[-2:]) for line in shown(snapshot, "-nH", *arguments).splitlines()]


def test_listeners_as_the_tool_writes_them() -> None:
    assert shown(machine(*sockets()), "-tln") == (
        "State  Recv-Q Send-Q                   Local Address:Port Peer Address:PortProcess\n"
        "LISTEN 0      5                            127.0.0.1:8080      0.0.0.0:*          \n"
        "LISTEN 0      5                              0.0.0.0:80        0.0.0.0:*          \n"
        "LISTEN 0      1      [fe80::9cbf:19ff:feeb:8db2]%ve0:9000         [::]:*          \n"
        "LISTEN 1      128                                  *:22              *:*          \n"
        "LISTEN 0      128                               [::]:80           [::]:*          \n"
    )


def test_all_with_timers() -> None:
    assert shown(machine(*sockets()), "-4tano") == (
        "State      Recv-Q Send-Q Local Address:Port  Peer Address:Port Process                  \n"
        "LISTEN     0      5          127.0.0.1:8080       0.0.0.0:*                             \n"
        "LISTEN     0      5            0.0.0.0:80         0.0.0.0:*                             \n"
        "SYN-SENT   0      1          10.99.0.2:52852    10.99.0.1:99    timer:(on,784ms,2)      \n"
        "TIME-WAIT  0      0          127.0.0.1:80       127.0.0.1:53920 timer:(timewait,57sec,0)\n"
        "CLOSE-WAIT 1      0          127.0.0.1:53918    127.0.0.1:80                            \n"
        "ESTAB      5      0          127.0.0.1:8080     127.0.0.1:50612                         \n"
    )


def test_the_last_cell_may_stand_out_as_it_does_in_the_tool() -> None:
    [_, first, last] = shown(machine(*(s for s in sockets() if s.rport in (34244, 53920))), "-tano").splitlines()
    assert first.endswith("127.0.0.1:53920 timer:(timewait,57sec,0)")
    assert last.endswith(":34244 timer:(keepalive,119min,0)")


def test_names_of_services_but_none_in_the_ephemeral_range() -> None:
    assert shown(machine(udp("*:53"), udp("127.0.0.1:43351", "127.0.0.1:53")), "-ua") == (
        "State  Recv-Q Send-Q Local Address:Port   Peer Address:Port  Process\n"
        "UNCONN 0      0            0.0.0.0:domain      0.0.0.0:*            \n"
        "ESTAB  0      0          127.0.0.1:43351     127.0.0.1:domain       \n"
    )


def test_all_owners_are_shown() -> None:
    four = tuple(Owner(pid=pid, fd=3, command="nginx") for pid in (1, 2, 3, 4))
    users = ",".join(f'("nginx",pid={pid},fd=3)' for pid in (1, 2, 3, 4))
    assert f" users:({users})" in shown(machine(tcp("*:80", owners=four)), "-tlnp")


def test_unix_sockets() -> None:
    made = (
        UnixSocket(type=SOCK_DGRAM, inode=37514174),
        UnixSocket(type=SOCK_SEQPACKET, inode=37514175, peer=37514176, state=ESTABLISHED),
        UnixSocket(type=SOCK_STREAM, inode=37514171, path=b"/run/somewhere/a/x.sock", state=LISTEN, backlog=7,
                   owners=held(4923, 23)),
        UnixSocket(type=SOCK_STREAM, inode=37514169, path=b"\0abs tract", state=LISTEN, backlog=7, accept_queue=1),
    )  # fmt: skip
    lines = shown(machine(*made), "-xanp").splitlines()
    assert [line[:81].rstrip() for line in lines] == [
        "Netid State  Recv-Q Send-Q           Local Address:Port     Peer Address:Port",
        "u_dgr UNCONN 0      0                            * 37514174            * 0",
        "u_seq ESTAB  0      0                            * 37514175            * 37514176",
        "u_str LISTEN 0      7      /run/somewhere/a/x.sock 37514171            * 0",
        "u_str LISTEN 1      7                   @abs tract 37514169            * 0",
    ]
    assert lines[3].endswith(' users:(("python",pid=4923,fd=23))')


def test_a_single_state_or_kind_has_no_column() -> None:
    listener = UnixSocket(type=SOCK_STREAM, inode=7, path=b"/x", state=LISTEN, backlog=7)
    assert shown(machine(listener), "-x", "state", "listening", "-H") == "u_str 0      7      /x 7 * 0\n"
    assert shown(machine(udp("*:53")), "-uanH", "state", "unconnected") == "0      0      0.0.0.0:53 0.0.0.0:*\n"


def test_memory_and_the_inside_stand_on_a_line_of_their_own() -> None:
    told = Memory(rmem_alloc=837, rcvbuf=131072, sndbuf=3939840, fwd_alloc=3259)
    snapshot = machine(tcp("127.0.0.1:80", "127.0.0.1:9", ESTABLISHED, memory=told))
    skmem = " skmem:(r837,rb131072,t0,tb3939840,f3259,w0,o0,bl0,d0)"
    assert shown(snapshot, "-tnmH") == f"ESTAB 0      0      127.0.0.1:80 127.0.0.1:9\n\t{skmem}\n"
    assert shown(snapshot, "-tnmHO") == f"ESTAB 0      0      127.0.0.1:80 127.0.0.1:9{skmem}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sport = :80", ["0.0.0.0:80 0.0.0.0:*", "127.0.0.1:80 127.0.0.1:53920", "[::]:80 [::]:*"]),
        ("sport = 80 and state", None),
        ("dport = :http", ["127.0.0.1:53918 127.0.0.1:80"]),
        ("sport >= :1024 sport < :9000", ["127.0.0.1:8080 0.0.0.0:*", "127.0.0.1:8080 127.0.0.1:50612"]),
        ("dst 127.0.0.0/8 and not ( sport = :80 or sport = :8080 or dport = :80 )",
         ["[::ffff:127.0.0.1]:22 [::ffff:127.0.0.1]:34244"]),
        ("src 10.99.0.2", ["10.99.0.2:52852 10.99.0.1:99"]),
        ("dst 10.99.0.1:99", ["10.99.0.2:52852 10.99.0.1:99"]),
        ("src [fe80::]/10", ["[fe80::9cbf:19ff:feeb:8db2]%ve0:9000 [::]:*"]),
        ("dev ve0", ["[fe80::9cbf:19ff:feeb:8db2]%ve0:9000 [::]:*"]),
        ("autobound", ["10.99.0.2:52852 10.99.0.1:99", "127.0.0.1:53918 127.0.0.1:80"]),
        ("! sport < 30000 && dport != 99", ["127.0.0.1:53918 127.0.0.1:80"]),
        ("state syn-sent", ["10.99.0.2:52852 10.99.0.1:99"]),
        ("state syn-sent state time-wait", ["10.99.0.2:52852 10.99.0.1:99", "127.0.0.1:80 127.0.0.1:53920"]),
        ("state bucket", ["127.0.0.1:80 127.0.0.1:53920"]),
        ("exclude connected", ["127.0.0.1:8080 0.0.0.0:*", "0.0.0.0:80 0.0.0.0:*",
                               "[fe80::9cbf:19ff:feeb:8db2]%ve0:9000 [::]:*", "*:22 *:*", "[::]:80 [::]:*"]),
        ("state bound-inactive", ["127.0.0.1:7000 0.0.0.0:*"]),
        ("state closed", []),
        ("sport = :1 | dport eq 53920", ["127.0.0.1:80 127.0.0.1:53920"]),
    ],
)  # fmt: skip
def test_filters(words: str, expected: list[str] | None) -> None:
    snapshot = machine(*sockets())
    if expected is None:
        with pytest.raises(Misuse):
            rows(snapshot, "-ta", *words.split())
    else:
        assert rows(snapshot, "-ta", *words.split()) == expected


def test_which_states_without_flags() -> None:
    snapshot = machine(*sockets())
    assert len(rows(snapshot, "-t")) == 4  # neither listeners nor TIME-WAIT
    assert len(rows(snapshot, "-ta")) == 10
    assert len(rows(snapshot, "-tla")) == 10  # the last of the two counts
    assert len(rows(snapshot, "-tal")) == 5
    assert len(rows(snapshot, "-t", "state", "connected")) == 5
    assert len(rows(snapshot, "-tB")) == 1


def test_another_namespace_by_its_name() -> None:
    other = machine(tcp("*:22"), namespace=Namespace(inode=7, name="blue"))
    assert rows(machine(tcp("*:80"), others=(other,)), "-tl", "-N", "blue") == ["0.0.0.0:22 0.0.0.0:*"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-Q"], "-Q"),
        (["--foo"], "--foo"),
        (["-tK"], "only looks"),
        (["state", "foo"], "'foo' is no state"),
        (["state"], "Name a state"),
        (["-t", "sport"], "ends where a port should stand"),
        (["-t", "dport", "=", ":nonexist"], "'nonexist' is no port"),
        (["-t", "src", "::1"], "put an IPv6 address in brackets"),
        (["-t", "( sport = 80"], "ends where"),
        (["-t", "colour", "=", "red"], "'colour' is no condition"),
        (["-t", "src", "10.0.0.0/99"], "prefix"),
        (["-t", "src > 10.0.0.1"], "equal or not"),
        (["-f", "ipx"], "families"),
        (["-A", "ipx"], "kinds"),
        (["-N", "green"], "no network namespace 'green'"),
    ],
)
def test_what_is_not_understood_is_said_in_a_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(Misuse, match=sentence.replace("(", r"\(")):
        ss.show(machine(), arguments)


def test_what_a_command_line_needs() -> None:
    assert ss.wants(["-tln"]) == {"sockets", "interfaces", "settings"}
    assert ss.wants(["-tlnp"]) >= {"owners", "processes"}
    assert "unix" in ss.wants([])
    assert "tcp_info" in ss.wants(["-ti"])


def test_select_gives_the_facts() -> None:
    inet, unix = ss.select(machine(*sockets()), ["-tln", "sport", "=", ":22"])
    assert [socket.lport for socket in inet] == [22]
    assert unix == []
    assert end("[::1]:*") == (1, 0)
