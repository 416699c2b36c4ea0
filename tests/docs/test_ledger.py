"""The ledger of RFC 9293's requirements is complete, and what it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from doc_blocks import ROOT

LEDGER = ROOT / "docs" / "rfc9293.md"

# Appendix B of RFC 9293: MUST-1 to MUST-69, SHLD-1 to SHLD-31, MAY-1 to MAY-18, REC-1.
LAST = {"MUST": 69, "SHLD": 31, "MAY": 18, "REC": 1}


class Row(NamedTuple):
    """One requirement."""

    number: str
    requirement: str
    code: list[str]
    tests: list[str]
    remark: str


def rows() -> list[Row]:
    """The rows of the ledger's tables."""
    found = []
    for line in LEDGER.read_text().splitlines():
        if re.match(r"\| (?:MUST|SHLD|MAY|REC)-\d", line):
            number, requirement, code, tests, remark = (cell.strip() for cell in line.strip("|").split("|"))
            names = [re.findall("`([^`]+)`", cell) for cell in (code, tests)]
            found.append(Row(number, requirement, *names, remark))
    return found


ROWS = rows()


@cache
def functions(path: Path) -> set[str]:
    """The names of all functions and methods in a file."""
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_each_requirement_stands_there_once() -> None:
    expected = {f"{kind}-{number}" for kind, last in LAST.items() for number in range(1, last + 1)}
    numbers = [row.number for row in ROWS]
    assert sorted(numbers) == sorted(expected)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
def test_a_row_has_code_and_a_test_or_a_reason(row: Row) -> None:
    assert row.requirement
    assert (row.code and row.tests) or (not row.code and not row.tests and row.remark)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
def test_what_a_row_names_is_there(row: Row) -> None:
    for reference in row.code:
        path, name = reference.split(":")
        assert name in functions(ROOT / "src" / "portside" / path), reference
    for reference in row.tests:
        path, name = reference.split(":", 1)
        if path.endswith(".txt"):
            assert re.search(rf"^== {re.escape(name)}\b", (ROOT / "tests" / path).read_text(), re.MULTILINE), reference
        else:
            assert name.startswith("test_")
            assert name in functions(ROOT / "tests" / path), reference


def test_tests_that_name_a_requirement_are_in_its_row() -> None:
    """`tests/tcp/test_requirements.py` says in each docstring which requirements it shows."""
    path = "tcp/test_requirements.py"
    shown = {row.number: row.tests for row in ROWS}
    for node in ast.parse((ROOT / "tests" / path).read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            numbers = re.findall(r"(?:MUST|SHLD|MAY|REC)-\d+", ast.get_docstring(node) or "")
            assert numbers, node.name
            for number in numbers:
                assert f"{path}:{node.name}" in shown[number], (number, node.name)
