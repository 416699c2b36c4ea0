"""The names of a network: those of its hosts, and a table of others, with aliases, failures and delays.

No packet is sent for it: it answers in the place of a name server.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from portside.addr.ip import parse
from portside.host.resolver import EAI_AGAIN, EAI_FAIL, EAI_NODATA, EAI_NONAME, Answer
from portside.lab.errors import LabError, near
from portside.sim.clock import SECOND, duration

if TYPE_CHECKING:
    from portside.lab.host import Host
    from portside.lab.network import Network

FAILURES: Final = {
    "EAI_AGAIN": EAI_AGAIN, "EAI_FAIL": EAI_FAIL, "EAI_NODATA": EAI_NODATA, "EAI_NONAME": EAI_NONAME,
}  # fmt: skip
MAX_ALIASES: Final = 16  # a longer chain, or a circle, counts as SERVFAIL


class Record:
    """What the table says of a name: addresses, or the name that it is an alias of, or a failure."""

    __slots__ = ("addresses", "alias", "failure", "name")

    def __init__(self, name: str, addresses: Iterable[int] = (), *, alias: str = "", failure: int = 0) -> None:
        self.name = name
        self.addresses = tuple(addresses)
        self.alias = alias
        self.failure = failure


class Dns:
    """The table: `network.dns["api.example"] = "10.0.0.5", "fd00::5"`. `Network` makes it.

    It answers what a host's /etc/hosts does not know. Its names come before hosts of the same name. It may be changed
    while the network runs: `network.at("10s", network.dns.set, "api.example", "10.0.0.6")`. While it is `down`, every
    look-up fails with EAI_AGAIN.
    """

    def __init__(self, network: Network) -> None:
        self.down = False
        self._network = network
        self._records: dict[str, Record] = {}  # by name in lower case
        self._delay = 0
        self._delays: dict[str, int] = {}

    # -- building --

    def __setitem__(self, name: str, addresses: str | Host | Iterable[str | Host]) -> None:
        several = isinstance(addresses, Iterable) and not isinstance(addresses, str)
        self.set(name, *(addresses if several else (addresses,)))  # type: ignore[misc]

    def set(self, name: str, *addresses: str | Host) -> None:
        """Give a name these addresses, written out or a host's; without any it exists and has none. LabError."""
        self._put(Record(domain_name(name), numbers(addresses)))

    def alias(self, name: str, canonical: str) -> None:
        """Make a name an alias of another (CNAME), which may be a host's. LabError."""
        self._put(Record(domain_name(name), alias=domain_name(canonical)))

    def fail(self, name: str, failure: str = "EAI_AGAIN") -> None:
        """Let look-ups of a name fail.

        EAI_AGAIN: a temporary failure, as when no server answers. EAI_NONAME: there is no such name. EAI_NODATA: it
        has no address. EAI_FAIL: a server refuses. LabError.
        """
        if failure not in FAILURES:
            raise LabError(f"{failure!r} is no failure of a look-up: {near(failure, FAILURES)}")
        self._put(Record(domain_name(name), failure=FAILURES[failure]))

    def slow(self, name: str, delay: float | str) -> None:
        """Let look-ups of a name take that long, whatever comes of them. LabError, ValueError."""
        self._delays[domain_name(name).lower()] = duration(delay)

    def __delitem__(self, name: str) -> None:
        if self._records.pop(domain_name(name).lower(), None) is None:
            raise LabError(f"the table has no name {name!r}: {near(name, self._records)}")

    @property
    def delay(self) -> float | str:
        """How long look-ups take, in seconds; set it to a duration. 0 unless set."""
        return self._delay / SECOND

    @delay.setter
    def delay(self, delay: float | str) -> None:
        self._delay = duration(delay)

    def _put(self, record: Record) -> None:
        self._records[record.name.lower()] = record

    # -- answers (host/resolver.py) --

    def forward(self, name: str) -> Answer:
        """The addresses of a name."""
        delay = self._delays.get(name.lower(), self._delay)
        names = [name]
        while not self.down and len(names) <= MAX_ALIASES:
            record = self._find(names[-1])
            if not record.alias:
                failure = record.failure or (0 if record.addresses else EAI_NODATA)
                return Answer(tuple(names), record.addresses, failure, delay)
            names.append(record.alias)
        return Answer(failure=EAI_AGAIN, delay=delay)

    def reverse(self, address: int) -> Answer:
        """The name of an address: the first of the table that has it, or the host's."""
        if self.down:
            return Answer(failure=EAI_AGAIN, delay=self._delay)
        for record in self._records.values():
            if address in record.addresses:
                return Answer((record.name,), (address,), 0, self._delay)
        for host in self._network.hosts.values():
            if address in host.numbers():
                return Answer((host.name,), (address,), 0, self._delay)
        return Answer(failure=EAI_NONAME, delay=self._delay)

    def _find(self, name: str) -> Record:
        """What the table says of a name, or what is true of the host of that name."""
        key = name.lower()
        found = self._records.get(key)
        if found is not None:
            return found
        hosts = self._network.hosts
        host = hosts.get(key) or next((each for each in hosts.values() if each.name.lower() == key), None)
        return Record(name, failure=EAI_NONAME) if host is None else Record(name, host.numbers())


def domain_name(text: str) -> str:
    """A name as it is kept: without the dot at its end, other alphabets as IDNA has them. LabError."""
    plain = text.removesuffix(".") if isinstance(text, str) else ""
    try:
        name = plain if plain.isascii() else plain.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not 1 <= len(name) <= 253 or any(not 1 <= len(label) <= 63 for label in name.split(".")):
        raise LabError(f"{text!r} is no name: labels of 1 to 63 letters, digits and hyphens, with dots between")
    if any(each.isspace() or each in ":/#\0" for each in name):
        raise LabError(f"{text!r} is no name: labels of letters, digits and hyphens, with dots between")
    return name


def numbers(addresses: Iterable[str | Host]) -> list[int]:
    """Addresses, written out or a host's, as the core has them. LabError."""
    found: list[int] = []
    for each in addresses:
        if not isinstance(each, str):
            found += each.numbers()
            continue
        try:
            found.append(parse(each))
        except ValueError as error:
            raise LabError(str(error)) from None
    return found
