"""IANA service names, by number, name and protocol."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portside.addr import services

# Scenario B1: number, and the names that stand for it.
_SCENARIO = {
    20: "ftp-data", 21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 53: "domain", 67: "dhcp", 68: "bootpc",
    80: "http", 110: "pop3", 123: "ntp", 143: "imap", 443: "https", 465: "submissions", 587: "submission",
    993: "imaps", 995: "pop3s", 3306: "mysql", 5432: "postgresql", 6379: "redis", 8080: "http-alt",
    27017: "mongodb",
}  # fmt: skip


@pytest.mark.scenario("B1")
@pytest.mark.parametrize(("number", "name"), _SCENARIO.items())
def test_the_names_that_everybody_knows(number: int, name: str) -> None:
    found = services.by_name(name)
    assert found is not None
    assert found.port == number
    service = services.by_port(number)
    assert service is not None
    assert name in (service.name, *service.aliases)


def test_names_are_the_registrys() -> None:
    expected = {22: "ssh", 53: "domain", 67: "bootps", 80: "http", 443: "https", 465: "submissions", 8080: "http-alt"}
    assert {number: str(services.by_port(number)) for number in expected} == expected


def test_the_protocol_chooses() -> None:
    assert str(services.by_port(514, "tcp")) == "shell"
    assert str(services.by_port(514, "udp")) == "syslog"
    assert str(services.by_port(514)) == "shell"
    assert services.by_port(6379, "udp") is None
    assert str(services.by_port(51820)) == "wireguard"
    syslog = services.by_name("syslog")
    assert syslog is not None
    assert syslog.port == 514
    assert services.by_name("syslog", "tcp") is None


def test_aliases_and_case() -> None:
    for name, number in {"www": 80, "WWW": 80, "smtps": 465, "postgres": 5432, "rdp": 3389, "Sunrpc": 111}.items():
        found = services.by_name(name)
        assert found is not None
        assert found.port == number


def test_what_is_not_known_is_none() -> None:
    assert services.by_port(9) is not None
    assert services.by_port(39999) is None
    assert services.by_name("no-such-service") is None
    assert services.by_name("http", "sctp") is not None
    assert services.by_name("ssh", "dccp") is None


def test_a_port_that_is_only_commonly_used_says_so() -> None:
    ircd = services.by_port(6667)
    ssh = services.by_port(22)
    assert ircd is not None
    assert ssh is not None
    assert not ircd.assigned
    assert ssh.assigned


def test_the_table_is_well_formed() -> None:
    table = services.table()
    assert sum(service.assigned for service in table) >= 300
    assert [s.port for s in table] == sorted(s.port for s in table)
    places = [(s.port, protocol) for s in table for protocol in s.protocols]
    assert len(places) == len(set(places))
    for service in table:
        assert 0 < service.port < 65536
        assert set(service.protocols) <= set(services.PROTOCOLS)
        for name in (service.name, *service.aliases):
            assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_+-]*", name), name
        assert service.title
        # RFC 6335 section 5.1; XmlIpcRegSvc and a few like it are older than that and keep their letters.
        assert len(service.name) <= 15, service.name


def test_a_registered_name_is_never_hidden_by_an_alias() -> None:
    for service in services.table():
        for protocol in service.protocols:
            found = services.by_name(service.name, protocol)
            assert found is not None
            assert found.name.lower() == service.name.lower()
            if service.name != "http-alt":  # 591, 8008 and 8080 are registered by this name; it stands for 8080
                assert found == service


@pytest.mark.skipif(not Path("/etc/services").exists(), reason="this machine has no /etc/services")
def test_names_agree_with_the_systems_own_table() -> None:
    compared = 0
    for line in Path("/etc/services").read_text(encoding="utf-8").splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2 or not re.fullmatch(r"\d+/(tcp|udp)", words[1]):
            continue
        number, protocol = words[1].split("/")
        service = services.by_port(int(number), protocol)
        if service is None or words[0] == "fsp":  # 21/udp is FTP's; Debian gives it to FSP
            continue
        compared += 1
        assert {words[0], *words[2:]} & {service.name, *service.aliases}, line
    assert compared > 50
