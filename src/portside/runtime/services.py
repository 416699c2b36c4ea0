"""Names of services, as a program on a simulated host resolves them (getservbyname(3), getservbyport(3)).

They are those of the real machine's /etc/services, which programs can read, and beside them IANA's.
"""

from __future__ import annotations

import _socket
from typing import Final

from portside.addr import services

_getservbyname: Final = _socket.getservbyname
_getservbyport: Final = _socket.getservbyport


def port_of(name: str, protocol: str | None) -> int | None:
    """The port of a service (getservbyname(3)), or None."""
    try:
        return _getservbyname(name) if protocol is None else _getservbyname(name, protocol)
    except OSError:
        if any(_knows(name, other) for other in ("tcp", "udp")):
            return None
        service = services.by_name(name, protocol)
        return None if service is None else service.port


def _knows(name: str, protocol: str) -> bool:
    try:
        _getservbyname(name, protocol)
    except OSError:
        return False
    return True


def service_of(port: int, protocol: str | None) -> str | None:
    """The service of a port (getservbyport(3)), or None."""
    try:
        return _getservbyport(port) if protocol is None else _getservbyport(port, protocol)
    except OSError:
        if any(_knows_port(port, other) for other in ("tcp", "udp")):
            return None
        service = services.by_port(port, protocol)
        return None if service is None else service.name


def _knows_port(port: int, protocol: str) -> bool:
    try:
        _getservbyport(port, protocol)
    except OSError:
        return False
    return True
