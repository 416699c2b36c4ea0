"""Lines with the host's name before them, as they come."""

from io import StringIO

import pytest

from portside.lab.output import Output


class Terminal(StringIO):
    def isatty(self):
        return True


@pytest.fixture
def streams():
    return StringIO(), StringIO()


def test_one_host_has_no_prefix_and_text_appears_at_once(streams):
    output = Output(*streams)
    output.hosts(["alpha"])
    output.write("alpha", "program", "stdout", b"name? ")
    assert streams[0].getvalue() == "name? "


def test_several_hosts_have_prefixes_of_one_width_before_whole_lines(streams):
    output = Output(*streams)
    output.hosts(["a", "gamma"])
    output.write("a", "program", "stdout", b"one\ntw")
    output.write("gamma", "program", "stdout", b"three\n")
    output.write("a", "program", "stdout", b"o\n\n")
    assert streams[0].getvalue() == "a     | one\ngamma | three\na     | two\na     | \n"


def test_what_has_no_newline_appears_when_the_program_ends(streams):
    output = Output(*streams)
    output.hosts(["a", "b"])
    output.write("a", "program", "stdout", b"rest")
    output.write("a", "program", "stderr", b"error")
    output.end("a", "other")
    assert streams[0].getvalue() == ""
    output.end("a", "program")
    assert streams[0].getvalue() == "a | rest\n"
    assert streams[1].getvalue() == "a | error\n"


def test_two_programs_of_one_host_do_not_mix_their_lines(streams):
    output = Output(*streams)
    output.hosts(["a", "b"])
    output.write("a", 1, "stdout", b"o")
    output.write("a", 2, "stdout", b"two\n")
    output.write("a", 1, "stdout", b"ne\n")
    assert streams[0].getvalue() == "a | two\na | one\n"


def test_colour_only_on_a_terminal():
    terminal, file = Terminal(), StringIO()
    output = Output(terminal, file)
    output.hosts(["a", "b"])
    output.write("b", 1, "stdout", b"x\n")
    output.write("b", 1, "stderr", b"x\n")
    assert terminal.getvalue() == "\x1b[33mb | \x1b[0mx\n"
    assert file.getvalue() == "b | x\n"


@pytest.mark.parametrize("cut", range(1, 10))
def test_characters_that_come_in_pieces_are_not_broken(streams, cut):
    data = "aé€\U0001f600".encode()
    output = Output(*streams)
    output.write("a", 1, "stdout", data[:cut])
    output.write("a", 1, "stdout", data[cut:])
    assert streams[0].getvalue() == "aé€\U0001f600"


def test_what_is_no_text_is_shown_as_such(streams):
    output = Output(*streams)
    output.write("a", 1, "stdout", b"\xff\x80x")
    assert streams[0].getvalue() == "��x"


def test_what_goes_to_a_stream_that_is_closed_is_lost(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    stream = StringIO()
    output = Output(stderr=stream)
    output.hosts(["a", "b"])
    for name in ("stdout", "stderr"):
        output.write("a", "program", name, name.encode())
    output.end("a", "program")
    assert stream.getvalue() == "a | stderr\n"
