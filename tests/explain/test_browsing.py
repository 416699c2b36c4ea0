"""To whom a browser can talk is told by a rule: a known program, or a port where HTTP is usual."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.explain import hand

from portside.explain.browsing import scheme_of


@pytest.mark.parametrize(
    ("where", "command", "scheme"),
    [
        *((f"0.0.0.0:{port}", "server", "http") for port in (80, 8000, 8080, 8085, 8090, 8099)),
        ("0.0.0.0:443", "nginx", "https"), ("[::]:8443", "java", "https"), ("127.0.0.1:12345", "nginx", "http"),
        ("127.0.0.1:22", "sshd", ""), ("0.0.0.0:8079", "server", ""), ("0.0.0.0:8085/udp", "nginx", ""),
        ("0.0.0.0:443/udp", "nginx", ""),
    ],
)  # fmt: skip
def test_by_port_and_by_program(where: str, command: str, scheme: str) -> None:
    assert scheme_of(hand.socket(where, pid=9, command=command)) == scheme


@pytest.mark.parametrize(
    ("arguments", "scheme"), [("-m http.server 9600", "http"), ("server.py", ""), ("-m smtpd http.server", "")]
)
def test_by_the_module_that_python_runs(arguments: str, scheme: str) -> None:
    process = replace(hand.process(9, "python3"), argv=("python3", *arguments.split()))
    assert scheme_of(hand.socket("0.0.0.0:9600", pid=9, command="python3"), (process,)) == scheme
    assert scheme_of(hand.socket("0.0.0.0:9600", pid=8, command="python3"), (process,)) == ""
