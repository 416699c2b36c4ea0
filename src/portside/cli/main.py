"""The command line: what is asked for is found out here, and imported only then."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from portside import __version__
from portside.cli import actions, questions, tools
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
        status: int = ctx.invoke(questions.ls, as_json=as_json)
        return status
    if as_json:
        raise click.UsageError(f"--json stands after the command: portside {ctx.invoked_subcommand} --json")
    return None


for _command in (
    actions.run, actions.execute, actions.wait, actions.snapshot,
    questions.ls, questions.who, questions.why, questions.bind, questions.ephemeral, questions.free, questions.explain,
    tools.ss, tools.netstat, tools.lsof, tools.fuser, tools.ip,
):  # fmt: skip
    cli.add_command(_command)


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
