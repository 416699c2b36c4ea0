"""Addresses, prefixes and ports as a lab writes them."""

import pytest

from portside.addr.ip import parse
from portside.lab.addresses import Assignment, assignment, ports, prefix
from portside.lab.errors import LabError


@pytest.mark.parametrize(
    ("notation", "expected"),
    [
        ("10.0.0.1/24", (parse("10.0.0.1"), 24, "eth0")),
        ("10.0.0.1", (parse("10.0.0.1"), 24, "eth0")),
        ("fd00::1", (parse("fd00::1"), 64, "eth0")),
        ("fd00::1/128@eth1", (parse("fd00::1"), 128, "eth1")),
        ("127.0.0.2/8@lo", (parse("127.0.0.2"), 8, "lo")),
    ],
)
def test_assignments(notation, expected):
    assert assignment(notation) == Assignment(*expected)


@pytest.mark.parametrize(
    ("notation", "words"),
    [
        ("10.0.0.300/24", "10.0.0.300"),
        ("10.0.0.1/33", "0 to 32"),
        ("fd00::1/129", "0 to 128"),
        ("10.0.0.1/", "prefix length"),
        ("10.0.0.1@", "name of an interface"),
        ("10.0.0.1@a-name-that-is-too-long", "name of an interface"),
        ("eth0", "not an IP address"),
        ("0.0.0.0/0", "no address that an interface can have"),
        ("224.0.0.1/24", "no address that an interface can have"),
    ],
)
def test_what_is_wrong_with_an_assignment(notation, words):
    with pytest.raises(LabError, match=words):
        assignment(notation)


def test_prefixes():
    assert prefix("10.0.0.0/8") == (parse("10.0.0.0"), 8)
    assert prefix("10.0.0.1") == (parse("10.0.0.1"), 32)
    assert prefix("fd00::/16") == (parse("fd00::"), 16)
    with pytest.raises(LabError, match="bits are set beyond"):
        prefix("10.0.0.1/8")


def test_ports():
    assert ports(80) == ((80, 80),)
    assert ports("80-90") == ((80, 90),)
    assert ports([80, "443"]) == ((80, 80), (443, 443))
    for wrong in ("http", 65536, "90-80", -1):
        with pytest.raises(LabError, match="no port"):
            ports(wrong)
