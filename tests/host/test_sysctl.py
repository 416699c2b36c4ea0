from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from portside.facts.settings import Settings
from portside.host.sysctl import CODECS, Sysctls, name_of, path_of

# Runs alone in a network namespace of its own: writes each (path, text) and says what came of it.
WORKER = r"""
import errno, json, os, sys
def read(path):
    with open("/proc/sys/" + path) as file:
        return file.read()
answers = []
for path, text in json.load(sys.stdin):
    try:
        fd = os.open("/proc/sys/" + path, os.O_WRONLY)
        try:
            result = os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        result = errno.errorcode[error.errno]
    answers.append([result, read(path)] if os.path.exists("/proc/sys/" + path) else None)
json.dump(answers, sys.stdout)
"""

NUMBERS = ["-2147483649", "-2147483648", "-32", "-31", "-2", "-1", "0", "1", "2", "3", "5", "31", "32", "47", "48",
           "127", "128", "255", "256", "999", "1000", "1024", "32768", "32769", "60000", "60001", "65535", "65536",
           "120000", "120001", "8589934", "8589935", "2147483647", "2147483648", "99999999999999999999"]  # fmt: skip
FORMS = ["0x10", "010", "08", "0x", "5 ", "5x", "\n", " ", "+5", "-0", "5 6 7", " 7\n8\n", "5\n\n", "1e3", "5 x",
         "7\n", "1_0"]
RANGES = ["2000", "2000 3000", "2000\t3000 4000", "3000 2000", "0 5", "1 65535", "1023 5000", "1024 1024", "2000 x",
         "500 65536"]
PORTS = ["8080", "8080,9000-9010\n", "1,2,3,5", "5-3", "70000", "1 2", "1, 2", "a", "\n", "0", "10-12,11-15",
         "1,,2", "1,",
         "1-", "65535", "1-2-3", "-5", ","]  # fmt: skip
VECTORS = ["1", "1 2", "1 2 3", "0 1 2", "4096 131072 6291456", "1 2 3 4", "9 8 7"]
# What a namespace of one's own may not write, or where this kernel's defaults or clock are another machine's.
ELSEWHERE = {
    "net/core/rmem_default", "net/core/rmem_max", "net/core/wmem_default", "net/core/wmem_max",
    "net/core/netdev_max_backlog", "net/core/optmem_max", "net/ipv4/icmp_ratelimit", "net/ipv4/tcp_invalid_ratelimit",
    "net/ipv6/icmp/ratelimit", "net/ipv4/tcp_congestion_control", "net/ipv4/tcp_available_congestion_control",
    "net/ipv4/icmp_msgs_per_sec", "net/ipv4/icmp_msgs_burst",
}  # fmt: skip


def steps():
    for path, codec in CODECS.items():
        if path in ELSEWHERE or not os.path.exists("/proc/sys/" + path):
            continue
        kind = type(codec).__name__
        texts = {"PortRange": RANGES, "PortSet": PORTS, "Numbers": VECTORS}.get(kind, NUMBERS)
        if path.endswith("ping_group_range"):
            continue
        yield path, codec.read(Settings())  # begin where we begin
        for text in texts:
            yield path, text
        yield path, codec.read(Settings())
    for text in FORMS:
        yield "net/core/somaxconn", text
    for text in ("0x1", "2 3", "1 x", "5x", ""):
        yield "net/ipv4/tcp_sack", text
    yield "net/ipv4/ip_unprivileged_port_start", "0"
    yield "net/ipv4/ip_local_port_range", "1 60999"
    yield "net/ipv4/ip_unprivileged_port_start", "2"
    for text in ("1", "5"):
        yield "net/ipv4/ip_forward", text
        yield "net/ipv4/conf/lo/forwarding", "x"
        yield "net/ipv4/conf/lo/forwarding", "0"
        yield "net/ipv4/conf/all/forwarding", "x"
        yield "net/ipv4/conf/default/forwarding", "x"
    yield "net/ipv6/conf/all/forwarding", "1"
    yield "net/ipv6/conf/lo/forwarding", "x"


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs a network namespace of its own: root")
def test_every_write_ends_as_on_the_kernel():
    script = list(steps())
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", WORKER],
        input=json.dumps(script), capture_output=True, text=True, check=True,
    )  # fmt: skip
    tree = Sysctls(Settings())
    different = []
    for (path, text), answer in zip(script, json.loads(done.stdout), strict=True):
        if answer is None:  # of the whole machine, and not in a namespace
            continue
        result, shown = answer
        codec = tree.find(path)
        try:
            ours = codec.write(tree.settings, text.encode()) if text else 0
        except OSError as error:
            ours = errno.errorcode[error.errno]
        now = codec.read(tree.settings)
        if [ours, now] != [result, shown]:
            different.append(f"{path} <- {text!r}: Linux {result} {shown!r}, portside {ours} {now!r}")
    assert not different, "\n".join(different)


def test_every_setting_has_a_path():
    named = {getattr(codec, "name", None) for codec in CODECS.values()}
    named |= {"ip_local_port_range"}
    assert {field.name for field in fields(Settings)} - named == {"extra"}


@pytest.mark.linux
@pytest.mark.skipif(not Path("/proc/sys/net/ipv6").exists(), reason="needs the kernel's own tree to look at")
def test_every_path_is_one_of_the_kernels():
    tree = Sysctls(Settings())
    assert [path for path in tree.paths() if not Path("/proc/sys", path).exists()] == []


@pytest.mark.parametrize(
    ("assignment", "attribute", "value"),
    [
        ("net.ipv4.ip_local_port_range=5000 6000", "ip_local_port_range", (5000, 6000)),
        ("net/ipv4/tcp_tw_reuse = 1", "tcp_tw_reuse", 1),
        ("net.ipv4.ip_local_reserved_ports=8080,9000-9002", "ip_local_reserved_ports", frozenset({8080, 9000, 9001,
        9002})),
        ("net.core.somaxconn=5", "somaxconn", 5),
        ("net.ipv6.bindv6only=1", "bindv6only", 1),
        ("net.ipv4.conf.all.forwarding=1", "ip_forward", 1),
    ],
)  # fmt: skip
def test_assignments(assignment, attribute, value):
    tree = Sysctls(Settings())
    tree.set(assignment)
    assert getattr(tree.settings, attribute) == value


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("net.ipv4.tcp_tw_resue=1", "did you mean net.ipv4.tcp_tw_reuse"),
        ("somaxconn=1", "did you mean net.core.somaxconn"),
        ("kernel.panic=1", "names begin with net.core"),
        ("net.ipv4.tcp_tw_reuse", "write NAME=VALUE"),
        ("net.ipv4.tcp_tw_reuse=3", "does not take '3': a number from 0 to 2"),
        ("net.ipv4.ip_local_port_range=6000 5000", "two ports, the first not above the second"),
        ("net.ipv4.tcp_congestion_control=vegas", "one of reno"),
        ("net.ipv4.tcp_available_congestion_control=reno", "can only be read"),
        ("net.ipv4.conf=1", "is a directory"),
        ("net.ipv4.ip_local_reserved_ports=x", "ports and ranges of ports"),
    ],
)
def test_mistakes_are_named(assignment, says):
    with pytest.raises(ValueError, match=says):
        Sysctls(Settings()).set(assignment)


def test_names_of_sysctl8():
    assert path_of("net.ipv4.conf.eth0/1.forwarding") == "net/ipv4/conf/eth0.1/forwarding"
    assert path_of("net/ipv4/conf/eth0.1/forwarding") == "net/ipv4/conf/eth0.1/forwarding"
    assert name_of("net/ipv4/conf/eth0.1/forwarding") == "net.ipv4.conf.eth0/1.forwarding"
    assert Sysctls(Settings()).get("net.ipv4.ip_local_port_range") == "32768\t60999"


def test_interfaces_have_their_directories():
    tree = Sysctls(Settings(), lambda: ["lo", "eth0"])
    assert tree.listdir("net/ipv4/conf") == ["all", "default", "eth0", "lo"]
    assert tree.listdir("net") == ["core", "ipv4", "ipv6", "unix"]
    assert tree.listdir("") == ["net"]
    assert tree.listdir("net/nothing") == []
    assert tree.find("net/ipv4/conf/eth1/forwarding") is None
    assert tree.find("net/ipv4/conf/eth0/nothing") is None
    tree.set("net.ipv6.conf.eth0.hop_limit=9")
    assert tree.settings.ip6_hop_limit == 9
