"""Libraries from PyPI, as they are: server and client of each, on a simulated host.

`pip install -r tests/libraries/requirements.txt` installs them. Each that has TLS runs with it too, against the
certificates of tests/runtime: Django's server has none, and paramiko and asyncssh have a protocol of their own.
gunicorn forks its workers, which a simulated process cannot.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.libraries.needed import skip_without

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
    "sqlalchemy_asyncio": "b'hello'\n[1, 2, 3] True\n",
    "requests_and_http_server_tls": (
        "b'TLSv1.3 hello client'\nself-signed certificate in certificate chain\n"
        "['TLSv1.3 hello client', 'TLSv1.3 hello client']\nTrue\n"
    ),
    "aiohttp_tls": "200 {'scheme': 'https', 'length': 200000}\nHI\nunable to get local issuer certificate\n",
    "httpx_uvicorn_starlette_tls": "{'scheme': 'https', 'a': '1'}\nTrue\n['0', '1', '2']\n",
    "flask_tls": (
        "{'length': 0, 'name': 'x', 'scheme': 'https'}\n{'length': 100000, 'name': 'y', 'scheme': 'https'}\n"
    ),
    "websockets_tls": "olleh\nunable to get local issuer certificate\nabab\n",
    "tornado_tls": (
        'b\'{"protocol": "https", "length": 100000}\'\nunable to get local issuer certificate\nb\'line\\n\'\n'
    ),
    "twisted_tls": "b'olleh'\nConnectionDone\nError\nb'go ahead'\nb'secret word'\nConnectionDone\n",
    "trio_tls": "b'ABC'\nunable to get local issuer certificate\n",
    "redis_tls": (
        "100000 None\nError 1 connecting to localhost:6379. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
        "failed: unable to get local issuer certificate\n[b'2', b'2', b'2']\n"
    ),
    "dnspython_tls": "100\n10.1.0.99\n",
}
MODULES = {"dnspython": "dns"}
TODAY = "2026-01-01T00:00:00Z"  # urllib3 warns of clocks that are years behind its release


def run(*arguments: object, **keywords: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "portside", "run", "--start", TODAY, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, **keywords,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_each_program_is_run():
    assert {path.stem for path in PROGRAMS.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_it_runs_as_on_the_real_machine(name):
    library = name.partition("_")[0]
    skip_without(MODULES.get(library, library))
    assert run(PROGRAMS / f"{name}.py") == (0, EXPECTED[name], "")


def test_gunicorn_says_what_it_calls_and_what_to_do_instead(tmp_path):
    skip_without("gunicorn")
    (tmp_path / "app.py").write_text("def app(environ, start_response): ...\n")
    code, _, err = run("-m", "gunicorn", "app:app", cwd=tmp_path)
    assert code == 255
    assert "[INFO] Listening at: http://127.0.0.1:8000 (100)" in err
    assert "EscapeError: [Errno 1] os.fork would leave the simulated world: " in err.splitlines()[-1]
    assert "serve from one process, without workers" in err.splitlines()[-1]
