"""The rules by which bind(2), listen(2) and connect(2) refuse, each in a sentence and with its authority."""

from __future__ import annotations

from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EAGAIN, EINVAL, ENODEV
from typing import Final

from portside.facts.verdict import Rule, Verdict

NOT_LOCAL: Final = Rule(
    "address-not-local",
    "this host has no such address; IP_FREEBIND, IP_TRANSPARENT or the sysctl ip_nonlocal_bind would allow it",
    "bind(2) EADDRNOTAVAIL; inet_addr_valid_or_nonlocal()",
)
PRIVILEGED: Final = Rule(
    "privileged-port",
    "ports below ip_unprivileged_port_start need CAP_NET_BIND_SERVICE",
    "bind(2) EACCES; ip(7)",
)
ALREADY_BOUND: Final = Rule(
    "already-bound", "the socket already has a port, or is connected; it can't be bound again", "bind(2) EINVAL"
)
NO_INTERFACE: Final = Rule(
    "no-interface", "there is no interface of the index that the scope or the device names", "__inet6_bind()"
)
NEEDS_SCOPE: Final = Rule(
    "needs-scope",
    "a link-local address means nothing without an interface: give a scope id or bind to a device",
    "RFC 4007; ipv6(7); __inet6_bind()",
)
V6_MULTICAST_STREAM: Final = Rule(
    "multicast-stream", "TCP can't be bound to an IPv6 multicast address", "__inet6_bind()"
)
MAPPED_ON_V6ONLY: Final = Rule(
    "mapped-on-v6only",
    "an IPV6_V6ONLY socket can't have an IPv4 address (::ffff:a.b.c.d)",
    "ipv6(7) IPV6_V6ONLY; __inet6_bind()",
)
IN_USE_TCP: Final = Rule(
    "in-use",
    "{0} has the port on an overlapping address; both need SO_REUSEADDR with that one not listening, or both "
    "SO_REUSEPORT and the same user",
    "bind(2) EADDRINUSE; socket(7); inet_csk_bind_conflict()",
)
IN_USE_UDP: Final = Rule(
    "in-use",
    "{0} has the port on an overlapping address; both need SO_REUSEADDR, or both SO_REUSEPORT and the same user",
    "bind(2) EADDRINUSE; socket(7); udp_lib_lport_inuse()",
)
LISTEN_IN_USE: Final = Rule(
    "listen-in-use",
    "{0} has the port on an overlapping address; SO_REUSEADDR lets both bind, but only one listen",
    "listen(2) EADDRINUSE; inet_csk_listen_start()",
)
NO_PORT_LEFT: Final = Rule(
    "no-port-left",
    "every port of ip_local_port_range is taken or reserved",
    "bind(2) EADDRINUSE; inet_csk_find_open_port()",
)
NO_PORT_LEFT_UDP: Final = Rule(
    "no-port-left",
    "every port of ip_local_port_range is taken or reserved",
    "send(2) EAGAIN; inet_autobind()",
)
NO_PORT_TO_PEER: Final = Rule(
    "no-port-to-peer",
    "every port of ip_local_port_range is held by bind(2), reserved, or used by a connection from here to that peer",
    "connect(2) EADDRNOTAVAIL; __inet_hash_connect()",
)
CONNECTION_EXISTS: Final = Rule(
    "connection-exists",
    "{0} already has the same four addresses and ports",
    "connect(2) EADDRNOTAVAIL; __inet_check_established()",
)

# Those that are because of nobody in particular need no new object.
REFUSE_NOT_LOCAL: Final = Verdict(EADDRNOTAVAIL, NOT_LOCAL)
REFUSE_PRIVILEGED: Final = Verdict(EACCES, PRIVILEGED)
REFUSE_ALREADY_BOUND: Final = Verdict(EINVAL, ALREADY_BOUND)
REFUSE_NO_INTERFACE: Final = Verdict(ENODEV, NO_INTERFACE)
REFUSE_NEEDS_SCOPE: Final = Verdict(EINVAL, NEEDS_SCOPE)
REFUSE_V6_MULTICAST_STREAM: Final = Verdict(EINVAL, V6_MULTICAST_STREAM)
REFUSE_MAPPED_ON_V6ONLY: Final = Verdict(EINVAL, MAPPED_ON_V6ONLY)
REFUSE_NO_PORT_LEFT: Final = Verdict(EADDRINUSE, NO_PORT_LEFT)
REFUSE_NO_PORT_LEFT_UDP: Final = Verdict(EAGAIN, NO_PORT_LEFT_UDP)
REFUSE_NO_PORT_TO_PEER: Final = Verdict(EADDRNOTAVAIL, NO_PORT_TO_PEER)
