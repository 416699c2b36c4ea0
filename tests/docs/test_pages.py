"""Every page of the documentation does what it says: its programs run, its consoles show what comes out."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from doc_blocks import PAGES, ROOT, Block, of_language, run, shell, typed

FILES = [block for block in of_language("python") if block.file_name]
PROGRAMS = [block for block in of_language("python") if not block.file_name]
CONSOLES = of_language("console")


def write_files(page: Path, where: Path) -> None:
    """The files that a page has the reader write."""
    for block in FILES:
        if block.page == page:
            (where / block.file_name).write_text(block.text)


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_programs_run(block: Block, tmp_path: Path) -> None:
    write_files(block.page, tmp_path)
    (tmp_path / "program.py").write_text(block.text)
    done = run([sys.executable, "program.py"], tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("block", CONSOLES, ids=str)
def test_consoles_show_what_comes_out(block: Block) -> None:
    commands = typed(block)
    assert commands
    for command, shown in commands:
        assert shell(command).stdout == shown, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    """A path in code type, as `tcp/states.py` or `tests/tcp/`, is one of the source, or of the repository."""
    for name in re.findall(r"`((?:[\w-]+/)+[\w-]*(?:\.py|\.md|\.toml)?)`", page.read_text()):
        assert (ROOT / name).exists() or (ROOT / "src" / "portside" / name).exists(), name
