"""Look-ups of host names: first /etc/hosts of the host, then the DNS, which may take its time (nsswitch.conf(5))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from portside.addr.abi import AF_INET, AF_INET6, AF_UNSPEC
from portside.addr.ip import V4_LOOPBACK, V6_LOOPBACK, family_of, is_v4
from portside.host.file import Blocked
from portside.host.resolver import EAI_NODATA, EAI_NONAME, Answer
from portside.runtime import name_server
from portside.runtime.trap import current_process
from portside.sim.scheduler import Scheduler

if TYPE_CHECKING:
    from portside.host.etc import HostsLine
    from portside.host.kernel import Host
    from portside.host.processes import Process

Place = tuple[int, int]  # family, address

_LOOPBACKS: Final = (V6_LOOPBACK, V4_LOOPBACK)


class Entry:
    """What is known of a host (struct hostent): its canonical name, other names, addresses; or an EAI_ failure."""

    __slots__ = ("aliases", "failure", "name", "places")

    def __init__(self, name: str, aliases: list[str], places: list[Place], failure: int = 0) -> None:
        self.name = name
        self.aliases = aliases
        self.places = places
        self.failure = failure


def by_name(host: Host, name: str, family: int, mapped: bool = False, all: bool = False) -> Entry:
    """The host of that name: its addresses of one family, or of both with AF_UNSPEC.

    `mapped`, for AF_INET6: its IPv4 addresses when it has no IPv6 ones; with `all` both. The caller waits as long as
    the DNS takes.
    """
    entry = _choose(host, name, None, family, mapped, all)
    if entry is None:
        answer = _ask(host, name, [AF_INET, AF_INET6] if mapped or family == AF_UNSPEC else [family])
        entry = _choose(host, name, answer, family, mapped, all)
    if entry is None:
        return Entry(name, [], [], answer.failure or EAI_NODATA)
    return entry


def _choose(host: Host, name: str, answer: Answer | None, family: int, mapped: bool, all: bool) -> Entry | None:
    """What /etc/hosts says, or the DNS's answer if there is one; None for nothing of that family."""

    def of(family: int) -> Entry | None:
        return _from_file(host, name, family) if answer is None else _from_answer(answer, family)

    found = of(family)
    if not mapped or family != AF_INET6:
        return found
    if found is not None and not all:  # IPv6 addresses that are IPv4-mapped ones go, too
        found.places = [place for place in found.places if not is_v4(place[1])]
        found.failure = 0 if found.places else EAI_NONAME
    else:
        v4 = of(AF_INET)
        if v4 is not None:
            places = [] if found is None else found.places
            found = found or v4
            found.places = places + [(AF_INET6, address) for _, address in v4.places]
    return found


def by_address(host: Host, family: int, address: int) -> Entry:
    """The host that has an address: its names. To the DNS an IPv4-mapped address of AF_INET6 is one of AF_INET."""
    for line in host.etc.hosts.lines():
        if _place(line, family) == (family, address):
            return Entry(line.name, list(line.aliases), [(family, address)])
    config = name_server.resolv_conf(host)
    if config.servers:
        answer = name_server.reverse(_caller(), config, address)
    else:
        answer = _wait(host, "", host.resolver.reverse(address))
    if answer.failure or not answer.names:
        return Entry("", [], [], answer.failure or EAI_NODATA)
    return Entry(answer.names[0], list(answer.names[1:]), [(family_of(address), address)])


# -- /etc/hosts --


def _place(line: HostsLine, family: int) -> Place | None:
    """The address of a line as one of the family; to IPv4 ::1 counts as 127.0.0.1 (LINE_PARSER of files-hosts.c)."""
    if family == AF_UNSPEC:
        return AF_INET6 if line.v6 else AF_INET, line.address
    if family == AF_INET6:
        return (AF_INET6, line.address) if line.v6 else None
    if is_v4(line.address):
        return AF_INET, line.address
    return (AF_INET, V4_LOOPBACK) if line.address == V6_LOOPBACK else None


def _from_file(host: Host, name: str, family: int) -> Entry | None:
    found: Entry | None = None
    for line in host.etc.hosts.named(name.lower()):
        place = _place(line, family)
        if place is None:
            continue
        if found is None:
            found = Entry(line.name, list(line.aliases), [place])
            continue
        found.places.append(place)
        found.aliases.extend(line.aliases)
        if line.name != found.name:
            found.aliases.append(line.name)
    return found


# -- DNS --


def _ask(host: Host, name: str, families: list[int]) -> Answer:
    """Ask the servers of /etc/resolv.conf, or where it names none, the resolver of the network."""
    config = name_server.resolv_conf(host)
    if config.servers:
        types = [name_server.TYPE_A if family == AF_INET else name_server.TYPE_AAAA for family in families]
        return name_server.forward(_caller(), config, name, types)
    plain = name.removesuffix(".")
    lower = plain.lower()
    if lower == "localhost" or lower.endswith(".localhost"):  # RFC 6761 section 6.3: no server is asked
        return Answer((plain,), _LOOPBACKS)
    return _wait(host, name, host.resolver.forward(plain))


def _caller() -> Process:
    process = current_process()
    assert process is not None, "names are looked up by programs alone"
    return process


def _wait(host: Host, name: str, answer: Answer) -> Answer:
    """Let pass the time that an answer takes."""
    if answer.delay:
        world = cast(Scheduler, host.world)
        deadline = world.now + answer.delay
        why = Blocked(f"DNS query {name}".rstrip())
        while world.now < deadline:
            world.block(deadline, why)
    return answer


def _from_answer(answer: Answer, family: int) -> Entry | None:
    if answer.failure:
        return None
    places = [(family_of(address), address) for address in answer.addresses]
    places = [place for place in places if family in (AF_UNSPEC, place[0])]
    return Entry(answer.names[-1], list(answer.names[:-1]), places) if places else None
