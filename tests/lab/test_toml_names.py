"""Names in a LAB.toml: what is in it comes about, and every mistake is told with its place."""

from __future__ import annotations

import socket

import pytest

from portside.lab import toml
from portside.lab.output import Output

HOSTS = """
[host.a]
addresses = ["10.0.0.1/24"]

[[program]]
host = "a"
code = "pass"

"""


def load(tmp_path, text):
    file = tmp_path / "lab.toml"
    file.write_text(HOSTS + text)
    return toml.load(file, output=Output(None, None))


def complaint(tmp_path, text):
    with pytest.raises(toml.LabFileError) as caught:
        load(tmp_path, text)
    return str(caught.value).removeprefix(f"{tmp_path}/lab.toml:").partition(": ")[2]


def resolve(name):
    try:
        return [info[4][0] for info in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)]
    except socket.gaierror as error:
        return error.errno


def ask(lab, when, *names):
    """What host a resolves the names to, each at a second after `when`."""
    programs = [lab.network.hosts["a"].spawn(resolve, name, start=when) for name in names]
    lab.network.run(check=False)
    return [program.result for program in programs]


def test_everything_comes_about(tmp_path):
    lab = load(
        tmp_path,
        """
        [host.b]
        addresses = ["10.0.0.2/24"]

        [host.a.hosts]
        "db.internal" = "10.0.0.5"
        cache = ["b", "10.0.0.6"]

        [dns]
        delay = "20ms"

        [dns.names]
        "api.example" = ["10.0.0.7", "fd00::7"]
        "b.example" = "b"
        "www.example" = { alias = "api.example", delay = "3s" }
        "bad.example" = { fail = "EAI_AGAIN" }
        "two.example" = { addresses = "10.0.0.8" }

        [[dns.change]]
        at = "10s"
        name = "api.example"
        addresses = ["10.0.0.9"]

        [[dns.change]]
        at = "20s"
        down = true
        delay = 0

        [[dns.change]]
        at = "30s"
        down = false
        """,
    )
    names = ("db.internal", "cache", "api.example", "b.example", "www.example", "bad.example", "two.example")
    assert ask(lab, 0, *names) == [
        ["10.0.0.5"], ["10.0.0.2", "10.0.0.6"], ["10.0.0.7", "fd00::7"], ["10.0.0.2"], ["10.0.0.7", "fd00::7"],
        socket.EAI_AGAIN, ["10.0.0.8"],
    ]  # fmt: skip
    assert lab.network.now == 3
    assert ask(lab, "8s", "www.example") == [["10.0.0.9"]]
    assert ask(lab, "8s", "www.example", "b") == [socket.EAI_AGAIN] * 2
    assert lab.network.now == 25
    assert ask(lab, "6s", "b") == [["10.0.0.2"]]


def test_name_servers_are_hosts_or_addresses(tmp_path):
    lab = load(tmp_path, '[host.b]\naddresses = ["10.0.0.2/24"]\nnameservers = ["a", "10.0.0.9"]')
    assert lab.network.hosts["b"].machine.etc.files["/etc/resolv.conf"].data == (
        b"nameserver 10.0.0.1\nnameserver 10.0.0.9\n"
    )


@pytest.mark.parametrize(("text", "words"), [
    ('[host.b]\nnameservers = ["c"]', "host.b.nameservers: 'c' is not an IP address"),
    ('[host.b]\nnameserver = ["c"]', "host.b.nameserver: unknown key, did you mean 'nameservers'?"),
    ('[host.a.hosts]\n"db.internal" = 5', 'host.a.hosts."db.internal": expected an address in quotes'),
    ('[host.a.hosts]\ndb.internal = "10.0.0.5"', "host.a.hosts.db: expected addresses: write the whole name in quotes"),
    ('[host.a.hosts]\ndb = "10.0.0"', "host.a.hosts.db: '10.0.0' is not an IP address"),
    ('[host.a.hosts]\ndb = []', "host.a.hosts.db: db in /etc/hosts needs an address"),
    ('[dns]\ndelay = "soon"', "dns.delay: "),
    ('[dns]\nnames = 5', "dns.names: expected a table"),
    ('[dns]\ndown = "yes"', "dns.down: expected true or false"),
    ('[dns]\nname = {}', "dns.name: unknown key, did you mean 'names'?"),
    ('[dns.names]\n"a b" = "10.0.0.1"', "dns.names.\"a b\": 'a b' is no name"),
    ('[dns.names]\na = ["10.0.0.1", "c"]', "dns.names.a: 'c' is not an IP address"),
    ('[dns.names]\na = { fail = "EAI_AGIAN" }', "dns.names.a.fail: 'EAI_AGIAN' is no failure of a look-up: did you"),
    ('[dns.names]\na = { alias = "" }', "dns.names.a.alias: '' is no name"),
    ('[dns.names]\na = { alias = "b", fail = "EAI_AGAIN" }', "dns.names.a.fail: a name has one of addresses, alias"),
    ('[dns.names]\na = { delay = "3 parsecs" }', "dns.names.a.delay: "),
    ('[dns.names]\na = { delais = 3 }', "dns.names.a.delais: unknown key, did you mean 'delay'?"),
    ('[dns.names]\na = {}', "dns.names.a: say what becomes of the name"),
    ('[[dns.change]]\nname = "a"', "dns.change[0]: at is missing"),
    ('[[dns.change]]\nat = "soon"', "dns.change[0].at: "),
    ('[[dns.change]]\nat = "1s"', "dns.change[0]: nothing changes"),
    ('[[dns.change]]\nat = "1s"\nname = "a"\naddresses = "x"', "dns.change[0].addresses: 'x' is not an IP address"),
    ('[[dns.change]]\nat = "1s"\nname = "a"\ndown = true', "dns.change[0].down: unknown key"),
    ('[[dns.change]]\nat = "1s"\ndelay = "x"', "dns.change[0].delay: "),
])  # fmt: skip
def test_mistakes_are_told_with_their_place(tmp_path, text, words):
    assert complaint(tmp_path, text).startswith(words)
