"""Which listeners a browser can talk to: by the program, or by the port where programs that speak HTTP are found."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from portside.addr.abi import IPPROTO_TCP
from portside.facts.process import Process
from portside.facts.socket import Socket

HTTP_PORTS: Final = frozenset({
    80, 591, 3000, 3001, 4000, 4200, 5000, 5173, 5601, 7860, 8000, 8001, 8008, *range(8080, 8100), 8265, 8501, 8888,
    9000, 9090, 9091, 9200, 15672,
})  # fmt: skip
"""Where programs that speak HTTP are found. 8080 is registered for it (http-alt), and those who find it taken count on:
8081, 8082 ... 8099."""
HTTPS_PORTS: Final = frozenset({443, 8443, 9443, 6443, 10443})

PROGRAMS: Final = frozenset({
    "nginx", "apache2", "httpd", "caddy", "lighttpd", "traefik", "h2o", "uvicorn", "gunicorn", "hypercorn", "daphne",
    "waitress-serve", "puma", "unicorn", "webfsd", "thttpd", "darkhttpd", "mini_httpd",
})  # fmt: skip
"""Servers that speak nothing but HTTP, by the names of their processes."""
MODULES: Final = frozenset({"http.server", "uvicorn", "gunicorn", "hypercorn", "daphne", "waitress", "flask"})
"""The same as modules of Python: `python3 -m http.server`."""


def scheme_of(socket: Socket, processes: Iterable[Process] = ()) -> str:
    """`http` or `https` for a TCP listener of a known web server, or on a port where browsers are used; else empty.

    Args: processes: those of the machine, whose command lines may tell more than their names.
    """
    if socket.proto != IPPROTO_TCP:
        return ""
    if socket.lport in HTTPS_PORTS:
        return "https"
    if socket.lport in HTTP_PORTS or any(owner.command in PROGRAMS for owner in socket.owners):
        return "http"
    pids = {owner.pid for owner in socket.owners if owner.command.startswith("python")}
    return "http" if pids and any(each.pid in pids and _serves(each.argv) for each in processes) else ""


def _serves(argv: tuple[str, ...]) -> bool:
    return any(one == "-m" and other in MODULES for one, other in pairwise(argv))
