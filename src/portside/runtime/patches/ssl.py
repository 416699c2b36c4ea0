"""`ssl`: TLS over simulated sockets. The module is not loaded for the sake of programs that do without."""

from __future__ import annotations

from types import ModuleType

from portside.runtime.patcher import Patcher


def add(patcher: Patcher) -> None:
    """Replace how a context takes a socket, and where OpenSSL's chance comes from, when `ssl` is loaded."""

    def put_in(module: ModuleType) -> None:
        from portside.runtime import openssl_random, sim_tls

        patcher.put(module.SSLContext, "_wrap_socket", sim_tls.wrap_socket)
        patcher.put(module.SSLContext, "set_default_verify_paths", sim_tls.set_default_verify_paths)
        patcher.enter(openssl_random.enter, openssl_random.leave)

    patcher.when_loaded("ssl", put_in)
