"""What to change so that a connection would come about."""

from __future__ import annotations

import errno

from portside.explain.connect import ACCEPTED, BEYOND, SILENT, UNKNOWN, Attempt, Step
from portside.ip.ruleset import Ruling


def advice(attempt: Attempt) -> str:
    """One line on what to change; nothing to change is said too."""
    if attempt.outcome == ACCEPTED:
        return "nothing: it works"
    if attempt.outcome == BEYOND:
        return "ask the network: try it for real, with --try"
    if attempt.outcome == UNKNOWN:
        return "look at what is named there: its own tool knows"
    step = _decisive(attempt)
    if step is None:
        return "nothing of this machine is in the way"
    ruling = step.because
    if isinstance(ruling, Ruling):
        table = f"{ruling.chain.family} {ruling.chain.table} {ruling.chain.name}"
        if ruling.rule is not None:
            return f"in {step.machine}: let chain {table} accept it before the rule {ruling.rule.text!r}"
        return f"in {step.machine}: let chain {table} accept it, whose policy is {ruling.chain.policy}"
    return f"in {step.machine}: {_advice(step, attempt)}"


def _decisive(attempt: Attempt) -> Step | None:
    refused = [step for step in attempt.steps if step.errno or step.what == "drop"]
    return refused[-1] if refused else (attempt.steps[-1] if attempt.steps else None)


def _advice(step: Step, attempt: Attempt) -> str:
    if step.what == "listener" and attempt.errno == errno.ETIMEDOUT:
        return "the server has to accept faster, or listen with a larger backlog (and somaxconn)"
    if step.what == "listener":
        return f"start a server there, or let it listen where it is called: {step.sentence}"
    if step.what == "route":
        return f"change the routes: {step.sentence}"
    if attempt.outcome == SILENT:
        return f"start a server on port {attempt.port}"
    return step.sentence
