"""What `why` predicts of a generated machine, beside what the real one did."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, replace

from tests.explain.machines import generate
from tests.explain.parts import Machine, Target
from tests.explain.real import run
from tests.live.apart import apart

from portside.addr.ip import parse
from portside.explain.attempt import ACCEPTED, FAILED, SILENT, Attempt
from portside.explain.connect import why
from portside.facts.snapshot import Snapshot


@dataclass
class Difference:
    """One attempt of which the prediction was wrong."""

    machine: Machine
    target: Target
    real: str
    predicted: Attempt

    def __str__(self) -> str:
        steps = "\n".join(f"      {step.machine}: {step.what}: {step.sentence}" for step in self.predicted.steps)
        return f"seed {self.machine.seed}: {self.target}: real {self.real}, predicted {_words(self.predicted)}\n{steps}"


@dataclass
class Comparison:
    """How many attempts were compared, of how many `why` said that it can't know, and those that it got wrong.

    `disturbed`: predicted otherwise, but right when nothing else was tried at the same time.
    """

    compared: int
    unknown: int
    differences: list[Difference]
    outcomes: dict[str, int]
    disturbed: int = 0


def compare(seed: int, targets: int = 60) -> Comparison:
    """The comparison of a generated machine."""
    return hold(generate(seed, targets))


def hold(machine: Machine) -> Comparison:
    """Build a machine, and hold every attempt against its prediction."""
    facts, results = apart(run, machine)
    found = Comparison(len(results), 0, [], {})
    for target, outcome, inode in results:
        attempt = predict(facts, target)
        found.outcomes[outcome] = found.outcomes.get(outcome, 0) + 1
        if attempt.outcome not in (ACCEPTED, FAILED, SILENT):
            found.unknown += 1
        elif not _agree(attempt, outcome, inode):
            # The attempts of one machine disturb each other: they share its neighbours, queues and rate limits.
            difference = _alone(machine, target)
            found.disturbed += difference is None
            if difference is not None:
                found.differences.append(difference)
    return found


def _alone(machine: Machine, target: Target) -> Difference | None:
    """The same attempt on a machine that is built anew for it."""
    facts, ((_, outcome, inode),) = apart(run, replace(machine, targets=[target]))
    attempt = predict(facts, target)
    return None if _agree(attempt, outcome, inode) else Difference(machine, target, f"{outcome} {inode or ''}", attempt)


def predict(facts: Snapshot, target: Target) -> Attempt:
    """What `why` says of an attempt."""
    proto = socket.IPPROTO_UDP if target.udp else socket.IPPROTO_TCP
    answer = why(
        facts, target.address, target.port, source=f"s{target.space}", proto=proto, uid=target.uid,
        addresses=[parse(target.address.partition("%")[0])],
    )  # fmt: skip
    return answer.attempts[0]


def _agree(attempt: Attempt, outcome: str, inode: int) -> bool:
    if attempt.outcome == ACCEPTED:
        return outcome == "accepted" and inode in ([each.inode for each in attempt.by] or [0])
    return outcome == _words(attempt)


def _words(attempt: Attempt) -> str:
    if attempt.outcome == FAILED:
        return errno.errorcode[attempt.errno]
    if attempt.outcome == ACCEPTED:
        return f"accepted {[each.inode for each in attempt.by]}"
    return attempt.outcome
