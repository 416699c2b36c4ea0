"""Dialogues on a simulated host: the same interpreter, spawned as any other program would be."""

from __future__ import annotations

import functools
import importlib
import traceback
from typing import Any, cast

from tests.dialogue import interpreter
from tests.dialogue.compare import Crash
from tests.dialogue.program import Program, normalise

from portside import Network
from portside.host.syscalls.socket import connect
from portside.lab.host import Host
from portside.runtime.trap import current_process

AF_UNSPEC = 0


def disconnect(descriptor: int) -> None:
    """connect(2) with AF_UNSPEC, which Python's socket module cannot say."""
    process = current_process()
    assert process is not None
    connect(process, descriptor, (AF_UNSPEC,))


def host_in(network: Network, addresses: tuple[str, ...], sysctls: tuple[tuple[str, str], ...] = ()) -> Host:
    """A host with `lo` and exactly these addresses."""
    host = network.bare_host("machine")
    for address in addresses:
        host.add_address(address)
    for path, value in sysctls:
        host.sysctl["net." + path.replace("/", ".")] = value.replace(",", " ")
    return host


@functools.cache
def check_that_proc_is_the_hosts() -> None:
    """Refuse to run dialogues, which set sysctls, where a simulated program would reach the real machine's."""

    def read() -> str:
        with open("/proc/sys/net/core/somaxconn") as file:
            return file.read()

    with Network(quiet=True) as network:
        spawned = host_in(network, (), (("core/somaxconn", "1234"),)).spawn(read)
        network.run()
    if spawned.result != "1234\n":
        raise RuntimeError("a simulated program that opens /proc/sys/net reaches the real machine")


def raw(program: Program) -> list[str]:
    """The answers as they came. Raises Crash where the simulation itself broke."""
    check_that_proc_is_the_hosts()
    try:
        with Network(quiet=True) as network:
            host = host_in(network, program.addresses, program.sysctls)
            calls = [list(call) for call in program.calls]
            spawned = host.spawn(interpreter.run, calls, disconnect, name="dialogue")
            network.run()
            return cast(list[str], spawned.result)
    except Exception as error:
        raise Crash("".join(traceback.format_exception(error))) from error


def run(program: Program) -> list[str]:
    """The answers, with what is left to chance as symbols."""
    return normalise(program, raw(program))


def call(function: str, addresses: tuple[str, ...] = ()) -> Any:
    """What the function `module:name` returns on a simulated host."""
    module, _, name = function.partition(":")
    with Network(quiet=True) as network:
        spawned = host_in(network, addresses).spawn(getattr(importlib.import_module(module), name), name=name)
        network.run()
        return spawned.result
