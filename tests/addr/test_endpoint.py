"""Every notation of an endpoint: what it means, that it is ambiguous, or where and why it is wrong."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.addr import ip
from portside.addr.abi import AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.addr.endpoint import Endpoint, NotationError, parse, parse_interface_address


def v4(text: str, port: int | None = None, **more: object) -> Endpoint:
    return Endpoint(family=AF_INET, address=ip.parse(text), port=port, **more)  # type: ignore[arg-type]


def v6(text: str, port: int | None = None, **more: object) -> Endpoint:
    return Endpoint(family=AF_INET6, address=ip.parse(text), port=port, **more)  # type: ignore[arg-type]


# Scenario C1, in its order: the notation, what it means, and the notation that nobody can misread.
_SCENARIO = [
    ("127.0.0.1:80", v4("127.0.0.1", 80), "127.0.0.1:80"),
    ("192.168.0.10:8080", v4("192.168.0.10", 8080), "192.168.0.10:8080"),
    ("0.0.0.0:22", v4("0.0.0.0", 22), "0.0.0.0:22"),
    ("[::1]:8080", v6("::1", 8080), "[::1]:8080"),
    ("[::]:22", v6("::", 22), "[::]:22"),
    (
        "[2607:fb90:1788:efbd:d3f9:555:4ddb:c8ed]:35871",
        v6("2607:fb90:1788:efbd:d3f9:555:4ddb:c8ed", 35871),
        "[2607:fb90:1788:efbd:d3f9:555:4ddb:c8ed]:35871",
    ),
    ("localhost:8080", Endpoint(name="localhost", port=8080), "localhost:8080"),
    (":22", Endpoint(every=True, port=22), "*:22"),
    ("*:22", Endpoint(every=True, port=22), "*:22"),
    ("[fe80::1%eth0]:80", v6("fe80::1", 80, zone="eth0"), "[fe80::1%eth0]:80"),
    ("tcp://0.0.0.0:2375", v4("0.0.0.0", 2375, scheme="tcp", proto=IPPROTO_TCP), "0.0.0.0:2375"),
    ("http://[::1]/", v6("::1", 80, scheme="http", proto=IPPROTO_TCP), "[::1]:80"),
    ("unix:/run/x.sock", Endpoint(family=AF_UNIX, path=b"/run/x.sock"), "unix:/run/x.sock"),
    ("8080", Endpoint(port=8080), ":8080"),
    ("localhost", Endpoint(name="localhost"), "localhost"),
    ("192.168.0.10", v4("192.168.0.10"), "192.168.0.10"),
    ("::1", v6("::1"), "[::1]"),
    ("[::]:*", v6("::", any_port=True), "[::]:*"),
    ("127.0.0.53%lo:53", v4("127.0.0.53", 53, zone="lo", device=True), "127.0.0.53%lo:53"),
    ("@bus", Endpoint(family=AF_UNIX, path=b"\0bus"), "unix:@bus"),
]


@pytest.mark.scenario("C1")
@pytest.mark.parametrize(("notation", "endpoint", "plain"), _SCENARIO)
def test_what_it_means(notation: str, endpoint: Endpoint, plain: str) -> None:
    parsed = parse(notation)
    assert parsed.endpoint == endpoint
    assert not parsed.ambiguous
    assert parsed.other is None
    assert parsed.endpoint.text == str(parsed.endpoint) == plain


@pytest.mark.scenario("C1")
@pytest.mark.parametrize(
    ("notation", "first", "second"),
    [
        ("::1:8080", v6("::1:8080"), v6("::1", 8080)),
        (":::22", v6("::", 22), v6("::22")),
        ("::22", v6("::22"), v6("::", 22)),
        ("fe80::5:22", v6("fe80::5:22"), v6("fe80::5", 22)),
        ("fe80::1%eth0:80", v6("fe80::1", zone="eth0:80"), v6("fe80::1", 80, zone="eth0")),
        ("ssh", Endpoint(name="ssh"), Endpoint(port=22)),
        ("010.0.0.1:80", v4("8.0.0.1", 80), v4("10.0.0.1", 80)),
    ],
)
def test_what_is_ambiguous_says_so_and_gives_the_other_reading(
    notation: str, first: Endpoint, second: Endpoint
) -> None:
    parsed = parse(notation)
    assert parsed.ambiguous
    assert parsed.endpoint == first
    assert parsed.other is not None
    assert parsed.other.endpoint == second
    assert len(parsed.readings) == 2
    assert parsed.sentence.startswith("Ambiguous: ")
    assert first.text in parsed.sentence
    assert second.text in parsed.sentence
    with_port = parsed.with_port
    assert with_port is not None
    assert with_port.port is not None


@pytest.mark.scenario("C1")
@pytest.mark.parametrize(
    ("notation", "sentence"),
    [
        (
            "127.0.0.1:80",
            "Port 80 (http) of 127.0.0.1, an IPv4 loopback address: only programs on the machine itself reach it.",
        ),
        (
            "192.168.0.10:8080",
            "Port 8080 (http-alt) of 192.168.0.10, an IPv4 private address: reachable within its own network, "
            "not from the internet.",
        ),
        ("0.0.0.0:22", "Port 22 (ssh) of every IPv4 address of the machine."),
        (
            "[::]:22",
            "Port 22 (ssh) of every IPv6 address of the machine, and every IPv4 one too unless the socket is v6-only.",
        ),
        ("*:22", "Port 22 (ssh) of every address of the machine, IPv6 and IPv4."),
        (":22", "Port 22 (ssh) of every address of the machine, IPv6 and IPv4 (the host is left out)."),
        ("localhost:8080", "Port 8080 (http-alt) of the machine itself by the name localhost: 127.0.0.1, ::1 or both."),
        ("example.org:35871", "Port 35871 of the host named example.org."),
        (
            "[fe80::1%eth0]:80",
            "Port 80 (http) of fe80::1, an IPv6 link-local address: reachable from the same link only "
            "(on the link of the interface eth0).",
        ),
        ("tcp://0.0.0.0:2375", "TCP port 2375 (docker) of every IPv4 address of the machine."),
        (
            "http://[::1]/",
            "TCP port 80 (http) of ::1, an IPv6 loopback address: only programs on the machine itself reach it "
            "(the default port of http://).",
        ),
        ("unix:/run/x.sock", "The Unix domain socket at the path /run/x.sock: programs of this machine only."),
        ("@bus", "The Unix domain socket with the abstract name bus: programs of this machine only."),
        ("8080", "Port 8080 (http-alt) on a host that is not said."),
        ("53/udp", "UDP port 53 (domain) on a host that is not said."),
        ("example.org", "The host named example.org (no port is said)."),
        (
            "fe80::1",
            "The address fe80::1, an IPv6 link-local address: reachable from the same link only "
            "(no port is said; without a zone such as %eth0 it is not known on which link).",
        ),
        (
            "[::ffff:10.0.0.1]:80",
            "Port 80 (http) of 10.0.0.1 as an IPv6 socket shows it (::ffff:10.0.0.1), an IPv4 private address: "
            "reachable within its own network, not from the internet.",
        ),
        (
            "127.0.0.53%lo:53",
            "Port 53 (domain) of 127.0.0.53, an IPv4 loopback address: only programs on the machine itself reach it "
            "(of a socket bound to the device lo).",
        ),
        (
            "0.0.0.0:0",
            "Port 0, a port that the system chooses, of every IPv4 address of the machine.",
        ),
        ("*:*", "Any port of every address of the machine, IPv6 and IPv4."),
        ("udp4://:53", "UDP port 53 (domain) of every IPv4 address of the machine (the host is left out)."),
        (
            "::1:8080",
            "Ambiguous: [::1:8080], that is the address ::1:8080, an IPv6 unassigned address: assigned to nobody "
            "(no port is said); or [::1]:8080, that is port 8080 (http-alt) of ::1, an IPv6 loopback address: "
            "only programs on the machine itself reach it (as netstat writes it, without brackets).",
        ),
    ],
)
def test_one_sentence_for_a_person(notation: str, sentence: str) -> None:
    assert parse(notation).sentence == sentence


@pytest.mark.parametrize(
    ("notation", "endpoint"),
    [
        # what ss, lsof, netstat and tcpdump print
        ("127.0.0.53%lo:53", v4("127.0.0.53", 53, zone="lo", device=True)),
        ("*%eth0:68", Endpoint(every=True, port=68, zone="eth0", device=True)),
        ("[fe80::1]%eth0:546", v6("fe80::1", 546, zone="eth0")),
        ("[::1]%lo:5", v6("::1", 5, zone="lo", device=True)),
        ("*:http-alt", Endpoint(every=True, port=8080)),
        ("localhost:https", Endpoint(name="localhost", port=443)),
        ("0.0.0.0:*", v4("0.0.0.0", any_port=True)),
        ("[::]:*", v6("::", any_port=True)),
        ("127.0.0.1.8080", v4("127.0.0.1", 8080)),
        ("*.22", Endpoint(every=True, port=22)),
        ("::1.22", v6("::1", 22)),
        ("::ffff:1.2.3.4.80", v6("::ffff:1.2.3.4", 80, mapped=True)),
        ("::1:http", v6("::1", 80)),
        ("::1:35871", v6("::1", 35871)),
        ("1:2:3:4:5:6:7:8:80", v6("1:2:3:4:5:6:7:8", 80)),
        ("1:2:3:4:5:6:7:80", v6("1:2:3:4:5:6:7:80")),
        ("::ffff:10.0.0.1:80", v6("::ffff:10.0.0.1", 80, mapped=True)),
        ("[::ffff:10.0.0.1]:80", v6("::ffff:10.0.0.1", 80, mapped=True)),
        ("fe80::1%eth0", v6("fe80::1", zone="eth0")),
        ("::", v6("::")),
        ("*", Endpoint(every=True)),
        # short and odd IPv4 as inet_aton(3) reads it
        ("127.1:80", v4("127.0.0.1", 80)),
        ("10.1.2", v4("10.1.0.2")),
        ("0x7f.1", v4("127.0.0.1")),
        ("http://2130706433/", v4("127.0.0.1", 80, scheme="http", proto=IPPROTO_TCP)),
        # protocol after a slash, host and port apart
        ("53/udp", Endpoint(port=53, proto=IPPROTO_UDP)),
        ("127.0.0.1:8080/tcp", v4("127.0.0.1", 8080, proto=IPPROTO_TCP)),
        ("[::]:9/UDPLITE", v6("::", 9, proto=IPPROTO_UDPLITE)),
        ("localhost 8080", Endpoint(name="localhost", port=8080)),
        ("::1 80", v6("::1", 80)),
        ("  127.0.0.1:80 \n".strip(" "), v4("127.0.0.1", 80)),
        # URLs
        ("udp://:53", Endpoint(every=True, port=53, scheme="udp", proto=IPPROTO_UDP)),
        ("tcp://*:80", Endpoint(every=True, port=80, scheme="tcp", proto=IPPROTO_TCP)),
        ("tcp6://[::]:80", v6("::", 80, scheme="tcp6", proto=IPPROTO_TCP)),
        ("udp4://x:80", Endpoint(family=AF_INET, name="x", port=80, scheme="udp4", proto=IPPROTO_UDP)),
        ("https://example.org", Endpoint(name="example.org", port=443, scheme="https", proto=IPPROTO_TCP)),
        ("HTTP://a.b:8080/x?y:z@w#q", Endpoint(name="a.b", port=8080, scheme="http", proto=IPPROTO_TCP)),
        ("redis://:secret@db:6380/0", Endpoint(name="db", port=6380, scheme="redis", proto=IPPROTO_TCP)),
        ("ws://u@[::1]", v6("::1", 80, scheme="ws", proto=IPPROTO_TCP)),
        ("http://1.2.3.4:/", v4("1.2.3.4", 80, scheme="http", proto=IPPROTO_TCP)),
        ("http://[fe80::1%25eth0]/", v6("fe80::1", 80, zone="eth0", scheme="http", proto=IPPROTO_TCP)),
        ("dns://9.9.9.9", v4("9.9.9.9", 53, scheme="dns", proto=IPPROTO_UDP)),
        ("foo://bar", Endpoint(name="bar", scheme="foo")),
        ("foo://bar:1", Endpoint(name="bar", port=1, scheme="foo")),
        # Unix domain
        ("/run/x.sock", Endpoint(family=AF_UNIX, path=b"/run/x.sock")),
        ("unix:///run/x.sock", Endpoint(family=AF_UNIX, path=b"/run/x.sock")),
        ("unix:x.sock", Endpoint(family=AF_UNIX, path=b"x.sock")),
        ("unix:@bus", Endpoint(family=AF_UNIX, path=b"\0bus")),
        ("@bus", Endpoint(family=AF_UNIX, path=b"\0bus")),
        # names
        ("my_host-1.example.org.:80", Endpoint(name="my_host-1.example.org.", port=80)),
        ("bücher.example:80", Endpoint(name="bücher.example", port=80)),
        ("3com.com:80", Endpoint(name="3com.com", port=80)),
    ],
)
def test_other_notations(notation: str, endpoint: Endpoint) -> None:
    parsed = parse(notation)
    assert parsed.readings[0].endpoint == endpoint
    assert len(parsed.readings) == 1


@pytest.mark.scenario("C1")
@pytest.mark.parametrize(
    ("notation", "position", "reason"),
    [
        ("", 0, "nothing is written"),
        ("   ", 0, "nothing is written"),
        ("127.0.0.1:99999", 10, "port 99999 is more than 65535"),
        ("127.0.0.1:", 10, "a port must follow the colon"),
        ("  127.0.0.1:x", 12, "'x' is neither a port number nor a service"),
        ("localhost:80x", 12, "'80x' is neither"),
        (":-1", 1, "a port is not negative"),
        ("-1", 0, "a port is not negative"),
        ("65536", 0, "port 65536 is more than 65535"),
        ("１２", 0, "not a number"),
        ("256.1.1.1:80", 0, "256 is more than 255"),
        ("1.2.3.256", 6, "256 is more than 255"),
        ("1.2.3.4.5.6", 7, "an IPv4 address has four numbers"),
        ("1..3.4:80", 2, "a number is missing"),
        ("1.2.3.", 6, "a number is missing"),
        ("1.09.3.4", 2, "'09' is not a number"),
        ("8080:80", 0, "a number is no host"),
        ("[::1", 4, "`]` is missing"),
        ("[::1]8080", 5, "only `:PORT` may follow"),
        ("[::1]:", 6, "a port must follow"),
        ("[]:80", 1, "the brackets hold no address"),
        ("[127.0.0.1]:80", 1, "brackets are for IPv6 addresses only"),
        ("[::1%]:80", 5, "an interface must follow `%`"),
        ("[fe80::1]%:80", 10, "an interface must follow `%`"),
        ("[::ffff:1.2.3.4%eth0]:80", 15, "an IPv4 address has no zone"),
        ("127.0.0.1%:80", 9, "an interface must follow `%`"),
        ("example.org%eth0:80", 11, "a name has no zone"),
        ("12345::1", 0, "'12345' is not a group"),
        ("2001:db8::g", 10, "'g' cannot stand in an IPv6 address"),
        ("::1::2", 3, "`::` may stand only once"),
        ("[1:::2]:80", 4, "three colons in a row"),
        (":1:2:3:4:5:6:7", 0, "a group is missing before the colon"),
        ("[1:2:3:4:5:6:7:]:80", 15, "a group is missing after the colon"),
        ("1:2:3", 5, "eight groups; here are 3 and no `::`"),
        ("1:2:3:4:5:6:7:8:9:10", 0, "eight groups; here are 10"),
        ("[1:2:3:4::5:6:7:8]:80", 1, "eight groups; here are 8"),
        ("::ffff:256.0.0.1", 7, "256 is more than 255"),
        ("[::1.2.3]:80", 3, "not an IPv4 address of four plain decimal numbers"),
        ("::1:99999", 4, "port 99999 is more than 65535"),
        ("::1:", 4, "a port must follow the colon"),
        ("a..b:80", 2, "a part of the name is empty"),
        ("a!b:80", 1, "'!' cannot stand in a host name"),
        ("-a:80", 0, "hyphen"),
        ("a-.b:80", 1, "hyphen"),
        ("x" * 64 + ":80", 63, "at most 63 characters"),
        (".".join(["x" * 60] * 5) + ":80", 253, "at most 253 characters"),
        ("10.0.0.0/8", 8, "a network, not an endpoint"),
        ("localhost/x", 9, "only /tcp, /udp or /udplite"),
        ("user@host:22", 4, "a user is no part"),
        ("a b c", 1, "only a host and a port"),
        ("0.0.0.0:8080->80/tcp", 12, "`->` shows a published port"),
        ("127.0.0.1\x00:80", 9, "belongs in no notation"),
        ("local\x1bhost:80", 5, "belongs in no notation"),
        ("unix:", 5, "a path must follow"),
        ("/" + "x" * 108, 0, "unix(7) has room for 107"),
        ("unix:@" + "x" * 108, 5, "unix(7) has room for 107"),
        ("://x", 0, "a scheme must stand before"),
        ("1http://x", 0, "'1' cannot stand in a scheme"),
        ("ht_tp://x", 2, "'_' cannot stand in a scheme"),
        ("http://", 7, "no host follows"),
        ("http://user@/", 12, "no host follows"),
        ("http://::1/", 7, "stands in brackets in a URL"),
        ("http://[::1", 11, "`]` is missing"),
        ("http://a:99999/", 9, "more than 65535"),
        ("tcp4://[::1]:80", 7, "tcp4:// takes no IPv6 address"),
        ("udp6://1.2.3.4:80", 7, "udp6:// takes no IPv4 address"),
    ],
)
def test_what_is_wrong_says_where_and_why(notation: str, position: int, reason: str) -> None:
    with pytest.raises(NotationError) as caught:
        parse(notation)
    assert caught.value.position == position
    assert reason in caught.value.reason
    assert caught.value.text == notation
    assert f"at character {position + 1}: " in str(caught.value)


ports = st.integers(0, 65535)
addresses4 = st.ip_addresses(v=4)
addresses6 = st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None)  # type: ignore[union-attr]


@given(addresses4, ports)
def test_ipv4_and_port(address: ipaddress.IPv4Address, port: int) -> None:
    expected = v4(str(address), port)
    assert parse(f"{address}:{port}").endpoint == expected
    assert parse(f"{address}.{port}").endpoint == expected
    assert parse(f"{address} {port}").endpoint == expected
    assert parse(str(int(address) >> 24) + f".{int(address) & 0xFFFFFF}:{port}").endpoint == expected
    assert parse(str(address)).endpoint == v4(str(address))


@given(addresses6, ports)
def test_ipv6_and_port(address: ipaddress.IPv6Address, port: int) -> None:
    expected = v6(str(address), port)
    assert parse(f"[{address}]:{port}").readings[0].endpoint == expected
    assert parse(f"[{address.exploded}]:{port}").endpoint == expected
    assert parse(f"[{address}]").endpoint == v6(str(address))
    assert parse(str(address)).endpoint == v6(str(address))
    # Without brackets the reading with the port is always among the readings.
    assert expected in [reading.endpoint for reading in parse(f"{address}:{port}").readings]
    assert expected in [reading.endpoint for reading in parse(f"{address.exploded}:{port}").readings]


@given(st.one_of(addresses4, addresses6), st.none() | ports)
def test_the_plain_notation_means_the_same_and_nothing_else(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int | None
) -> None:
    make = v4 if address.version == 4 else v6
    endpoint = make(str(address), port)
    again = parse(endpoint.text)
    assert again.endpoint == endpoint
    assert not again.ambiguous


def check_error(error: NotationError, text: str) -> None:
    assert 0 <= error.position <= len(text)
    assert error.reason


_ALPHABET = st.sampled_from([*"0123456789abcdefgx.:[]%/@*-_ ~<>é\x00", "::", "://", "unix:", "tcp://", "0x"])


@given(st.one_of(st.text(max_size=40), st.lists(_ALPHABET, max_size=16).map("".join)))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parsed = parse(text)
    except NotationError as error:
        check_error(error, text)
        return
    assert 1 <= len(parsed.readings) <= 2
    for reading in parsed.readings:
        endpoint = reading.endpoint
        assert reading.sentence
        said = (endpoint.address is not None, bool(endpoint.name), endpoint.every, endpoint.path is not None)
        assert sum(said) <= 1
        assert endpoint.port is None or 0 <= endpoint.port <= 65535
        assert endpoint.family in (AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX)
    assert parsed.sentence.endswith(".")
    assert parsed.sentence.isprintable()


# addresses of interfaces


@pytest.mark.parametrize(
    ("text", "address", "length", "interface"),
    [
        ("10.0.0.1/24", "10.0.0.1", 24, ""),
        ("10.0.0.1/32@eth1", "10.0.0.1", 32, "eth1"),
        ("0.0.0.0/0", "0.0.0.0", 0, ""),
        ("2001:db8::1/64@eth0.100", "2001:db8::1", 64, "eth0.100"),
        ("fe80::1/128@x", "fe80::1", 128, "x"),
    ],
)
def test_an_address_for_an_interface(text: str, address: str, length: int, interface: str) -> None:
    parsed = parse_interface_address(text)
    assert (parsed.address, parsed.prefix_length, parsed.interface) == (ip.parse(address), length, interface)


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("10.0.0.1", 8, "a prefix length must follow"),
        ("10.0.0.1@eth0", 8, "a prefix length must follow"),
        ("10.0.0.1/33", 9, "a number of 0 to 32"),
        ("10.0.0.1/", 9, "a number of 0 to 32"),
        ("10.0.0.1/-1", 9, "a number of 0 to 32"),
        ("2001:db8::1/129", 12, "a number of 0 to 128"),
        ("10.0.0.256/24", 7, "256 is more than 255"),
        ("10.0.1/24", 0, "four plain decimal numbers"),
        ("2001:db8::x/64", 10, "'x' cannot stand"),
        ("eth0", 0, "not a number"),
        ("", 0, "missing"),
        ("10.0.0.1/24@", 12, "an interface name"),
        ("10.0.0.1/24@a-name-that-is-too-long", 12, "an interface name"),
        ("10.0.0.1/24@a/b", 12, "an interface name"),
        ("10.0.0.1/24@..", 12, "an interface name"),
        ("::ffff:10.0.0.1/120", 0, "no v4-mapped address"),
        ("fe80::1%eth0/64", 7, "stands after the prefix length"),
    ],
)
def test_what_is_no_address_for_an_interface(text: str, position: int, reason: str) -> None:
    with pytest.raises(NotationError) as caught:
        parse_interface_address(text)
    assert caught.value.position == position
    assert reason in caught.value.reason


@given(st.text(max_size=30))
def test_any_text_for_an_interface_is_read_or_refused(text: str) -> None:
    try:
        parse_interface_address(text)
    except NotationError as error:
        check_error(error, text)
