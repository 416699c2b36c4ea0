"""docs/why.md names each key of the JSON, each way to end, and each kind of step."""

from __future__ import annotations

import re
import socket
from functools import partial

from doc_blocks import ROOT, told

import portside
from portside import Network
from portside.explain import attempt

PAGE = (ROOT / "docs" / "why.md").read_text()
keys = partial(told, PAGE)


def answers() -> list[dict[str, object]]:
    """Of a simulated host, for every port that it asks about."""

    def program() -> list[dict[str, object]]:
        listener = socket.create_server(("127.0.0.1", 80))
        with listener:
            return [portside.why(where).json() for where in ("127.0.0.1:80", "localhost:81", "10.0.0.9:80")]

    network = Network(seed=1)
    running = network.host("host", "10.0.0.1/24").spawn(program)
    network.run()
    return running.result  # type: ignore[no-any-return]


def test_every_key_of_the_json_is_told() -> None:
    for answer in answers():
        assert set(answer) | {"tried"} == keys("## JSON")
        for each in answer["attempts"]:  # type: ignore[attr-defined]
            assert set(each) == keys("An attempt:")


def test_every_outcome_is_told() -> None:
    known = {attempt.ACCEPTED, attempt.FAILED, attempt.SILENT, attempt.BEYOND, attempt.UNKNOWN}
    assert keys("## How it may end") == known


def test_every_kind_of_step_is_told() -> None:
    (sentence,) = re.findall(r"`what` of a step is (.*?)\.\n", PAGE, re.DOTALL)
    source = "".join(path.read_text() for path in (ROOT / "src/portside/explain").glob("*.py"))
    said = re.findall(r'_say\(\s*\w+(?:\.\w+)?, "(\w+)"', source) + re.findall(r'what="(\w+)"', source)
    assert set(re.findall(r"`(\w+)`", sentence)) == set(said)
    found = {step["what"] for answer in answers() for each in answer["attempts"] for step in each["steps"]}  # type: ignore[attr-defined]
    assert {"name", "route", "delivered", "listener", "edge"} <= found <= set(said)
