"""Libraries from PyPI, as they are: server and client of each, on a simulated host.

`pip install -r tests/libraries/requirements.txt` installs them. gunicorn is not among them: it forks its workers.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"

# What each prints under python3 on the real machine.
EXPECTED = {
    "requests_and_http_server": "b'hello /x'\n['hello /0', 'hello /1', 'hello /2']\n",
    "aiohttp_server_and_client": "200 {'path': '/a'}\nHI\n",
    "httpx_uvicorn_starlette": "{'a': '1'}\n[{'i': '0'}, {'i': '1'}, {'i': '2'}]\n",
    "flask_threaded": (
        "{'data': '', 'method': 'GET', 'name': 'x'}\n{'data': 'abc', 'method': 'POST', 'name': 'y'}\n"
    ),
    "django_threaded": "{'name': 'abc'}\n",
    "websockets_both_kinds": "olleh\nabab\n",
    "tornado_server_and_client": "b'{\"path\": \"/z\"}'\n",
    "twisted_lines": "b'olleh'\nConnectionDone\n",
    "trio_streams": "b'ABC'\n",
    "redis_and_a_small_server": "b'1' None True\n",
    "paramiko_server_and_client": "b'ran ls' 3\n",
    "asyncssh_server_and_client": "ran ls 4\n",
    "dnspython_over_udp": "10.1.2.3\n",
}
MODULES = {"dnspython": "dns"}


def test_each_program_is_run():
    assert {path.stem for path in PROGRAMS.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_it_runs_as_on_the_real_machine(name):
    library = name.partition("_")[0]
    pytest.importorskip(
        MODULES.get(library, library), reason=f"{library} is not installed: tests/libraries/requirements.txt"
    )
    done = subprocess.run(
        [sys.executable, "-m", "portside", "run", PROGRAMS / f"{name}.py"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, EXPECTED[name], "")
