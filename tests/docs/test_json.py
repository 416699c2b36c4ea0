"""docs/json.md names each key of the answers."""

from __future__ import annotations

import json
import socket
from functools import partial
from typing import Any

import pytest
from doc_blocks import ROOT, told

from portside import Network
from portside.cli import start

keys = partial(told, (ROOT / "docs" / "json.md").read_text())

Answers = dict[str, Any]


@pytest.fixture(scope="module")
def answers() -> Answers:
    """What the commands print of a simulated host, by their words."""
    asked = ("who 80", "who @name", "bind 127.0.0.1:80", "bind :81", "explain :80", "explain [::1", "ephemeral")

    def server() -> None:
        tcp, unix = socket.create_server(("127.0.0.1", 80)), socket.socket(socket.AF_UNIX)
        unix.bind("\0name")
        unix.listen()
        client = socket.create_connection(("127.0.0.1", 80))
        accepted, _ = tcp.accept()
        client.close()
        accepted.recv(1)
        tcp.accept()  # it stays

    network = Network(seed=1)
    host = network.host("host", "10.0.0.1/24")
    host.spawn(server, background=True)
    running = {words: host.spawn(start.main, [*words.split(), "--json"], start=1) for words in asked}
    network.run(check=False)  # to fail is an answer, too
    return {words: json.loads(program.output) for words, program in running.items()}


def test_who(answers: Answers) -> None:
    (tcp, *_), (unix,) = (answers[words]["sockets"] for words in ("who 80", "who @name"))
    assert set(answers["who 80"]) == keys("## `portside who`")
    assert set(tcp) | set(unix) == keys("A socket:")
    assert set(tcp) - set(unix) == {"address", "port", "peer"}
    assert set(unix) - set(tcp) == {"type"}
    for each in (tcp, unix):
        assert set(each["owners"][0]) == keys("An owner:")


def test_bind(answers: Answers) -> None:
    for words in ("bind 127.0.0.1:80", "bind :81"):
        assert set(answers[words]) == keys("## `portside bind`")
        for each in answers[words]["answers"]:
            assert set(each) == keys("An answer:")
    (taken,) = answers["bind 127.0.0.1:80"]["answers"]
    assert set(taken["in_way"][0]) == keys("A socket of `in_way`")


def test_explain(answers: Answers) -> None:
    assert set(answers["explain :80"]) | set(answers["explain [::1"]) == keys("## `portside explain`")
    assert set(answers["explain :80"]["readings"][0]) == keys("A reading:")


def test_ephemeral(answers: Answers) -> None:
    assert set(answers["ephemeral"]) == keys("## `portside ephemeral`")
    (way,) = answers["ephemeral"]["destinations"]
    assert set(way) == keys("A destination:")
    assert set(way["remedies"][0]) == {"name", "gain", "sentence"}
