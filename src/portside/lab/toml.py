"""LAB.toml: hosts, links and programs in a file, for `portside run LAB.toml`. docs/lab.md has the schema.

Every mistake is told with its place: the file, the line where it can be found, the path of the table and the
key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from portside.lab import toml_names
from portside.lab.errors import LabError, near
from portside.lab.firewall import CONDITIONS, HOOKS, rule
from portside.lab.network import DEFAULT_LATENCY, Network
from portside.sim.clock import bandwidth as clock_bandwidth
from portside.sim.clock import duration

if TYPE_CHECKING:
    from portside.lab.host import Host
    from portside.lab.output import Output
    from portside.lab.program import Program

T = TypeVar("T")

_TEXTS: Final = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*''', re.DOTALL
)
"""The texts of a TOML file, and its comments, in which quotes mean nothing."""
_NUMBER_OR_TEXT: Final = (int, float, str)


class Written(float):
    """A number with a point or an exponent, which is told, and given to programs, as it is written."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


_WORDS: Final = {
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    Written: "a number",
    bool: "true or false",
    list: "an array [...]",
    dict: "a table",
    datetime: "a date and time",
}


class LabFileError(LabError):
    """A mistake in a lab's file, with its place."""


class Place:
    """Where in the file something stands: its path, such as `host.server.routes[0].via`."""

    def __init__(self, file: File, path: tuple[str | int, ...] = ()) -> None:
        self.file = file
        self.path = path

    def __truediv__(self, key: str | int) -> Place:
        return Place(self.file, (*self.path, key))

    def error(self, words: str) -> LabFileError:
        """An error about this place."""
        line = self.file.line(self.path)
        where = f"{self.file.name}:{line}" if line else self.file.name
        return LabFileError(f"{where}: {self}: {words}" if self.path else f"{where}: {words}")

    @contextmanager
    def blamed(self, key: str = "") -> Iterator[None]:
        """What is wrong with a value within this is told with its place: the key that the error names, or `key`."""
        try:
            yield
        except LabFileError:
            raise
        except (ValueError, OSError) as error:
            words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            key = (isinstance(error, LabError) and error.key) or key
            raise (self / key if key else self).error(words) from None

    def __str__(self) -> str:
        text = ""
        for part in self.path:
            if isinstance(part, int):
                text += f"[{part}]"
            else:
                name = part if re.fullmatch(r"[\w-]+", part) else f'"{part}"'
                text += f".{name}" if text else name
        return text


class File:
    """The text of the file, which is TOML, to find the line of a place."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._lines: dict[tuple[str | int, ...], int] = {}
        self._scan(text)

    def line(self, path: tuple[str | int, ...]) -> int:
        """The line of a place, or of the nearest place around it that has one; 0 when none has."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return 0

    def _scan(self, text: str) -> None:
        """Note the lines of table headers and keys. What this does not see (tables within an array) only costs
        precision.
        """
        text = _TEXTS.sub(lambda match: '""' + "\n" * match[0].count("\n") if "\n" in match[0] else match[0], text)
        table: tuple[str | int, ...] = ()
        counts: dict[tuple[str | int, ...], int] = {}
        for number, line in enumerate(text.splitlines(), 1):
            header = re.match(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]", line)
            if header and "=" not in line.split("#")[0].split("]")[0]:
                table = _keys(header[2])
                if header[1] == "[[":
                    counts[table] = counts.get(table, -1) + 1
                    table = (*table, counts[table])
                elif table[:1] in counts and len(table) > 1:
                    table = (table[0], counts[table[:1]], *table[1:])
                self._note(table, number)
                continue
            key = re.match(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""", line)
            if key:
                self._note((*table, *_keys(key[1])), number)

    def _note(self, path: tuple[str | int, ...], number: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], number)


def _keys(dotted: str) -> tuple[str | int, ...]:
    return tuple(part.strip("\"'") for part in re.findall(r"""[\w-]+|"[^"]*"|'[^']*'""", dotted))


class Table:
    """A table of the file, of which every key must be asked for."""

    def __init__(self, place: Place, value: object) -> None:
        self.place = place
        self._values = dict(_of_kind(place, value, dict))
        self._asked: list[str] = []

    def get(self, key: str, kind: type[T], default: T) -> T:
        """The value of a key, which must be of that kind."""
        self._asked.append(key)
        if key not in self._values:
            return default
        return _of_kind(self.place / key, self._values[key], kind)

    def need(self, key: str, kind: type[T], example: str) -> T:
        """The same for a key that must be there."""
        self._asked.append(key)
        if key not in self._values:
            raise self.place.error(f"{key} is missing: write {example}")
        return _of_kind(self.place / key, self._values[key], kind)

    def quantity(self, key: str, default: float | str) -> float | str:
        """A duration, a rate or a size: a number or a text with a unit."""
        self._asked.append(key)
        value = self._values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, _NUMBER_OR_TEXT):
            raise (self.place / key).error('expected a number, or text with a unit such as "10ms"')
        return value

    def texts(self, key: str, default: tuple[str, ...] = ()) -> list[str]:
        """An array of texts; numbers in it become text: whole ones in decimal, others as they are written."""
        place = self.place / key
        values = self.get(key, list, list(default))
        for number, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, _NUMBER_OR_TEXT):
                raise (place / number).error("expected text in quotes")
        return [str(value) for value in values]

    def items(self, key: str, kind: type[T], example: str) -> Iterator[tuple[Place, T]]:
        """The elements of an array with their places."""
        place = self.place / key
        for number, value in enumerate(self.get(key, list, [])):
            if not isinstance(value, kind):
                raise (place / number).error(f"expected {_WORDS[kind]}: {example}")
            yield place / number, value

    def within(self, place: Place, value: object) -> Table:
        """A table that stands in this one."""
        return Table(place, value)

    def table(self, key: str) -> Table:
        """The table of that key, an empty one when there is none."""
        return Table(self.place / key, self.get(key, dict, {}))

    def tables(self, key: str, example: str) -> Iterator[Table]:
        """The elements of an array of tables."""
        for place, value in self.items(key, dict, example):
            yield Table(place, value)

    def entries(self) -> Iterator[tuple[Place, str, object]]:
        """All that stands in a table of any keys: place, key and value."""
        for key, value in self._values.items():
            yield self.place / key, key, value

    def has(self, key: str) -> bool:
        """Whether the key is there, which may be asked for."""
        self._asked.append(key)
        return key in self._values

    def end(self) -> None:
        """Nothing else may stand in the table."""
        for key in self._values:
            if key not in self._asked:
                raise (self.place / key).error(f"unknown key, {near(key, dict.fromkeys(self._asked))}")


def _of_kind(place: Place, value: object, kind: type[T]) -> T:
    if isinstance(value, bool) and kind is not bool:
        raise place.error(f"expected {_WORDS[kind]}, not {str(value).lower()}")
    if not isinstance(value, kind):
        raise place.error(f"expected {_WORDS[kind]}, not {_WORDS.get(type(value), repr(value))}")
    return value


class Lab:
    """A lab as its file describes it: its network, its programs in the order of the file, and when to stop."""

    def __init__(self, network: Network, programs: list[Program], until: float | str | None) -> None:
        self.network = network
        self.programs = programs
        self.until = until


def load(path: str | Path, *, output: Output | None = None, seed: int | None = None) -> Lab:
    """Build the network of a LAB.toml. `seed` beats the file's. Raises LabFileError with the place of a
    mistake.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise LabFileError(f"{path}: {words}") from None
    try:
        data = tomllib.loads(text, parse_float=Written)
    except tomllib.TOMLDecodeError as error:
        raise LabFileError(f"{path}: this is not TOML: {error}") from None
    return _Builder(Table(Place(File(str(path), text)), data), path.parent, output, seed).build()


class _Builder:
    def __init__(self, top: Table, directory: Path, output: Output | None, seed: int | None) -> None:
        self.top = top
        self.directory = directory
        self.programs: list[Program] = []
        self.hosts_files: list[tuple[Table, Host]] = []  # they may name hosts that come later
        own = top.get("seed", int, 0)
        start: object = top._values.get("start", "2020-01-01T00:00:00Z")
        top._asked.append("start")
        if isinstance(start, bool) or not isinstance(start, str | int | float | datetime):
            raise (top.place / "start").error('expected a date and time such as "2020-01-01T00:00:00Z"')
        with top.place.blamed("start"):
            self.network = Network(own if seed is None else seed, start=start, output=output)

    def build(self) -> Lab:
        top = self.top
        until = top.quantity("until", "never")
        if until != "never":
            with (top.place / "until").blamed():
                duration(until)
        hosts = top.get("host", dict, {})
        if not hosts:
            raise top.place.error("no hosts: write a table such as [host.server] for each")
        users = {name: self._host(top.place / "host" / name, name, value) for name, value in hosts.items()}
        for table, host in self.hosts_files:
            toml_names.hosts_file(table.table("hosts"), host)
            if table.has("nameservers"):
                toml_names.nameservers(table.place / "nameservers", table.get("nameservers", object, ""), host)
            table.end()
        toml_names.dns(top.table("dns"), self.network)
        links = top.get("link", list, [])
        programs = top.get("program", list, [])
        top.end()
        for number, value in enumerate(links):
            self._link(Table(top.place / "link" / number, value))
        for name, host in self.network.hosts.items():
            with (top.place / "host" / name).blamed():
                self.network.connect_the_rest(host)
        for number, value in enumerate(programs):
            self._program(Table(top.place / "program" / number, value), users)
        if not programs:
            raise top.place.error("no programs: write [[program]] with host and script for each")
        return Lab(self.network, self.programs, None if until == "never" else until)

    def _host(self, place: Place, name: str, value: object) -> str:
        """Make a host; answers the user that its programs run as."""
        table = Table(place, value)
        addresses = list(table.items("addresses", str, '"10.0.0.1/24@eth0"'))
        forward = table.get("forward", bool, False)
        user = table.get("user", str, "root")
        with place.blamed():
            host = self.network.bare_host(name)
            if forward:
                host.forward()
        with (place / "user").blamed():
            host.machine.users.uid(user)
        for at, notation in addresses:
            with at.blamed():
                host.add_address(notation)
        if not addresses:
            for notation in self.network.next_addresses():
                host.add_address(notation)
        sysctls = Table(table.place / "sysctls", table.get("sysctls", dict, {}))
        for key, setting in sysctls._values.items():
            at = sysctls.place / key
            if isinstance(setting, dict):
                raise at.error('expected a number or text: write the whole name in quotes, "net.core.somaxconn" = 1')
            if isinstance(setting, bool) or not isinstance(setting, int | str):
                raise at.error("expected a number, or text in quotes")
            with at.blamed():
                host.sysctl[key] = setting
        for at, entry in table.items("routes", dict, '{ to = "default", via = "10.0.0.254" }'):
            self._route(host, Table(at, entry))
        if table.has("firewall"):
            self._firewall(host, Table(place / "firewall", table.get("firewall", dict, {})))
        self.hosts_files.append((table, host))
        return user

    def _route(self, host: Host, table: Table) -> None:
        to = table.need("to", str, 'to = "default" or a prefix')
        via = table.get("via", str, "")
        interface = table.get("interface", str, "")
        kind = table.get("kind", str, "unicast")
        source = table.get("source", str, "")
        metric = table.get("metric", int, 0) if table.has("metric") else None
        mtu = table.get("mtu", int, 0)
        table.end()
        with table.place.blamed():
            host.route(
                to,
                via or None,
                interface=interface or None,
                kind=kind,
                source=source or None,
                metric=metric,
                mtu=mtu,
            )

    def _firewall(self, host: Host, table: Table) -> None:
        for hook in HOOKS:
            policy = table.get(hook, str, "accept")
            with (table.place / hook).blamed():
                host.firewall.policy(hook, policy)
        for place, entry in table.items(
            "rules", dict, '{ hook = "input", verdict = "drop", proto = "tcp", dport = 80 }'
        ):
            self._rule(host, Table(place, entry))
        table.end()

    def _rule(self, host: Host, table: Table) -> None:
        hook = table.get("hook", str, "input")
        verdict = table.need("verdict", str, 'verdict = "accept", "drop" or "reject"')
        conditions: dict[str, object] = {}
        for name in CONDITIONS:
            if table.has(name):
                conditions[name] = table._values[name]
        table.end()
        with table.place.blamed():
            host.firewall.append(hook, rule(verdict, **conditions))  # type: ignore[arg-type]

    def _link(self, table: Table) -> None:
        ends = table.texts("ends")
        latency = table.quantity("latency", DEFAULT_LATENCY)
        bandwidth = table.quantity("bandwidth", "")
        mtu = table.get("mtu", int, 1500)
        loss = table.quantity("loss", 0)
        queue = table.quantity("queue", "")
        name = table.get("name", str, "")
        table.end()
        if len(ends) < 2:
            raise table.place.error('a link has two ends or more: ends = ["server", "client@eth1"]')
        options: dict[str, object] = {"latency": latency, "mtu": mtu}
        for key, value, check in (("latency", latency, duration), ("bandwidth", bandwidth, clock_bandwidth)):
            if value != "":
                with (table.place / key).blamed():
                    check(value)
        if bandwidth != "":
            options["bandwidth"] = bandwidth
        if queue != "":
            options["queue"] = queue
        if isinstance(loss, str):
            raise (table.place / "loss").error("expected a probability from 0 to 1, such as 0.01")
        options["loss"] = loss
        with table.place.blamed():
            if len(ends) == 2:
                self.network.link(ends[0], ends[1], name=name or None, **options)  # type: ignore[arg-type]
            else:
                label = name or f"segment {len(self.network.links)}"
                self.network.segment(label, *ends, **options)  # type: ignore[arg-type]

    def _program(self, table: Table, users: Mapping[str, str]) -> None:
        place = table.place
        host = table.need("host", str, "host = the name of one of [host.*]")
        if host not in self.network.hosts:
            raise (place / "host").error(f"there is no host {host!r}: {near(host, self.network.hosts)}")
        script, module, code = (table.get(key, str, "") for key in ("script", "module", "code"))
        arguments = table.texts("arguments")
        user = table.get("user", object, users[host])
        if isinstance(user, bool) or not isinstance(user, str | int):
            raise (place / "user").error("expected a user's name in quotes, or a number")
        with (place / "user").blamed():
            self.network.hosts[host].machine.users.uid(user)
        start = table.quantity("start", 0)
        name = table.get("name", str, "")
        background = table.get("background", bool, False)
        environment = self._environment(Table(place / "environment", table.get("environment", dict, {})))
        table.end()
        if sum(bool(each) for each in (script, module, code)) != 1:
            raise place.error('write one of script = "server.py", module = "http.server" or code = "..."')
        with (place / "start").blamed():
            duration(start)
        with place.blamed("script" if script else "module" if module else "code"):
            program = self.network.hosts[host].spawn(
                *([self.directory / script] if script else []),
                *arguments,
                module=module or None,
                code=code or None,
                user=user,
                start=start,
                name=name or None,
                background=background,
                environment=environment,
                paths=[self.directory],
            )
            self.programs.append(program)

    @staticmethod
    def _environment(table: Table) -> dict[str, str]:
        for key, value in table._values.items():
            if isinstance(value, bool) or not isinstance(value, _NUMBER_OR_TEXT):
                raise (table.place / key).error("expected text in quotes")
        return {key: str(value) for key, value in table._values.items()}
