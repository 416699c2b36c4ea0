"""A host's /etc/hosts, as a person writes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from portside.lab.dns import domain_name, numbers
from portside.lab.errors import LabError

if TYPE_CHECKING:
    from portside.host.kernel import Host as Machine
    from portside.lab.host import Host


class HostsFile:
    """The names in a host's /etc/hosts: `host.hosts["db.internal"] = "10.0.0.5"`, or several addresses.

    Lines for localhost and for the host itself are there from the beginning. What programs write to the file counts
    as well; `text` is what it says.
    """

    def __init__(self, machine: Machine) -> None:
        self._file = machine.etc.hosts

    def __setitem__(self, name: str, addresses: str | Host | Iterable[str | Host]) -> None:
        several = isinstance(addresses, Iterable) and not isinstance(addresses, str)
        found = numbers(addresses if several else (addresses,))  # type: ignore[arg-type]
        if not found:
            raise LabError(f"{name} in /etc/hosts needs an address: del removes it")
        self._file.set(domain_name(name), found)

    def __delitem__(self, name: str) -> None:
        self._file.set(domain_name(name), ())

    @property
    def text(self) -> str:
        """What the file says; set it to have it say something else."""
        return self._file.data.decode("utf-8", "surrogateescape")

    @text.setter
    def text(self, text: str) -> None:
        self._file.data = text.encode("utf-8", "surrogateescape")
