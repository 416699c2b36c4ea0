"""A simulated host as a `Snapshot`: the same facts that are read from a real machine."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from portside.addr.abi import SOCK_DGRAM, SOCK_STREAM
from portside.addr.ip import is_any, is_v4, needs_scope
from portside.facts import socket as facts
from portside.facts.interface import (
    IFA_F_PERMANENT,
    IFA_F_SECONDARY,
    IFF_BROADCAST,
    IFF_LOOPBACK,
    IFF_LOWER_UP,
    IFF_MULTICAST,
    IFF_RUNNING,
    IFF_UP,
    Address,
    Interface,
)
from portside.facts.process import Process as ProcessFacts
from portside.facts.route import TABLE_LOCAL, TABLE_MAIN, Route
from portside.facts.snapshot import Snapshot
from portside.facts.socket import Owner, Socket, TcpInfo, UnixSocket
from portside.facts.state import LISTEN, SYN_RECEIVED
from portside.host.filter_facts import chains
from portside.host.udp_socket import UdpSocket
from portside.host.unix_socket import UnixSocket as UnixFile
from portside.ip.route import LOCAL_KINDS
from portside.sockets.entry import Entry
from portside.tcp import calls
from portside.tcp.tcb import Tcb
from portside.tcp.timewait import TimeWait

if TYPE_CHECKING:
    from portside.host.file import File
    from portside.host.kernel import Host
    from portside.host.processes import Process
    from portside.host.tcp_socket import TcpSocket
    from portside.ip.interface import Interface as Device
    from portside.ip.interface import InterfaceAddress
    from portside.ip.route import RouteEntry

Owners = dict["File", list[Owner]]


def snapshot(host: Host) -> Snapshot:
    """What is true of the host now: sockets, processes, interfaces, routes, packet filter, settings."""
    owners = _owners(host)
    stack = host.stack
    sockets = [_tcp(entry, owners, host.world.now) for entry in stack.tcp]
    sockets += [_udp(entry, owners) for table in (stack.udp, stack.udplite) for entry in table]
    return Snapshot(
        host=host.name,
        taken=host.world.now,
        sockets=tuple(sockets),
        unix_sockets=_unix_sockets(host, owners),
        processes=tuple(_process(process) for process in host.processes),
        interfaces=tuple(_interface(interface) for interface in host.ip.interfaces.values()),
        chains=chains(host.ip.firewall),
        routes=tuple(_route(entry) for entry in host.ip.routes.entries()),
        settings=copy(host.settings),
        users=tuple((uid, name) for name, uid in host.users.all()),
    )


def _owners(host: Host) -> Owners:
    found: Owners = {}
    for process in host.processes:
        for fd, file in sorted(process.files.open.items()):
            found.setdefault(file, []).append(Owner(pid=process.pid, fd=fd, command=process.name))
    return found


def _named(entry: Entry, type: int) -> Socket:
    """What the socket table knows of a socket."""
    local = entry.saddr if is_any(entry.laddr) else entry.laddr
    return Socket(
        family=entry.family,
        proto=entry.proto,
        type=type,
        state=entry.state,
        laddr=local,
        lport=entry.lport,
        raddr=entry.raddr,
        rport=entry.rport,
        device=entry.device,
        scope=entry.device if needs_scope(local) else 0,
        v6only=entry.v6only,
        reuseaddr=entry.reuseaddr,
        reuseport=entry.reuseport,
        freebind=entry.freebind,
        transparent=entry.transparent,
        uid=entry.uid,
    )


def _tcp(entry: Entry, owners: Owners, now: int) -> Socket:
    tcb = entry.owner
    if isinstance(tcb, TimeWait):
        left = max(tcb.ends_at - now, 0)
        return replace(
            _named(entry, SOCK_STREAM),
            state=tcb.state,
            timer=facts.TIMER_TIME_WAIT,
            timer_left=left,
            references=3,  # of both hash tables and the timer: inet_twsk_hashdance_schedule()
        )
    assert isinstance(tcb, Tcb)
    if tcb.state == SYN_RECEIVED and tcb.listener is not None:
        return replace(_named(entry, SOCK_STREAM), references=0)  # a request is no socket yet: get_openreq4
    file: TcpSocket | None = tcb.owner  # type: ignore[assignment]
    held = file is not None and not tcb.orphan
    timer, left = _timer(tcb, now)
    listener = tcb.listener if tcb.state == LISTEN else None
    return replace(
        _named(entry, SOCK_STREAM),
        state=tcb.state,
        raddr=(listener is not None and tcb.raddr) or entry.raddr,
        inode=file.inode if file is not None and held else 0,
        receive_queue=calls.receive_queue(tcb),
        # What is left of earlier connections shows in the row of a listener (get_tcp4_sock does not look at the state).
        send_queue=(tcb.write_seq - tcb.snd_una) & 0xFFFFFFFF,
        accept_queue=len(listener.accept_queue) if listener is not None else 0,
        backlog=listener.backlog if listener is not None else 0,
        timer=timer,
        timer_left=left,
        retransmits=tcb.retransmits,
        probes=tcb.probes_out,
        keepalive=tcb.keepalive,
        shutdown=tcb.shutdown,
        drops=listener.overflows if listener is not None else 0,
        references=_references(tcb),
        owners=tuple(owners.get(file, ())) if file is not None else (),
        tcp=_info(tcb),
    )


def _references(tcb: Tcb) -> int:
    """sk_refcnt: the file's, and one for each connection in the queues of a listener, for each timer that runs.

    Linux lets the timer of a retransmission run on when it is not needed any more, and holds its reference so long.
    """
    if tcb.state == LISTEN and tcb.listener is not None:
        return 1 + len(tcb.listener.accept_queue) + len(tcb.listener.half_open)
    running = (tcb.retransmit_at or tcb.probe_at, tcb.delack_at, tcb.keepalive_at)
    return 1 + sum(1 for timer in running if timer)


def _timer(tcb: Tcb, now: int) -> tuple[int, int]:
    """Which timer /proc/net/tcp shows, and how long it has still to go (get_tcp4_sock)."""
    for kind, when in (
        (facts.TIMER_RETRANSMIT, tcb.retransmit_at),
        (facts.TIMER_PROBE, tcb.probe_at),
        (facts.TIMER_KEEPALIVE, tcb.keepalive_at),
    ):
        if when:
            return kind, max(when - now, 0)
    return facts.TIMER_NONE, 0


def _info(tcb: Tcb) -> TcpInfo:
    return TcpInfo(
        rto=tcb.rto,
        ato=tcb.ato,
        quick=tcb.quick,
        pingpong=bool(tcb.pingpong),
        cwnd=tcb.cwnd,
        ssthresh=tcb.ssthresh,
        rtt=(tcb.srtt >> 3) * 1000,
        rttvar=(tcb.mdev >> 2) * 1000,
        mss=tcb.mss,
        advertised_mss=tcb.advertised_mss,
        received_mss=tcb.rcv_mss,
        path_mtu=tcb.path_mtu,
        snd_wscale=tcb.snd_wscale,
        rcv_wscale=tcb.rcv_wscale,
        timestamps=tcb.timestamps_ok,
        congestion=tcb.congestion,
        unacked=len(tcb.sent) if tcb.sent else 0,
        backoff=tcb.backoff,
        snd_wnd=tcb.snd_wnd,
        rcv_wnd=tcb.rcv_wnd,
    )


def _udp(entry: Entry, owners: Owners) -> Socket:
    file = entry.owner
    assert isinstance(file, UdpSocket)
    return replace(
        _named(entry, SOCK_DGRAM),
        raddr=entry.raddr if entry.rport else entry.stale_peer or entry.raddr,
        inode=file.inode,
        receive_queue=file.received_memory(),
        send_queue=file.ioctl_outq(),
        shutdown=file.closed_ways,
        drops=file.queue.drops,
        references=2,
        slot=entry.lport,
        owners=tuple(owners.get(file, ())),
    )


def _unix_sockets(host: Host, owners: Owners) -> tuple[UnixSocket, ...]:
    """Each is held by itself, by its file or the listener that it waits at, and by those that it is the peer of."""
    held: dict[UnixFile, int] = {}
    for file in host.unix.sockets:
        if file.peer is not None:
            held[file.peer] = held.get(file.peer, 0) + 1
    return tuple(_unix(file, owners.get(file, []), 2 + held.get(file, 0)) for file in host.unix.sockets)


def _unix(file: UnixFile, found: list[Owner], references: int) -> UnixSocket:
    accepted = file.listener is None
    return UnixSocket(
        type=file.type,
        state=file.state,
        path=file.name or None,
        inode=file.inode if accepted else 0,
        attached=accepted,
        references=references,
        peer=file.peer.inode if file.peer is not None else 0,
        backlog=file.backlog,
        accept_queue=len(file.pending) if file.pending else 0,
        owners=tuple(found),
    )


def _process(process: Process) -> ProcessFacts:
    return ProcessFacts(
        pid=process.pid,
        ppid=process.ppid,
        name=process.name,
        argv=process.argv,
        uid=process.uid,
        euid=process.euid,
        gid=process.gid,
        egid=process.egid,
        groups=process.groups,
        capabilities=process.effective,
        started=process.started,
        threads=len(process.tasks),
    )


def _interface(interface: Device) -> Interface:
    up = IFF_UP | IFF_RUNNING | IFF_LOWER_UP if interface.up else 0
    return Interface(
        index=interface.index,
        name=interface.name,
        mtu=interface.mtu,
        flags=up | (IFF_LOOPBACK if interface.loopback else IFF_BROADCAST | IFF_MULTICAST),
        mac=interface.link_address.to_bytes(6, "big"),
        state="DOWN" if not interface.up else "UNKNOWN" if interface.loopback else "UP",
        queue_discipline="noqueue",  # as of a veth: packets wait in the link
        queue_length=1000,
        addresses=tuple(_address(each, interface) for each in interface.addresses),
    )


def _address(each: InterfaceAddress, interface: Device) -> Address:
    return Address(
        address=each.address,
        prefix_length=each.prefix_length,
        scope=each.scope,
        broadcast=(not interface.loopback and each.broadcast) or None,
        label=interface.name if is_v4(each.address) else "",
        flags=IFA_F_PERMANENT | (IFA_F_SECONDARY if each.secondary else 0),
    )


def _route(entry: RouteEntry) -> Route:
    return Route(
        destination=entry.prefix,
        prefix_length=entry.prefix_length,
        kind=entry.kind,
        gateway=entry.via or None,
        interface=entry.interface.index if entry.interface is not None else 0,
        source=entry.source or None,
        metric=entry.metric,
        table=TABLE_LOCAL if entry.kind in LOCAL_KINDS else TABLE_MAIN,
        scope=entry.scope,
        mtu=entry.mtu,
    )
