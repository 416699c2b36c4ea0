"""Which port one gets that asked for none: order, parity, sharing, exhaustion and its errno, as the kernel has them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.sockets.oracle import Kernel, Model, Steps, Unavailable

from portside.facts.settings import Settings

RECORDED = Path(__file__).with_name("recorded") / "ephemeral.json"
LOW = 40000


def several(count: int, *steps: list) -> Steps:
    """The steps for sockets 10, 11 ...; `N` stands for the socket's number."""
    return [[number if part == "N" else part for part in step] for number in range(10, 10 + count) for step in steps]


def server(port: int = 50000) -> Steps:
    return [["socket", 1, 4, "tcp"], ["bind", 1, "0.0.0.0", port], ["listen", 1, 200]]


def client(kind: str = "tcp", *options: list) -> list[list]:
    return [["socket", "N", 4, kind], ["opt", "N", "linger", 0], *options]


TO_SERVER = [["connect", "N", "127.0.0.1", 50000], ["name", "N"]]
BIND_ANY = [["bind", "N", "0.0.0.0", 0], ["name", "N"]]
BIND_ONE = [["bind", "N", "127.0.0.1", 0], ["name", "N"]]
REUSE = ["opt", "N", "reuseaddr", 1]
SHARE = ["opt", "N", "reuseport", 1]
LATER = ["opt", "N", "bind_address_no_port", 1]

CASES: dict[str, tuple[int, dict, Steps]] = {
    # size of the range, other sysctls, steps
    **{f"connect-{n}": (n, {}, server() + several(n + 2, *client(), *TO_SERVER)) for n in (1, 2, 3, 4, 5, 15, 16)},
    **{f"bind-{n}": (n, {}, several(n + 2, *client(), *BIND_ANY)) for n in (1, 2, 3, 4, 5, 15, 16)},
    **{f"bind-reuse-{n}": (n, {}, several(n + 2, *client("tcp", REUSE), *BIND_ANY)) for n in (2, 3, 4, 5, 8, 15, 16)},
    "bind-share": (6, {}, several(8, *client("tcp", SHARE), *BIND_ANY)),
    "listen": (6, {}, several(8, *client(), ["listen", "N"], ["name", "N"])),
    "bind-then-connect": (6, {}, server() + several(8, *client(), *BIND_ONE, *TO_SERVER)),
    "no-port-then-connect": (6, {}, server() + several(8, *client("tcp", LATER), *BIND_ONE, *TO_SERVER)),
    "autobind-reuse": (6, {"ipv4/ip_autobind_reuse": "1"}, several(9, *client("tcp", REUSE), *BIND_ANY)),
    "autobind-reuse-share": (
        6,
        {"ipv4/ip_autobind_reuse": "1"},
        several(9, *client("tcp", REUSE, SHARE), *BIND_ANY),
    ),
    "autobind-no-reuse": (6, {"ipv4/ip_autobind_reuse": "1"}, several(8, *client(), *BIND_ANY)),
    "two-destinations": (
        6,
        {},
        server()
        + [["socket", 2, 4, "tcp"], ["bind", 2, "0.0.0.0", 50001], ["listen", 2, 200]]
        + several(7, *client(), *TO_SERVER)
        + [
            [
                *step[:1],
                *(part + 50 if part in range(10, 40) else 50001 if part == 50000 else part for part in step[1:]),
            ]
            for step in several(7, *client(), *TO_SERVER)
        ],
    ),
    "two-sources": (
        6,
        {},
        server()
        + several(7, *client(), *BIND_ONE)
        + [
            ["socket", 60, 4, "tcp"],
            ["bind", 60, "127.0.0.2", 0],
            ["name", 60],
            ["socket", 61, 4, "tcp"],
            ["bind", 61, "0.0.0.0", 0],
            ["socket", 62, 4, "tcp"],
            ["connect", 62, "127.0.0.1", 50000],
        ],
    ),
    "connections-then-bind": (
        4,
        {},
        server()
        + several(4, *client(), *TO_SERVER)
        + [
            ["socket", 60, 4, "tcp"],
            ["bind", 60, "0.0.0.0", 0],
            ["socket", 61, 4, "tcp"],
            ["bind", 61, "127.0.0.2", 0],
            ["socket", 62, 4, "tcp"],
            ["bind", 62, "127.0.0.1", 0],
            ["socket", 63, 6, "tcp"],
            ["opt", 63, "v6only", 1],
            ["bind", 63, "::", 0],
        ],
    ),
    "reserved": (
        8,
        {"ipv4/ip_local_reserved_ports": "40001,40004-40005"},
        server() + several(7, *client(), *TO_SERVER),
    ),
    "reserved-bind": (8, {"ipv4/ip_local_reserved_ports": "40001,40004-40005"}, several(7, *client(), *BIND_ANY)),
    "reserved-udp": (8, {"ipv4/ip_local_reserved_ports": "40001,40004-40005"}, several(7, *client("udp"), *BIND_ANY)),
    "own-range-connect": (
        16,
        {},
        server() + several(6, *client("tcp", ["opt", "N", "port_range", [40004, 40008]]), *TO_SERVER),
    ),
    "own-range-bind": (16, {}, several(7, *client("tcp", ["opt", "N", "port_range", [40004, 40008]]), *BIND_ANY)),
    "own-range-outside": (6, {}, several(8, *client("tcp", ["opt", "N", "port_range", [30000, 40003]]), *BIND_ANY)),
    "own-range-udp": (16, {}, several(6, *client("udp", ["opt", "N", "port_range", [0, 40003]]), *BIND_ANY)),
    "udp-bind": (6, {}, several(7, *client("udp"), *BIND_ANY)),
    "udp-connect": (6, {}, several(7, *client("udp"), ["connect", "N", "127.0.0.1", 9], ["name", "N"])),
    "udp-disconnect": (
        2,
        {},
        several(4, *client("udp"), ["connect", "N", "127.0.0.1", 9], ["disconnect", "N"], ["name", "N"]),
    ),
    "udp-disconnect-bound": (
        2,
        {},
        several(4, *client("udp"), *BIND_ONE, ["connect", "N", "127.0.0.1", 9], ["disconnect", "N"], ["name", "N"]),
    ),
    "udp-send": (4, {}, several(6, *client("udp"), ["send", "N", "127.0.0.1", 9], ["name", "N"])),
    "udp-reuse": (1, {}, several(3, *client("udp", REUSE), *BIND_ANY)),
    "udp-share": (1, {}, several(3, *client("udp", SHARE), *BIND_ANY)),
    "refused-gives-back": (1, {}, several(3, *client(), ["connect", "N", "127.0.0.1", 50000], ["name", "N"])),
    "refused-after-bind-0": (
        1,
        {},
        several(2, *client(), *BIND_ONE, ["connect", "N", "127.0.0.1", 50000], ["name", "N"]),
    ),
}


def classes(name: str, answers: list) -> list:
    """Each port as what its search order can tell: parity, with SO_REUSEADDR the half of the range, for UDP nothing."""
    size, _, steps = CASES[name]
    ports = [answer[1] for answer in answers if isinstance(answer, list) and LOW <= answer[1] < LOW + size]
    told: list = []
    for step, answer in zip(steps, answers, strict=True):
        if isinstance(answer, list) and LOW <= answer[1] < LOW + size:
            told.append([answer[0], port_class(name, answer[1] - LOW, size)])
        elif answer or step[0] not in ("socket", "opt"):
            told.append(answer)
    return [told, sorted(set(ports)) if len(set(ports)) == size else len(set(ports))]


def port_class(name: str, offset: int, size: int) -> str:
    if "udp" in name or "own-range-connect" in name:
        return "any"
    parity = "odd" if offset & 1 else "even"
    if "reuse" not in name:
        return parity
    return f"upper {parity}" if offset >= size >> 2 << 1 else f"lower {parity}"


def settings_for(size: int, sysctls: dict) -> Settings:
    settings = Settings(ip_local_port_range=(LOW, LOW + size - 1))
    if "ipv4/ip_autobind_reuse" in sysctls:
        settings.ip_autobind_reuse = 1
    if "ipv4/ip_local_reserved_ports" in sysctls:
        settings.ip_local_reserved_ports = frozenset({40001, 40004, 40005})
    return settings


def kernel_outcomes(name: str) -> set[str]:
    """What a real kernel has answered in thirty runs."""
    if not os.environ.get("PORTSIDE_RECORD"):
        recorded = json.loads(RECORDED.read_text())["cases"]
        if not os.environ.get("PORTSIDE_DEEP"):
            return {json.dumps(outcome) for outcome in recorded[name]}
    size, sysctls, steps = CASES[name]
    try:
        with Kernel({"ipv4/ip_local_port_range": f"{LOW} {LOW + size - 1}", **sysctls}) as kernel:
            return {json.dumps(classes(name, answers)) for answers in kernel.run([steps] * 30)}
    except Unavailable:
        return {json.dumps(outcome) for outcome in recorded[name]}


def record() -> None:
    """Write what the kernel under us answers."""
    RECORDED.parent.mkdir(exist_ok=True)
    with Kernel() as kernel:
        release = kernel.release
    cases = {name: [json.loads(outcome) for outcome in sorted(kernel_outcomes(name))] for name in CASES}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(outcomes)}" for name, outcomes in cases.items())
    RECORDED.write_text(f'{{"release": {json.dumps(release)}, "cases": {{\n{lines}\n}}}}\n')


@pytest.mark.linux
@pytest.mark.scenario("B7")
@pytest.mark.parametrize("name", CASES)
def test_as_the_kernel(name: str) -> None:
    size, sysctls, steps = CASES[name]
    settings = settings_for(size, sysctls)
    ours = {json.dumps(classes(name, Model(seed, settings).run(steps))) for seed in range(300)}
    theirs = kernel_outcomes(name)
    assert theirs <= ours, f"the kernel also answers {sorted(theirs - ours)[0]}; we answer {sorted(ours)[:2]}"
    assert len(ours) <= 3 * len(theirs) + 2, f"we answer too many things: {sorted(ours)[:5]}"
