"""Hosts of the least kind for tests: what TCP asks of a host, done with lists; a wire that may be watched or cut."""

from __future__ import annotations

import heapq
from collections import deque

from portside.addr.ip import parse
from portside.facts.settings import Settings
from portside.facts.state import CLOSED
from portside.tcp import arrives, calls, listen, timeouts, timewait
from portside.tcp.listen import Listener
from portside.tcp.tcb import Tcb
from portside.tcp.timewait import TimeWait
from portside.wire.packet import TcpSegment

ALICE = parse("10.0.0.1")
BOB = parse("10.0.0.2")


class World:
    """Time, alarms and segments under way. `cut` decides about each segment: True is lost."""

    def __init__(self, now: int = 1_000_000_000) -> None:
        self.now = now
        self.alarms: list[tuple[int, int, object]] = []
        self.count = 0
        self.wire: deque[tuple[Endpoint, TcpSegment]] = deque()
        self.hosts: dict[int, Endpoint] = {}
        self.log: list[tuple[int, TcpSegment]] = []
        self.cut = lambda segment: False
        self.latency = 0

    def host(self, address: int, **settings: object) -> Endpoint:
        host = Endpoint(self, address)
        for name, value in settings.items():
            setattr(host.settings, name, value)
        self.hosts[address] = host
        return host

    def arm(self, who: object, when: int) -> None:
        assert when >= self.now, "an alarm in the past"
        self.count += 1
        heapq.heappush(self.alarms, (when, self.count, who))

    def settle(self) -> None:
        """Deliver what is under way now."""
        while self.wire:
            host, segment = self.wire.popleft()
            host.deliver(segment)

    def advance(self, duration: int) -> None:
        """Let time go on; alarms ring and segments arrive meanwhile."""
        self.settle()
        until = self.now + duration
        while self.alarms and self.alarms[0][0] <= until:
            when, _, who = heapq.heappop(self.alarms)
            self.now = when
            if isinstance(who, TcpSegment):
                host = self.hosts.get(who.dst)
                if host is not None:
                    host.deliver(who)
            else:
                timeouts.expire(who, when)
            self.settle()
        self.now = until


class Endpoint:
    """One host: its connections by 4-tuple, its listeners by port. It is the Effects of its connections."""

    def __init__(self, world: World, address: int) -> None:
        self.world = world
        self.address = address
        self.settings = Settings()
        self.connections: dict[tuple[int, int, int, int], Tcb | TimeWait] = {}
        self.listeners: dict[int, Listener] = {}
        self.events: list[tuple[Tcb, int]] = []
        self.history: list[tuple[Tcb, int, int]] = []
        self.next_isn = 1000
        self.next_port = 40000
        self.mtu = 1500

    # -- Effects --

    def transmit(self, tcb: Tcb | TimeWait, segment: TcpSegment) -> None:
        world = self.world
        world.log.append((world.now, segment))
        if world.cut(segment):
            return
        if world.latency:
            world.arm(segment, world.now + world.latency)
            return
        host = world.hosts.get(segment.dst)
        if host is not None:
            world.wire.append((host, segment))

    def changed(self, tcb: Tcb, events: int) -> None:
        assert not tcb.orphan
        self.events.append((tcb, events))

    def urged(self, tcb: Tcb) -> None:
        pass

    def peer_keeps(self, tcb: Tcb) -> bool:
        return False

    def arm(self, tcb: Tcb | TimeWait, when: int) -> None:
        self.world.arm(tcb, when)

    def entered(self, tcb: Tcb, old: int) -> None:
        self.history.append((tcb, old, tcb.state))
        if tcb.state == CLOSED:
            key = (tcb.laddr, tcb.lport, tcb.raddr, tcb.rport)
            if self.connections.get(key) is tcb:
                del self.connections[key]

    def time_wait(self, tcb: Tcb, heir: TimeWait) -> None:
        self.connections[tcb.laddr, tcb.lport, tcb.raddr, tcb.rport] = heir

    def forget(self, heir: TimeWait) -> None:
        del self.connections[heir.laddr, heir.lport, heir.raddr, heir.rport]

    def reopen(self, heir: TimeWait, segment: TcpSegment, isn: int) -> bool:
        listener = self.listeners.get(segment.dport)
        if listener is None:
            return False
        timewait.kill(heir)
        listen.segment_arrives(listener, segment, self.world.now, isn)
        return True

    def cookie(self, segment: TcpSegment, seq: int, period: int) -> int:
        return hash((segment.src, segment.sport, segment.dport, seq, period)) & 0xFFFFFFFF

    def child(self, listener: Listener, segment: TcpSegment, now: int, isn: int) -> Tcb | None:
        tcb = Tcb(self, self.settings, laddr=segment.dst, lport=segment.dport, raddr=segment.src, rport=segment.sport)
        tcb.inherit(listener.tcb)
        tcb.path_mtu = self.mtu
        tcb.iss = isn or self.isn()
        self.connections[tcb.laddr, tcb.lport, tcb.raddr, tcb.rport] = tcb
        return tcb

    # -- what a kernel does around it --

    def isn(self) -> int:
        self.next_isn = (self.next_isn + 100_000) & 0xFFFFFFFF
        return self.next_isn

    def deliver(self, segment: TcpSegment) -> None:
        key = (segment.dst, segment.dport, segment.src, segment.sport)
        tcb = self.connections.get(key)
        if tcb is not None:
            arrives.segment_arrives(tcb, segment, self.world.now)
            return
        listener = self.listeners.get(segment.dport)
        if listener is not None:
            arrives.segment_arrives(listener.tcb, segment, self.world.now)
            return
        answer = arrives.reset_for(segment)
        if answer is not None:
            self.transmit(None, answer)  # type: ignore[arg-type]

    def tcb(self, **options: object) -> Tcb:
        tcb = Tcb(self, self.settings, owner=object())
        for name, value in options.items():
            setattr(tcb, name, value)
        return tcb

    def listen(self, port: int, backlog: int = 5, tcb: Tcb | None = None) -> Listener:
        tcb = tcb or self.tcb()
        tcb.laddr, tcb.lport = self.address, port
        listener = listen.open_passive(tcb, backlog, self.world.now)
        self.listeners[port] = listener
        return listener

    def connect(self, address: int, port: int, tcb: Tcb | None = None, isn: int | None = None) -> Tcb:
        tcb = tcb or self.tcb()
        self.next_port += 1
        tcb.laddr, tcb.lport, tcb.raddr, tcb.rport = self.address, self.next_port, address, port
        tcb.path_mtu = self.mtu
        self.connections[tcb.laddr, tcb.lport, address, port] = tcb
        calls.open_active(tcb, self.world.now, self.isn() if isn is None else isn)
        return tcb


def connected(
    world: World | None = None, mtu: int = 1500, **options: object
) -> tuple[World, Tcb, Tcb]:
    """Two hosts with a connection between them: (world, client, accepted)."""
    world = world or World()
    alice = world.host(ALICE)
    bob = world.host(BOB)
    alice.mtu = bob.mtu = mtu
    listener = bob.listen(80)
    client = alice.connect(BOB, 80, alice.tcb(**options))
    world.advance(world.latency * 4)
    server = listen.accept(listener)
    assert server is not None
    server.owner = object()
    world.log.clear()
    return world, client, server
