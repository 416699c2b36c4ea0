"""What a notation means: a sentence, the other reading where there is one, or where and why it is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.explain.notation import explain

# Scenario C1, every form, and how its first line begins.
FORMS = [
    ("127.0.0.1:80", "Port 80 (http) of 127.0.0.1, an IPv4 loopback address"),
    ("192.168.0.10:8080", "Port 8080 (http-alt) of 192.168.0.10, an IPv4 private address"),
    ("0.0.0.0:22", "Port 22 (ssh) of every IPv4 address of the machine."),
    ("[::1]:8080", "Port 8080 (http-alt) of ::1, an IPv6 loopback address"),
    ("[::]:22", "Port 22 (ssh) of every IPv6 address of the machine, and every IPv4 one too unless"),
    ("[2607:fb90:1788:efbd:d3f9:555:4ddb:c8ed]:35871", "Port 35871 of 2607:fb90:1788:efbd:d3f9:555:4ddb:c8ed"),
    ("localhost:8080", "Port 8080 (http-alt) of the machine itself by the name localhost"),
    (":22", "Port 22 (ssh) of every address of the machine, IPv6 and IPv4"),
    ("*:22", "Port 22 (ssh) of every address of the machine, IPv6 and IPv4."),
    ("[fe80::1%eth0]:80", "Port 80 (http) of fe80::1, an IPv6 link-local address"),
    ("tcp://0.0.0.0:2375", "TCP port 2375 (docker) of every IPv4 address of the machine."),
    ("http://[::1]/", "TCP port 80 (http) of ::1, an IPv6 loopback address"),
    ("unix:/run/x.sock", "The Unix domain socket at the path /run/x.sock"),
    ("8080", "Port 8080 (http-alt) on a host that is not said."),
    ("localhost", "The machine itself by the name localhost"),
    ("udp/53", "UDP port 53 (domain) on a host that is not said."),
    ("tcp/127.0.0.1:80", "TCP port 80 (http) of 127.0.0.1"),
    ("::", "Every IPv6 address of the machine, and every IPv4 one too unless the socket is v6-only (no port is said)."),
    ("0.0.0.0", "Every IPv4 address of the machine (no port is said)."),
]


@pytest.mark.scenario("C1")
@pytest.mark.parametrize(("notation", "beginning"), FORMS)
def test_each_form_is_a_sentence(notation: str, beginning: str) -> None:
    explained = explain(notation)
    assert explained.understood
    assert not explained.ambiguous
    assert explained.lines[0].startswith(beginning)
    assert explained.lines[0].endswith(".")


@pytest.mark.scenario("C1")
@pytest.mark.parametrize(
    ("notation", "readings", "last"),
    [
        ("::1:8080", ["[::1:8080]", "[::1]:8080"], "brackets leave no doubt: [::1]:8080"),
        (":::22", ["[::]:22", "[::22]"], "brackets leave no doubt: [::]:22"),
        ("ssh", ["ssh", ":22"], "Where a host is expected it is the first, where a port is expected the second."),
        ("010.0.0.1:80", ["8.0.0.1:80", "10.0.0.1:80"], "a leading 0 means octal); many others the second way."),
    ],
)
def test_what_is_ambiguous_says_so_and_gives_both_readings(notation: str, readings: list[str], last: str) -> None:
    explained = explain(notation)
    assert explained.lines[0] == f"{notation} is ambiguous:"
    assert [
        line.strip().split(": ")[0] for line in explained.lines if line[:3].strip() and line[:2] == "  "
    ] == readings
    assert explained.lines[-1].endswith(last)


@pytest.mark.scenario("C1")
@pytest.mark.parametrize(
    ("notation", "lines"),
    [
        ("256.1.1.1:80", ("This means nothing:", "  256.1.1.1:80", "  ^ 256 is more than 255")),
        (
            "127.0.0.1:99999",
            ("This means nothing:", "  127.0.0.1:99999", "            ^ port 99999 is more than 65535"),
        ),
        (
            "127.0.0.1:8080:80",
            (
                "This means nothing:",
                "  127.0.0.1:8080:80",
                "                ^ there are two ports: -p 127.0.0.1:8080:80 publishes a container's port 80 at "
                "127.0.0.1:8080; write one",
            ),
        ),
        (
            "0-1023",
            (
                "This means nothing:",
                "  0-1023",
                "  ^ a range of ports, the system ports: well-known ports, assigned by IANA; on Linux only a "
                "privileged program may bind them; an endpoint has one port, such as 1",
            ),
        ),
        (
            "1000-2000",
            (
                "This means nothing:",
                "  1000-2000",
                "  ^ a range of ports, of the system and user ports; an endpoint has one port, such as 1000",
            ),
        ),
        (
            "udp/x y z",
            ("This means nothing:", "  udp/x y z", "       ^ only a host and a port may stand apart by a space"),
        ),
        ("", ("This means nothing: nothing is written.",)),
        ("a\x1b[2Jb:1", ("This means nothing:", "  a?[2Jb:1", "   ^ '\\x1b' belongs in no notation")),
    ],
)
def test_what_is_wrong_says_where_and_why(notation: str, lines: tuple[str, ...]) -> None:
    explained = explain(notation)
    assert not explained.understood
    assert explained.lines == lines


@pytest.mark.scenario("B1")
@pytest.mark.parametrize(
    ("notation", "sentence"),
    [
        ("22", "system ports (0-1023): well-known ports, assigned by IANA; on Linux only a privileged program may "
               "bind them; registered for ssh (Secure shell)."),
        ("27017", "user ports (1024-49151): registered ports, assigned by IANA; any program may bind them; "
                  "registered for mongodb (MongoDB)."),
        ("40001", "user ports (1024-49151): registered ports, assigned by IANA; any program may bind them; within "
                  "Linux's ephemeral range (32768-60999), from which connections take theirs."),
        ("61001", "dynamic ports (49152-65535): private ports, never assigned; for temporary use."),
    ],
)  # fmt: skip
def test_a_port_has_a_range_and_a_service(notation: str, sentence: str) -> None:
    assert explain(notation).lines[1] == f"Port {notation} is one of the {sentence}"


@pytest.mark.parametrize(
    ("notation", "call"),
    [("0.0.0.0:22", "127.0.0.1:22"), ("[::]:22", "[::1]:22"), ("*:22", "127.0.0.1:22 or [::1]:22")],
)
def test_a_wildcard_is_no_destination(notation: str, call: str) -> None:
    assert explain(notation).lines[-1].endswith(f"on the same machine call {call}.")


def test_json_has_every_part() -> None:
    answer = explain("https://[fe80::1%25eth0]:8443/").json()
    [reading] = answer.pop("readings")  # type: ignore[misc, arg-type, attr-defined]
    assert answer == {"notation": "https://[fe80::1%25eth0]:8443/", "understood": True, "ambiguous": False}
    del reading["sentence"], reading["details"]
    assert reading == {
        "text": "[fe80::1%eth0]:8443", "family": "IPv6", "address": "fe80::1", "name": None, "every": False,
        "path": None, "zone": "eth0", "device": False, "port": 8443, "any_port": False, "protocol": "tcp",
        "scheme": "https", "service": "pcsync-https", "range": "user",
    }  # fmt: skip
    assert explain(":x").json()["error"] == {
        "position": 1, "reason": "'x' is neither a port number nor a service that portside knows",
    }  # fmt: skip


@given(st.text(max_size=40))
def test_any_text_is_explained_or_told_where_it_is_wrong(text: str) -> None:
    explained = explain(text)
    assert explained.understood == bool(explained.readings)
    assert all(line.isprintable() for line in explained.lines)
    json.dumps(explained.json())
    if explained.position is not None:
        assert 0 <= explained.position <= len(text)
