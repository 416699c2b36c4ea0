"""Names in a LAB.toml: `[host.NAME.hosts]` and `[dns]`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from portside.lab.dns import Dns
from portside.sim.clock import duration

if TYPE_CHECKING:
    from portside.lab.host import Host
    from portside.lab.network import Network
    from portside.lab.toml import Place, Table

Action = Callable[[Dns], object]

_EXAMPLE = '"api.example" = ["10.0.0.5", "fd00::5"]'


def hosts_file(table: Table, host: Host) -> None:
    """The names in a host's /etc/hosts."""
    for place, name, value in table.entries():
        addresses = _addresses(place, value, host.network)
        with place.blamed():
            host.hosts[name] = addresses


def nameservers(place: Place, value: object, host: Host) -> None:
    """The name servers in a host's /etc/resolv.conf."""
    addresses = _addresses(place, value, host.network)
    with place.blamed():
        host.nameservers(*addresses)


def dns(table: Table, network: Network) -> None:
    """The network's table of names, and its changes."""
    if table.has("delay"):
        with table.place.blamed("delay"):
            network.dns.delay = table.quantity("delay", 0)
    network.dns.down = table.get("down", bool, False)
    for place, name, value in table.table("names").entries():
        if isinstance(value, dict):
            actions = _record(table.within(place, value), name, network)
        else:
            actions = [_setting(name, _addresses(place, value, network))]
        for action in actions:
            with place.blamed():
                action(network.dns)
    for each in table.tables("change", '{ at = "10s", name = "api.example", addresses = ["10.0.0.6"] }'):
        _change(each, network)
    table.end()


def _change(table: Table, network: Network) -> None:
    when = table.quantity("at", "") if table.has("at") else ""
    if when == "":
        raise table.place.error('at is missing: write at = "10s", the time since the beginning')
    with table.place.blamed("at"):
        duration(when)
    actions = _record(table, table.get("name", str, ""), network) if table.has("name") else _of_all(table)
    for action in actions:
        network.at(when, action, network.dns)


def _of_all(table: Table) -> list[Action]:
    """What a change says of all names."""
    actions: list[Action] = []
    if table.has("down"):
        down = table.get("down", bool, False)
        actions.append(lambda dns: setattr(dns, "down", down))
    if table.has("delay"):
        delay = table.quantity("delay", 0)
        with table.place.blamed("delay"):
            duration(delay)
        actions.append(lambda dns: setattr(dns, "delay", delay))
    table.end()
    if not actions:
        raise table.place.error("nothing changes: give a name, or down or delay for all names")
    return actions


def _record(table: Table, name: str, network: Network) -> list[Action]:
    """What a table says of one name; tried out at once, to tell mistakes with their place."""
    actions: dict[str, Action] = {}
    if table.has("addresses"):
        actions["addresses"] = _setting(name, _addresses(
            table.place / "addresses", table.get("addresses", object, ""), network
        ))  # fmt: skip
    if table.has("alias"):
        alias = table.get("alias", str, "")
        actions["alias"] = lambda dns: dns.alias(name, alias)
    if table.has("fail"):
        failure = table.get("fail", str, "")
        actions["fail"] = lambda dns: dns.fail(name, failure)
    if len(actions) > 1:
        raise (table.place / list(actions)[1]).error("a name has one of addresses, alias and fail")
    if table.has("delay"):
        delay = table.quantity("delay", 0)
        actions["delay"] = lambda dns: dns.slow(name, delay)
    table.end()
    if not actions:
        raise table.place.error('say what becomes of the name: addresses = ["10.0.0.5"], alias, fail or delay')
    for key, action in actions.items():
        with table.place.blamed(key):
            action(Dns(network))
    return list(actions.values())


def _setting(name: str, addresses: list[str | Host]) -> Action:
    return lambda dns: dns.set(name, *addresses)


def _addresses(place: Place, value: object, network: Network) -> list[str | Host]:
    """An address, a host's name, or an array of these."""
    if isinstance(value, dict):
        raise place.error(f"expected addresses: write the whole name in quotes, {_EXAMPLE}")
    several = value if isinstance(value, list) else [value]
    found: list[str | Host] = []
    for each in several:
        if not isinstance(each, str):
            raise place.error(f"expected an address in quotes, or an array of them: {_EXAMPLE}")
        found.append(network.hosts.get(each, each))
    return found
