"""Socket options at level SOL_SOCKET, and the machinery that the other levels share (socket(7), net/core/sock.c).

An option is a pair of functions: one reads it from a socket as bytes, one sets it from bytes. A level is a table of
them. What an option's change does beyond being kept stands in the socket classes.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from struct import pack, unpack_from
from typing import TYPE_CHECKING, Final, TypeAlias

from portside.addr.abi import IPPROTO_TCP, SECOND
from portside.facts.state import CLOSED, LISTEN
from portside.host.errors import fail
from portside.host.processes import CAP_NET_ADMIN, CAP_NET_RAW

if TYPE_CHECKING:
    from portside.host.inet_socket import InetSocket
    from portside.host.processes import Process

SOL_SOCKET: Final = 1
SO_OOBINLINE: Final = 10
INT_MAX: Final = 0x7FFFFFFF
SO_TIMESTAMPING: Final = 37
TIMESTAMPING_OPT_ID: Final = 1 << 7  # <linux/net_tstamp.h>: SOF_TIMESTAMPING_OPT_ID and its neighbours
TIMESTAMPING_OPT_TSONLY: Final = 1 << 11
TIMESTAMPING_OPT_STATS: Final = 1 << 12
TIMESTAMPING_BIND_PHC: Final = 1 << 15
TIMESTAMPING_OPT_ID_TCP: Final = 1 << 16
TIMESTAMPING_MASK: Final = (1 << 19) - 1
PASSED: Final = -1  # a timeout that is over when it begins
MAX_SECONDS: Final = (2**63 - 1) // 250  # LONG_MAX jiffies, 250 of which are a second

Getter: TypeAlias = "Callable[[InetSocket], bytes]"
Setter: TypeAlias = "Callable[[InetSocket, Process, bytes], None]"
Table: TypeAlias = "dict[int, tuple[Getter | None, Setter | None]]"


class Knobs:
    """The options of a socket that are plain values, with Linux's defaults.

    Sockets share one `DEFAULTS` until they set something: a million sockets pay nothing for options they never touch.
    """

    __slots__ = (
        "broadcast", "debug", "device_name", "dontroute", "hop_limit", "keepalive", "linger", "mark", "mtu_discover",
        "mtu_discover6", "multicast_hops", "multicast_loop", "multicast_loop6", "multicast_ttl", "other", "priority",
        "rcvlowat", "rcvtimeo", "recverr", "recverr6", "sndtimeo", "tclass", "tos", "ttl",
    )  # fmt: skip

    def __init__(self) -> None:
        self.broadcast = False
        self.debug = False
        self.device_name = b""
        self.dontroute = False
        self.hop_limit = -1
        self.keepalive = False
        self.linger: tuple[int, int] = (0, 0)
        self.mark = 0
        self.mtu_discover = 1
        self.mtu_discover6 = 1
        self.multicast_loop = True
        self.multicast_loop6 = True
        self.multicast_ttl = 1
        self.multicast_hops = -1
        self.priority = 0
        self.rcvlowat = 1
        self.rcvtimeo = 0  # nanoseconds; 0: for ever; PASSED: not at all
        self.sndtimeo = 0
        self.recverr = False
        self.recverr6 = False
        self.tclass = -1
        self.tos = 0
        self.ttl = -1
        self.other: dict[tuple[int, int], int] = {}  # stored and read back; nothing acts on them

    def copy(self) -> Knobs:
        """A private copy, for a socket that sets its first option."""
        new = Knobs.__new__(Knobs)
        for name in Knobs.__slots__:
            setattr(new, name, getattr(self, name))
        new.other = dict(self.other)
        return new


DEFAULTS: Final = Knobs()


def get_option(table: Table, sock: InetSocket, name: int, length: int, unknown: int = errno.ENOPROTOOPT) -> bytes:
    """The option's bytes, cut to `length`; `unknown` is the errno of an option that the level does not have."""
    entry = table.get(name)
    if entry is None or entry[0] is None:
        raise fail(unknown)
    return entry[0](sock)[:length]


def set_option(table: Table, sock: InetSocket, process: Process, name: int, value: bytes) -> None:
    """Set the option; ENOPROTOOPT for one that the level does not have or that can only be read."""
    entry = table.get(name)
    if entry is None or entry[1] is None:
        raise fail(errno.ENOPROTOOPT)
    entry[1](sock, process, value)


def int_bytes(value: int) -> bytes:
    """A C int."""
    return pack("=i", value if value <= INT_MAX else value - (1 << 32))


def int_of(value: bytes) -> int:
    """The C int that the bytes begin with; EINVAL when there are fewer than four (sock_setsockopt)."""
    if len(value) < 4:
        raise fail(errno.EINVAL)
    return int(unpack_from("=i", value)[0])


def small_int_of(value: bytes) -> int:
    """As level IPPROTO_IP takes a number: a C int, or a single byte; nothing at all is 0 (do_ip_setsockopt)."""
    if len(value) >= 4:
        return int(unpack_from("=i", value)[0])
    return value[0] if value else 0


def flag(name: str, parse: Callable[[bytes], int] = int_of) -> tuple[Getter, Setter]:
    """An option that is a yes or no, kept in a knob."""

    def get(sock: InetSocket) -> bytes:
        return int_bytes(int(getattr(sock.knobs, name)))

    def put(sock: InetSocket, process: Process, value: bytes) -> None:
        number = parse(value)
        setattr(sock.own_knobs(), name, bool(number))

    return get, put


def ranged(
    name: str, low: int, high: int, parse: Callable[[bytes], int] = int_of, shown: int | None = None
) -> tuple[Getter, Setter]:
    """An option that is a number from `low` to `high` (EINVAL outside), kept in a knob; -1 is read as `shown`."""

    def get(sock: InetSocket) -> bytes:
        number = getattr(sock.knobs, name)
        return int_bytes(shown if number == -1 and shown is not None else number)

    def put(sock: InetSocket, process: Process, value: bytes) -> None:
        number = parse(value)
        if not low <= number <= high:
            raise fail(errno.EINVAL)
        setattr(sock.own_knobs(), name, number)

    return get, put


def stored(
    level: int, name: int, default: int = 0, low: int | None = None, high: int = INT_MAX, boolean: bool = False,
    parse: Callable[[bytes], int] = int_of,
) -> tuple[Getter, Setter]:  # fmt: skip
    """An option that is kept and read back; nothing acts on it. EINVAL outside `low` to `high` where they are given."""

    def get(sock: InetSocket) -> bytes:
        return int_bytes(sock.knobs.other.get((level, name), default))

    def put(sock: InetSocket, process: Process, value: bytes) -> None:
        number = parse(value)
        if low is not None and not low <= number <= high:
            raise fail(errno.EINVAL)
        sock.own_knobs().other[level, name] = int(bool(number)) if boolean else number

    return get, put


def constant(read: Callable[[InetSocket], int]) -> tuple[Getter, None]:
    """An option that can only be read: setting it is ENOPROTOOPT."""
    return (lambda sock: int_bytes(read(sock))), None


# -- SOL_SOCKET --


def _set_reuseaddr(sock: InetSocket, process: Process, value: bytes) -> None:
    sock.entry.reuseaddr = bool(int_of(value))
    sock.option_changed()


def _set_reuseport(sock: InetSocket, process: Process, value: bytes) -> None:
    sock.entry.reuseport = bool(int_of(value))
    sock.option_changed()


def _set_debug(sock: InetSocket, process: Process, value: bytes) -> None:
    on = bool(int_of(value))
    if on and not process.capable(CAP_NET_ADMIN):
        raise fail(errno.EACCES)
    sock.own_knobs().debug = on


def _set_sndbuf(sock: InetSocket, process: Process, value: bytes) -> None:
    asked = int_of(value) & 0xFFFFFFFF
    sock.set_sndbuf(min(asked, sock.host.settings.wmem_max))


def _set_rcvbuf(sock: InetSocket, process: Process, value: bytes) -> None:
    asked = int_of(value) & 0xFFFFFFFF
    sock.set_rcvbuf(min(asked, sock.host.settings.rmem_max))


def _set_sndbuf_force(sock: InetSocket, process: Process, value: bytes) -> None:
    asked = int_of(value)
    need_net_admin(process)
    sock.set_sndbuf(max(asked, 0))


def _set_rcvbuf_force(sock: InetSocket, process: Process, value: bytes) -> None:
    asked = int_of(value)
    need_net_admin(process)
    sock.set_rcvbuf(max(asked, 0))


def need_net_admin(process: Process) -> None:
    """EPERM without CAP_NET_ADMIN."""
    if not process.capable(CAP_NET_ADMIN):
        raise fail(errno.EPERM)


def _set_oobinline(sock: InetSocket, process: Process, value: bytes) -> None:
    sock.own_knobs().other[SOL_SOCKET, SO_OOBINLINE] = int(bool(int_of(value)))
    sock.oobinline_changed()


def _set_keepalive(sock: InetSocket, process: Process, value: bytes) -> None:
    sock.own_knobs().keepalive = bool(int_of(value))
    sock.keepalive_changed()


def _set_priority(sock: InetSocket, process: Process, value: bytes) -> None:
    number = int_of(value)
    if not (0 <= number <= 6 or process.capable(CAP_NET_RAW) or process.capable(CAP_NET_ADMIN)):
        raise fail(errno.EPERM)
    sock.own_knobs().priority = number


def _set_mark(sock: InetSocket, process: Process, value: bytes) -> None:
    number = int_of(value)
    if not (process.capable(CAP_NET_RAW) or process.capable(CAP_NET_ADMIN)):
        raise fail(errno.EPERM)
    sock.own_knobs().mark = number & 0xFFFFFFFF


def linger_bytes(linger: tuple[int, int]) -> bytes:
    """A struct linger."""
    on, seconds = linger
    return pack("=iI", on, seconds & 0xFFFFFFFF)


def linger_of(value: bytes, old: tuple[int, int]) -> tuple[int, int]:
    """The struct linger that the bytes are (sk_setsockopt): off, it keeps the time; a negative time is for ever.
    """
    int_of(value)
    if len(value) < 8:
        raise fail(errno.EINVAL)
    on, seconds = unpack_from("=ii", value)
    return (1, seconds if seconds >= 0 else MAX_SECONDS) if on else (0, old[1])


def _get_linger(sock: InetSocket) -> bytes:
    return linger_bytes(sock.knobs.linger)


def _set_linger(sock: InetSocket, process: Process, value: bytes) -> None:
    knobs = sock.own_knobs()
    knobs.linger = linger_of(value, knobs.linger)
    sock.linger_changed()


def _set_rcvlowat(sock: InetSocket, process: Process, value: bytes) -> None:
    number = int_of(value)
    sock.set_rcvlowat(INT_MAX if number < 0 else number or 1)


def timeval_bytes(nanoseconds: int) -> bytes:
    """A timeout as a struct timeval; one that has passed and one that never comes are both read as zero."""
    nanoseconds = max(nanoseconds, 0)
    return pack("=qq", nanoseconds // SECOND, nanoseconds % SECOND // 1000)


def timeout_of(value: bytes) -> int:
    """The timeout (ns) that a struct timeval stands for: 0 for ever, PASSED not at all (sock_set_timeout).

    EINVAL when it is too short, EDOM when the microseconds are no part of a second.
    """
    int_of(value)
    if len(value) < 16:
        raise fail(errno.EINVAL)
    seconds, microseconds = unpack_from("=qq", value)
    if not 0 <= microseconds < 1_000_000:
        raise fail(errno.EDOM)
    if seconds < 0:
        return PASSED
    return _in_jiffies(seconds * SECOND + microseconds * 1000) if seconds < MAX_SECONDS - 1 else 0


def _in_jiffies(nanoseconds: int) -> int:
    """Timeouts are kept in ticks: 250 or 1000 a second; a thousand here, and a part of one counts as one."""
    return -(-nanoseconds // 1_000_000) * 1_000_000


def _timeval(knob: str) -> tuple[Getter, Setter]:
    def get(sock: InetSocket) -> bytes:
        return timeval_bytes(getattr(sock.knobs, knob))

    def put(sock: InetSocket, process: Process, value: bytes) -> None:
        setattr(sock.own_knobs(), knob, timeout_of(value))

    return get, put


def _get_device(sock: InetSocket) -> bytes:
    interface = sock.host.ip.interfaces.get(sock.entry.device) if sock.entry.device else None
    return interface.name.encode() + b"\0" if interface is not None else b""


def _set_device(sock: InetSocket, process: Process, value: bytes) -> None:
    name = value[:15].split(b"\0")[0].decode("utf-8", "replace")
    index = 0
    if name:
        interface = sock.host.ip.interface_named(name)
        if interface is None:
            raise fail(errno.ENODEV)
        index = interface.index
    if sock.entry.device and not process.capable(CAP_NET_RAW):
        raise fail(errno.EPERM)
    sock.set_device(index)


def _set_device_index(sock: InetSocket, process: Process, value: bytes) -> None:
    index = int_of(value)
    if index < 0:
        raise fail(errno.EINVAL)
    if sock.entry.device and not process.capable(CAP_NET_RAW):
        raise fail(errno.EPERM)
    sock.set_device(index)


def _get_timestamping(sock: InetSocket) -> bytes:
    return pack("=ii", sock.knobs.other.get((SOL_SOCKET, SO_TIMESTAMPING), 0), 0)


def _set_timestamping(sock: InetSocket, process: Process, value: bytes) -> None:
    """Flags that are valid together (sock_set_timestamping): EINVAL; EOPNOTSUPP for a clock of hardware."""
    flags = int_of(value)
    numbered = flags & TIMESTAMPING_OPT_ID
    if (
        flags & ~TIMESTAMPING_MASK
        or (flags & TIMESTAMPING_OPT_ID_TCP and not numbered)
        or (numbered and sock.proto == IPPROTO_TCP and sock.entry.state in (CLOSED, LISTEN))
        or (flags & TIMESTAMPING_OPT_STATS and not flags & TIMESTAMPING_OPT_TSONLY)
    ):
        raise fail(errno.EINVAL)
    if flags & TIMESTAMPING_BIND_PHC:
        raise fail(errno.EOPNOTSUPP)
    sock.own_knobs().other[SOL_SOCKET, SO_TIMESTAMPING] = flags


def _peer_credentials(sock: InetSocket) -> bytes:
    return pack("=iii", 0, -1, -1)


def _unsupported(sock: InetSocket) -> bytes:
    raise fail(errno.EOPNOTSUPP)


def _set_unsupported(sock: InetSocket, process: Process, value: bytes) -> None:
    int_of(value)
    raise fail(errno.EOPNOTSUPP)


def _stored(name: int, **how: int) -> tuple[Getter, Setter]:
    return stored(SOL_SOCKET, name, **how)  # type: ignore[arg-type]


SOCKET: Final[Table] = {
    1: ((lambda s: int_bytes(s.knobs.debug)), _set_debug),
    2: ((lambda s: int_bytes(s.entry.reuseaddr)), _set_reuseaddr),
    3: constant(lambda s: s.type),
    4: constant(lambda s: s.take_error()),
    5: flag("dontroute"),
    6: flag("broadcast"),
    7: ((lambda s: int_bytes(s.sndbuf())), _set_sndbuf),
    8: ((lambda s: int_bytes(s.rcvbuf())), _set_rcvbuf),
    9: ((lambda s: int_bytes(s.knobs.keepalive)), _set_keepalive),
    SO_OOBINLINE: (_stored(SO_OOBINLINE)[0], _set_oobinline),
    11: _stored(11, boolean=True),  # SO_NO_CHECK
    12: ((lambda s: int_bytes(s.knobs.priority)), _set_priority),
    13: (_get_linger, _set_linger),
    15: ((lambda s: int_bytes(s.entry.reuseport)), _set_reuseport),
    16: (_unsupported, _set_unsupported),  # SO_PASSCRED is for AF_UNIX
    17: (_peer_credentials, None),
    18: ((lambda s: int_bytes(s.knobs.rcvlowat)), _set_rcvlowat),
    19: ((lambda s: int_bytes(1)), None),
    20: _timeval("rcvtimeo"),
    21: _timeval("sndtimeo"),
    25: (_get_device, _set_device),
    29: _stored(29, boolean=True),  # SO_TIMESTAMP
    30: constant(lambda s: int(s.listening)),
    32: (None, _set_sndbuf_force),
    33: (None, _set_rcvbuf_force),
    34: (_unsupported, _set_unsupported),  # SO_PASSSEC
    35: _stored(35, boolean=True),  # SO_TIMESTAMPNS
    36: ((lambda s: int_bytes(s.knobs.mark)), _set_mark),
    37: (_get_timestamping, _set_timestamping),
    38: constant(lambda s: s.proto),
    39: constant(lambda s: s.family),
    40: _stored(40, boolean=True),  # SO_RXQ_OVFL
    41: _stored(41, boolean=True),  # SO_WIFI_STATUS
    44: _stored(44, boolean=True),  # SO_LOCK_FILTER
    46: _stored(46, low=0),  # SO_BUSY_POLL
    47: _stored(47, default=-1),  # SO_MAX_PACING_RATE
    49: _stored(49, default=-1),  # SO_INCOMING_CPU
    60: _stored(60, low=0, high=1),  # SO_ZEROCOPY
    63: _stored(63, boolean=True),  # SO_TIMESTAMP_NEW
    62: ((lambda s: int_bytes(s.entry.device)), _set_device_index),
    72: _stored(72),  # SO_BUF_LOCK
}

