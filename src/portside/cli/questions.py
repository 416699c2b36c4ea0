"""The commands that answer a question, about this machine, a simulated host or a saved snapshot."""

from __future__ import annotations

import click

from portside.cli import options


@click.command()
@click.option("-p", "--port", "ports", multiple=True, metavar="PORT", help="A port, 8000-8100, or a service's name.")
@click.option("--process", "processes", multiple=True, metavar="NAME|PID", help="Of this program or process.")
@click.option("--user", "users", multiple=True, metavar="NAME|UID", help="Made by this user.")
@click.option("--state", "states", multiple=True, metavar="STATE", help="In this state: listen, estab, time-wait ...")
@click.option("-a", "--all", "everything", is_flag=True,
              help="Connections and all other TCP and UDP sockets, too; for UNIX ones: portside ss -x.")
@click.option("-n", "--notes", is_flag=True, help="Also what surprises only some clients.")
@click.option("-m", "--matrix", is_flag=True, help="A column for each network: who is reached from where.")
@click.option("-w", "--watch", type=click.FloatRange(min=0.1), is_flag=False, flag_value=2.0, metavar="[SECONDS]",
              help="Again and again, every 2 seconds or as often as said.")
@click.option("--json", "as_json", is_flag=True, help="As JSON; docs/listening.md tells each key.")
@click.option("--color/--no-color", default=None, help="Colours; by default on a terminal.")
@options.snapshot
@options.namespace
def ls(
    ports: tuple[str, ...] = (),
    processes: tuple[str, ...] = (),
    users: tuple[str, ...] = (),
    states: tuple[str, ...] = (),
    everything: bool = False,
    notes: bool = False,
    matrix: bool = False,
    watch: float | None = None,
    as_json: bool = False,
    color: bool | None = None,
    file: str | None = None,
    namespace: str | None = None,
) -> int:
    """Say who listens: process, address, from where it can be reached, and what is likely a mistake.

    On this machine and in each of its network namespaces, on the simulated host when it is run there, or from
    a saved snapshot. What the packet filter lets through is part of the answer.
    """
    from portside.cli import ls as lister
    from portside.cli import source

    options = lister.Options(ports, processes, users, states, everything, notes, as_json, color, matrix)
    return lister.run(source.Source(file, namespace), options, watch)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object; docs/json.md tells each key.")
@options.snapshot
@options.namespace
@click.argument("what", metavar="PORT|ADDRESS|PATH|NAME")
def who(what: str, as_json: bool, file: str | None, namespace: str | None) -> int:
    """Say who has a port, an address or a UNIX socket: every process, its user, and how it came to run.

    \b
      portside who 8080
      portside who [::1]:53/udp
      portside who localhost               what listens on loopback addresses
      portside who /run/docker.sock        a UNIX socket; @NAME an abstract one
      portside who nginx                   what a program of that name has

    \b
    Exit codes: 0; 1 when nobody has it.
    """
    from portside.cli import source
    from portside.cli import who as finder

    return finder.run(what, source.Source(file, namespace), as_json=as_json)


@click.command()
@click.option("--from", "origin", metavar="NAMESPACE",
              help="Begin in this network namespace: its name or inode, a pid or a container in it.")
@click.option("-u", "--udp", is_flag=True, help="A datagram; a TCP connection by default.")
@click.option("-4", "family", flag_value=2, type=int, default=None, help="Only over IPv4.")
@click.option("-6", "family", flag_value=10, type=int, help="Only over IPv6.")
@click.option("--uid", "user", metavar="UID|NAME", help="Who connects; by default who asks.")
@click.option("--try", "really", is_flag=True, help="Also make one real attempt, and say what its end means.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object; docs/json.md tells each key.")
@options.snapshot
@click.argument("where", metavar="HOST:PORT")
def why(
    where: str,
    origin: str | None,
    udp: bool,
    family: int | None,
    user: str | None,
    really: bool,
    as_json: bool,
    file: str | None,
) -> int:
    """Say what a connection to HOST:PORT would meet, step by step, and what to change if it would fail.

    Routes, the packet filter and NAT of this machine and of all its network namespaces are followed to the
    listener that would take it. Nothing is sent, but with --try.

    \b
      portside why localhost:8080
      portside why 10.0.0.5:443 --from blue
      portside why example.org:443 --try

    \b
    Exit codes: 0 it would be accepted; 1 it would fail; 3 it can't be known here (it is said why).
    """
    from portside.cli import source
    from portside.cli import why as reasoner

    return reasoner.run(
        where, source.Source(file), origin=origin, udp=udp, family=family, user=user, really=really, as_json=as_json
    )


@click.command()
@click.option("-u", "--udp", is_flag=True, help="A UDP socket; TCP by default.")
@click.option("--reuseaddr", is_flag=True, help="With SO_REUSEADDR, as most servers have it.")
@click.option("--reuseport", is_flag=True, help="With SO_REUSEPORT.")
@click.option("--v6only/--no-v6only", default=None, help="With IPV6_V6ONLY on or off.")
@click.option("--freebind", is_flag=True, help="With IP_FREEBIND.")
@click.option("--device", metavar="INTERFACE", help="With SO_BINDTODEVICE.")
@click.option("--user", metavar="NAME|UID", help="Who would call; by default who asks.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object; docs/json.md tells each key.")
@options.snapshot
@options.namespace
@click.argument("where", metavar="ADDRESS:PORT")
def bind(
    where: str,
    udp: bool,
    reuseaddr: bool,
    reuseport: bool,
    v6only: bool | None,
    freebind: bool,
    device: str | None,
    user: str | None,
    as_json: bool,
    file: str | None,
    namespace: str | None,
) -> int:
    """Say whether a server could bind and listen there, here and now. Nothing is bound.

    If not: the errno, the rule, the socket and the process in the way, and the nearest thing that would work.
    A port alone is tried on 0.0.0.0 and on [::].

    \b
    Exit codes: 0 it would work; 1 it would fail; 3 it depends on what could not be read (it is said on what).
    """
    from portside.cli import bind as binder
    from portside.cli import source

    return binder.run(
        where, source.Source(file, namespace), udp=udp, user=user, device=device, as_json=as_json,
        reuseaddr=reuseaddr, reuseport=reuseport, v6only=v6only, freebind=freebind,
    )  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object; docs/json.md tells each key.")
@options.snapshot
@options.namespace
def ephemeral(as_json: bool, file: str | None, namespace: str | None) -> int:
    """Say which ports connections take by themselves, how many are left to each destination, and what would help.

    \b
    Exit codes: 0; 1 when some destination has no port left.
    """
    from portside.cli import ephemeral as counter
    from portside.cli import source

    return counter.run(source.Source(file, namespace), as_json=as_json)


@click.command()
@click.option("-u", "--udp", is_flag=True, help="UDP ports; TCP by default.")
@click.option("--from", "first", type=click.IntRange(1, 65535), default=10000, show_default=True, help="The first.")
@click.option("--to", "last", type=click.IntRange(1, 65535), default=65535, show_default=True, help="The last.")
@options.snapshot
@options.namespace
@click.argument("count", type=click.IntRange(min=1), default=1, metavar="[N]")
def free(count: int, udp: bool, first: int, last: int, file: str | None, namespace: str | None) -> int:
    """Print N ports that a server could bind on every address, by the rules of bind(2); none is taken.

    Ports that are reserved or registered for a service are left out; those that connections take come last.

    \b
    Exit codes: 0; 1 when there are fewer.
    """
    from portside.cli import free as finder
    from portside.cli import source

    return finder.run(count, source.Source(file, namespace), udp=udp, first=first, last=last)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each notation; docs/json.md tells each key.")
@click.argument("notations", nargs=-1, required=True, metavar="NOTATION...")
def explain(notations: tuple[str, ...], as_json: bool) -> int:
    """Say what an endpoint's notation means: 127.0.0.1:80, :22, *:22, :::22, [fe80::1%eth0]:80, ssh ...

    Every form that people type and tools print is understood. One that can be read in two ways gives both. Of
    several, one that means nothing is told of in its place; a single one, on standard error.

    \b
    Exit codes: 0; 2 when a notation means nothing (it is said where and why).
    """
    from portside.cli import explain as explainer

    return explainer.run(notations, as_json)
