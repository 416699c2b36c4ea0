"""The command line: what is asked for is found out here, and imported only then."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from portside import __version__
from portside.cli.end import PIPE, failed, leave

EPILOG = """\b
Try it:
  portside run -c 'import socket; print(socket.create_server(("", 0)))'
  portside run -m timeit -s 'import time' 'time.sleep(60)'
  portside run server.py 8080            your program, its arguments after it
  portside run lab.toml                  several programs on several hosts

\b
Shell completion, for this shell:
  bash   eval "$(_PORTSIDE_COMPLETE=bash_source portside)"
  zsh    eval "$(_PORTSIDE_COMPLETE=zsh_source portside)"
  fish   _PORTSIDE_COMPLETE=fish_source portside | source
"""


def _version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    """Say which portside this is, and whether the modules that every segment passes through are compiled."""
    if wanted and not ctx.resilient_parsing:
        import platform

        from portside.wire import seq

        compiled = "no" if seq.__file__.endswith(".py") else "yes"
        click.echo(f"portside {__version__} (compiled: {compiled}) on Python {platform.python_version()}")
        ctx.exit()


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
    invoke_without_command=True,
)
@click.option("-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
              help="Show the version, how it was built, and exit.")
@click.option("--json", "as_json", is_flag=True, help="Without a command: who listens, as JSON.")
@click.pass_context
def cli(ctx: click.Context, as_json: bool) -> int | None:
    """The ports-and-sockets layer of an operating system.

    `portside` alone says who listens on this machine, from where it can be reached, and what is likely wrong.

    `portside run` runs unmodified Python programs on simulated hosts: machines that exist only in memory,
    with their own addresses, ports, routes and clock. Every socket call answers as Linux answers. Nothing
    reaches the real network, time is virtual (a minute of sleep costs nothing), and a seed replays the run.
    """
    if ctx.invoked_subcommand is None:
        status: int = ctx.invoke(ls, as_json=as_json)
        return status
    if as_json:
        raise click.UsageError(f"--json stands after the command: portside {ctx.invoked_subcommand} --json")
    return None


class RunCommand(click.Command):
    """A command whose arguments end, as those of python3 do, with the program: what follows belongs to it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let the options of `run` end at the program, `-m MODULE` or `-c CODE`."""
        return super().parse_args(ctx, self._separated(args))

    def _separated(self, args: list[str]) -> list[str]:
        takes_value = {
            name: not param.is_flag and not param.count
            for param in self.params
            if isinstance(param, click.Option)
            for name in param.opts
        }
        place = 0
        while place < len(args) and args[place].startswith("-") and args[place] not in ("-", "--"):
            word = args[place]
            place += 2 if takes_value.get(word) else 1
            if word[:2] in ("-m", "-c") and not word.startswith("--") and place <= len(args):
                return [*args[:place], "--", *args[place:]]
        return args


@cli.command(cls=RunCommand, context_settings={"allow_interspersed_args": False})
@click.option("-m", "module", metavar="MODULE", help="Run a module, as python3 -m does.")
@click.option("-c", "code", metavar="CODE", help="Run a program given as text, as python3 -c does.")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="ADDR/PREFIX[@INTERFACE]",
    help="An address of the host; may be repeated. Default: 10.0.0.1/24 and fd00::1/64 on eth0.",
)
@click.option(
    "--sysctl",
    "sysctls",
    multiple=True,
    metavar="NAME=VALUE",
    help="A network setting, such as net.ipv4.ip_local_port_range='40000 40009'; may be repeated.",
)
@click.option("--user", metavar="NAME|UID", default="root", show_default=True, help="Who runs the program.")
@click.option("--seed", type=int, metavar="N", help="What decides all that is left to chance.  [default: 0]")
@click.option("--start", metavar="TIME", help="What the clock shows at the beginning.  [default: 2020-01-01T00:00:00Z]")
@click.option(
    "--until", metavar="DURATION", help="Stop at that virtual time, such as 90s or 2h: for servers that run for ever."
)
@click.option("--trace", metavar="FILE", help="Write each packet as a line of text; - is standard error.")
@click.option(
    "--pcap",
    type=click.Path(dir_okay=False, writable=True),
    metavar="FILE",
    help="Write a capture (pcapng) for Wireshark and tcpdump.",
)
@click.argument("program", nargs=-1, type=click.UNPROCESSED, metavar="PROGRAM.py|LAB.toml [ARGS]...")
def run(
    module: str | None,
    code: str | None,
    addresses: tuple[str, ...],
    sysctls: tuple[str, ...],
    user: str,
    seed: int | None,
    start: str | None,
    until: str | None,
    trace: str | None,
    pcap: str | None,
    program: tuple[str, ...],
) -> int:
    """Run a program on a simulated host, or the programs of a LAB.toml on several.

    The program is any Python program, unmodified. It runs on one host that has lo and eth0; files are those
    of this machine, sockets, time and identity are the host's. Its output and exit code are yours. With a
    LAB.toml, each line of output begins with the host's name, and the exit code is that of the first program
    that failed.

    \b
    Exit codes: the program's own; 1 after an uncaught exception; 2 for wrong usage;
    3 when everybody waits for ever (with a report of who waits where); 130 after Ctrl-C.
    """
    from portside.cli import run as runner

    options = runner.Options(addresses, sysctls, user, seed, until, trace, pcap, start)
    if module is not None and code is not None:
        raise click.UsageError("give one of -m MODULE and -c CODE")
    if module is None and code is None:
        if not program:
            raise click.UsageError("what should run? Give PROGRAM.py, -m MODULE, -c CODE or LAB.toml")
        if program[0].endswith(".toml"):
            return runner.run_lab(program[0], program[1:], options)
        return runner.run_program(options, program[1:], script=program[0])
    return runner.run_program(options, program, module=module, code=code)


class ToolCommand(click.Command):
    """A command with the flags of a familiar tool: all but portside's own long options are the tool's to read."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take portside's own options from wherever they stand."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        takes_value = {name: not param.is_flag for param in options for name in param.opts}
        own: list[str] = []
        others: list[str] = []
        words = iter(args)
        for word in words:
            name, equals, _ = word.partition("=")
            if name not in takes_value:
                others.append(word)
                continue
            own.append(word)
            if takes_value[name] and not equals:
                own += [value for value in (next(words, None),) if value is not None]
        return super().parse_args(ctx, [*own, "--", *others])


_snapshot = click.option("--snapshot", "file", metavar="FILE", help="Show a saved snapshot; - reads standard input.")
_namespace = click.option("--namespace", metavar="NAME", help="Look into this network namespace, by name or inode.")
_json = click.option("--json", "as_json", is_flag=True, help="The sockets as JSON, with all that is known of them.")
_flags = click.argument("flags", nargs=-1, type=click.UNPROCESSED, metavar="[FLAGS]...")


@cli.command(cls=ToolCommand)
@_snapshot
@_namespace
@_json
@_flags
def ss(file: str | None, namespace: str | None, as_json: bool, flags: tuple[str, ...]) -> int:
    """List sockets as ss(8) does, with its flags and filters.

    On this machine, on the simulated host when it is run there, or from a saved snapshot.

    \b
      portside ss -tlnp                          who listens
      portside ss -tan state established         connections
      portside ss -tn 'sport = :80 or dport = :80' dst 10.0.0.0/8

    \b
    -t -u -w -x        TCP, UDP, raw, UNIX          -a -l -B   all, listening, only bound
    -n -r              numbers; names of hosts      -4 -6      one family
    -p -e -m -o -i     owners, details, memory, timers, the inside of TCP
    -H -O              no heading; one line each    -A -f -N   kinds, family, namespace
    """
    from portside.cli import source, views

    return views.run("ss", flags, source.Source(file, namespace), as_json=as_json)


@cli.command(cls=ToolCommand)
@_snapshot
@_namespace
@_json
@_flags
def netstat(file: str | None, namespace: str | None, as_json: bool, flags: tuple[str, ...]) -> int:
    """List sockets as netstat(8) does; --windows: as on Windows.

    On this machine, on the simulated host when it is run there, or from a saved snapshot. Every process that
    holds a socket is named, not only one.

    \b
      portside netstat -tulpn            who listens
      portside netstat -ano --windows

    \b
    -t -u -U -w -x     TCP, UDP, UDP-Lite, raw, UNIX     -a -l    all, listening
    -n                 numbers                           -4 -6    one family
    -p -e -o -W        programs, users, timers, wide     -r -i    routes, interfaces
    """
    from portside.cli import source, views

    return views.run("netstat", flags, source.Source(file, namespace), as_json=as_json)


@cli.command(cls=ToolCommand)
@_snapshot
@_namespace
@_json
@_flags
def lsof(file: str | None, namespace: str | None, as_json: bool, flags: tuple[str, ...]) -> int:
    """List the sockets that processes have open, as lsof(8) does.

    On this machine, on the simulated host when it is run there, or from a saved snapshot. Only sockets: files
    are left to lsof. Exit code 1 when nothing is found.

    \b
      portside lsof -i :80
      portside lsof -nP -iTCP -sTCP:LISTEN
      portside lsof -i 6UDP@[::1]:53 -u root -a

    \b
    -i [46][TCP|UDP][@HOST][:PORTS]   -U   internet sockets, UNIX sockets
    -s TCP:STATES   -p PIDS   -u USERS   -c COMMAND   -a (all of it must hold)
    -n -P -l        numbers for hosts, ports, users
    -t -F -R -T q   only process ids; fields; parents; queues
    """
    from portside.cli import source, views

    return views.run("lsof", flags, source.Source(file, namespace), as_json=as_json)


@cli.command(cls=ToolCommand)
@_snapshot
@_namespace
@_json
@_flags
def fuser(file: str | None, namespace: str | None, as_json: bool, flags: tuple[str, ...]) -> int:
    """Say which processes use a port or a UNIX socket, as fuser(1) does; it never kills.

    On this machine, on the simulated host when it is run there, or from a saved snapshot. Process ids go to
    standard output, the rest to standard error. Exit code 1 when nobody does.

    \b
      portside fuser 80/tcp
      portside fuser -v -n udp 53
      portside fuser 8080,10.0.0.7/tcp        connections with that peer

    \b
    -v -u     who and what; the user        -n SPACE   tcp, udp, file
    -a -s     unused ones too; silent       -4 -6      one family
    """
    from portside.cli import source, views

    return views.run("fuser", flags, source.Source(file, namespace), as_json=as_json)


@cli.command(cls=ToolCommand)
@_snapshot
@_namespace
@_flags
def ip(file: str | None, namespace: str | None, flags: tuple[str, ...]) -> int:
    """Show interfaces and their addresses, as `ip address show` does.

    \b
      portside ip addr
      portside ip -6 addr show dev eth0
    """
    from portside.cli import source, views

    return views.run("ip", flags, source.Source(file, namespace))


@cli.command()
@_namespace
@click.argument("out", default="-", metavar="[FILE]")
def snapshot(out: str, namespace: str | None) -> int:
    """Save what is true of this machine now, for the `--snapshot FILE` of the other commands, here or elsewhere.

    Sockets and who holds them, processes, interfaces, routes, the packet filter and settings, in each network
    namespace. Without FILE it goes to standard output. Command lines are part of it: mind who gets to read it.

    \b
      portside snapshot machine.json
      portside why 10.0.0.5:443 --snapshot machine.json
      ssh server portside snapshot | portside ls --snapshot -
    """
    from portside.cli import snapshot as saver
    from portside.cli import source

    return saver.run(source.Source(None, namespace), out)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each notation.")
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


@cli.command()
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
@_snapshot
@_namespace
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


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@_snapshot
@_namespace
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


@cli.command()
@click.option("-u", "--udp", is_flag=True, help="A UDP socket; TCP by default.")
@click.option("--reuseaddr", is_flag=True, help="With SO_REUSEADDR, as most servers have it.")
@click.option("--reuseport", is_flag=True, help="With SO_REUSEPORT.")
@click.option("--v6only/--no-v6only", default=None, help="With IPV6_V6ONLY on or off.")
@click.option("--freebind", is_flag=True, help="With IP_FREEBIND.")
@click.option("--device", metavar="INTERFACE", help="With SO_BINDTODEVICE.")
@click.option("--user", metavar="NAME|UID", help="Who would call; by default who asks.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@_snapshot
@_namespace
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


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@_snapshot
@_namespace
def ephemeral(as_json: bool, file: str | None, namespace: str | None) -> int:
    """Say which ports connections take by themselves, how many are left to each destination, and what would help.

    \b
    Exit codes: 0; 1 when some destination has no port left.
    """
    from portside.cli import ephemeral as counter
    from portside.cli import source

    return counter.run(source.Source(file, namespace), as_json=as_json)


@cli.command()
@click.option("-u", "--udp", is_flag=True, help="UDP ports; TCP by default.")
@click.option("--from", "first", type=click.IntRange(1, 65535), default=10000, show_default=True, help="The first.")
@click.option("--to", "last", type=click.IntRange(1, 65535), default=65535, show_default=True, help="The last.")
@_snapshot
@_namespace
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


@cli.command()
@click.option("-u", "--udp", is_flag=True, help="A UDP socket; TCP by default.")
@click.option("-t", "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="How long; for ever by default.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing.")
@_namespace
@click.argument("where", metavar="PORT|ADDRESS:PORT")
def wait(where: str, udp: bool, timeout: float | None, quiet: bool, namespace: str | None) -> int:
    """Wait until something listens on a port of this machine. It asks the kernel; nothing is connected to.

    \b
    Exit codes: 0 somebody does; 1 nobody did in time.
    """
    from portside.cli import wait as waiter

    return waiter.run(where, timeout, udp=udp, quiet=quiet, namespace=namespace)


@cli.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-t", "--timeout", type=click.FloatRange(min=0), default=10.0, show_default=True, metavar="SECONDS",
              help="How long a daemon in the background may take to listen.")
@click.option("--trace/--no-trace", default=True,
              help="Watch its bind and listen while it starts (ptrace), to say which one failed.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARGS]...")
def execute(timeout: float, trace: bool, command: tuple[str, ...]) -> int:
    """Start a server, and say where it listens, from where it can be reached and what to type.

    Its children are followed though it daemonizes. When a port is taken it says who has it. What portside
    says goes to standard error, and the exit code is the command's.

    \b
      portside exec -- python3 -m http.server 8000
    """
    from portside.cli import exec as executor

    return executor.run(command, timeout, trace=trace)


@cli.command()
@click.option("--from", "origin", metavar="NAMESPACE",
              help="Begin in this network namespace: its name or inode, a pid or a container in it.")
@click.option("-u", "--udp", is_flag=True, help="A datagram; a TCP connection by default.")
@click.option("-4", "family", flag_value=2, type=int, default=None, help="Only over IPv4.")
@click.option("-6", "family", flag_value=10, type=int, help="Only over IPv6.")
@click.option("--uid", "user", metavar="UID|NAME", help="Who connects; by default who asks.")
@click.option("--try", "really", is_flag=True, help="Also make one real attempt, and say what its end means.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@_snapshot
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


def main(arguments: Sequence[str] | None = None) -> None:
    """The `portside` command."""
    try:
        result = cli.main(arguments if arguments is None else list(arguments), "portside", standalone_mode=False)
        status = result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        status = 130
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except SystemExit as end:  # so click ends when it completes for a shell, and otherwise of EPIPE alone
        status = int(end.code or 0) if "_PORTSIDE_COMPLETE" in os.environ else PIPE
    except Exception as error:
        status = failed(error)
    leave(status)
