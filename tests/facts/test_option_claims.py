"""The table of socket options claims nothing that a simulated host does not do."""

from __future__ import annotations

import pytest

from portside.addr.abi import IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP
from portside.facts import option
from portside.facts.option import SOL_SOCKET, Option, Treatment
from portside.host import ip_options, options, tcp_options, udp_control, udp_socket

_HOST = {
    SOL_SOCKET: options.SOCKET,
    IPPROTO_IP: ip_options.IP,
    IPPROTO_IPV6: ip_options.IPV6,
    IPPROTO_TCP: tcp_options.TCP_OPTIONS,
    IPPROTO_UDP: udp_socket.UDP_OPTIONS,
}
SO_OOBINLINE = 10
_CLAIMED = [
    entry
    for entry in option.table().values()
    if entry.level in _HOST and entry.treatment is not Treatment.REFUSED
]


# What is kept, and looked at where data is sent or received.
_LOOKED_AT = {
    (IPPROTO_IP, udp_control.IP_PKTINFO), (IPPROTO_IP, udp_control.IP_RECVTTL), (IPPROTO_IP, udp_control.IP_RECVTOS),
    (IPPROTO_IP, udp_control.IP_ORIGDSTADDR), (IPPROTO_IPV6, udp_control.IPV6_RECVPKTINFO),
    (IPPROTO_IPV6, udp_control.IPV6_RECVHOPLIMIT), (IPPROTO_IPV6, udp_control.IPV6_RECVTCLASS),
    (IPPROTO_UDP, udp_socket.UDP_CORK), (IPPROTO_UDP, udp_socket.UDP_SEGMENT), (SOL_SOCKET, SO_OOBINLINE),
}  # fmt: skip


def _is_only_kept(function: object) -> bool:
    return getattr(function, "__qualname__", "").startswith("stored.")


@pytest.mark.parametrize("entry", _CLAIMED, ids=lambda entry: entry.name)
def test_what_is_not_refused_is_there(entry: Option) -> None:
    found = _HOST[entry.level].get(entry.number)
    assert found is not None
    read, put = found
    assert read is not None or not entry.readable
    assert put is not None or not entry.writable
    if entry.treatment is Treatment.MODELLED and (entry.level, entry.number) not in _LOOKED_AT:
        assert not _is_only_kept(read)
        assert not _is_only_kept(put)
