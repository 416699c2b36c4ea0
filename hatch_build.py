"""The compiled build (see the README): mypyc's C, compiled twice. The second time GCC knows what ran after the first.

With a profile GCC keeps what every segment passes through together and the many ways out of it apart: an eighth of the
time of a connection. Other compilers build once.
"""

from __future__ import annotations

import os
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
        """Compile; with GCC record a profile and compile again."""
        if self.target_name != "wheel":
            return
        if not is_gcc():
            super().initialize(version, build_data)
            return
        with TemporaryDirectory() as folder:
            profile = Path(folder, "profile")
            nothing: dict[str, Any] = {"artifacts": [], "force_include": {}}
            self._compile(version, nothing, RECORD.format(profile), folder)
            train(Path(self.root))
            self._compile(version, build_data, USE.format(profile), folder)

    def _compile(self, version: str, build_data: dict[str, Any], flags: str, folder: str) -> None:
        """Compile in a folder of the same name each time: GCC finds a profile by the path of the object file."""
        objects = Path(folder, "objects")
        objects.mkdir()
        all_flags = f"{os.environ.get('CFLAGS', '')} {flags}"
        with patch.dict(os.environ, {"CFLAGS": all_flags, "HATCH_MYPYC_BUILD_DIR": str(objects)}):
            super().initialize(version, build_data)
        shutil.rmtree(objects)


def is_gcc() -> bool:
    """Whether extensions are compiled by GCC, as Python was or CC says."""
    command = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    if shutil.which(command[0]) is None:
        return False  # to be told of by who needs it
    answer = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    return "Free Software Foundation" in answer.stdout


def train(root: Path) -> None:
    """Run the programs of the training with what has been compiled."""
    paths = [str(root / "src"), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    subprocess.run([sys.executable, "-m", "benchmarks.training"], cwd=root, env=environment, check=True)
