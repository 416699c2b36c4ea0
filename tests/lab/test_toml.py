"""LAB.toml: what is in it comes about, and every mistake is told with its place."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest

from portside.addr.ip import parse
from portside.lab import toml
from portside.lab.output import Output

DOCS = Path(__file__).parent.parent.parent / "docs" / "lab.md"

MINIMAL = """
[host.a]
addresses = ["10.0.0.1/24"]

[[program]]
host = "a"
code = "print(1)"
"""


def load(tmp_path, text, **options):
    file = tmp_path / "lab.toml"
    file.write_text(text)
    return toml.load(file, **options)


def complaint(tmp_path, text):
    with pytest.raises(toml.LabFileError) as caught:
        load(tmp_path, text)
    return str(caught.value).removeprefix(f"{tmp_path}/")


def examples():
    blocks = re.findall(r"```toml\n(.*?)```\n\n```\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) >= 4
    assert len(blocks) == DOCS.read_text().count("```toml"), "each example has its output below it"
    return blocks


@pytest.mark.parametrize(("text", "expected"), examples())
def test_the_examples_of_the_docs(tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    stream = StringIO()
    lab = load(tmp_path, text, output=Output(stream, stream))
    with lab.network:
        lab.network.run(lab.until, check=False)
    assert stream.getvalue() == expected


def test_everything_comes_about(tmp_path):
    (tmp_path / "server.py").write_text("import sys; print(sys.argv[1:])")
    lab = load(
        tmp_path,
        """
        seed = 3
        start = 2001-02-03T04:05:06Z
        until = "10s"

        [host.r]
        addresses = ["10.0.1.254/24", "10.0.2.254/24@eth1"]
        forward = true
        sysctls = { "net.core.somaxconn" = 7 }

        [host.a]
        addresses = ["10.0.1.1/24"]
        user = "alice"
        routes = [{ to = "default", via = "10.0.1.254" }]

        [host.a.firewall]
        forward = "drop"
        rules = [{ hook = "output", verdict = "drop", proto = "udp", dport = [53, "5000-5010"] }]

        [[link]]
        ends = ["r", "a"]
        latency = "5ms"
        bandwidth = "1Mbit"
        mtu = 1280
        loss = 0.5
        queue = "64kb"
        name = "wire"

        [[program]]
        host = "a"
        script = "server.py"
        arguments = ["x", 5]
        start = "1s"
        name = "srv"
        environment = { A = 1 }

        [[program]]
        host = "r"
        module = "this"
        user = 1234
        background = true
        """,
    )
    network = lab.network
    assert lab.until == "10s"
    assert network.world.epoch == 981173106 * 10**9
    r, a = network.hosts["r"], network.hosts["a"]
    assert r.sysctl["net.ipv4.ip_forward"] == "1"
    assert r.machine.settings.somaxconn == 7
    assert a.machine.ip.firewall.forward.policy == "drop"
    assert a.machine.ip.firewall.output.rules[0].dports == ((53, 53), (5000, 5010))
    link, lan = network.links
    assert lan.name == "lan"
    port = link.wire.ports[0]
    assert (link.name, port.latency, port.bandwidth, port.queue, len(port.faults)) == (
        "wire",
        5_000_000,
        1_000_000,
        65536,
        1,
    )
    assert a.interface("eth0").mtu == 1280
    first, second = lab.programs
    assert (first.name, first.user, first.argv[1:], first.environment) == (
        "srv",
        "alice",
        [str(tmp_path / "server.py"), "x", "5"],
        {"A": "1"},
    )
    assert (second.name, second.user, second.host) == ("this", 1234, r)
    network.close()


def test_a_route_has_its_own_mtu(tmp_path):
    routes = 'routes = [{ to = "10.7.0.0/16", via = "10.0.0.9", mtu = 900 }, { to = "10.8.0.0/16", via = "10.0.0.9" }]'
    lab = load(tmp_path, MINIMAL.replace("[[program]]", routes + "\n[[program]]"))
    lookup = lab.network.hosts["a"].machine.ip.routes.lookup
    assert [lookup(parse(address)).mtu for address in ("10.7.0.1", "10.8.0.1")] == [900, 1500]
    lab.network.close()


def test_a_seed_given_beats_the_files(tmp_path):
    lab = load(tmp_path, "seed = 3" + MINIMAL, seed=5)
    assert lab.network.world.stream("x").random() == pytest.approx(
        load(tmp_path, "seed = 5" + MINIMAL).network.world.stream("x").random()
    )


MISTAKES = [
    ("", "lab.toml: no hosts: write a table such as [host.server] for each"),
    ("[host.a]", "lab.toml: no programs: write [[program]] with host and script for each"),
    ("[host.a", "lab.toml: this is not TOML: Expected ']' at the end of a table declaration (at end of document)"),
    ("sead = 1" + MINIMAL, "lab.toml:1: sead: unknown key, did you mean 'seed'?"),
    ("seed = true" + MINIMAL, "lab.toml:1: seed: expected a whole number, not true"),
    ('seed = "1"' + MINIMAL, "lab.toml:1: seed: expected a whole number, not text in quotes"),
    ('start = "soon"' + MINIMAL, "lab.toml:1: start: 'soon' is no time:"),
    ('until = "soon"' + MINIMAL, "lab.toml:1: until: 'soon' is no duration:"),
    ("host = 1", "lab.toml:1: host: expected a table, not a whole number"),
    ("[host]\na = 1", "lab.toml:2: host.a: expected a table, not a whole number"),
    (MINIMAL + '[host."b c"]', "lab.toml:8: host.\"b c\": 'b c' is no name for a host"),
    (
        MINIMAL + '[host.b]\nadresses = ["10.0.0.1"]',
        "lab.toml:9: host.b.adresses: unknown key, did you mean 'addresses'?",
    ),
    (MINIMAL + '[host.b]\naddresses = "10.0.0.1"', "lab.toml:9: host.b.addresses: expected an array [...], not text"),
    (MINIMAL + "[host.b]\naddresses = [1]", "lab.toml:9: host.b.addresses[0]: expected text in quotes"),
    (
        MINIMAL + '[host.b]\naddresses = ["10.0.0.2", "10.0.0.300"]',
        "lab.toml:9: host.b.addresses[1]: '10.0.0.300'",
    ),
    (
        MINIMAL + '[host.b.sysctls]\n"net.core.somaxcon" = 1',
        'lab.toml:9: host.b.sysctls."net.core.somaxcon": there is no setting net.core.somaxcon: did you mean',
    ),
    (
        MINIMAL + '[host.b]\nsysctls = { "net.core.somaxconn" = "x" }',
        'lab.toml:9: host.b.sysctls."net.core.somaxconn": ',
    ),
    (MINIMAL + '[host.b]\nroutes = [{ via = "10.0.0.9" }]', "lab.toml:9: host.b.routes[0]: to is missing"),
    (
        MINIMAL + '[host.b]\nroutes = [{ to = "default", via = "10.9.0.9" }]',
        "lab.toml:9: host.b.routes[0].via: route to default on b: the gateway is on no network of this host",
    ),
    (
        MINIMAL + '[host.b.firewall]\ninputs = "drop"',
        "lab.toml:9: host.b.firewall.inputs: unknown key, did you mean 'input'?",
    ),
    (MINIMAL + "[host.b.firewal]", "lab.toml:8: host.b.firewal: unknown key, did you mean 'firewall'?"),
    (MINIMAL + "[host.b.sysctls]\nnet.core.x = 1", "lab.toml:9: host.b.sysctls.net: expected a number or text: "),
    ('[[host]]\nname = "a"', "lab.toml:1: host: expected a table, not an array"),
    (MINIMAL + '[host.b]\n[[link]]\nends = ["a", "b"]\nqueue = 1.5', "lab.toml:11: link[0].queue: 1.5 is no size"),
    (MINIMAL + '[host.b.firewall]\ninput = "reject"', "lab.toml:9: host.b.firewall.input: 'reject' is no policy"),
    (
        MINIMAL + '[host.b.firewall]\nrules = [{ verdict = "drop", port = 1 }]',
        "lab.toml:9: host.b.firewall.rules[0].port: unknown key, did you mean 'sport'?",
    ),
    (
        MINIMAL + '[[host.b.firewall.rules]]\nverdict = "drop"\nproto = "tpc"',
        "lab.toml:10: host.b.firewall.rules[0].proto: 'tpc' is no protocol: did you mean 'tcp'?",
    ),
    (MINIMAL + '[[link]]\nends = ["a"]', "lab.toml:8: link[0]: a link has two ends or more"),
    (MINIMAL + '[[link]]\nends = ["a", "b"]', "lab.toml:8: link[0]: there is no host 'b': known: a"),
    (
        MINIMAL + '[host.b]\n[[link]]\nends = ["a", "b"]\n[[link]]\nends = ["a", "b"]\nlatency = "1 parsec"',
        "lab.toml:13: link[1].latency: '1 parsec' is no duration",
    ),
    (MINIMAL + '[host.b]\n[[link]]\nends = ["a", "b"]\nloss = 2', "lab.toml:11: link[0].loss: 2 is no loss rate"),
    (
        MINIMAL + '[host.b]\n[[link]]\nends = ["a", "b"]\nloss = "1%"',
        "lab.toml:11: link[0].loss: expected a probability from 0 to 1, such as 0.01",
    ),
    (MINIMAL + '[host.b]\n[[link]]\nends = ["a", "b"]\nmtu = 1', "lab.toml:11: link[0].mtu: 1 is no MTU"),
    (
        MINIMAL + '[host.b]\naddresses = ["10.0.0.7"]\n[host.c]\naddresses = ["10.0.0.7"]',
        "lab.toml:10: host.c: c and b both have the address 10.0.0.7 on lan",
    ),
    (
        MINIMAL + '[host.b]\naddresses = ["10.0.0.7"]\n[host.c]\naddresses = ["10.0.0.7"]\n[[link]]\nends = ["b", "c"]',
        "lab.toml:12: link[0]: c and b both have the address 10.0.0.7 on b@eth0 - c@eth0",
    ),
    (MINIMAL + '[[program]]\nhost = "aa"', "lab.toml:9: program[1].host: there is no host 'aa': did you mean 'a'?"),
    (MINIMAL + "[[program]]", "lab.toml:8: program[1]: host is missing"),
    (MINIMAL + '[[program]]\nhost = "a"', "lab.toml:8: program[1]: write one of script"),
    (MINIMAL + '[[program]]\nhost = "a"\nscript = "x.py"', "lab.toml:10: program[1].script: there is no program "),
    (
        MINIMAL + '[[program]]\nhost = "a"\nscripts = "x.py"',
        "lab.toml:10: program[1].scripts: unknown key, did you mean 'script'?",
    ),
    (MINIMAL + "start_ = 1", "lab.toml:8: program[0].start_: unknown key, did you mean 'start'?"),
    (MINIMAL + 'start = "x"', "lab.toml:8: program[0].start: 'x' is no duration"),
    (MINIMAL + "user = 1.5", "lab.toml:8: program[0].user: expected a user's name in quotes, or a number"),
    (MINIMAL + "user = -5", "lab.toml:8: program[0].user: -5 is not a user id"),
    (MINIMAL + '[host.b]\nuser = ""', "lab.toml:9: host.b.user: '' is no user"),
    (MINIMAL + 'arguments = "x"', "lab.toml:8: program[0].arguments: expected an array [...]"),
    (MINIMAL + 'environment = { "A=B" = "x" }', "lab.toml:8: program[0].environment: 'A=B' is no name"),
    (MINIMAL + "environment = { A = [] }", "lab.toml:8: program[0].environment.A: expected text in quotes"),
]

OF_TIMES = [
    (place, number)
    for place in ("start = {}" + MINIMAL, "until = {}" + MINIMAL, MINIMAL + "start = {}",
                  MINIMAL + '[host.b]\n[[link]]\nends = ["a", "b"]\nlatency = {}')
    for number in ("1e300", "inf", "nan", "-inf", "-1", "9999999999999999999")
]  # fmt: skip


@pytest.mark.parametrize(("text", "number"), OF_TIMES, ids=range(len(OF_TIMES)))
def test_a_time_beyond_all_times_is_told_as_it_is_written(tmp_path, text, number):
    words = complaint(tmp_path, text.format(number))
    assert re.match(rf"lab\.toml:\d+: [\w.\[\]]*: {number} is no (time|duration)", words)


OF_RULES = [
    ("src = 10", "src: 10 is no prefix: write"),
    ('src = ["10.0.0.0/8", 3]', "src: 3 is no prefix: write"),
    ('dst = [["10.0.0.0/8"]]', "dst: ['10.0.0.0/8'] is no prefix: write"),
    ("src = {}", "src: {} is no prefix: write"),
    ("src = 1.50", "src: 1.50 is no prefix: write"),
    ('iif = ["eth0"]', "iif: ['eth0'] is not the name of one interface: write"),
    ('hook = "forward", oif = 3', "oif: 3 is not the name of one interface: write"),
    ('oif = "eth0"', "oif: packets of the input hook have no oif: write iif"),
    ('hook = "output", iif = "eth0"', "iif: packets of the output hook have no iif: write oif"),
    ("comment = 3", "comment: 3 is not a comment: write"),
    ("proto = 6", "proto: 6 is no protocol: known: tcp"),
    ('proto = ["tcp"]', "proto: ['tcp'] is no protocol"),
    ("state = 3", "state: 3 is no state: known: new"),
    ('proto = "tcp", dport = 1.5', "dport: 1.5 is no port: write"),
    ('proto = "tcp", dport = [[80]]', "dport: [80] is no port: write"),
    ('proto = "tcp", sport = true', "sport: True is no port: write"),
    ("dport = 80", 'dport: a rule with ports needs proto="tcp"'),
    ('family = "ip", src = "fd00::/64"', "src: no packet is IPv4 and IPv6 at once"),
    ('family = "ip6", proto = "icmp"', "proto: no packet is IPv4 and IPv6 at once"),
    ('src = "fd00::/64", dst = "10.0.0.0/8"', "dst: no packet is IPv4 and IPv6 at once"),
    ('verdict = "tcp-reset", proto = "udp"', 'proto: a reset answers TCP only, not udp: write proto="tcp"'),
]


@pytest.mark.parametrize(("text", "words"), OF_RULES, ids=range(len(OF_RULES)))
def test_mistakes_of_a_rule_name_their_key(tmp_path, text, words):
    verdict = "" if "verdict" in text else 'verdict = "drop", '
    whole = complaint(tmp_path, f"{MINIMAL}[host.b.firewall]\nrules = [{{ {verdict}{text} }}]")
    assert whole.startswith(f"lab.toml:9: host.b.firewall.rules[0].{words}")


OF_ROUTES = [
    ('via = "10.0.0.9", mtu = 10', "mtu: 10 is no mtu: 68 to 65535"),
    ('via = "10.0.0.9", mtu = -5', "mtu: -5 is no mtu: 68 to 65535"),
    ('to = "fd01::/64", via = "fd00::9", mtu = 1000', "mtu: 1000 is no mtu: 1280 to 65535"),
    ('via = "10.0.0.9", metric = -5', "metric: -5 is no metric: 0 to 4294967295"),
    ('via = "10.0.0.9", source = "9.9.9.9"', "source: the source 9.9.9.9 is no address of b: it has 10.0.0.2, fd00::2"),
    ('via = "10.0.0.9", source = "fd00::2"', "source: the source fd00::2 and the destination are not both"),
    ('via = "10.0.0.9", source = "x"', "source: 'x' is not an IP address"),
    ('via = "x"', "via: 'x' is not an IP address"),
    ('to = "fd01::/64", via = "fd00::2"', "via: route to fd01::/64 on b: the gateway is an address of this host"),
    ('to = "fd01::/64", via = "fd09::2"', "via: route to fd01::/64 on b: the gateway is on no network of this host"),
    ('kind = "blackhole", via = "10.0.0.9"', "via: a route of kind 'blackhole' leads nowhere: leave this out"),
    ('to = "x", via = "10.0.0.9"', "to: 'x': 'x' is not an IP address"),
    ('interface = "eth7"', "interface: b has no interface 'eth7': did you mean 'eth0'?"),
    ('kind = "blackhol"', "kind: 'blackhol' is no kind of route: did you mean 'blackhole'?"),
]


@pytest.mark.parametrize(("text", "words"), OF_ROUTES, ids=range(len(OF_ROUTES)))
def test_mistakes_of_a_route_name_their_key(tmp_path, text, words):
    to = "" if "to =" in text else 'to = "default", '
    addresses = 'addresses = ["10.0.0.2/24", "fd00::2/64"]'
    whole = complaint(tmp_path, f"{MINIMAL}[host.b]\n{addresses}\nroutes = [{{ {to}{text} }}]")
    assert whole.startswith(f"lab.toml:10: host.b.routes[0].{words}")


@pytest.mark.parametrize("quotes", ['"""', "'''"])
def test_the_line_of_a_key_is_not_one_within_a_text(tmp_path, quotes):
    code = f"code = {quotes}\n[host.z]\nuser = 4 # it's\n{quotes} # it's"
    assert complaint(tmp_path, f'[host.a]\n[[program]]\nhost = "a"\n{code}\nuser = ""').startswith("lab.toml:8: ")


def test_numbers_among_the_arguments_are_taken_as_they_are_written(tmp_path):
    lab = load(tmp_path, MINIMAL + "arguments = [2.50, 1e3, 1_000, 0x10]\nenvironment = { A = 1.10 }")
    (program,) = lab.programs
    assert program.argv[-4:] == ["2.50", "1e3", "1000", "16"]
    assert program.environment == {"A": "1.10"}


@pytest.mark.parametrize(("text", "words"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes(tmp_path, text, words):
    assert complaint(tmp_path, text).startswith(words)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(toml.LabFileError, match="No such file"):
        toml.load(tmp_path / "nowhere.toml")
    (tmp_path / "latin1.toml").write_bytes(b"# \xe9")
    with pytest.raises(toml.LabFileError, match="not UTF-8"):
        toml.load(tmp_path / "latin1.toml")


def test_a_directory_is_a_program_only_with_a_main(tmp_path):
    (tmp_path / "project").mkdir()
    words = complaint(tmp_path, MINIMAL + '[[program]]\nhost = "a"\nscript = "project"')
    assert words.startswith("lab.toml:10: program[1].script: ")
    assert words.endswith("project' is a directory without __main__.py")
