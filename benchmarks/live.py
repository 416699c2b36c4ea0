"""The machine you sit at, against the tools that one would take instead: one run, ratios theirs by ours.

    python -m benchmarks.live [--rounds N] [--connections N]

Needs root. The sockets are loopback connections, both ends in the same few processes, in a network namespace of their
own; each side reads from within it. ss(8) and lsof(8) are timed as the processes that they are, and print to
/dev/null; psutil and portside from the call to the last field of the last row, in a process that has imported them. To
free the rows is not timed for either. What the start of Python and the imports add is in the lines "by the command" and
"whole process".

The first ratio is of the time that passes. The second is of the time that processors work, which other work on the
machine does not change much.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from statistics import median
from time import perf_counter, process_time

from portside.live import namespaces

Times = tuple[float, float]
"""Seconds that passed, and seconds that processors worked."""


# -- what is measured, each in a process of its own --


Result = tuple[int, object]
"""A number to print, and the rows: they are freed when the clock has stopped."""


def list_by_portside() -> Result:
    """The list with owners, every field that psutil and lsof tell of."""
    from portside.live import machine

    count, rows = 0, machine.read(want={"sockets", "owners"}, namespaces=False).sockets
    for one in rows:
        row = one.proto, one.state, one.laddr, one.lport, one.raddr, one.rport
        for owner in one.owners:
            row = owner.pid, owner.fd, owner.command
        count += bool(row)
    return count, rows


def queues_by_portside() -> Result:
    """The list with owners, every field that ss -tanp shows: the queues too."""
    count, rows = list_by_portside()
    for one in rows:  # type: ignore[attr-defined]
        row = one.receive_queue, one.send_queue, one.accept_queue, one.backlog
        count += not row
    return count, rows


def list_by_psutil() -> Result:
    """The same of psutil, which tells of each connection a process number: their names are asked once for each."""
    import psutil

    names: dict[int | None, str] = {}
    count, rows = 0, psutil.net_connections(kind="inet")
    for one in rows:
        if one.pid not in names:
            names[one.pid] = psutil.Process(one.pid).name() if one.pid else ""
        row = one.type, one.status, one.laddr.ip, one.laddr.port, one.raddr, one.pid, one.fd, names[one.pid]
        count += bool(row)
    return count, rows


def who_by_portside() -> Result:
    """Who has the port in PORT, in this namespace."""
    from portside.live import machine

    found = machine.at_port(int(os.environ["PORT"]), namespaces=False)
    return len({owner.pid for one in found.sockets for owner in one.owners}), found


def kept_by_portside() -> Result:
    """The list, kept; how many bytes the process has grown to."""
    from portside.live import machine

    snapshot = machine.read(want={"sockets", "owners"}, namespaces=False)
    assert snapshot.sockets
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize(), snapshot


CALLS: dict[str, Callable[[], Result]] = {
    each.__name__: each
    for each in (list_by_portside, queues_by_portside, list_by_psutil, who_by_portside, kept_by_portside)
}


def one(name: str) -> None:
    """Run one of CALLS, and print how long it took and what it returned."""
    call = CALLS[name]
    import ctypes  # noqa: F401

    from portside.facts import settings  # noqa: F401
    from portside.live import fd_iterator, machine, origin  # noqa: F401

    if "psutil" in name:
        import psutil  # noqa: F401
    begin = perf_counter(), process_time()
    result = call()
    end = perf_counter(), process_time()
    print(end[0] - begin[0], end[1] - begin[1], result[0])


# -- the sockets --


def serve(connections: int) -> None:
    """Make so many connections to a listener of our own, say its port, and hold them."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    listener = socket.socket()
    listener.bind((f"127.{os.getpid() >> 14 & 127}.{os.getpid() >> 7 & 127}.{os.getpid() & 127 | 128}", 0))
    listener.listen(4096)
    held = []
    for _ in range(connections):
        client = socket.create_connection(listener.getsockname())
        held += [client, listener.accept()[0]]
    print(listener.getsockname()[1], flush=True)
    signal.pause()


@contextmanager
def crowd(connections: int) -> Iterator[int]:
    """This process in a network namespace with so many connections; the port of one of its listeners."""
    import ctypes

    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).unshare(namespaces.CLONE_NEWNET):
        sys.exit(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
        file.write("1024 65000")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 20
    servers, ports = [], []
    while connections > 0:
        part = min(most, connections, max(connections // 4, 500))
        words = [sys.executable, "-m", "benchmarks.live", "--serve", str(part)]
        servers.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        connections -= part
    for server in servers:
        assert server.stdout is not None
        ports.append(int(server.stdout.readline()))
    try:
        yield ports[0]
    finally:
        for server in servers:
            server.kill()
            server.communicate()
        namespaces.set_namespace(home)
        os.close(home)


# -- measuring --


def called(name: str) -> Times:
    """What a call takes, in a process of its own."""
    passed, worked, _ = _call(name)
    return float(passed), float(worked)


def _call(name: str) -> list[str]:
    words = [sys.executable, "-m", "benchmarks.live", "--one", name]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()


def ran(*words: str) -> Times:
    """What a process takes."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    passed, after = perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return passed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def most(*words: str) -> int:
    """How many bytes a process has at most."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * 1024


def compare(title: str, ours: Callable[[], Times], theirs: dict[str, Callable[[], Times]], rounds: int) -> None:
    """Time all sides in turn, and print a line for each."""
    times: dict[str, list[Times]] = {side: [] for side in ("portside", *theirs)}
    for _ in range(rounds):
        for side, call in {"portside": ours, **theirs}.items():
            times[side].append(call())
    print(f"\n{title}")
    for side, taken in times.items():
        passed, worked = (median(each) * 1e3 for each in zip(*taken, strict=True))
        line = f"  {side:24} {passed:8.1f} ms, {worked:8.1f} of work"
        if side != "portside":
            for which in (0, 1):
                pairs = zip(taken, times["portside"], strict=True)
                ratios = [other[which] / own[which] for other, own in pairs]
                line += f"   {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(line, flush=True)


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each side runs (default 5)")
    parser.add_argument("--connections", type=int, default=50_000, help="for the large list (default 50000)")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--one", choices=CALLS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve)
    elif arguments.one is not None:
        one(arguments.one)
    elif os.geteuid():
        sys.exit("this needs root: a network namespace of its own, and everybody's descriptors")
    else:
        run_all(arguments.rounds, arguments.connections)


def run_all(rounds: int, connections: int) -> None:
    """Every comparison, with the sockets that it is about."""
    psutil: dict[str, Callable[[], Times]] = {}
    if find_spec("psutil") is not None:
        psutil["psutil.net_connections"] = lambda: called("list_by_psutil")
    have = {tool: shutil.which(tool) is not None for tool in ("ss", "lsof")}
    ss = {"ss -tanp": lambda: ran("ss", "-tanp")} if have["ss"] else {}
    lsof = {"lsof -nP -i": lambda: ran("lsof", "-nP", "-i")} if have["lsof"] else {}
    listed = "the list with owners"
    with crowd(connections):
        compare(f"{listed}, {2 * connections} sockets", lambda: called("list_by_portside"), psutil, rounds)
        compare("the same with the queues", lambda: called("queues_by_portside"), ss, rounds)
        print(f"  kept, the process has {int(_call('kept_by_portside')[2]) / 1e6:.0f} MB")
        by_the_command(have, rounds)
    with crowd(500):
        compare(f"{listed}, 1000 sockets", lambda: called("list_by_portside"), {**psutil, **lsof}, rounds)
        compare("the same with the queues", lambda: called("queues_by_portside"), ss, rounds)
        by_the_command(have, rounds)
    with crowd(25_000) as port:
        os.environ["PORT"] = str(port)
        ss = {"ss -tlnp 'sport = :PORT'": lambda: ran("ss", "-tlnp", f"sport = :{port}")} if have["ss"] else {}
        compare("who has a port, 50000 sockets", lambda: called("who_by_portside"), ss, rounds)
    script = "from portside.live import machine, origin; machine.at_port(22)"
    compare("who has port 22, at rest, whole process", lambda: ran(sys.executable, "-c", script), {}, max(rounds, 5))


def by_the_command(have: dict[str, bool], rounds: int) -> None:
    """The list as text: whole processes on both sides."""
    for tool in ("ss -tanp", "lsof -nP -i"):
        command = (sys.executable, "-m", "portside", *tool.split())
        theirs: dict[str, Callable[[], Times]] = {}
        if have[tool.split()[0]]:
            theirs[tool] = partial(ran, *tool.split())
        compare(f"by the command: portside {tool}", partial(ran, *command), theirs, rounds)
        print(f"  portside has {most(*command) / 1e6:.0f} MB at most")


if __name__ == "__main__":
    main()
