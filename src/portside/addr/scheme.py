"""URL schemes that name an endpoint: their transport and default port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from portside.addr.abi import AF_INET, AF_INET6, AF_UNSPEC, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE


@dataclass(frozen=True, slots=True)
class Scheme:
    """A scheme: its transport protocol, the port when none is written (None: it has no default), and the
    family it is limited to."""

    name: str
    proto: int
    port: int | None = None
    family: int = AF_UNSPEC


_TCP_PORTS: Final = {
    "http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "ftps": 990, "ssh": 22, "sftp": 22,
    "scp": 22, "telnet": 23, "smtp": 25, "smtps": 465, "submission": 587, "submissions": 465,
    "gopher": 70, "finger": 79, "pop3": 110, "pop": 110, "pop3s": 995, "nntp": 119, "news": 119,
    "nntps": 563, "imap": 143, "imaps": 993, "irc": 6667, "ircs": 6697, "ldap": 389, "ldaps": 636,
    "rsync": 873, "socks": 1080, "socks4": 1080, "socks5": 1080, "socks5h": 1080, "mqtt": 1883,
    "mqtts": 8883, "docker": 2375, "git": 9418, "svn": 3690, "mysql": 3306, "mariadb": 3306, "rdp": 3389,
    "postgres": 5432, "postgresql": 5432, "amqp": 5672, "amqps": 5671, "vnc": 5900, "redis": 6379,
    "rediss": 6379, "valkey": 6379, "memcached": 11211, "mongodb": 27017, "nats": 4222, "bolt": 7687,
    "neo4j": 7687, "zookeeper": 2181, "kafka": 9092, "clickhouse": 9000, "mssql": 1433, "oracle": 1521,
    "couchdb": 5984, "rtmp": 1935, "rtmps": 443, "rtsp": 554, "rtsps": 322, "ipp": 631, "ipps": 631,
    "dict": 2628, "xmpp": 5222, "modbus": 502, "grpc": None, "tls": None, "ssl": None,
}  # fmt: skip
_UDP_PORTS: Final = {
    "dns": 53, "tftp": 69, "ntp": 123, "snmp": 161, "syslog": 514, "coap": 5683, "coaps": 5684, "stun": 3478,
    "sip": 5060, "statsd": 8125, "quic": 443, "dtls": None,
}  # fmt: skip
_TRANSPORTS: Final = (
    Scheme("tcp", IPPROTO_TCP),
    Scheme("tcp4", IPPROTO_TCP, None, AF_INET),
    Scheme("tcp6", IPPROTO_TCP, None, AF_INET6),
    Scheme("udp", IPPROTO_UDP),
    Scheme("udp4", IPPROTO_UDP, None, AF_INET),
    Scheme("udp6", IPPROTO_UDP, None, AF_INET6),
    Scheme("udplite", IPPROTO_UDPLITE),
)

SCHEMES: Final[dict[str, Scheme]] = {
    **{name: Scheme(name, IPPROTO_TCP, port) for name, port in _TCP_PORTS.items()},
    **{name: Scheme(name, IPPROTO_UDP, port) for name, port in _UDP_PORTS.items()},
    **{scheme.name: scheme for scheme in _TRANSPORTS},
}
"""By name, in lower case."""
