"""The sockets of the calling thread's network namespace: from sock_diag(7), or else from the text of /proc/net."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from operator import attrgetter
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, AF_UNSPEC, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.facts.socket import Socket, UnixSocket
from portside.live import inet_diag, proc_net, unix_diag
from portside.live.diag_socket import IPPROTO_RAW, Holders, nobody, set_owners
from portside.live.inet_diag import ASK_MEMORY, EVERY_STATE
from portside.live.sock_diag import Link, Refused

KINDS: Final = (
    (IPPROTO_TCP, AF_INET, "tcp"),
    (IPPROTO_TCP, AF_INET6, "tcp6"),
    (IPPROTO_UDP, AF_INET, "udp"),
    (IPPROTO_UDP, AF_INET6, "udp6"),
    (IPPROTO_UDPLITE, AF_INET, "udplite"),
    (IPPROTO_UDPLITE, AF_INET6, "udplite6"),
    (IPPROTO_RAW, AF_INET, "raw"),
    (IPPROTO_RAW, AF_INET6, "raw6"),
)
"""Protocol, family, and the file of /proc/net that has the same."""
PINGS: Final = ("icmp", "icmp6")
"""Files of /proc/net for which there is no module of sock_diag: the sockets of ping(8) without privileges."""


def inet(
    refused: Callable[[Refused], None],
    *,
    ask: int = ASK_MEMORY,
    tcp_states: int = EVERY_STATE,
    port: int | None = None,
    holders: Holders = nobody,
) -> list[Socket]:
    """Every internet socket, in the kernel's order.

    Args: refused: called when netlink is refused; then the text of /proc/net stands in, which knows less. tcp_states:
    which TCP sockets. ask, port, holders: as for `inet_diag.dump`.
    """
    text: list[Socket] = []
    found: list[Socket] = []
    try:
        with Link() as link:
            found = inet_diag.dump(link, AF_UNSPEC, IPPROTO_TCP, tcp_states, ask=ask, port=port, holders=holders)
            found.sort(key=attrgetter("family"))  # as other tools have them: IPv4 first
            for proto, family, name in KINDS:
                if proto == IPPROTO_TCP or (proto == IPPROTO_RAW and port is not None):
                    continue  # TCP is done, and a raw socket has no port
                try:
                    found += inet_diag.dump(link, family, proto, ask=ask, port=port, holders=holders)
                except Refused:  # this kernel has no module for it
                    text += _text(name, EVERY_STATE, port)
    except Refused as reason:
        refused(reason)
        for proto, _, name in KINDS:
            text += _text(name, tcp_states if proto == IPPROTO_TCP else EVERY_STATE, port)
    for name in PINGS if port is None else ():
        text += proc_net.inet(name)
    set_owners(text, holders)
    found += text
    return found


def _text(name: str, states: int, port: int | None) -> Iterator[Socket]:
    return (each for each in proc_net.inet(name) if states >> each.state & 1 and (port is None or each.lport == port))


def of_process(pid: int, root: str) -> tuple[tuple[Socket, ...], tuple[UnixSocket, ...]]:
    """What the text says of the namespace of another process, which everybody may read."""
    directory = f"{root}/{pid}/net"
    files = (*(name for _, _, name in KINDS), *PINGS)
    return tuple(each for name in files for each in proc_net.inet(name, directory)), tuple(proc_net.unix(directory))


def unix() -> list[UnixSocket]:
    """Every AF_UNIX socket, in the kernel's order; at the end, from the text, those that wait to be accepted."""
    text = list(proc_net.unix())
    try:
        with Link() as link:
            found = list(unix_diag.dump(link))
    except Refused:
        return text
    shown = {each.inode: each for each in text if each.attached}
    for i, each in enumerate(found):
        if (row := shown.get(each.inode)) is not None:
            found[i] = replace(each, references=row.references, pointer=row.pointer)
    return found + [each for each in text if not each.attached]
