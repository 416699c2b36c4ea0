"""The memory of unusable ports changes what a search costs, never what it finds."""

from __future__ import annotations

from random import Random

import pytest
from tests.sockets.oracle import World

from portside.addr.abi import AF_INET, IPPROTO_TCP, IPPROTO_UDP
from portside.addr.ip import V4_ANY, V4_LOOPBACK, V4_PREFIX
from portside.facts.settings import Settings
from portside.sockets import bind, connect, datagram, ephemeral
from portside.sockets.crowd import NEVER, Crowd
from portside.sockets.entry import Entry
from portside.sockets.table import SocketTable


class Run:
    """A random life of TCP sockets on a narrow range; what ports they got."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        low = 40000 + self.random.randint(0, 1)
        self.settings = Settings(ip_local_port_range=(low, low + self.random.randint(1, 24)))
        self.settings.ip_autobind_reuse = self.random.randint(0, 1)
        self.tcp = SocketTable(IPPROTO_TCP, self.settings, seed)
        self.udp = SocketTable(IPPROTO_UDP, self.settings, seed)
        self.live: list[Entry] = []
        self.due: dict[Entry, int] = {}
        self.draws = Random(seed)
        self.now = 0

    def new(self, table: SocketTable) -> Entry:
        entry = table.open(AF_INET, 0)
        entry.reuseaddr = self.random.random() < 0.3
        entry.reuseport = self.random.random() < 0.2
        if self.random.random() < 0.1:
            entry.port_range = (40003, 40009)
        return entry

    def step(self) -> object:
        """One thing happens; what it answers."""
        self.now += self.random.randint(0, 3)
        what = self.random.random()
        if what < 0.4:
            entry = self.new(self.tcp)
            where = V4_LOOPBACK + self.random.randint(0, 1)
            verdict = connect.connect(
                self.tcp, entry, where, 80, V4_LOOPBACK, self.now, self.draws, lambda one, chosen: self.due[one]
            )
            for gone in verdict.because if not verdict.errno else ():
                self.live.remove(gone)
        elif what < 0.6:
            entry = self.new(self.tcp)
            verdict = bind.bind(self.tcp, entry, self.random.choice([V4_ANY, V4_LOOPBACK]), 0, World(), self.draws)
        elif what < 0.7:
            entry = self.new(self.udp)
            verdict = datagram.autobind(self.udp, entry, self.draws)
        else:
            return self.end()
        if not verdict.errno:
            self.live.append(entry)
        return verdict.errno, entry.lport

    def end(self) -> object:
        if not self.live:
            return None
        entry = self.random.choice(self.live)
        if entry.proto == IPPROTO_TCP and entry.rport and entry not in self.due and self.random.random() < 0.6:
            self.due[entry] = self.now + self.random.choice([3, 30, NEVER])
            connect.time_wait(self.tcp, entry)
        elif self.random.random() < 0.2:
            entry.reuseaddr = not entry.reuseaddr
            (self.tcp if entry.proto == IPPROTO_TCP else self.udp).option_changed(entry)
        else:
            self.live.remove(entry)
            (self.tcp if entry.proto == IPPROTO_TCP else self.udp).remove(entry)
        return None


@pytest.mark.scenario("B8")
@pytest.mark.parametrize("patience", [0, 1, 3])
def test_same_ports_with_and_without(patience: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(60):
        with_memory, without = Run(seed), Run(seed)
        for _ in range(250):
            monkeypatch.setattr(ephemeral, "PATIENCE", patience)
            ours = with_memory.step()
            monkeypatch.setattr(ephemeral, "PATIENCE", 1 << 20)
            assert ours == without.step()
        assert without.tcp.crowds == {}


def test_candidates() -> None:
    crowd = Crowd(2)
    for port in (10, 12, 16):
        crowd.block(port, NEVER)
    crowd.block(14, 5)
    assert crowd.candidate(10, 18) == -1
    assert crowd.candidate(10, 19) == 18
    assert crowd.candidate(11, 18) == 11
    assert crowd.candidate(18, 18) == -1
    crowd.wake(4)
    assert crowd.candidate(10, 18) == -1
    crowd.wake(5)
    assert crowd.candidate(10, 18) == 14
    crowd.release(12)
    assert crowd.candidate(10, 18) == 12


def test_few_are_remembered() -> None:
    table = SocketTable(IPPROTO_TCP, Settings(ip_local_port_range=(40000, 40099)), 1)
    random = Random(1)
    for number in range(40):
        for _ in range(101):
            entry = table.open(AF_INET, 0)
            connect.connect(table, entry, V4_PREFIX | number + 1, 80, V4_LOOPBACK, 0, random)
    assert len(table.crowds) <= 8
