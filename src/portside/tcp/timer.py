"""One alarm for all deadlines of a connection, set lazily: most deadlines move on before they come."""

from __future__ import annotations

from portside.tcp.tcb import Tcb


def alarm(tcb: Tcb, when: int) -> None:
    """See to it that the host calls at `when` or earlier; nothing to do when an earlier call is due already."""
    armed = tcb.armed
    if not armed or when < armed:
        tcb.effects.arm(tcb, when)
        tcb.armed = when


def rearm(tcb: Tcb) -> None:
    """Set the alarm for the next of the deadlines, if there is one."""
    when = 0
    for deadline in (tcb.retransmit_at, tcb.probe_at, tcb.delack_at, tcb.keepalive_at):
        if deadline and (not when or deadline < when):
            when = deadline
    if when:
        alarm(tcb, when)


def stop(tcb: Tcb) -> None:
    """Forget all deadlines. An alarm that is set rings for nothing."""
    tcb.retransmit_at = tcb.probe_at = tcb.delack_at = tcb.keepalive_at = 0
