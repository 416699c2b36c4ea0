"""Questions about names, which a real machine and a simulated host are asked alike. Nothing of portside is here."""

from __future__ import annotations

import itertools
import random
import socket

ADDRESSES = {
    "dual": ["10.0.0.1/24", "192.0.2.1/24", "fd00::1/64", "2001:db8::1/64"],
    "v4": ["10.0.0.1/24"],
    "v6": ["fd00::1/64"],
    "lonely": [],
}
"""Addresses of eth0 for each kind of machine; link-local ones are there wherever it is up."""

HOSTS = """\
# the file of all machines
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback  # both
10.0.0.1 alpha.example alpha
10.0.0.5\tdb.internal db DB2
10.0.0.6 db.internal primary
fd00::5 db.internal db6
fd00::7 only6.internal
10.0.0.7 only4.internal
192.0.2.9 both.example
::ffff:10.0.0.8 mapped.internal
nonsense here
10.0.0.300 bad.internal
10.0.0.9
10.0.0.10 UPPER.internal
"""

POOL = [
    "10.0.0.9", "10.0.0.130", "10.0.0.2", "192.0.2.7", "203.0.113.5", "198.51.100.1", "127.0.0.5", "169.254.3.4",
    "172.16.0.1", "fd00::9", "fd00::1:9", "fd01::9", "2001:db8::9", "2001:db8:0:0:1::9", "2001:db8:1::9",
    "2002:a00:1::1",
    "2001:0:1::1", "fe80::9", "fec0::9", "::1", "10.0.0.1", "fd00::1", "::10.0.0.9",
]  # fmt: skip


def table() -> dict[str, list[str]]:
    """The DNS: names with their addresses, or `CNAME other`, or `SERVFAIL`. All else is NXDOMAIN."""
    chance = random.Random(7)
    names = {
        "dual.example": ["10.0.0.20", "fd00::20"],
        "v4.example": ["10.0.0.21", "203.0.113.21"],
        "v6.example": ["fd00::22"],
        "none.example": [],
        "www.example": ["CNAME api.example"],
        "web.example": ["CNAME www.example"],
        "api.example": ["203.0.113.4", "2001:db8::4"],
        "dangling.example": ["CNAME gone.example"],
        "broken.example": ["SERVFAIL"],
        "only4.internal": ["fd00::23", "10.0.0.23"],
    }
    for number in range(40):
        names[f"mix{number}.example"] = chance.sample(POOL, chance.randint(2, 9))
    return names


MIXED = [name for name in table() if name.startswith("mix")]
NAMES = [
    "localhost", "LOCALHOST", "ip6-localhost", "alpha", "alpha.example", "db.internal", "db", "DB", "db2",
    "db6", "primary",
    "only6.internal", "only4.internal", "mapped.internal", "bad.internal", "upper.internal", "dual.example",
    "dual.example.", "v4.example", "v6.example", "none.example", "www.example", "web.example", "dangling.example",
    "broken.example", "nowhere.example", "127.0.0.1", "127.1", "1", "::1", "::ffff:10.0.0.1", "fe80::1%eth0",
    "fe80::1%2",
    "fe80::1%none", "fd00::1%eth0", "fd00::1%7", "10.0.0.300", "ff02::1%lo", "::1%", "0x7f.1", "1.2.3.4.5",
    "127.0.0.1 ",
]  # fmt: skip
FLAGS = {
    name: getattr(socket, f"AI_{name}")
    for name in ("PASSIVE", "CANONNAME", "NUMERICHOST", "NUMERICSERV", "V4MAPPED", "ALL", "ADDRCONFIG")
}
REVERSE = [
    "127.0.0.1", "::1", "10.0.0.1", "10.0.0.5", "10.0.0.6", "fd00::5", "10.0.0.8", "::ffff:10.0.0.8",
    "::ffff:10.0.0.5", "::ffff:10.0.0.20",
    "10.0.0.20", "fd00::20", "9.9.9.9", "2001:db8::99", "0.0.0.0", "fe80::1%eth0", "203.0.113.4",
]  # fmt: skip
SERVICES = [
    None, 0, 80, 70000, -1, 1 << 31, 1 << 32, 1 << 70, "http", "domain", "no-such", "", "80", " 80", "80 ",
    "+80", "0x50", "*",
    b"http", "ntp",
]  # fmt: skip
KINDS = [
    (0, 0), (1, 0), (2, 0), (3, 0), (5, 0), (6, 0), (0, 6), (0, 17), (0, 136), (1, 17), (3, 6), (0, 99), (2,
    136), (1, 132),
]  # fmt: skip


def questions(machine: str) -> list[tuple]:
    """Every question to a machine: the function of `socket`, and its arguments."""
    asked: list[tuple] = []
    families = (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6)
    some = [0, *FLAGS.values(), *(sum(pair) for pair in itertools.combinations(FLAGS.values(), 2))]
    some += [8 | 16 | 32, 8 | 16 | 2, 2 | 8 | 32, 1 | 32, 0x800, 0x1000, -1]
    for name, family in itertools.product([*NAMES, None], families):
        asked += [("getaddrinfo", name, 80, family, 1, 0, flags) for flags in some]
    for name, family in itertools.product(MIXED, families):
        asked.append(("getaddrinfo", name, 80, family, 1, 0, 0))
    for service, kind, flags in itertools.product(SERVICES, KINDS, (0, socket.AI_NUMERICSERV, socket.AI_PASSIVE)):
        asked += [("getaddrinfo", name, service, 0, *kind, flags) for name in ("127.0.0.1", None)]
    asked += [("getaddrinfo", "db", 80, family, 0, 0, 0) for family in (1, 99, -1)]
    asked += [("getaddrinfo", "*", "*"), ("getaddrinfo", "*", 80), ("getaddrinfo", "", 80), ("getaddrinfo", "", None)]
    for name in [*NAMES, "", "<broadcast>", "255.255.255.255", "0.0.0.0", *MIXED[:10]]:
        asked += [(call, name) for call in ("gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getfqdn")]
    for address, flags in itertools.product(REVERSE, (0, 1, 2, 4, 8, 9, 16, 3, 64, 256, 1 << 20)):
        place = (address.partition("%")[0], 80, 0, 2 if "%" in address else 0) if ":" in address else (address, 80)
        asked.append(("getnameinfo", place, flags))
    asked += [("getnameinfo", ("fd00::77", 53, 0, 2), 0), ("getnameinfo", ("fe80::77", 53, 0, 99), 17)]
    asked += [("getnameinfo", ("fe80::77%eth0", 53), 0), ("getnameinfo", ("alpha", 80), 0)]
    asked += [("gethostbyaddr", address) for address in REVERSE]
    asked += [("gethostname",), ("getfqdn",)]
    return asked


def tell(question: tuple) -> str:
    """What is answered, as text."""
    call, *arguments = question
    try:
        answer = getattr(socket, call)(*arguments)
    except (OSError, UnicodeError, OverflowError, TypeError) as error:
        return f"{type(error).__name__} {error.args}"
    if call == "getaddrinfo":
        return " ".join(f"{int(family)}/{int(kind)}/{proto}/{name}/{at}" for family, kind, proto, name, at in answer)
    return repr(answer)


def transcript(machine: str) -> list[str]:
    """Every question with its answer."""
    return [f"{question[0]}{question[1:]!r} -> {tell(question)}" for question in questions(machine)]
