"""The text of /proc/net/tcp, tcp6, udp, udp6, udplite, udplite6 and unix, byte for byte as Linux writes it
(proc(5)).

The formats are those of tcp4_seq_show() in net/ipv4/tcp_ipv4.c, tcp6_seq_show() in net/ipv6/tcp_ipv6.c,
udp4_format_sock() in net/ipv4/udp.c, __ip6_dgram_sock_seq_show() in net/ipv6/datagram.c and unix_seq_show()
in net/unix/af_unix.c, as of Linux 6.18 on a little-endian machine of 64 bits. Where the kernel pads a line to
a fixed width, so do we.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.facts.snapshot import Snapshot
from portside.facts.socket import TIMER_TIME_WAIT, UNLIMITED_SSTHRESH, Socket, TcpInfo, UnixSocket
from portside.facts.state import CLOSED, ESTABLISHED, LISTEN, SYN_RECEIVED

_CLOCK_TICK: Final = 10_000_000  # nanoseconds of a USER_HZ tick, in which the kernel shows times
_TCP4_WIDTH: Final = 149  # TMPSZ - 1 of tcp_ipv4.c
_UDP4_WIDTH: Final = 127  # udp4_seq_show()

_TCP4_HEADER: Final = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
)
_TCP6_HEADER: Final = (
    "  sl  local_address                         remote_address                        "
    "st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
)
_UDP4_HEADER: Final = (
    "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode ref pointer drops"
)
_UDP6_HEADER: Final = _TCP6_HEADER + " ref pointer drops"
_UNIX_HEADER: Final = "Num       RefCount Protocol Flags    Type St Inode Path"

_ACCEPTCON: Final = 0x10000  # __SO_ACCEPTCON: a listener
_INFO: Final = TcpInfo()


def tcp(sockets: Iterable[Socket]) -> str:
    """/proc/net/tcp of these sockets; those of another family or protocol are passed over."""
    return _tcp_file(sockets, AF_INET, _TCP4_HEADER, _TCP4_WIDTH)


def tcp6(sockets: Iterable[Socket]) -> str:
    """/proc/net/tcp6 of these sockets."""
    return _tcp_file(sockets, AF_INET6, _TCP6_HEADER, 0)


def udp(sockets: Iterable[Socket], proto: int = IPPROTO_UDP) -> str:
    """/proc/net/udp of these sockets, or /proc/net/udplite when `proto` is IPPROTO_UDPLITE."""
    return _udp_file(sockets, AF_INET, proto, _UDP4_HEADER, _UDP4_WIDTH)


def udp6(sockets: Iterable[Socket], proto: int = IPPROTO_UDP) -> str:
    """/proc/net/udp6 of these sockets, or /proc/net/udplite6."""
    return _udp_file(sockets, AF_INET6, proto, _UDP6_HEADER, 0)


def unix(sockets: Iterable[UnixSocket]) -> str:
    """/proc/net/unix of these sockets; bytes of a path that are no UTF-8 become surrogate escapes."""
    return "\n".join([_UNIX_HEADER, *map(_unix_row, sockets), ""])


FILES: Final[dict[str, Callable[[Snapshot], str]]] = {
    "tcp": lambda snapshot: tcp(snapshot.sockets),
    "tcp6": lambda snapshot: tcp6(snapshot.sockets),
    "udp": lambda snapshot: udp(snapshot.sockets),
    "udp6": lambda snapshot: udp6(snapshot.sockets),
    "udplite": lambda snapshot: udp(snapshot.sockets, IPPROTO_UDPLITE),
    "udplite6": lambda snapshot: udp6(snapshot.sockets, IPPROTO_UDPLITE),
    "unix": lambda snapshot: unix(snapshot.unix_sockets),
}
"""The files of /proc/net by their names."""


def _tcp_file(sockets: Iterable[Socket], family: int, header: str, width: int) -> str:
    # A socket that is bound and neither listens nor connects stands in no table that the kernel walks here.
    ours = [s for s in sockets if s.proto == IPPROTO_TCP and s.family == family and s.state != CLOSED]
    ours.sort(key=lambda socket: socket.state != LISTEN)  # listeners are walked first
    lines = [header, *(f"{i:4d}: {_tcp_row(socket)}" for i, socket in enumerate(ours))]
    return "".join(line.ljust(width) + "\n" for line in lines)


def _udp_file(sockets: Iterable[Socket], family: int, proto: int, header: str, width: int) -> str:
    ours = [s for s in sockets if s.proto == proto and s.family == family and s.lport]
    ours.sort(key=lambda socket: socket.slot)
    lines = [header, *(f"{socket.slot:5d}: {_udp_row(socket)}" for socket in ours)]
    return "".join(line.ljust(width) + "\n" for line in lines)


def _tcp_row(socket: Socket) -> str:
    listening = socket.state == LISTEN
    queue = socket.accept_queue if listening else socket.receive_queue
    row = (
        f"{_ends(socket)} {socket.state:02X} {socket.send_queue:08X}:{queue:08X} "
        f"{socket.timer:02X}:{_ticks(socket.timer_left):08X} {socket.retransmits:08X} "
    )
    if _is_minimal(socket):
        # inet_timewait_sock and request_sock have no more to tell; a TIME-WAIT has no owner either.
        uid = 0 if socket.timer == TIMER_TIME_WAIT else socket.uid
        return f"{row}{uid:5d} {0:8d} 0 {socket.references} {socket.pointer:016x}"
    info = socket.tcp or _INFO
    return (
        f"{row}{socket.uid:5d} {socket.probes:8d} {socket.inode} {socket.references} {socket.pointer:016x} "
        f"{_ticks(info.rto)} {_ticks(info.ato)} {info.quick << 1 | info.pingpong} {info.cwnd} "
        f"{info.fastopen_queue if listening else _ssthresh(info)}"
    )


def _is_minimal(socket: Socket) -> bool:
    return socket.timer == TIMER_TIME_WAIT or (socket.state == SYN_RECEIVED and socket.tcp is None)


def _ssthresh(info: TcpInfo) -> int:
    return -1 if info.ssthresh >= UNLIMITED_SSTHRESH else info.ssthresh


def _udp_row(socket: Socket) -> str:
    return (
        f"{_ends(socket)} {socket.state:02X} {socket.send_queue:08X}:{socket.receive_queue:08X} "
        f"00:00000000 00000000 {socket.uid:5d} {0:8d} {socket.inode} {socket.references} "
        f"{socket.pointer:016x} {socket.drops}"
    )


def _unix_row(socket: UnixSocket) -> str:
    flags = _ACCEPTCON if socket.state == LISTEN else 0
    row = (
        f"{socket.pointer:016x}: {socket.references:08X} 00000000 {flags:08X} "
        f"{socket.type:04X} {_unix_state(socket):02X} {socket.inode:5d}"
    )
    if socket.path is None:
        return row
    path = socket.path
    if path.startswith(b"\0"):
        path = path.replace(b"\0", b"@")
    return f"{row} {path.decode(errors='surrogateescape')}"


def _unix_state(socket: UnixSocket) -> int:
    """SS_UNCONNECTED 1, SS_CONNECTING 2, SS_CONNECTED 3, SS_DISCONNECTING 4 of <linux/net.h>."""
    connected = socket.state == ESTABLISHED
    if socket.attached:
        return 3 if connected else 1
    return 2 if connected else 4


def _ends(socket: Socket) -> str:
    show = _address4 if socket.family == AF_INET else _address6
    return f"{show(socket.laddr)}:{socket.lport:04X} {show(socket.raddr)}:{socket.rport:04X}"


def _address4(address: int) -> str:
    """The four bytes as the machine reads them for one number."""
    return f"{int.from_bytes((address & 0xFFFFFFFF).to_bytes(4, 'big'), 'little'):08X}"


def _address6(address: int) -> str:
    """Four numbers of four bytes, each as the machine reads it."""
    words = address.to_bytes(16, "big")
    return "".join(words[i + 3 - j : i + 4 - j].hex().upper() for i in range(0, 16, 4) for j in range(4))


def _ticks(duration: int) -> int:
    return max(0, duration) // _CLOCK_TICK
