"""Extension modules that have sockets or an event loop of their own: in C, where no replacement reaches.

What they open is on the real machine, so a simulated program that begins to use one is refused by name. Importing is
allowed, because programs import more than they use, with one exception: what others do without when it can't be
imported (`try: import uvloop`) can't be, as on a machine on which it is not installed.

The table holds modules that are known. Any other extension that opens sockets reaches the real network unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Final

from portside.runtime.escapes import EscapeError, Guarded
from portside.runtime.patcher import Patcher
from portside.runtime.trap import current_process

_LOOP: Final = (
    "its loop and its sockets are libuv's, which reach the real network. Use asyncio's own loop, which is simulated "
    "(asyncio.run(main()), uvicorn --loop asyncio); a program that can do without it needs no change"
)
_GREEN: Final = (
    "its loop is in C and its sockets reach the real network. Use threads, which are simulated; what is written for "
    "monkey-patched modules runs on them without the patching"
)
_PATCHES: Final = (
    "it replaces functions of modules that all programs of the world share. Use threads, which are simulated; what is "
    "written for monkey-patched modules runs on them without the patching"
)
_NAMES: Final = (
    "c-ares asks the real network's name servers. Use socket.getaddrinfo() or loop.getaddrinfo(), which are simulated; "
    "aiohttp does where aiodns can't be imported, or with TCPConnector(resolver=ThreadedResolver())"
)
_GRPC: Final = "its sockets are in C and reach the real network. grpclib speaks the same protocol on asyncio"
_CURL: Final = "libcurl's sockets reach the real network. Use urllib, requests, httpx or aiohttp, which run as they are"
_ZMQ: Final = "libzmq's sockets and threads reach the real network. Use sockets, or queues within one program"
_PQ: Final = "libpq's sockets reach the real network. asyncpg and pg8000 are on Python's sockets, and run as they are"
_KAFKA: Final = "librdkafka's sockets reach the real network. kafka-python and aiokafka are on Python's sockets"
_OPENSSL: Final = (
    "OpenSSL uses the descriptor's number on the real machine. Use the ssl module, or a Connection without a socket "
    "(bio_read(), bio_write())"
)

IMPORTS: Final = {
    "uvloop": _LOOP, "zuvloop": _LOOP, "gevent": _GREEN, "eventlet": _PATCHES, "pycares": _NAMES, "pycurl": _CURL,
}  # fmt: skip
"""Modules that a simulated program can't import."""

USES: Final[tuple[tuple[str, tuple[str, ...], str, str], ...]] = (
    # Module, attributes by which its use begins, how a program calls it, what to do instead.
    ("uvloop", ("Loop",), "uvloop", _LOOP),
    ("gevent.hub", ("Hub.__init__",), "gevent", _GREEN),
    ("pycares", ("Channel",), "pycares.Channel", _NAMES),
    ("grpc._cython.cygrpc", ("Channel", "AioChannel"), "a channel of grpc", _GRPC),
    ("grpc._cython.cygrpc", ("Server", "AioServer"), "a server of grpc", _GRPC),
    ("pycurl", ("Curl", "CurlMulti"), "pycurl", _CURL),
    ("zmq.sugar.context", ("Context.__init__",), "zmq.Context", _ZMQ),
    ("psycopg2", ("_connect",), "psycopg2.connect", _PQ),
    ("psycopg.generators", ("connect",), "psycopg.connect", _PQ),
    ("confluent_kafka", ("Producer", "Consumer"), "confluent_kafka", _KAFKA),
    ("OpenSSL.SSL", ("Connection.__init__",), "OpenSSL.SSL.Connection(context, socket)", _OPENSSL),
)


class EscapeImportError(ModuleNotFoundError):
    """A simulated program imports a module that would act on the real machine; `call` is the import.

    To a program it is the ImportError of a machine on which the module is not installed.
    """

    def __init__(self, name: str, advice: str) -> None:
        self.call = f"import {name}"
        super().__init__(f"{name} would leave the simulated world: {advice}", name=name)


def refused_import(name: str) -> EscapeImportError:
    """What a simulated program is told that imports that module, one of `IMPORTS` or in it."""
    return EscapeImportError(name, IMPORTS[name.partition(".")[0]])


def _refusing(original: Callable[..., object], call: str, advice: str) -> object:
    if isinstance(original, type):
        return Guarded(original, call, advice)

    def refuse(*arguments: object, **keywords: object) -> object:
        if current_process() is None:
            return original(*arguments, **keywords)
        raise EscapeError(call, advice)

    return refuse


def _with_memory_only(original: Callable[..., object], call: str, advice: str) -> object:
    """OpenSSL.SSL.Connection.__init__: without a socket it carries its bytes through memory."""

    def connection(self: object, context: object, socket: object = None) -> object:
        if socket is None or current_process() is None:
            return original(self, context, socket)
        raise EscapeError(call, advice)

    return connection


def _put_in(patcher: Patcher, module: ModuleType) -> None:
    for name, attributes, call, advice in USES:
        if name != module.__name__:
            continue
        make = _with_memory_only if advice is _OPENSSL else _refusing
        for attribute in attributes:
            owner_name, _, last = attribute.rpartition(".")
            owner = getattr(module, owner_name, None) if owner_name else module
            original = getattr(owner, last, None)
            if owner is not None and original is not None:
                patcher.put(owner, last, make(original, call, advice))


def add(patcher: Patcher) -> None:
    """Refuse them once they are loaded; none is loaded for the sake of this."""
    for name in dict.fromkeys(name for name, *_ in USES):
        patcher.when_loaded(name, partial(_put_in, patcher))
