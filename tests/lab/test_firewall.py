"""Rules by words."""

import pytest

from portside.addr.ip import parse
from portside.ip.conntrack import ESTABLISHED, RELATED
from portside.ip.firewall import Firewall
from portside.lab.errors import LabError
from portside.lab.firewall import Filter, rule


def test_a_rule_with_every_condition():
    made = rule(
        "drop", iif="eth0", oif="eth1", src="10.0.0.0/8", dst=["10.1.0.1", "fd00::/16"], proto="tcp",
        sport="1024-65535", dport=[80, 443], state=["established", "related"], family="ip", comment="no",
    )  # fmt: skip
    assert (made.verdict, made.iif, made.oif, made.proto, made.family) == ("drop", "eth0", "eth1", 6, 2)
    assert made.src == ((parse("10.0.0.0"), 8),)
    assert made.dst == ((parse("10.1.0.1"), 32), (parse("fd00::"), 16))
    assert made.sports == ((1024, 65535),)
    assert made.dports == ((80, 80), (443, 443))
    assert made.states == ESTABLISHED | RELATED
    assert made.comment == "no"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"verdict": "dorp"}, "did you mean 'drop'"),
        ({"verdict": "drop", "proto": "tpc"}, "did you mean 'tcp'"),
        ({"verdict": "drop", "dport": 80}, 'proto="tcp"'),
        ({"verdict": "drop", "state": "old"}, "no state"),
        ({"verdict": "drop", "src": "10.0.0.1/8"}, "bits are set"),
        ({"verdict": "drop", "family": "ipv4"}, "no family"),
        ({"verdict": "drop", "src": 10}, "10 is no prefix: write"),
        ({"verdict": "drop", "iif": ["eth0"]}, "name of one interface: write"),
        ({"verdict": "tcp-reset", "proto": "udp"}, "answers TCP only"),
    ],
)
def test_what_is_wrong_is_told(arguments, words):
    with pytest.raises(LabError, match=words):
        rule(**arguments)


def test_a_filter_adds_rules_and_sets_policies():
    firewall = Firewall()
    words = Filter(firewall)
    words.accept(proto="tcp", dport=22)
    words.reject(proto="tcp", kind="tcp-reset")
    words.drop("output", dst="10.0.0.9")
    words.policy("forward", "drop")
    assert [made.verdict for made in firewall.input.rules] == ["accept", "tcp-reset"]
    assert [made.verdict for made in firewall.output.rules] == ["drop"]
    assert firewall.forward.policy == "drop"
    words.flush()
    assert firewall.empty


def test_a_filter_knows_its_words():
    words = Filter(Firewall())
    with pytest.raises(LabError, match="did you mean 'dport'"):
        words.drop(proto="tcp", dports=80)
    with pytest.raises(LabError, match="did you mean 'input'"):
        words.drop("inputs")
    with pytest.raises(LabError, match="no policy"):
        words.policy("input", "reject")
    with pytest.raises(LabError, match="kind of reject"):
        words.reject(kind="rudely")
