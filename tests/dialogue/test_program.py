"""The harness itself: reading dialogues, symbols for ports, the nearest transcript, the shortest program."""

from __future__ import annotations

import pytest
from tests.dialogue.compare import Crash, compare, shorter
from tests.dialogue.interpreter import spelled, told_data
from tests.dialogue.program import Program, first_difference, normalise, side_by_side

TEXT = """
address 10.0.0.1/24@eth0
set ipv4/ip_local_port_range 40000,40001
socket a tcp4   # a comment
bind a 127.0.0.1 8080
"""


def test_a_program_is_read_and_written_in_one_form() -> None:
    program = Program.parse(TEXT)
    assert program.calls == (("socket", "a", "tcp4"), ("bind", "a", "127.0.0.1", 8080))
    assert program.addresses == ("10.0.0.1/24@eth0",)
    assert program.sysctls == (("ipv4/ip_local_port_range", "40000,40001"),)
    assert Program.parse(str(program)) == program


def test_ports_left_to_chance_get_symbols_in_the_order_in_which_they_appear() -> None:
    program = Program.parse("bind a 127.0.0.1 8080\ngetsockname b\nbind c ::1 0\ngetsockname d")
    answers = [
        "ok <127.0.0.1 8080 t>", "<127.0.0.1 40001 t> from <127.0.0.1 50000 t>", "ok <::1 40000 u>",
        "<fe80::1 40001 t flow 0 scope 2>",
    ]  # fmt: skip
    assert normalise(program, answers) == [
        "ok 127.0.0.1:8080", "127.0.0.1:P1odd from 127.0.0.1:P2even", "ok [::1]:P3", "[fe80::1]:P1odd scope 2",
    ]  # fmt: skip


def test_a_port_out_of_the_range_is_told_apart() -> None:
    assert normalise(Program.parse("getsockname a"), ["<127.0.0.1 1024 t>"]) == ["127.0.0.1:P1even(out of range)"]


def test_rows_of_tables_are_in_an_order_of_their_own() -> None:
    program = Program.parse("states")
    one = "\n<1.1.1.1 40000 t> x\n<1.1.1.1 50001 t> y"
    other = "\n<1.1.1.1 40001 t> y\n<1.1.1.1 50000 t> x"
    assert normalise(program, [one]) == normalise(program, [other])


def test_a_difference_is_found_and_shown() -> None:
    program = Program.parse("socket a tcp4\nlisten a 1")
    assert first_difference(program, ["ok", "ok"], ["ok", "EINVAL"]) == ("listen", "ok", "EINVAL")
    assert "--> listen a 1" in side_by_side(program, ["ok", "ok"], ["ok", "EINVAL"])


def test_what_chance_explains_is_no_difference() -> None:
    program = Program.parse("recv a 1\nrecv b 1")
    by_chance = iter([["EAGAIN", "'x'"], ["'x'", "EAGAIN"]])
    assert compare(program, lambda _: next(by_chance), lambda _: ["'x'", "EAGAIN"]) is None
    difference = compare(program, lambda _: ["EAGAIN", "'x'"], lambda _: ["'x'", "'x'"])
    assert difference is not None
    assert difference.bucket == "recv: EAGAIN | DATA"


def test_a_simulation_that_breaks_is_a_difference() -> None:
    def breaks(program: Program) -> list[str]:
        raise Crash("AssertionError: the window went backwards")

    difference = compare(Program.parse("recv a 1"), lambda _: ["EAGAIN"], breaks)
    assert difference is not None
    assert "the window went backwards" in difference.bucket


def test_a_program_is_made_as_short_as_it_can_be() -> None:
    program = Program.parse("\n".join(f"recv a {number}" for number in range(20)))
    short = shorter(program, lambda other: ("recv", "a", 3) in other.calls and ("recv", "a", 17) in other.calls)
    assert short.calls == (("recv", "a", 3), ("recv", "a", 17))


@pytest.mark.parametrize(
    ("word", "data", "told"),
    [("-", b"", "''"), ("x*10", b"x" * 10, "' x*10 '"), ("hello", b"hello", "'hello'"), (7, b"7", "'7'")],
)
def test_data_in_few_words(word: str | int, data: bytes, told: str) -> None:
    assert spelled(word) == data
    assert told_data(data) == told
