"""The README, word for word: its program, its test of it, its two commands, its consoles."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from doc_blocks import README, ROOT, Block, blocks, run, shell

BLOCKS = blocks(README)
INSTALL = "python3 -m venv .venv && .venv/bin/pip install -q "


def marked(mark: str) -> Block:
    """The block below `<!-- mark -->`."""
    (found,) = [block for block in BLOCKS if block.mark == mark]
    assert found.language == "sh"
    assert found.text.count("\n") == 1, "one line, to be copied"
    return found


def test_the_readers_program_passes_the_readers_test(tmp_path: Path) -> None:
    files = [block for block in BLOCKS if block.file_name]
    assert [block.file_name for block in files] == ["server.py", "test_server.py"]
    for block in files:
        (tmp_path / block.file_name).write_text(block.text)
    assert "portside" not in (tmp_path / "server.py").read_text()
    done = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=."], tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_first_command_runs_the_example() -> None:
    command = marked("run").text
    assert command.startswith(f"{INSTALL}. && ")
    program = command.removeprefix(f"{INSTALL}. && ").replace(".venv/bin/portside ", "portside ")
    assert program == "portside run examples/echo.toml\n"
    done = shell(program)
    assert done.returncode == 0, done.stdout
    assert "laptop | echo of 100000 bytes is the same: True\n" in done.stdout


def test_the_first_command_installs_what_the_command_needs() -> None:
    """`pip install .` gives `.venv/bin/portside`, and everything in `examples` needs no more than that."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"]["portside"] == "portside.cli.start:main"


def test_ci_runs_the_second_command_and_the_compiled_build() -> None:
    assert marked("tests").text == f"{INSTALL}-e '.[test]' && .venv/bin/python -m pytest\n"
    script = (ROOT / ".ci" / "run").read_text()
    (extraction,) = re.findall(r'^ *command="\$\((sed .*)\)"$', script, re.MULTILINE)
    assert 'bash -euo pipefail -c "$command"' in script
    asked = re.findall(r"^ *from_readme (\w+)$", script, re.MULTILINE)
    assert asked == ["tests", "compiled"]
    for mark in asked:
        assert shell(f"set -- {mark}; {extraction}").stdout == marked(mark).text
