"""The hook of the compiled build: what it does with each compiler, and what it leaves when it fails.

What compiles stands aside here: it notes the flags that it is given.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]


class Compiling:
    """Stands for hatch-mypyc's hook."""

    target_name = "wheel"
    failing = 0  # which of the compilations fails

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.flags: list[list[str]] = []
        self.said: list[str] = []
        self.cleaned = False
        self.app = SimpleNamespace(display_warning=self.said.append)

    def initialize(self, version, build_data):
        self.flags.append(shlex.split(os.environ.get("CFLAGS", "")))
        if len(self.flags) == self.failing:
            raise Exception("Error while invoking Mypyc")
        build_data["artifacts"].append("compiled")

    def clean(self, versions):
        self.cleaned = True


@pytest.fixture
def module(monkeypatch):
    """hatch_build.py, with a hook of hatch-mypyc that compiles nothing, and CFLAGS of the caller's."""
    package, plugin = ModuleType("hatch_mypyc"), ModuleType("hatch_mypyc.plugin")
    package.plugin, plugin.MypycBuildHook = plugin, Compiling
    monkeypatch.setitem(sys.modules, "hatch_mypyc", package)
    monkeypatch.setitem(sys.modules, "hatch_mypyc.plugin", plugin)
    monkeypatch.setenv("CFLAGS", "-O1")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def build(module, monkeypatch, tmp_path):
    """Build with a compiler that can or can't, and programs that leave a profile or none: the hook and its data."""

    def run(*, can: bool = True, trained: bool = True, failing: int = 0):
        hook = module.ProfiledBuildHook(tmp_path)
        hook.failing = failing

        def train(root):
            (where,) = (flag.partition("=")[2] for flag in hook.flags[0] if flag.startswith("-fprofile-generate"))
            if trained:
                Path(where).mkdir()
                Path(where, "one.gcda").touch()

        monkeypatch.setattr(module, "can_profile", lambda: can)
        monkeypatch.setattr(module, "train", train)
        data = {"artifacts": [], "force_include": {}}
        try:
            hook.initialize("standard", data)
        except Exception as error:
            return hook, data, error
        return hook, data, None

    return run


def compiler(folder: Path, version: str, body: str) -> str:
    """A compiler that says of itself what it is, and else runs a line of shell."""
    path = folder / "a compiler"
    path.write_text(f'#!/bin/sh\ncase "$*" in *--version*) echo "{version}"; exit;; esac\n{body}\n')
    path.chmod(0o755)
    return shlex.quote(str(path))


FREE = "gcc 14.2.0, Copyright (C) 2024 Free Software Foundation, Inc."


@pytest.mark.parametrize(
    ("version", "body", "can"),
    [
        (FREE, "exit 0", True),
        (FREE, "echo cannot find -lgcov >&2; exit 1", False),
        ("clang version 19.1", "exit 0", False),
    ],
)
def test_a_profile_is_recorded_by_gcc_that_has_what_it_takes(module, monkeypatch, tmp_path, version, body, can):
    monkeypatch.setenv("CC", compiler(tmp_path, version, body))
    assert module.can_profile() is can


def test_a_compiler_that_is_not_there_records_no_profile(module, monkeypatch):
    monkeypatch.setenv("CC", "/nowhere/cc -pthread")
    assert not module.can_profile()


def test_with_a_profile_it_is_compiled_twice(build, tmp_path, monkeypatch):
    spaced = tmp_path / "a folder"
    spaced.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spaced))
    hook, data, error = build()
    assert error is None
    first, second = hook.flags
    assert first[0] == second[0] == "-O1"
    assert first[1].startswith(f"-fprofile-generate={spaced}")
    assert second[1] == first[1].replace("generate", "use")
    assert (data["artifacts"], hook.said, hook.cleaned) == (["compiled"], [], False)
    assert os.environ["CFLAGS"] == "-O1"
    assert not any(spaced.iterdir())


def test_without_one_it_is_compiled_once_and_that_is_said(build):
    hook, data, error = build(can=False)
    assert (error, hook.flags, data["artifacts"]) == (None, [["-O1"]], ["compiled"])
    assert "once" in hook.said[0]


def test_a_training_that_did_not_run_what_was_compiled_is_no_training(build):
    hook, _, error = build(trained=False)
    assert "did not run what was compiled" in str(error)
    assert (len(hook.flags), hook.cleaned) == (1, True)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failure_leaves_nothing_in_the_tree(build, failing):
    hook, data, error = build(failing=failing)
    assert "Mypyc" in str(error)
    assert (hook.cleaned, data["artifacts"]) == (True, [])


def test_what_is_no_wheel_is_not_compiled(build, monkeypatch):
    monkeypatch.setattr(Compiling, "target_name", "sdist")
    hook, _, _ = build()
    assert hook.flags == []
