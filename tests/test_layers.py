"""The walls of the house stand: who may import whom, types, and style. The same checks that one runs by hand."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "portside"
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = CONFIGURATION["tool"]["importlinter"]["contracts"]

# What `lint-imports`, `mypy` and `ruff check` do when they are called in the root of the repository.
CHECKS = {
    "lint-imports": ["-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"],
    "mypy": ["-m", "mypy"],
    "ruff": ["-m", "ruff", "check"],
}


@pytest.mark.parametrize("check", CHECKS)
def test_nothing_is_found_by(check: str) -> None:
    done = subprocess.run([sys.executable, *CHECKS[check]], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_is_strict_and_sees_all_of_the_source() -> None:
    settings = CONFIGURATION["tool"]["mypy"]
    assert settings["strict"] is True
    assert settings["files"] == ["src"]


def test_every_package_has_its_layer() -> None:
    layers = next(contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")
    placed = [name.strip() for layer in layers for name in layer.split("|")]
    parts = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(placed) == sorted(f"portside.{name}" for name in parts - {"__init__", "__main__"})


def core() -> list[Path]:
    """The files below the runtime: they may not reach the real machine."""
    contract = next(contract for contract in CONTRACTS if contract["type"] == "forbidden")
    places = [SOURCE.joinpath(*name.split(".")[1:]) for name in contract["source_modules"]]
    files = [place.with_suffix(".py") if place.with_suffix(".py").exists() else place for place in places]
    return [path for place in files for path in ([place] if place.is_file() else sorted(place.rglob("*.py")))]


@pytest.mark.parametrize("path", core(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_chance_comes_from_the_seed(path: Path) -> None:
    """The core may know the class Random, whose state it is handed; not the functions that draw from a common one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert all(alias.name != "random" for alias in node.names), node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "random":
            assert [alias.name for alias in node.names] == ["Random"], node.lineno
