"""Names that others chose, command lines, socket paths, interfaces, users, can neither move the terminal nor pass for
something else.
"""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from view_facts import machine, tcp, udp

from portside.addr.abi import SOCK_STREAM
from portside.facts.interface import IFF_UP, Address, Interface
from portside.facts.process import Process
from portside.facts.route import Route
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Owner, TcpInfo, UnixSocket
from portside.facts.state import ESTABLISHED, LISTEN
from portside.views import fuser, ip_addr, lsof, netstat, ss, table
from portside.views.names import HostNames

EVIL = "\x1b]0;pwned\x07\x1b[2J\r\n\u202e\u2028\x9b\udcff"

names = st.text(
    st.one_of(
        st.characters(), st.sampled_from("\x1b\x00\r\n\t\x7f\x9b\u202e\u200b\udcff\udc80[]m\"')(,:@\\ "),
        st.characters(categories=["Cs"]),
    ),
    max_size=12,
)  # fmt: skip


def hostile(name: str) -> Snapshot:
    """A machine on which everything that has a name has this one."""
    owners = (Owner(pid=7, fd=3, command=name),)
    path = name.encode(errors="surrogatepass")
    return machine(
        tcp("127.0.0.1:80", owners=owners, device=3, uid=5, tcp=TcpInfo(congestion=name)),
        tcp("127.0.0.1:80", "127.0.0.1:9", ESTABLISHED, owners=owners, tcp=TcpInfo(congestion=name)),
        udp("*:53", owners=owners),
        UnixSocket(type=SOCK_STREAM, inode=7, path=path, state=LISTEN, owners=owners),
        UnixSocket(type=SOCK_STREAM, inode=8, path=b"\0" + path, state=LISTEN, owners=owners),
        processes=(Process(pid=7, name=name, argv=(name,), uid=5, euid=5),),
        users=((5, name),),
        interfaces=(
            Interface(index=3, name=name, queue_discipline=name, group=name, state=name, flags=IFF_UP,
                      addresses=(Address(address=0xFFFF_0A000001, prefix_length=8, label=name),)),
        ),
        routes=(Route(destination=0xFFFF_00000000, prefix_length=0, interface=3),),
    )  # fmt: skip


VIEWS = [
    (ss.show, ["-anpemi"]),
    (ss.show, ["-tanpi"]),
    (netstat.show, ["-anpe"]),
    (netstat.show, ["-ape"]),
    (netstat.show, ["-ano", "--windows"]),
    (netstat.show, ["-r"]),
    (netstat.show, ["-i"]),
    (lsof.show, ["-i", "-U", "-R"]),
    (lsof.show, ["-F", "-i", "-U"]),
    (fuser.show, ["-v", "80/tcp"]),
    (fuser.show, ["-u", "80/tcp"]),
    (ip_addr.show, ["addr"]),
]


@pytest.mark.parametrize(("view", "arguments"), VIEWS)
@given(name=names)
def test_no_view_prints_what_moves_a_terminal(view: object, arguments: list[str], name: str) -> None:
    snapshot = hostile(name)
    shown = str(view(snapshot, arguments)) if view is ip_addr.show else str(view(snapshot, arguments, HostNames()))  # type: ignore[operator]
    shown = shown.replace("\n\t skmem", "").replace("\n\t", "")
    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ud800-\udfff]", shown) is None
    shown.encode()


@pytest.mark.parametrize(("view", "arguments"), VIEWS)
def test_no_name_makes_a_line_of_its_own(view: object, arguments: list[str]) -> None:
    lines = [str(view(hostile(name), arguments)).count("\n") for name in ("plain", EVIL)]  # type: ignore[operator]
    assert lines[0] == lines[1]


def test_a_name_cannot_pass_for_another_owner() -> None:
    forged = 'x",pid=1,fd=3),("sshd'
    shown = ss.show(hostile(forged), ["-tlnp"]).text
    assert r'users:(("x\x22,pid=1,fd=3),(\x22sshd",pid=7,fd=3))' in shown


def test_clean() -> None:
    assert table.clean("nginx: master – größer") == "nginx: master – größer"
    assert table.clean(EVIL) == r"\x1b]0;pwned\x07\x1b[2J\x0d\x0a\u202e\u2028\x9b\xff"
    assert table.clean(b"/run/\xff\x1b.sock") == r"/run/\xff\x1b.sock"
    assert table.clean("\ud800\U000e0041") == r"\ud800\U000e0041"


@given(names)
def test_clean_is_done_once(name: str) -> None:
    assert table.clean(table.clean(name)) == table.clean(name)


def test_a_table_is_plain_where_nobody_looks_and_drawn_on_a_terminal() -> None:
    stream = io.StringIO()
    table.show(["PORT", "WHO"], [["80", "nginx"], ["8080", EVIL]], stream, right=frozenset((0,)))
    lines = stream.getvalue().split("\n")
    assert lines == ["PORT  WHO", "  80  nginx", "8080  " + table.clean(EVIL), ""]
    terminal = io.StringIO()
    table.show(["PORT", "WHO"], [["80", "[red]nginx[/red]"], ["8080", EVIL]], terminal, color=True)
    told = re.sub("\x1b\\[[0-9;]*m", "", terminal.getvalue())
    assert "[red]nginx[/red]" in told
    assert "\x1b" not in told
    assert "\x07" not in told
