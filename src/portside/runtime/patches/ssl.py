"""`ssl`: TLS over simulated sockets. The module is not loaded for the sake of programs that do without."""

from __future__ import annotations

from types import ModuleType

from portside.runtime.patcher import Patcher


def _attributes(module: ModuleType) -> list[tuple[object, str, object]]:
    from portside.runtime import sim_tls

    return [
        (module.SSLContext, "_wrap_socket", sim_tls.wrap_socket),
        (module.SSLContext, "set_default_verify_paths", sim_tls.set_default_verify_paths),
    ]


def add(patcher: Patcher) -> None:
    """Replace the method by which a context takes a socket, when `ssl` is loaded."""
    patcher.attributes_of("ssl", _attributes)
