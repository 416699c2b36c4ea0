"""The compiled build (see the README): mypyc's C, compiled twice. The second time GCC knows what ran after the first.

With a profile GCC keeps what every segment passes through together and the many ways out of it apart: an eighth of the
time of a connection. Other compilers build once.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from hatch_mypyc import plugin

RECORD = "-fprofile-generate={} -fprofile-update=single"
# Partial training: what the programs of the training do not come by is compiled as if there were no profile.
USE = "-fprofile-use={} -fprofile-partial-training -fprofile-correction -Wno-missing-profile"


class ProfiledBuildHook(plugin.MypycBuildHook):
    """hatch-mypyc with a profile of `benchmarks/training.py`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; with GCC record a profile and compile again. What a failure leaves in the tree is removed.

        Python would import it from there, and what records a profile writes one whenever a program ends.
        """
        if self.target_name != "wheel":
            return
        try:
            if can_profile():
                self._compile_twice(version, build_data)
            else:
                self.app.display_warning("compiled once: this compiler records no profile as GCC does")
                super().initialize(version, build_data)
        except BaseException:
            self.clean([version])
            raise

    def _compile_twice(self, version: str, build_data: dict[str, Any]) -> None:
        with TemporaryDirectory() as folder:
            profile = Path(folder, "profile")
            path = shlex.quote(str(profile))
            nothing: dict[str, Any] = {"artifacts": [], "force_include": {}}
            self._compile(version, nothing, RECORD.format(path), folder)
            train(Path(self.root))
            if not any(profile.rglob("*.gcda")):
                raise RuntimeError(
                    f"no profile in {profile}: the programs of the training did not run what was compiled"
                )
            self._compile(version, build_data, USE.format(path), folder)

    def _compile(self, version: str, build_data: dict[str, Any], flags: str, folder: str) -> None:
        """Compile in a folder of the same name each time: GCC finds a profile by the path of the object file."""
        objects = Path(folder, "objects")
        objects.mkdir()
        all_flags = f"{os.environ.get('CFLAGS', '')} {flags}"
        with patch.dict(os.environ, {"CFLAGS": all_flags, "HATCH_MYPYC_BUILD_DIR": str(objects)}):
            super().initialize(version, build_data)
        shutil.rmtree(objects)


def can_profile() -> bool:
    """Whether extensions are compiled by GCC, as Python was or CC says, and it has what records a profile (libgcov)."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(command[0]) is None:
        return False  # to be told of by who needs it
    answer = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    if "Free Software Foundation" not in answer.stdout:
        return False
    with TemporaryDirectory() as folder:
        flags = shlex.split(RECORD.format(shlex.quote(folder)))
        link = [*command, *flags, "-shared", "-fPIC", "-x", "c", "-", "-o", str(Path(folder, "tried.so"))]
        tried = subprocess.run(link, input="int tried;", capture_output=True, text=True, check=False)
    return tried.returncode == 0


def train(root: Path) -> None:
    """Run the programs of the training with what has been compiled."""
    paths = [str(root / "src"), str(root), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    subprocess.run([sys.executable, "-m", "benchmarks.training"], cwd=root, env=environment, check=True)
