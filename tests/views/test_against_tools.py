"""Every field of every line that ss, netstat, lsof, fuser and ip print of generated sockets in namespaces of their own
is what portside prints of the same sockets; and where the tools are wrong, what portside says instead.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from portside.addr.abi import AF_INET as V4
from portside.addr.abi import AF_INET6 as V6
from portside.addr.abi import IPPROTO_TCP as TCP
from portside.addr.abi import IPPROTO_UDP as UDP
from portside.facts import saved
from portside.facts.snapshot import Snapshot
from portside.facts.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    SYN_RECEIVED,
    SYN_SENT,
)  # fmt: skip
from portside.views import fuser, ip_addr, lsof, netstat, ss
from portside.views.names import HostNames

WORKER = Path(__file__).with_name("tools_worker.py")
SEEDS = (1, 2, 3, 4)

SS = (
    "-tln", "-tulpn", "-tnap", "-tan", "-tanpe", "-tano", "-tanm", "-tani", "-tai", "-tanpemoi", "-tanOpei", "-tnaH",
    "-uan", "-uanpe", "-uanm", "-uanmeO", "-ul", "-wanp", "-wa", "-xan", "-xanp", "-xanpe", "-xanm", "-xl", "-x",
    "-tuwxan", "-tuwxanpmeO", "-tu", "-4tan", "-6tan", "-4lun", "-t6 -a -n", "-tn", "-ta", "-tHlp", "-tunlpH",
    "-f inet6 -tan", "-A tcp,udp -an", "-A unix_stream -an", "-A tcp,udp,raw -lnH",
    "-tn state established", "-tan state listening", "-tan state connected", "-tan state synchronized",
    "-tan state bucket", "-tan state big", "-tan exclude established", "-tan state time-wait state close-wait",
    "-uan state unconnected", "-x state listening", "-tun state fin-wait-2", "-tn state closed",
    "-tan sport = :1008", "-tan 'sport >= :1700'", "-tan 'dport != :1008'", "-tan dst 127.0.0.0/8",
    "-tan src 127.0.0.1", "-tan '( dport > 1500 or sport < 1500 ) and not src 127.0.0.1'", "-tuan dst [::1]",
    "-u", "-w", "-u4", "-uw", "-altn", "-tanl", "-tnla", "-wua", "-xt6 -an", "-x autobound",
    "-tan dev lo", "-tan autobound", "-tan src 10.99.0.2:1011", "-tan src :1701", "-uan 'src 127.0.0.1 || src [::1]'",
)  # fmt: skip
NETSTAT = (
    "-tln", "-tulpn", "-anp", "-an", "-n", "-ln", "-tanoe", "-tanW", "-uan", "-xan", "-xlnp", "-xn", "-uaneo", "-wan",
    "-4an", "-6an", "-Uan", "-tuan", "--tcp --listening --numeric", "-l --numeric-hosts", "-A inet -an", "-rn", "-i",
    "-nx4", "-nxt4",
)  # fmt: skip
LSOF = (
    "-nP -i", "-nP -iTCP", "-nP -iUDP", "-nP -i4", "-nP -i 6", "-nP -iTCP -sTCP:LISTEN", "-nP -i :1008", "-nPi :9",
    "-nP -iTCP -sTCP:^ESTABLISHED,^LISTEN", "-nP -iTCP@127.0.0.1", "-nP -i 4TCP:1000-2000", "-nP -i :1008,1701",
    "-t -i", "-t -i :1008", "-nP -U", "-nP -a -u root -i", "-nP -a -c ngin -i", "-nP -R -i :1701", "-nPl -i",
    "-nP +c 0 -i", "-nP -FpcuLftPnT -i", "-nP -F pn -i :1701", "-nP -i -U", "-a -nP -p 1 -i", "-nP -i -T qs",
    "-nP -a -u ^root -i", "-nP -i 6TCP:1000-2500", "-nP -i 4TCP", "-nP -i 6TCP", "-nP -i 6@[::1]", "-nP -i 6UDP@[::1]",
    "-nP -i -T", "-nP -i -Tf", "-nP -iUDP -sTCP:ESTABLISHED", "-nP -i -sTCP:CLOSE", "-nP -i +c 3", "-nP -i -FnT -T",
    "-nP -U -T", "-nP -U -Tq", "-nP -U -FptifnT",
)  # fmt: skip
FUSER = (
    "1008/tcp", "-v 1008/tcp", "1701/tcp", "-v 1701/tcp 1008/tcp", "-n tcp 1701", "9/tcp", "-u 1701/tcp", "-4 1008/tcp",
    "-s 1701/tcp", "-a 9/tcp", "-v 1012/udp", "9/tcp 1701/tcp", "nosuchfile", "-n udp 9", "-vu 1701/tcp",
)  # fmt: skip
IP = ("addr show", "addr", "-4 addr show", "-6 a", "addr show dev ve0")

COMMANDS = [
    *(f"ss {flags}" for flags in SS),
    *(f"netstat {flags}" for flags in NETSTAT),
    *(f"lsof {flags}" for flags in LSOF),
    *(f"fuser {flags}" for flags in FUSER),
    *(f"ip {flags}" for flags in IP),
]


class Told(NamedTuple):
    """What one tool printed."""

    status: int
    text: str
    errors: str


class World(NamedTuple):
    """What was found in one set of namespaces."""

    snapshot: Snapshot
    outputs: dict[str, Told]
    cgroups: dict[int, str]


@pytest.fixture(scope="module", params=SEEDS)
def world(request: pytest.FixtureRequest) -> World:
    """The sockets of one seed, and what each tool says of them."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("namespaces of one's own take Linux and root")
    for tool in ("unshare", "ip", "ss", "netstat", "lsof", "fuser"):
        if not shutil.which(tool):
            pytest.skip(f"there is no {tool} here")
    command = ["unshare", "--net", "--pid", "--fork", "--mount-proc", sys.executable, str(WORKER)]
    done = subprocess.run([*command, str(request.param), json.dumps(COMMANDS)], capture_output=True, check=False)
    if done.returncode and b"unshare" in done.stderr:
        pytest.skip("no namespaces can be had here")
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    return World(
        saved.load(told["snapshot"]),
        {command: Told(*output) for command, output in told["outputs"].items()},
        {int(inode): path for inode, path in told["cgroups"].items()},
    )


def hosts() -> HostNames:
    """The names that the tools find."""
    return HostNames(Path("/etc/hosts").read_text(encoding="utf-8"), Path("/etc/services").read_text(encoding="utf-8"))


# -- ss --


STUCK = re.compile(r"^.*:40\d\d\b.*$", re.MULTILINE)
"""Connections that hang: their peers go on sending."""


def without_what_passes(text: str) -> str:
    """Times that go on between two looks, and what only some congestion controls tell, masked; owners in order."""
    text = text.replace("\n\t", "\t")
    text = STUCK.sub(lambda line: re.sub(r" segs_in:\d+|,d\d+(?=\))", "", line[0]), text)
    text = re.sub(r"timer:\((\w+),[^,]*,\d+\)", r"timer:(\1)", text)
    text = re.sub(
        r" (lastsnd|lastrcv|lastack|busy|retrans|rto|backoff|unacked|lost|segs_out|data_segs_out):\S+", "", text
    )
    text = re.sub(r"(SYN-SENT.*) cwnd:\d+", r"\1", text)
    # Who waits to be accepted is in no snapshot, only how many. The device is wrong in ss, and another test's matter.
    text = re.sub(r" peers:.*| dev:\d+/\d+", "", text)
    text = re.sub(r" (bbr|dctcp|vegas):\([^)]*\)", "", text)
    return re.sub(r"users:\((\(.*?\))\)", lambda match: f"users:({owners(match[1])})", text)


def owners(text: str) -> str:
    return ",".join(sorted(re.findall(r'\(".*?",pid=\d+,fd=\d+\)', text)))


@pytest.mark.linux
@pytest.mark.scenario("B11")
@pytest.mark.parametrize("flags", SS)
def test_ss(world: World, flags: str) -> None:
    theirs = world.outputs[f"ss {flags}"]
    ours = ss.show(world.snapshot, shlex.split(flags), hosts(), world.cgroups)
    assert theirs.errors == ""
    assert ours.text.replace("\\x22", '"').split() != []
    assert rows_of(ours.text.replace("\\x22", '"')) == rows_of(theirs.text)
    if "\\x22" not in ours.text and all(
        without_what_passes(text) == text.replace("\n\t", "\t") for text in (ours.text, theirs.text)
    ):
        assert ours.text == theirs.text  # with the blanks at the ends of lines


def rows_of(text: str) -> list[str]:
    """Each socket's line, in the tool's order, which is the kernel's, with widths of columns as they are."""
    return [re.sub(r"\s+$", "", line) for line in without_what_passes(text).splitlines()]


KINDS = {
    *((family, TCP, state) for family in (V4, V6) for state in (
        LISTEN, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSING, LAST_ACK, CLOSE_WAIT,
    )),
    *((V4, TCP, state) for state in (SYN_SENT, SYN_RECEIVED, CLOSED)),
    *((family, UDP, state) for family in (V4, V6) for state in (CLOSED, ESTABLISHED)),
    *((V4, 103, state) for state in (ESTABLISHED,)), (V4, 255, CLOSED), (V6, 58, CLOSED),
}  # fmt: skip
"""Family, protocol and state of what is compared for each seed; others come by chance."""


@pytest.mark.linux
def test_sockets_of_every_kind_are_compared(world: World) -> None:
    sockets, local = world.snapshot.sockets, world.snapshot.unix_sockets
    assert {(each.family, each.proto, each.state) for each in sockets} >= KINDS
    groups = Counter((each.proto, each.laddr, each.lport) for each in sockets if each.reuseport and not each.rport)
    assert max(groups.values()) >= 3
    assert {len(each.owners) for each in sockets if each.state == LISTEN} >= {1, 4}
    assert {bool(each.device) for each in sockets} == {bool(each.scope) for each in sockets} == {True, False}
    assert {each.v6only for each in sockets if each.family == V6 and each.state == LISTEN} == {True, False}
    assert {each.type for each in local} == {socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET}
    assert {each.path and each.path[:1] for each in local} >= {None, b"\0"}
    assert {bool(each.timer) for each in sockets} == {bool(each.receive_queue) for each in sockets} == {True, False}


@pytest.mark.linux
def test_the_device_of_a_unix_socket_is_that_of_its_file_where_ss_is_wrong(world: World) -> None:
    bound = [each for each in world.snapshot.unix_sockets if each.file_inode]
    assert bound
    device = Path("/tmp").stat().st_dev
    shown = ss.show(world.snapshot, ["-xane"]).text
    told = set(re.findall(r" dev:(\d+)/(\d+)", shown))
    assert told == {(str(os.major(device)), str(os.minor(device)))}


# -- netstat --


def masked(text: str) -> str:
    """Times that go on, and counters of packets masked; names as far as netstat and lsof read them."""
    text = re.sub(r"(on|timewait|keepalive) \(\d+\.\d\d/\d+/", r"\1 (", text)
    counters = re.compile(r"^(ve\d +1500|lo +65536) +\d+ (.*?\S) +\d+( +\d+ +\d+ +\d+ [BLMRU]+)$", re.MULTILINE)
    return counters.sub(r"\1 \2\3", text).replace("@two words", "@two")


@pytest.mark.linux
@pytest.mark.scenario("B11")
@pytest.mark.parametrize("flags", NETSTAT)
def test_netstat(world: World, flags: str) -> None:
    theirs = world.outputs[f"netstat {flags}"]
    ours = netstat.show(world.snapshot, shlex.split(flags), hosts())
    assert theirs.errors == ""
    lines, shared = [], 0
    for line in masked(ours.text).splitlines():
        several = re.search(r"(\d+/[^ ,]+)(,\d+/[^ ,]+)+", line)
        if several is not None:  # netstat names one of them only
            shared += 1
            line = line.replace(several[0], several[1])
        lines.append(line.rstrip())
    assert Counter(lines) == Counter(line.rstrip() for line in masked(theirs.text).splitlines())
    assert (shared > 0) is ("p" in flags and "t" in flags.partition(" ")[0]) or flags != "-tulpn"


@pytest.mark.linux
def test_netstat_names_every_owner_of_a_shared_listener_where_the_tool_names_one(world: World) -> None:
    shared = next(s for s in world.snapshot.sockets if s.state == LISTEN and len(s.owners) == 4)
    port = f":{shared.lport} "
    theirs = [line for line in world.outputs["netstat -tulpn"].text.splitlines() if port in line]
    ours = [line for line in netstat.show(world.snapshot, ["-tulpn"]).text.splitlines() if port in line]
    assert [len(re.findall(r"\d+/", line)) for line in theirs] == [1]
    assert [len(re.findall(r"\d+/", line)) for line in ours] == [4]


@pytest.mark.linux
@pytest.mark.scenario("C3")
def test_only_ss_tells_dual_stack_from_v6_only(world: World) -> None:
    """netstat and lsof print both alike; ss and the facts do not."""
    wild = [s for s in world.snapshot.sockets if s.state == LISTEN and s.family == 10 and s.laddr == 0]
    shown = ss.show(world.snapshot, ["-tlnH"]).text
    tables = netstat.show(world.snapshot, ["-tln"]).text
    assert wild
    for each in wild:
        zone = "%lo" if each.device else ""
        assert f" {'[::]' if each.v6only else '*'}{zone}:{each.lport} " in shown
        assert f" :::{each.lport} " in tables
        assert f" :::{each.lport} " in world.outputs["netstat -tln"].text


@pytest.mark.linux
def test_names_with_a_space_are_whole_where_netstat_and_lsof_cut_them(world: World) -> None:
    flags = {"netstat": "-xan", "lsof": "-nP -U"}
    for tool, view in (("netstat", netstat.show), ("lsof", lsof.show)):
        command = flags[tool]
        assert "@two words" not in world.outputs[f"{tool} {command}"].text
        assert "@two words" in view(world.snapshot, command.split()).text


# -- lsof --


@pytest.mark.linux
@pytest.mark.scenario("B11")
@pytest.mark.parametrize("flags", LSOF)
def test_lsof(world: World, flags: str) -> None:
    theirs = world.outputs[f"lsof {flags}"]
    ours = lsof.show(world.snapshot, shlex.split(flags), hosts())
    assert {line for line in theirs.errors.splitlines() if not line.startswith("lsof: no pwd entry")} == set()
    # lsof escapes what is no ASCII though it is valid UTF-8; portside does so for what could move a terminal.
    text = re.sub(r"(?:\\x[89a-f][0-9a-f])+", lambda m: bytes.fromhex(m[0].replace("\\x", "")).decode(), theirs.text)
    assert ours.text.replace("@two words", "@two").splitlines() == text.splitlines()
    assert ours.status == theirs.status


# -- fuser --


@pytest.mark.linux
@pytest.mark.parametrize("flags", FUSER)
def test_fuser(world: World, flags: str) -> None:
    theirs = world.outputs[f"fuser {flags}"]
    ours = fuser.show(world.snapshot, shlex.split(flags), hosts())
    assert (ours.text, ours.errors, ours.status) == (theirs.text, theirs.errors, theirs.status)


# -- ip --


@pytest.mark.linux
@pytest.mark.scenario("C4")
@pytest.mark.parametrize("flags", IP)
def test_ip_address_show(world: World, flags: str) -> None:
    theirs = world.outputs[f"ip {flags}"]
    assert ip_addr.show(world.snapshot, shlex.split(flags)).text == theirs.text
