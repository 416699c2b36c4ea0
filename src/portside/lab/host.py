"""A simulated host as a person builds it: addresses, routes, sysctls, firewall, programs."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portside.addr.ip import V4_ANY, V6_ANY, is_v4, text
from portside.facts.snapshot import Snapshot
from portside.host.etc import RESOLV_CONF
from portside.host.snapshot import snapshot
from portside.host.sysctl import Sysctls as Files
from portside.host.sysctl import name_of
from portside.ip.interface import IPV6_MIN_MTU, Interface
from portside.ip.route import BLACKHOLE, LOCAL, MAX_PACKET, PROHIBIT, UNICAST, UNREACHABLE
from portside.lab.addresses import assignment, number, prefix
from portside.lab.dns import numbers
from portside.lab.errors import LabError, about, near
from portside.lab.firewall import Filter, known
from portside.lab.hosts_file import HostsFile
from portside.lab.program import MakeBody, Program
from portside.sim.clock import duration
from portside.sim.network import Link as Wire
from portside.views.names import HostNames

if TYPE_CHECKING:
    from portside.host.kernel import Host as Machine
    from portside.lab.network import Network

KINDS: Final = {"unicast": UNICAST, "unreachable": UNREACHABLE, "prohibit": PROHIBIT, "blackhole": BLACKHOLE}


class Host:
    """One host of a network. `Network.host` makes it; `machine` is its kernel."""

    def __init__(self, network: Network, machine: Machine) -> None:
        self.network = network
        self.machine = machine
        self.name = machine.name
        self.firewall = Filter(machine.ip.firewall)
        self.sysctl = Sysctls(machine)
        self.hosts = HostsFile(machine)
        self.programs: list[Program] = []

    def __repr__(self) -> str:
        return f"<Host {self.name} {' '.join(self.addresses)}>"

    # -- interfaces and addresses --

    @property
    def addresses(self) -> list[str]:
        """Its addresses on all interfaces but lo, in the order given; link-local ones are left out."""
        return [text(address) for address in self.numbers()]

    @property
    def address(self) -> str:
        """Its first address. LabError when it has none."""
        if not self.addresses:
            raise LabError(f"{self.name} has no address but those of lo")
        return self.addresses[0]

    def numbers(self) -> list[int]:
        """Its addresses as the core has them, without those of lo and the link-local ones."""
        return [
            each.address
            for interface in self.interfaces()
            for each in interface.addresses
            if each.address != interface.link_local()
        ]

    def interfaces(self) -> list[Interface]:
        """Its interfaces but lo, in the order of their index."""
        return [interface for interface in self.machine.ip.interfaces.values() if not interface.loopback]

    def interface(self, name: str) -> Interface:
        """The interface of that name. LabError when there is none."""
        found = self.machine.ip.interface_named(name)
        if found is None:
            names = [interface.name for interface in self.machine.ip.interfaces.values()]
            raise LabError(f"{self.name} has no interface {name!r}: {near(name, names)}")
        return found

    def add_address(self, notation: str) -> None:
        """Give it an address, `ADDR/PREFIX@INTERFACE`; an interface that is new is added. LabError."""
        wanted = assignment(notation)
        ip = self.machine.ip
        interface = ip.interface_named(wanted.interface) or ip.add_interface(wanted.interface)
        if isinstance(interface.link, Wire):
            self.network.take_address(interface.link, self, wanted.address)
        error = ip.add_address(interface, wanted.address, wanted.prefix_length)
        if error == errno.EEXIST:
            raise LabError(f"{self.name} has the address {text(wanted.address)} already")
        if error:
            raise LabError(f"{notation!r} on {self.name}: {os.strerror(error)}")
        self.network.assigned.add(wanted.address)

    def forward(self) -> None:
        """Make it a router: it passes on packets that are for others."""
        self.sysctl.update({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})

    def set_up(self, name: str, up: bool = True) -> None:
        """Set an interface up or down (`ip link set NAME up`)."""
        self.machine.ip.set_up(self.interface(name), up)

    def nameservers(self, *addresses: str | Host) -> None:
        """Have its /etc/resolv.conf name these name servers: programs ask them, over the network, and not its table.

        Whatever answers at port 53 over UDP is one. LabError.
        """
        lines = "".join(f"nameserver {text(each)}\n" for each in numbers(addresses))
        self.machine.etc.files[RESOLV_CONF].data = lines.encode()

    def route(
        self,
        destination: str,
        via: str | Host | None = None,
        *,
        interface: str | None = None,
        kind: str = "unicast",
        source: str | None = None,
        metric: int | None = None,
        mtu: int = 0,
    ) -> None:
        """Add a route, as `ip route add` does: `route("default", via="10.0.0.254")`.

        `destination` is a prefix, or `default` for the family of `via` (IPv4 without one), or `default6`.
        `kind` is unicast, unreachable, prohibit or blackhole. Raises LabError.
        """
        known(kind, KINDS, "kind of route", "kind")
        gateway = 0
        if via is not None:
            with about("via"):
                gateway = number(via.address if isinstance(via, Host) else via)
        where, length = self._destination(destination, gateway)
        if gateway and is_v4(gateway) != is_v4(where):
            raise LabError(f"route to {destination} via {text(gateway)}: one is IPv4 and the other IPv6", "via")
        if kind == "unicast":
            if not gateway and interface is None:
                raise LabError(f"the route to {destination} needs via= (a gateway) or interface=")
        elif gateway or interface is not None:
            raise LabError(f"a route of kind {kind!r} leads nowhere: leave this out", "via" if gateway else "interface")
        smallest = 68 if is_v4(where) else IPV6_MIN_MTU
        _in_range("mtu", mtu, smallest, MAX_PACKET, "bytes; leave it out for the interface's", unless=0)
        _in_range("metric", metric, 0, 2**32 - 1, "the smallest goes first; leave it out for Linux's", unless=None)
        with about("interface"):
            device = None if interface is None else self.interface(interface)
        error = self.machine.ip.add_route(
            where,
            length,
            via=gateway,
            interface=device,
            kind=KINDS[kind],
            metric=metric,
            source=self._source(source, where),
            mtu=mtu,
        )
        if error:
            key, words = _ROUTE_ERRORS.get(error) or ("", os.strerror(error))
            raise LabError(f"route to {destination} on {self.name}: {words}", key)

    @staticmethod
    def _destination(destination: str, gateway: int) -> tuple[int, int]:
        if destination == "default":
            return (V4_ANY if not gateway or is_v4(gateway) else V6_ANY), 0
        with about("to"):
            return (V6_ANY, 0) if destination == "default6" else prefix(destination)

    def _source(self, source: str | None, destination: int) -> int:
        if source is None:
            return 0
        with about("source"):
            address = number(source)
            if is_v4(address) != is_v4(destination):
                raise LabError(f"the source {source} and the destination are not both IPv4 or both IPv6")
            if self.machine.ip.routes.kind_of(address) != LOCAL:
                raise LabError(f"the source {source} is no address of {self.name}: it has {', '.join(self.addresses)}")
        return address

    # -- looking --

    def snapshot(self) -> Snapshot:
        """What is true of it now: sockets, processes, interfaces, settings, as they are read from a real machine."""
        return snapshot(self.machine)

    def ss(self, *arguments: str) -> str:
        """What ss(8) prints on it: `ss("-tlnp")`, `ss("-tan", "state", "established")`. Misuse, a ValueError."""
        from portside.views import ss

        return str(ss.show(self.snapshot(), _words(arguments), self._names()))

    def netstat(self, *arguments: str) -> str:
        """What netstat(8) prints on it: `netstat("-tulpn")`. Misuse, a ValueError."""
        from portside.views import netstat

        return str(netstat.show(self.snapshot(), _words(arguments), self._names()))

    def lsof(self, *arguments: str) -> str:
        """What lsof(8) prints on it, of sockets: `lsof("-i :80")`. Misuse, a ValueError."""
        from portside.views import lsof

        return str(lsof.show(self.snapshot(), _words(arguments), self._names()))

    def fuser(self, *arguments: str) -> str:
        """What fuser(1) prints on it: `fuser("80/tcp")`. Misuse, a ValueError."""
        from portside.views import fuser

        return str(fuser.show(self.snapshot(), _words(arguments), self._names()))

    def ip(self, *arguments: str) -> str:
        """What ip(8) prints of its addresses: `ip("addr")`. Misuse, a ValueError."""
        from portside.views import ip_addr

        return str(ip_addr.show(self.snapshot(), _words(arguments)))

    def _names(self) -> HostNames:
        return HostNames(self.hosts.text)

    # -- programs --

    def spawn(
        self,
        *what: object,
        user: str | int = "root",
        name: str | None = None,
        start: float | str = 0,
        module: str | None = None,
        code: str | None = None,
        kwargs: Mapping[str, object] | None = None,
        paths: Sequence[str | os.PathLike[str]] = (),
        environment: Mapping[str, str] | None = None,
        background: bool = False,
        check: bool = True,
    ) -> Program:
        """Start a program: `spawn(function, *arguments)`, or `spawn("script.py", *words of its command line)`.

        `spawn(*words, module="http.server")` runs a module as `python -m` does, and `code="..."` a text as `python -c`.
        `start` is when, counted from now; `paths` are directories with modules of the program's own, besides its
        script's. The network does not wait for a `background` program to end. With `check` a failure makes
        `Network.run` raise ProgramFailed. Raises LabError.
        """
        make, words, default = self._maker(what, module, code, dict(kwargs or {}), [os.fspath(path) for path in paths])
        if isinstance(user, bool) or not isinstance(user, str | int):
            raise LabError(f"{user!r} is no user: give a name or a number", "user")
        with about("user"):
            self.machine.users.uid(user)
        with about("start"):
            delay = duration(start)
        variables = _variables(environment)
        program = Program(self, name or default, words, user, make, checked=check)
        program.environment = variables
        self.programs.append(program)
        world = self.network.world
        process = None if delay else program.begin()
        program.task = world.spawn(
            process, program.run, program.name, world.now + delay if delay else None, daemon=background
        )
        return program

    @staticmethod
    def _maker(
        what: tuple[object, ...], module: str | None, code: str | None, kwargs: dict[str, object], paths: list[str]
    ) -> tuple[MakeBody, list[str], str]:
        """What makes the body of the program's task, its argv, and its name unless another is given."""
        from portside.runtime import programs

        if module is None and code is None and what and callable(what[0]):
            name = getattr(what[0], "__name__", type(what[0]).__name__)
            return partial(programs.function, call=what[0], args=what[1:], kwargs=kwargs), [name], name
        if kwargs:
            raise LabError("keyword arguments are for functions: other programs get the words of a command line")
        both = (module is not None and code is not None) or (what and callable(what[0]))
        if both or not (what or module or code is not None):
            raise LabError("spawn one thing: a function, the path of a script, module=... or code=...")
        for key, value in (("module", module), ("code", code)):
            if not isinstance(value, str | None):
                raise LabError(f"{value!r} is no {key}: it must be text", key)
        words = [str(each) for each in what]
        if module is not None:
            argv = ["python3", "-m", module, *words]
            return partial(programs.module, name=module, argv=words, paths=paths), argv, module
        if code is not None:
            argv = ["python3", "-c", code, *words]
            return partial(programs.code, source=code, argv=words, paths=paths), argv, "-c"
        path = os.fspath(what[0]) if isinstance(what[0], str | os.PathLike) else ""
        if not path or not Path(path).exists():
            raise LabError(f"there is no program {path or what[0]!r}")
        if Path(path).is_dir() and not (Path(path) / "__main__.py").is_file():
            raise LabError(f"{path!r} is a directory without __main__.py")
        return partial(programs.script, path=path, argv=words[1:], paths=paths), ["python3", *words], Path(path).name


def _words(arguments: Iterable[str]) -> list[str]:
    """The words of a command line, however they were given."""
    return [word for argument in arguments for word in argument.split()]


_ROUTE_ERRORS: Final = {
    errno.ENETUNREACH: ("via", "the gateway is on no network of this host"),
    errno.EHOSTUNREACH: ("via", "the gateway is on no network of this host"),
    errno.EEXIST: ("to", "it is there already"),
    errno.EINVAL: ("via", "the gateway is an address of this host, a group, or link-local without interface="),
    errno.ENETDOWN: ("interface", "the interface is down"),
}
"""Which argument is at fault, and what is wrong with it."""


class UnknownSetting(LabError, KeyError):
    """There is no sysctl of that name."""

    __str__ = LabError.__str__


class Sysctls(Mapping[str, str]):
    """The sysctls of a host as `sysctl(8)` names them: `host.sysctl["net.ipv4.ip_forward"] = 1`.

    Values are text, as sysctl(8) prints them. A name that is unknown is a LabError, and a KeyError, with
    the nearest.
    """

    def __init__(self, machine: Machine) -> None:
        self._files = Files(machine.settings, lambda: [interface.name for interface in machine.ip.interfaces.values()])

    def __getitem__(self, name: str) -> str:
        try:
            return self._files.get(_checked(name))
        except ValueError as error:
            raise UnknownSetting(str(error)) from None

    def __setitem__(self, name: str, value: str | int | Iterable[int]) -> None:
        if not isinstance(value, str | int | Iterable):
            raise LabError(f"{_checked(name)} does not take {value!r}: a number, text or several numbers")
        text = str(value) if isinstance(value, str | int) else " ".join(map(str, value))
        try:
            self._files.set(f"{_checked(name)}={text}")
        except ValueError as error:
            raise LabError(str(error)) from None

    def __iter__(self) -> Iterator[str]:
        return map(name_of, self._files.paths())

    def __len__(self) -> int:
        return len(self._files.paths())

    def update(self, values: Mapping[str, str | int | Iterable[int]]) -> None:
        """Set several."""
        for name, value in values.items():
            self[name] = value


def _checked(name: object) -> str:
    if not isinstance(name, str):
        raise LabError(f'{name!r} is no setting: write its name, such as "net.ipv4.ip_forward"')
    return name


def _variables(environment: Mapping[str, str] | None) -> dict[str, str]:
    """What a program's environment can hold: setenv(3) takes no name with `=`, and nothing can hold a NUL."""
    variables = dict(environment or {})
    for name, value in variables.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise LabError(f"{name!r} is no name of an environment variable: text without = and NUL", "environment")
        if not isinstance(value, str) or "\0" in value:
            raise LabError(f"{value!r} cannot be the value of the variable {name}: text without NUL", "environment")
    return variables


def _in_range(key: str, value: int | None, low: int, high: int, words: str, *, unless: int | None) -> None:
    if value == unless and not isinstance(value, bool):
        return
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise LabError(f"{value!r} is no {key}: {low} to {high}, {words}", key)
