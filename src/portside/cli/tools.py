"""The commands that are tools people know: ss, netstat, lsof, fuser, ip. What they do is in `views.py`."""

from __future__ import annotations

import click

from portside.cli import options


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


@click.command(cls=ToolCommand)
@options.snapshot
@options.namespace
@options.json
@options.flags
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


@click.command(cls=ToolCommand)
@options.snapshot
@options.namespace
@options.json
@options.flags
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


@click.command(cls=ToolCommand)
@options.snapshot
@options.namespace
@options.json
@options.flags
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


@click.command(cls=ToolCommand)
@options.snapshot
@options.namespace
@options.json
@options.flags
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


@click.command(cls=ToolCommand)
@options.snapshot
@options.namespace
@options.flags
def ip(file: str | None, namespace: str | None, flags: tuple[str, ...]) -> int:
    """Show interfaces and their addresses, as `ip address show` does.

    \b
      portside ip addr
      portside ip -6 addr show dev eth0
    """
    from portside.cli import source, views

    return views.run("ip", flags, source.Source(file, namespace))
