"""Questions to the name servers that a host's /etc/resolv.conf names, over the simulated network (RFC 1035).

As resolver(3) has it: UDP alone, A and AAAA together, each server in turn, `timeout` seconds each, `attempts` times.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from portside.addr.abi import AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, SOCK_CLOEXEC, SOCK_DGRAM
from portside.addr.ip import V4_PREFIX, is_v4, parse, text
from portside.facts.sockaddr import SockAddr
from portside.host.etc import RESOLV_CONF
from portside.host.resolver import EAI_AGAIN, EAI_NODATA, EAI_NONAME, Answer
from portside.host.syscalls import files, io, options
from portside.host.syscalls import socket as calls
from portside.host.udp_control import IP_RECVERR, IPV6_RECVERR

if TYPE_CHECKING:
    from portside.host.kernel import Host
    from portside.host.processes import Process

TYPE_A: Final = 1
TYPE_CNAME: Final = 5
TYPE_PTR: Final = 12
TYPE_AAAA: Final = 28
NXDOMAIN: Final = 3
MAX_SERVERS: Final = 3  # MAXNS
MAX_NAME: Final = 253
SECOND: Final = 1_000_000_000

Record = tuple[str, int, bytes, int]  # owner, type, message, where its data begin


class ResolvConf:
    """What resolv.conf(5) says."""

    __slots__ = ("options", "search", "servers")

    def __init__(self) -> None:
        self.servers: list[int] = []
        self.search: list[str] = []
        self.options = {"timeout": 5, "attempts": 2, "ndots": 1}


@lru_cache(maxsize=64)
def _parsed(data: bytes) -> ResolvConf:
    found = ResolvConf()
    for line in data.decode("utf-8", "surrogateescape").splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver" and len(words) > 1:
            try:
                found.servers.append(parse(words[1].partition("%")[0]))
            except ValueError:
                continue
        elif words[0] in ("search", "domain"):
            found.search = [word.strip(".") for word in words[1:]]
        elif words[0] == "options":
            for word in words[1:]:
                name, _, number = word.partition(":")
                if name in found.options and number.isdecimal():
                    found.options[name] = int(number)
    del found.servers[MAX_SERVERS:]
    return found


def resolv_conf(host: Host) -> ResolvConf:
    """What the host's /etc/resolv.conf says."""
    return _parsed(host.etc.files[RESOLV_CONF].data)


# -- questions --


def forward(process: Process, config: ResolvConf, name: str, types: list[int]) -> Answer:
    """The addresses of a name, tried below the `search` domains as well unless it ends in a dot."""
    plain = name.removesuffix(".")
    candidates = [plain]
    if plain == name:
        below = [f"{name}.{domain}" for domain in config.search]
        candidates = [name, *below] if name.count(".") >= config.options["ndots"] else [*below, name]
    failure = EAI_NONAME
    for candidate in candidates:
        answer = _answer(candidate, _ask(process, config, candidate, types))
        if not answer.failure or answer.failure == EAI_AGAIN:
            return answer
        if answer.failure == EAI_NODATA:
            failure = EAI_NODATA
    return Answer(failure=failure)


def reverse(process: Process, config: ResolvConf, address: int) -> Answer:
    """The names of an address."""
    name = ip_address(text(address)).reverse_pointer
    _, records, failure = _chain(name, _ask(process, config, name, [TYPE_PTR]))
    found = tuple(name_at(data, at)[0] for _, kind, data, at in records if kind == TYPE_PTR)
    return Answer(found, (address,)) if found else Answer(failure=failure)


def _ask(process: Process, config: ResolvConf, name: str, types: list[int]) -> list[bytes]:
    """The reply to each question, or as many as there are: from the first server that knows."""
    stream = process.host.world.stream(f"name server {process.host.number}")
    if not name or len(name) > MAX_NAME or any(not 0 < len(label) < 64 for label in name.split(".")):
        return []
    for _ in range(config.options["attempts"]):
        for number, server in enumerate(config.servers):
            seconds = (config.options["timeout"] << number) // (len(config.servers) if number else 1)
            queries = [_query(stream.getrandbits(16), name, kind) for kind in types]
            deadline = process.host.world.now + max(1, seconds) * SECOND
            replies = _exchange(process, server, queries, deadline)
            if len(replies) == len(queries) and all(reply[3] & 15 in (0, NXDOMAIN) for reply in replies):
                return replies
    return []


def _exchange(process: Process, server: int, queries: list[bytes], deadline: int) -> list[bytes]:
    """Send the queries and wait for the replies, which are fewer when something fails."""
    family = AF_INET if is_v4(server) else AF_INET6
    address: SockAddr = (AF_INET, server, 53) if is_v4(server) else (AF_INET6, server, 53, 0, 0)
    waiting = {query[:2]: query for query in queries}
    replies: dict[bytes, bytes] = {}
    fd = -1
    try:
        fd = calls.socket(process, family, SOCK_DGRAM | SOCK_CLOEXEC, 0)
        level, option = (IPPROTO_IP, IP_RECVERR) if family == AF_INET else (IPPROTO_IPV6, IPV6_RECVERR)
        options.setsockopt(process, fd, level, option, b"\1\0\0\0")  # not to wait for a host that is not there
        calls.connect(process, fd, address)
        for query in queries:
            io.send(process, fd, query)
        while len(replies) < len(waiting):
            reply = io.recv(process, fd, 0xFFFF, 0, deadline)
            query = waiting.get(reply[:2], b"")
            if len(reply) > 12 and reply[2] & 0x80 and query and reply[12 : len(query)].lower() == query[12:].lower():
                replies[reply[:2]] = reply
    except OSError:  # refused, unreachable, no descriptor, or time is up: the next server
        pass
    finally:
        if fd in process.files.open:  # not when the process has ended
            files.close(process, fd)
    return [replies[query[:2]] for query in queries if query[:2] in replies]


def _query(number: int, name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode("latin-1") for label in name.split("."))
    return number.to_bytes(2) + b"\1\0\0\1\0\0\0\0\0\0" + labels + b"\0" + kind.to_bytes(2) + b"\0\1"


# -- replies --


def _answer(name: str, replies: list[bytes]) -> Answer:
    names, records, failure = _chain(name, replies)
    addresses = []
    for owner, kind, data, at in records:
        if owner.lower() == names[-1].lower():
            length = int.from_bytes(data[at - 2 : at])
            if (kind, length) == (TYPE_A, 4):
                addresses.append(V4_PREFIX | int.from_bytes(data[at : at + 4]))
            elif (kind, length) == (TYPE_AAAA, 16):
                addresses.append(int.from_bytes(data[at : at + 16]))
    return Answer(tuple(names), tuple(addresses)) if addresses else Answer(failure=failure)


def _chain(name: str, replies: list[bytes]) -> tuple[list[str], list[Record], int]:
    """The names from the one that was asked for to the canonical one, all records, and what failed if none says."""
    if not replies:
        return [name], [], EAI_AGAIN
    records: list[Record] = []
    for reply in replies:
        try:
            records += _records(reply)
            aliases = {owner.lower(): name_at(data, at)[0] for owner, kind, data, at in records if kind == TYPE_CNAME}
        except IndexError:
            return [name], [], EAI_AGAIN  # a reply that is cut off or malformed
    names = [name]
    while names[-1].lower() in aliases and len(names) <= len(aliases):
        names.append(aliases[names[-1].lower()])
    missing = all(reply[3] & 15 == NXDOMAIN for reply in replies)
    return names, records, EAI_NONAME if missing else EAI_NODATA


def _records(reply: bytes) -> list[Record]:
    """The records of a reply's answer section. IndexError when it is cut off."""
    at = name_at(reply, 12)[1] + 4
    found = []
    for _ in range(int.from_bytes(reply[6:8])):
        owner, at = name_at(reply, at)
        length = int.from_bytes(reply[at + 8 : at + 10])
        if at + 10 + length > len(reply):
            raise IndexError
        if int.from_bytes(reply[at : at + 2]) == TYPE_PTR:
            name_at(reply, at + 10)
        found.append((owner, int.from_bytes(reply[at : at + 2]), reply, at + 10))
        at += 10 + length
    return found


def name_at(message: bytes, at: int) -> tuple[str, int]:
    """A name in a message (RFC 1035 section 4.1.4), and what stands behind it. IndexError when it is malformed."""
    labels: list[str] = []
    end = 0
    while message[at]:
        if message[at] >= 0xC0:
            end = end or at + 2
            at = (message[at] & 0x3F) << 8 | message[at + 1]
            labels.append("")  # that many jumps, at most
            if len(labels) > MAX_NAME:
                raise IndexError
            continue
        labels.append(message[at + 1 : at + 1 + message[at]].decode("latin-1"))
        at += 1 + message[at]
        if len(labels) > MAX_NAME:
            raise IndexError
    return ".".join(filter(None, labels)), end or at + 1
