"""Predicted against a real bind and listen, in namespaces of the test's own: a few hundred cases of `bind_deep`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = 20000 if os.environ.get("PORTSIDE_DEEP") else 500
SEED = os.environ.get("PORTSIDE_SEED", "1")


@pytest.mark.linux
@pytest.mark.scenario("E1")
@pytest.mark.scenario("A6")
def test_what_is_predicted_comes_true() -> None:
    command = [sys.executable, "-m", "tests.explain.bind_deep", "--cases", str(CASES), "--seed", SEED]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    if "unavailable" in told:
        pytest.skip(f"no network namespace can be had: {told['unavailable']}")
    assert told["wrong"] == 0, told["first"]
    assert told["cases"] > CASES / 2
    assert told["uncertain"] < told["cases"] / 20
    assert told["bind EADDRINUSE"] > 20
