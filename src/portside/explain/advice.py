"""What to change so that a connection would come about."""

from __future__ import annotations

import errno
from typing import Final

from portside.addr.ip import V4_BROADCAST, is_multicast, is_v4, text
from portside.explain.attempt import ACCEPTED, BEYOND, SILENT, UNKNOWN, Attempt, Step
from portside.facts.verdict import Verdict
from portside.ip.route import NO_SOURCE
from portside.ip.ruleset import Ruling

DROPS: Final = {
    "error": "add a route there to the destination, or remove what forbids it",
    "not a router": "let it pass packets on (net.ipv4.ip_forward=1, net.ipv6.conf.all.forwarding=1)",
    "rp_filter": "add a route back to the source by that interface, or set rp_filter to 2 or 0 there",
    "martian": "use another source or destination address, for these can't come by that interface",
    "not a member": "join the group there, or send to the address of one host",
}
"""What helps where a packet is dropped, by the reason."""


def advice(attempt: Attempt) -> str:
    """One line on what to change; nothing to change is said too."""
    if attempt.outcome == ACCEPTED:
        return "nothing: it works"
    if attempt.outcome == BEYOND:
        return "ask the network: try it for real, with --try"
    if attempt.outcome == UNKNOWN:
        return "look at what is named there: its own tool knows"
    if attempt.errno == errno.EADDRNOTAVAIL and not any(step.errno for step in attempt.steps if step.what == "route"):
        return (
            "no port is left for this destination: a wider net.ipv4.ip_local_port_range, net.ipv4.tcp_tw_reuse=1, or "
            "another source or destination address"
        )
    if attempt.outcome != SILENT and is_multicast(attempt.address):
        return f"{text(attempt.address)} is a multicast address, which TCP can't connect to: take that of one host"
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
    if step.what == "listener" and attempt.errno == errno.ETIMEDOUT and step.errno == errno.ECONNREFUSED:
        return f"nobody answers for {text(attempt.address)}: is it a broadcast address? take that of one host"
    if step.what == "listener" and attempt.errno == errno.ETIMEDOUT:
        return "the server has to accept faster, or listen with a larger backlog (and somaxconn)"
    if step.what == "listener":
        return f"start a server there, or let it listen where it is called: {step.sentence}"
    if attempt.errno == errno.ENETUNREACH and (step.what == "call" or attempt.address == V4_BROADCAST):
        return f"{text(attempt.address)} is a broadcast address, which TCP can't connect to: take that of one host"
    if step.what == "route" and not step.errno and attempt.errno == errno.ETIMEDOUT:
        return f"nobody answers for {text(attempt.address)}: start that host, give it the address, or correct the route"
    if isinstance(step.because, Verdict) and step.because.rule is NO_SOURCE:
        family = "IPv4" if is_v4(attempt.address) else "IPv6"
        return f"give an interface an address of {family}, or switch {family} on there: {step.sentence}"
    if step.what == "route":
        return f"change the routes: {step.sentence}"
    if step.what == "drop" and str(step.because) in DROPS:
        return f"{DROPS[str(step.because)]}: {step.sentence}"
    if attempt.errno == errno.EHOSTUNREACH and step.what == "delivered":
        return (
            f"nobody on that link answers for {text(attempt.address)} or the gateway to it: start that host, give it "
            "the address, or correct the route"
        )
    if attempt.errno == errno.ETIMEDOUT and step.what == "delivered":
        return f"add a route back to where it comes from, for no answer leaves: {step.sentence}"
    if attempt.outcome == SILENT:
        return f"start a server on port {attempt.port}"
    return step.sentence
