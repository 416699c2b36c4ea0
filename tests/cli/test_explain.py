"""`portside explain` as its users see it."""

from __future__ import annotations

import json

import pytest

from portside.cli.main import cli


def portside(*arguments: str) -> int:
    return cli.main(list(arguments), "portside", standalone_mode=False)


@pytest.mark.scenario("C1")
def test_a_sentence_for_each_notation(capsys: pytest.CaptureFixture[str]) -> None:
    assert portside("explain", "127.0.0.1:80", "unix:/run/x.sock") == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.startswith("Port 80 (http) of 127.0.0.1")
    assert second == "The Unix domain socket at the path /run/x.sock: programs of this machine only.\n"


@pytest.mark.scenario("C1")
def test_what_is_wrong_is_told_on_standard_error_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert portside("explain", "[::1:80") == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("This means nothing:\n  [::1:80\n")


def test_what_is_wrong_among_several_stands_in_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert portside("explain", ":22", "[::1:80", "127.0.0.1:80", "") == 2
    told = capsys.readouterr()
    first, second, third, fourth = told.out.split("\n\n")
    assert first.startswith("Port 22 (ssh) of every address")
    assert second.startswith("This means nothing:\n  [::1:80\n")
    assert third.startswith("Port 80 (http) of 127.0.0.1")
    assert fourth == "This means nothing: nothing is written.\n"
    assert told.err == ""


def test_json_is_one_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert portside("explain", "--json", ":22", "nonsense:", "\udcff") == 2
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["understood"] for each in answers] == [True, False, False]
    assert answers[2]["notation"] == "\udcff"
