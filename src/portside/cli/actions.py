"""The commands that do something: run programs, start a server, wait for one, save a snapshot."""

from __future__ import annotations

import click

from portside.cli import options


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


@click.command(cls=RunCommand, context_settings={"allow_interspersed_args": False})
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


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "-t",
    "--timeout",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a daemon in the background may take to listen.",
)
@click.option(
    "--trace/--no-trace",
    default=True,
    help="Watch its bind and listen as it starts (ptrace), to say which one failed; not what sudo and its like start.",
)
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


@click.command()
@click.option("-u", "--udp", is_flag=True, help="A UDP socket; TCP by default.")
@click.option("-t", "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="How long; for ever by default.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing.")
@options.namespace
@click.argument("where", metavar="PORT|ADDRESS:PORT|PATH")
def wait(where: str, udp: bool, timeout: float | None, quiet: bool, namespace: str | None) -> int:
    """Wait until something listens on a port of this machine, or at a UNIX socket. Nothing is connected to.

    \b
      portside wait 8080 --timeout 30
      portside wait /run/docker.sock       @NAME: an abstract one

    \b
    Exit codes: 0 somebody does; 1 nobody did in time.
    """
    from portside.cli import wait as waiter

    return waiter.run(where, timeout, udp=udp, quiet=quiet, namespace=namespace)


@click.command()
@options.namespace
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
