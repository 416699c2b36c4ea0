"""One machine: what belongs to it and to no other, and the making of its sockets."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from portside.addr.abi import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPPROTO_UDPLITE,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
)
from portside.facts.settings import Settings
from portside.host.errors import fail
from portside.host.etc import Etc
from portside.host.processes import CAP_NET_RAW, Process, Processes
from portside.host.resolver import Nobody, Resolver
from portside.host.socket_file import SocketFile
from portside.host.stack import Stack
from portside.host.tcp_socket import TcpSocket
from portside.host.udp_socket import UdpSocket
from portside.host.unix_names import UnixNames
from portside.host.unix_socket import UnixSocket
from portside.host.users import Users

if TYPE_CHECKING:
    from portside.host.file import World

FIRST_INODE: Final = 4097
SOCK_MAX: Final = 11  # <linux/net.h>: one more than the last socket type
AF_MAX: Final = 46


class Host:
    """A machine with its own sockets, interfaces, routes, firewall, sysctls, users and processes.

    Args: name: what the network calls it, and what `gethostname(2)` says until `hostname` is another. world: the
    time and the hand-over that the host lives by. number: makes link addresses, initial sequence numbers and random
    draws differ between hosts. settings: the sysctls to begin with. `etc` has its files of names; `resolver` answers
    for names beyond them, and the network sets it.
    """

    def __init__(self, name: str, world: World, *, number: int = 0, settings: Settings | None = None) -> None:
        self.settings: Settings = settings or Settings()
        self.name = name
        self.hostname = name
        self.world = world
        self.number = number
        self.users = Users()
        self.processes = Processes(self)
        self.stack = Stack(self)
        self.ip = self.stack.ip
        self.unix = UnixNames()
        self.etc = Etc(self)
        self.resolver: Resolver = Nobody()
        self._inode = FIRST_INODE

    def new_inode(self) -> int:
        """The next socket inode number: what /proc/net/tcp shows and `ls -l /proc/PID/fd` names."""
        self._inode += 1
        return self._inode

    def new_socket(self, process: Process, family: int, type: int, proto: int) -> SocketFile:
        """The socket that socket(2) makes.

        EAFNOSUPPORT: a family that is not modelled. ESOCKTNOSUPPORT, EPROTONOSUPPORT: no such protocol in the family.
        EPERM: a raw socket without CAP_NET_RAW. EINVAL: no such type at all (__sock_create, inet_create).
        """
        if not 0 <= family < AF_MAX:
            raise fail(errno.EAFNOSUPPORT)
        if not 0 <= type < SOCK_MAX:
            raise fail(errno.EINVAL)
        if family == AF_UNIX:
            return self._new_unix(process, type, proto)
        if family not in (AF_INET, AF_INET6):
            raise fail(errno.EAFNOSUPPORT)
        return self._new_inet(process, family, type, proto)

    def new_socketpair(self, process: Process, family: int, type: int, proto: int) -> tuple[SocketFile, SocketFile]:
        """The pair that socketpair(2) makes: AF_UNIX alone can (EOPNOTSUPP)."""
        one = self.new_socket(process, family, type, proto)
        two = self.new_socket(process, family, type, proto)
        if not isinstance(one, UnixSocket) or not isinstance(two, UnixSocket):
            one.release()
            two.release()
            raise fail(errno.EOPNOTSUPP)
        one.pair(two, process)
        return one, two

    def _new_unix(self, process: Process, type: int, proto: int) -> UnixSocket:
        if proto not in (0, AF_UNIX):
            raise fail(errno.EPROTONOSUPPORT)
        if type == SOCK_RAW:  # unix_create: "believe it or not BSD has AF_UNIX, SOCK_RAW though nothing uses it"
            type = SOCK_DGRAM
        if type not in (SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET):
            raise fail(errno.ESOCKTNOSUPPORT)
        return UnixSocket(self, type, process)

    def _new_inet(self, process: Process, family: int, type: int, proto: int) -> SocketFile:
        if not 0 <= proto < 263:  # IPPROTO_MAX, which MPTCP made larger than a byte
            raise fail(errno.EINVAL)
        if type == SOCK_STREAM and proto in (IPPROTO_IP, IPPROTO_TCP):
            return TcpSocket(self, family, process.euid)
        if type == SOCK_DGRAM and proto in (IPPROTO_IP, IPPROTO_UDP, IPPROTO_UDPLITE):
            return UdpSocket(self, family, proto or IPPROTO_UDP, process.euid)
        if type == SOCK_DGRAM and proto == (IPPROTO_ICMP if family == AF_INET else IPPROTO_ICMPV6):
            raise fail(errno.EACCES)  # ping sockets: net.ipv4.ping_group_range is empty by default
        if type == SOCK_RAW and proto:
            if not process.capable(CAP_NET_RAW):
                raise fail(errno.EPERM)
            raise fail(errno.ESOCKTNOSUPPORT)  # raw sockets are not modelled: docs/differences.md
        if type in (SOCK_STREAM, SOCK_DGRAM, SOCK_RAW):
            raise fail(errno.EPROTONOSUPPORT)
        raise fail(errno.ESOCKTNOSUPPORT)
