"""portside: the ports-and-sockets layer of an operating system, as a library and a command.

from portside import Network

network = Network(seed=1)
server = network.host("server", "10.0.0.1")
client = network.host("client", "10.0.0.2")
server.spawn("server.py", background=True)
client.spawn(a_function_that_connects, "10.0.0.1")
network.run()

And the machine you sit at: `portside.listeners()`, `portside.would_bind(":8080")`, `portside.explain("::1:22")`,
`portside.why("localhost:8080")`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's, which need not be imported for it

if TYPE_CHECKING:
    from portside.api import listeners, snapshot, why, would_bind
    from portside.lab.errors import LabError, ProgramFailed
    from portside.lab.host import Host
    from portside.lab.network import Link, Network
    from portside.lab.program import Program
    from portside.sim.errors import Deadlock

__version__ = "0.1.0.dev0"

_PLACES = {
    "Deadlock": "portside.sim.errors",
    "Host": "portside.lab.host",
    "LabError": "portside.lab.errors",
    "Link": "portside.lab.network",
    "Network": "portside.lab.network",
    "Program": "portside.lab.program",
    "ProgramFailed": "portside.lab.errors",
    "listeners": "portside.api",
    "snapshot": "portside.api",
    "why": "portside.api",
    "would_bind": "portside.api",
}

__all__ = [
    "Deadlock", "Host", "LabError", "Link", "Network", "Program", "ProgramFailed", "__version__", "explain",
    "listeners", "snapshot", "why", "would_bind",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for: `import portside` alone costs next to nothing."""
    from importlib import import_module

    if name == "explain":
        return import_module("portside.explain")  # a package, and a function
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(place), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
