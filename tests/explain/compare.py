"""What `why` predicts of a generated machine, beside what the real one did."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context

from tests.explain.machines import generate
from tests.explain.parts import Machine, Target
from tests.explain.real import run
from tests.live.apart import apart

from portside.addr.ip import parse
from portside.explain.attempt import ACCEPTED, FAILED, UNKNOWN, Attempt, open_words
from portside.explain.connect import why
from portside.facts.snapshot import Snapshot

TIMES_ALONE = 3
"""How often an attempt is made again by itself that went otherwise than predicted among others."""


@dataclass
class Comparison:
    """How many attempts were compared, and those that `why` got wrong, in words.

    `unknown`: of how many `why` said that it can't know, by what it named. `outcomes`: how the real ones ended.
    `disturbed`: predicted otherwise, but right each time when nothing else was tried at the same time, in words.
    """

    compared: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    disturbed: list[str] = field(default_factory=list)


def compare(seed: int, targets: int = 60) -> Comparison:
    """The comparison of a generated machine."""
    return hold(generate(seed, targets))


def hold_all(machines: Iterable[Machine]) -> list[Comparison]:
    """The comparisons of machines. Most of the time is spent waiting for what times out: several wait at once."""
    with ProcessPoolExecutor(8, mp_context=get_context("spawn")) as pool:
        return list(pool.map(hold, machines))


def hold(machine: Machine) -> Comparison:
    """Build a machine, and hold every attempt against its prediction."""
    facts, results = apart(run, machine)
    found = Comparison(len(results))
    for target, outcome, inode in results:
        attempt = predict(facts, target)
        found.outcomes[outcome] += 1
        if attempt.outcome == UNKNOWN:
            found.unknown[" and ".join(sorted({open_words(each) for each in attempt.open}))] += 1
        if not may_be(attempt, outcome, inode):
            # The attempts of one machine disturb each other: they share its neighbours, queues and rate limits.
            difference = _alone(machine, target)
            if difference:
                found.differences.append(difference)
            else:
                found.disturbed.append(_words(machine, target, f"{outcome} {inode or ''} among others", attempt))
    return found


def _alone(machine: Machine, target: Target) -> str:
    """The same attempt on machines that are built anew for it: what is wrong with its prediction, in words."""
    for _ in range(TIMES_ALONE):
        facts, ((_, outcome, inode),) = apart(run, replace(machine, targets=[target]))
        attempt = predict(facts, target)
        if not may_be(attempt, outcome, inode):
            return _words(machine, target, f"{outcome} {inode or ''}", attempt)
    return ""


def predict(facts: Snapshot, target: Target) -> Attempt:
    """What `why` says of an attempt."""
    proto = socket.IPPROTO_UDP if target.udp else socket.IPPROTO_TCP
    answer = why(
        facts, target.address, target.port, source=f"s{target.space}", proto=proto, uid=target.uid,
        addresses=[parse(target.address.partition("%")[0])],
    )  # fmt: skip
    return answer.attempts[0]


def may_be(attempt: Attempt, outcome: str, inode: int) -> bool:
    """Whether what happened is what was predicted; where that is unknown, one of the ends that it may come to."""
    if attempt.outcome == UNKNOWN:
        unheard = outcome == ACCEPTED and not inode  # what was sent then may have met the rule that can't be known
        return not attempt.ends or any(
            may_be(end, outcome, inode) or (unheard and end.outcome == ACCEPTED) for end in attempt.ends
        )
    if attempt.outcome == ACCEPTED:
        return outcome == ACCEPTED and inode in ([each.inode for each in attempt.by] or [0])
    return outcome == said(attempt)


def said(attempt: Attempt) -> str:
    """How an attempt is predicted to end: the name of an errno, or the outcome."""
    return errno.errorcode[attempt.errno] if attempt.outcome == FAILED else attempt.outcome


def _words(machine: Machine, target: Target, real: str, predicted: Attempt) -> str:
    steps = "\n".join(f"      {step.machine}: {step.what}: {step.sentence}" for step in predicted.steps)
    by = [each.inode for each in predicted.by] or ""
    ends = [f"{said(each)} {[socket.inode for socket in each.by]}" for each in predicted.ends] or ""
    return f"seed {machine.seed}: {target}: real {real}, predicted {said(predicted)} {by}{ends}\n{steps}"
