"""Random experiments on the real kernel and on the tables: every answer is the same.

Where no network namespace can be had, or the kernel is not of the release that is modelled, transcripts recorded from
one stand in. PORTSIDE_DEEP=1 runs sixty times as many, on any kernel; PORTSIDE_SEED=N runs others; `record.py` writes
the transcripts anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random

import pytest
from tests.sockets.experiments import Maker
from tests.sockets.oracle import Kernel, Model, Unavailable, differences, placed, same, show

from portside.facts.settings import Settings

RECORDED = Path(__file__).with_name("recorded") / "experiments.json"
RECORDED_OF_EACH = 40
KINDS = {
    "two_or_three": 2000,
    "privileged": 500,
    "connections": 1200,
    "listeners": 400,
    "datagrams": 1200,
    "crowded": 250,
}
DEEP = 60 if os.environ.get("PORTSIDE_DEEP") else 1
MODELLED = "6.18."
SEED = int(os.environ.get("PORTSIDE_SEED", "1"))

SYSCTLS = {
    "bindv6only": ({"ipv6/bindv6only": "1"}, Settings(bindv6only=1)),
    "ip_nonlocal_bind": ({"ipv4/ip_nonlocal_bind": "1"}, Settings(ip_nonlocal_bind=1)),
    "ip6_nonlocal_bind": ({"ipv6/ip_nonlocal_bind": "1"}, Settings(ip6_nonlocal_bind=1)),
    "no privileged ports": ({"ipv4/ip_unprivileged_port_start": "0"}, Settings(ip_unprivileged_port_start=0)),
    "few privileged ports": ({"ipv4/ip_unprivileged_port_start": "500"}, Settings(ip_unprivileged_port_start=500)),
}


@pytest.fixture(scope="module")
def uids() -> bool | None:
    """Whether the kernel lets us set uids; None: no namespaces, or not the release that is modelled."""
    try:
        with Kernel() as kernel:
            modelled = kernel.release.startswith(MODELLED) or "PORTSIDE_DEEP" in os.environ
            return kernel.uids if modelled else None
    except Unavailable:
        return None


def make(kind: str, count: int, seed: int, uids: bool) -> list:
    maker = Maker(Random(seed), uids)
    return [getattr(maker, kind)() for _ in range(count)]


def agree(found: list) -> None:
    shortest = min(found, key=lambda difference: len(difference[0]), default=None)
    assert shortest is None, f"{len(found)} differ, such as\n{show(shortest)}"


@pytest.mark.linux
@pytest.mark.scenario("A6")
@pytest.mark.parametrize("kind", KINDS)
def test_as_the_kernel(kind: str, uids: bool | None) -> None:
    if uids is None or (kind == "privileged" and not uids):
        test_as_recorded(kind)
        return
    agree(differences(make(kind, KINDS[kind] * DEEP, SEED, uids)))


@pytest.mark.linux
@pytest.mark.scenario("C6")
@pytest.mark.parametrize("name", SYSCTLS)
def test_with_sysctls(name: str, uids: bool | None) -> None:
    if not uids:
        test_as_recorded(name)
        return
    sysctls, settings = SYSCTLS[name]
    experiments = make("two_or_three", 300 * DEEP, SEED, uids) + make("privileged", 100 * DEEP, SEED, uids)
    agree(differences(experiments, sysctls, settings))


@pytest.mark.parametrize("kind", [*KINDS, *SYSCTLS])
def test_as_recorded(kind: str) -> None:
    _, settings = SYSCTLS.get(kind, (None, None))
    found = []
    for number, (steps, theirs) in enumerate(json.loads(RECORDED.read_text())[kind]):
        ours = Model(number, settings).run(steps, theirs)
        if not same(ours, theirs[: len(ours)]):
            found.append((steps, ours, theirs))
    agree(found)


def record() -> None:
    """Write what the kernel under us answers; as root."""
    told: dict[str, object] = {}
    for kind in [*KINDS, *SYSCTLS]:
        sysctls, _ = SYSCTLS.get(kind, ({}, None))
        made = make(kind, RECORDED_OF_EACH, 99, True) if kind in KINDS else make("privileged", 20, 99, True)
        experiments = [placed(steps, number) for number, steps in enumerate(made)]
        with Kernel(sysctls) as kernel:
            told[kind] = list(zip(experiments, kernel.run(experiments), strict=True))
            told["release"] = kernel.release
    lines = [f"{json.dumps(kind)}: {json.dumps(value, separators=(',', ':'))}" for kind, value in told.items()]
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
