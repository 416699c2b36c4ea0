"""How many connections are said to be left on a way, and how many the real kernel then makes."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random

import pytest
from tests.live.apart import apart, lacking

from portside.addr import ip
from portside.explain.ephemeral import Usage
from portside.facts.snapshot import Snapshot
from portside.facts.state import TIME_WAIT
from portside.live import machine

FIRST, LAST = 40000, 40039
CASES = 500 if os.environ.get("PORTSIDE_DEEP") else 25


def sysctl(name: str, value: str) -> None:
    Path("/proc/sys/net", name).write_text(value)


def settled() -> Snapshot:
    """The machine, when the age of each TIME-WAIT can be told from nothing."""
    while True:
        found = machine.read(want={"sockets", "interfaces", "settings"}, namespaces=False)
        if all(each.timer_left < 59_900_000_000 for each in found.sockets if each.state == TIME_WAIT):
            return found


def compared(seed: int) -> tuple[int, int, int]:
    """In a namespace of its own: said to be left, made, and the errno at the end."""
    random = Random(seed)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    sysctl("ipv4/ip_local_port_range", f"{FIRST} {LAST}")
    sysctl("ipv4/tcp_tw_reuse", str(random.choice((0, 1, 2))))
    sysctl("ipv4/tcp_tw_reuse_delay", random.choice(("1", "60000")))
    if random.random() < 0.3:
        sysctl("ipv4/ip_local_reserved_ports", f"{FIRST + 3},{FIRST + 10}-{FIRST + 12}")
    family = random.choice((socket.AF_INET, socket.AF_INET6))
    here, other = ("127.0.0.1", "127.0.0.2") if family == socket.AF_INET else ("::1", "::1")
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server((here, 80), family=family, backlog=200))
        away = opened.enter_context(socket.create_server((other, 81), family=family, backlog=200))

        def connect(where: socket.socket) -> tuple[socket.socket, socket.socket]:
            client = opened.enter_context(socket.create_connection(where.getsockname()[:2]))
            return client, opened.enter_context(where.accept()[0])

        pairs = [connect(listener) for _ in range(random.randrange(25))]
        for _ in range(random.randrange(5)):
            connect(away)
        for _ in range(random.randrange(4)):
            held = opened.enter_context(socket.socket(random.choice((family, socket.AF_INET))))
            with suppress(OSError):  # one that is taken is left out
                held.bind(("", random.choice((0, random.randrange(FIRST, LAST)))))
                if random.random() < 0.5:
                    held.listen()
        for client, server in random.sample(pairs, random.randrange(len(pairs) + 1)):
            first, last = (client, server) if random.random() < 0.7 else (server, client)
            first.close()
            last.recv(1)
            last.close()
        usage = Usage(settled())
        left = usage.left(ip.parse(here), ip.parse(here), 80)
        made = 0
        while True:
            try:
                connect(listener)
            except OSError as error:
                return left, made, error.errno or 0
            made += 1


@pytest.mark.linux
@pytest.mark.scenario("B7")
@pytest.mark.scenario("B8")
@pytest.mark.skipif(lacking("ip") != "", reason=lacking("ip"))
@pytest.mark.parametrize("seed", range(CASES))
def test_as_many_as_are_said_to_be_left(seed: int) -> None:
    left, made, code = apart(compared, seed)
    assert (made, code) == (left, 99)
