"""The packet filter of a real machine: any number of tables and chains, as facts, asked where Linux asks them.

`facts.rule.Chain` and its rules are evaluated as they are. Each hook has a list of base chains in the order of their
priority; between them connections are followed (at -200), and NAT is done (at -100 for destinations, 100 for sources).
What a rule decides that portside cannot read is asked of `Doubts`.

Source: nf_tables_core.c nft_do_chain, nf_conntrack_core.c, nf_nat_core.c nf_nat_inet_fn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from portside.addr.ip import is_v4
from portside.facts.rule import (
    EGRESS,
    FORWARD,
    INGRESS,
    INPUT,
    OUTPUT,
    POSTROUTING,
    PREROUTING,
    Chain,
    FirewallRule,
)
from portside.facts.verdict import Verdict
from portside.ip import nat
from portside.ip.chains import answerable, as_frames, idle, is_idle, is_of, needs_tracking, sees_frames
from portside.ip.conditions import Conditions, RouteAgain, Surroundings, View
from portside.ip.conntrack import NEW, RELATED, Key
from portside.ip.interface import Interface
from portside.ip.nat import DESTINATION, SOURCE, UNTRACKED, Passage, Tracker
from portside.wire.packet import IcmpMessage, Packet

ACCEPT: Final = "accept"
DROP: Final = "drop"
REJECT: Final = "reject"
NAT_VERDICTS: Final = ("dnat", "snat", "masquerade", "redirect")

# Where connections are followed and NAT is done, among the priorities of the chains (<linux/netfilter_ipv4.h>).
TRACKING: Final = -200
DESTINATION_NAT: Final = -100
SOURCE_NAT: Final = 100

HOOKS: Final = (PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING)
FAMILIES: Final = {True: ("ip", "inet"), False: ("ip6", "inet")}
FULL_MARK: Final = 0xFFFFFFFF
ALL_PRIORITIES: Final = range(-(1 << 31), 1 << 31)
DEEPEST: Final = 16  # jumps within jumps (NFT_JUMP_STACK_SIZE)


class Ruling:
    """What the filter decided about a packet, where, and by which rule; by its chain's policy without one."""

    __slots__ = ("chain", "hook", "rule", "verdict")

    def __init__(self, hook: str, verdict: str, chain: Chain, rule: FirewallRule | None) -> None:
        self.hook = hook
        self.verdict = verdict
        self.chain = chain
        self.rule = rule

    @property
    def text(self) -> str:
        """The rule as its own tool prints it, or the policy."""
        return self.rule.text if self.rule is not None else f"policy {self.chain.policy}"

    def __str__(self) -> str:
        return f"{self.text} (chain {self.chain.name} of table {self.chain.family} {self.chain.table})"


class Doubts(Protocol):
    """Who answers where the facts do not."""

    def holds(self, rule: FirewallRule, chain: Chain, packet: Packet) -> bool:
        """Whether a rule holds that portside cannot read whole. It may raise to say that it can't be known."""

    def which(self, rule: FirewallRule, count: int, between: tuple[int, int]) -> int:
        """Which of `count` addresses a NAT rule chooses for what goes between two addresses (find_best_ips_proto)."""

    def unforeseen(self, about: object) -> None:
        """What becomes of the packet now can't be foreseen."""


class Sender(Protocol):
    """The socket that sends a packet, as rules ask about it: its user, and the interface that it is bound to or 0."""

    uid: int
    device: int


class Ruleset:
    """The chains of one host, and the connections that they follow."""

    def __init__(self, chains: Iterable[Chain], surroundings: Surroundings, doubts: Doubts) -> None:
        self.chains = tuple(answerable(as_frames(chain)) for chain in chains)
        self.surroundings = surroundings
        self.doubts = doubts
        self.sender_of: Callable[[Packet], Sender | None] = _nobody  # the socket that sent a packet
        self.tracker = Tracker()
        self.told: Callable[[Ruling, Packet], None] | None = None  # who hears of every decision of a rule
        self._by_name = {(chain.family, chain.table, chain.name): chain for chain in self.chains}
        self._idle = idle(self.chains)
        self._at: dict[tuple[str, bool], list[Chain]] = {}
        self._nat_at: dict[tuple[str, bool], list[Chain]] = {}
        self._conditions = Conditions(surroundings)
        self._passages: dict[int, Passage] = {}  # of packets on their way, by their identity
        self._expected: Packet | None = None
        self._stopped: Ruling | None = None
        self.tracking = any(map(needs_tracking, self.chains))
        self.translating = {True: False, False: False}
        self.frames = [chain for chain in self.chains if chain.hook is not None and sees_frames(chain)]
        self.frames.sort(key=lambda chain: chain.priority)
        for v4, families in FAMILIES.items():
            for hook in HOOKS:
                base = [chain for chain in self.chains if chain.hook == hook and chain.family in families]
                base.reverse()  # of equal priorities the newest is asked first (nf_hook_entries_grow)
                base.sort(key=lambda chain: chain.priority)
                self._at[hook, v4] = [chain for chain in base if chain.kind != "nat"]
                self._nat_at[hook, v4] = [chain for chain in base if chain.kind == "nat"]
                self.translating[v4] = self.translating[v4] or bool(self._nat_at[hook, v4])

    # -- hooks --

    def prerouting(self, packet: Packet, iif: Interface) -> Ruling | None:
        """A packet comes in; None: it may go on, maybe with another destination."""
        if iif.loopback and not self._loops(packet, iif):
            return self._stopped
        passage = self._passages.get(id(packet))
        looped = passage is not None and passage.packet is packet
        if self._expected is packet:
            self._expected = None
            return None
        if passage is None or not looped:
            passage = self._passages[id(packet)] = Passage(packet)
        return self._pass(View(PREROUTING, passage, iif, None), DESTINATION_NAT, track=not looped)

    def input(self, packet: Packet, iif: Interface) -> Ruling | None:
        """A packet is for this host."""
        view = View(INPUT, self._passage(packet), iif, None)
        ruling = self._pass(view, SOURCE_NAT)
        self._leave(view.passage, ruling)
        return ruling

    def forward(self, packet: Packet, iif: Interface, oif: Interface) -> Ruling | None:
        """A packet is passed on."""
        return self._pass(View(FORWARD, self._passage(packet), iif, oif), None)

    def output(self, packet: Packet, oif: Interface, route_again: RouteAgain) -> Ruling | Verdict | None:
        """A packet of this host begins its way.

        `route_again` is called as soon as NAT, or a chain of the type `route`, has changed what its way depends on; a
        Verdict that it returns ends the packet's way at once. The chains go on to see the interface that it had.
        """
        passage = self._passages[id(packet)] = Passage(packet)
        sender = self.sender_of(packet)
        if sender is not None:
            passage.uid, passage.device = sender.uid, sender.device
        self.tracker.attach(passage)
        view = View(OUTPUT, passage, None, oif)
        view.route_again = route_again
        ruling = self._pass(view, DESTINATION_NAT, track=True)
        return view.unroutable if view.unroutable is not None else ruling

    def postrouting(self, packet: Packet, iif: Interface | None, oif: Interface, stays: bool = False) -> Ruling | None:
        """A packet leaves; `stays`: for this host itself."""
        view = View(POSTROUTING, self._passage(packet), iif, oif)
        ruling = self._pass(view, SOURCE_NAT)
        if ruling is not None or not stays:
            self._leave(view.passage, ruling)
        elif self.tracking:
            self.tracker.confirm(view.passage, self.surroundings.now)
        return ruling

    def neighbor(
        self, packet: Packet, iif: Interface | None, oif: Interface | None, route_again: RouteAgain | None = None
    ) -> Ruling | None:
        """Neighbour discovery comes in by an interface, leaves by one, or both over a bridge: it is no connection's."""
        hooks: tuple[str, ...] = (PREROUTING, INPUT) if oif is None else (OUTPUT, POSTROUTING)
        if iif is not None and oif is not None:
            hooks = (PREROUTING, FORWARD, POSTROUTING)
        passage = Passage(packet)
        passage.state = UNTRACKED
        for hook in hooks:
            view = View(hook, passage, iif, oif)
            view.route_again = route_again if hook == OUTPUT else None
            ruling = self._pass(view, None)
            if ruling is not None:
                return ruling
        return None

    def frame(
        self, hook: str, packet: Packet, iif: Interface | None, oif: Interface | None, bridge: bool,
        priorities: range = ALL_PRIORITIES,
    ) -> bool:  # fmt: skip
        """Whether the chains let a frame pass that see it before IP does, or after it.

        Args: hook: of a device (ingress, egress) or, `bridge`, of the family bridge, with its ports as interfaces.
        priorities: of the chains to ask.
        Source: nf_hook_ingress, nf_hook_egress; br_handle_frame, br_forward, br_pass_frame_up.
        """
        device = iif if hook == INGRESS else oif
        for chain in self.frames:
            if chain.hook != hook or (chain.family == "bridge") is not bridge or chain.priority not in priorities:
                continue
            if not bridge and (device is None or not is_of(chain, device)):
                continue
            ruling = self._ask(chain, View(hook, Passage(packet), iif, oif))
            if ruling is not None and ruling.verdict != ACCEPT:
                if ruling.verdict != DROP:
                    self.doubts.unforeseen(ruling.rule)
                self._stopped = Ruling(hook, DROP, chain, ruling.rule)
                return False
        return True

    def _loops(self, packet: Packet, lo: Interface) -> bool:
        """Whether the chains of the device `lo` let a packet of this host come back."""
        if not self.frames:
            return True
        return self.frame(EGRESS, packet, None, lo, False) and self.frame(INGRESS, packet, lo, None, False)

    def expect(self, packet: Packet, back: Callable[[Packet], None]) -> None:
        """The packet was at the hook `prerouting` already: a bridge showed it. `back` sends by the port it came by."""
        self._expected = packet
        self._passage(packet).back = back

    def came_by_port(self, packet: Packet) -> Callable[[Packet], None] | None:
        """What sends by the port that the packet came in by, if a bridge showed it."""
        return self._passage(packet).back

    def regard(self, packet: Packet) -> None:
        """What is sent next is about a packet that has left, and belongs to its connection."""
        passage = self._passages.get(id(packet))
        if passage is not None and passage.packet is packet:  # it has not: a bridge keeps it
            self.reject(packet)
        elif self.tracking:
            self.tracker.regard(packet, self.surroundings.now)

    def reject(self, packet: Packet) -> None:
        """What is sent next answers a packet that a rule rejects (nf_ct_attach)."""
        if self.tracking:
            self.tracker.attached = self._passage(packet)

    def mark_of(self, packet: Packet) -> int:
        """The mark of a packet on its way."""
        passage = self._passages.get(id(packet))
        if passage is None or passage.packet is not packet:
            return 0
        self._doubt_mark(passage)
        return passage.mark

    def _doubt_mark(self, passage: Passage) -> None:
        """A route is looked for: with a mark that is not known it may be any, where rules ask for it."""
        if passage.marked_by is not None and self.surroundings.routes_by_mark:
            self.doubts.unforeseen(passage.marked_by)

    def answered(self, packet: Packet) -> None:
        """The packet's way has ended, and what there was to say about it was said."""
        self.tracker.attached = None
        self._passages.pop(id(packet), None)

    def _passage(self, packet: Packet) -> Passage:
        passage = self._passages.get(id(packet))
        if passage is None or passage.packet is not packet:
            passage = self._passages[id(packet)] = Passage(packet)
        return passage

    def _leave(self, passage: Passage, ruling: Ruling | None) -> None:
        if ruling is None:
            self._passages.pop(id(passage.packet), None)
            if self.tracking:
                self.tracker.confirm(passage, self.surroundings.now)

    def _pass(self, view: View, translation: int | None, track: bool = False) -> Ruling | None:
        """Ask the chains of a hook in order, with tracking and NAT in their places. None: the packet may go on."""
        v4 = is_v4(view.packet.dst)
        tracked = not (track and self.tracking)
        translated = translation is None or not self.translating[v4]
        for chain in self._at[view.hook, v4]:
            if not tracked and chain.priority >= TRACKING:
                tracked = self._track(view.passage)
            if not translated and translation is not None and chain.priority >= translation:
                translated = True
                ruling = self._rerouted(view, v4)
                if ruling is not None:
                    return ruling
            ruling = self._rerouted(view, v4, chain) if chain.kind == "route" else self._ask(chain, view)
            if ruling is not None and ruling.verdict != ACCEPT:
                return ruling
        if not tracked:
            self._track(view.passage)
        return None if translated else self._rerouted(view, v4)

    def _rerouted(self, view: View, v4: bool, chain: Chain | None = None) -> Ruling | None:
        """Do NAT, or ask a chain of the type `route`; then look for the way again if it depends on what changed."""
        packet, passage = view.packet, view.passage
        before = packet.src, packet.dst, passage.mark if chain is not None else 0
        ruling = self._translate(view, v4) if chain is None else self._ask(chain, view)
        after = packet.src, packet.dst, passage.mark if chain is not None else 0
        if view.route_again is None or (ruling is not None and ruling.verdict != ACCEPT):
            return ruling
        self._doubt_mark(passage)
        if before == after:
            return ruling
        view.unroutable = view.route_again(packet, passage.mark, passage.device)
        if view.unroutable is None:
            return ruling
        return Ruling(view.hook, DROP, chain or self.chains[0], None)

    def _track(self, passage: Passage) -> bool:
        if passage.state != UNTRACKED:
            self.tracker.track(passage, self.surroundings.now)
        return True

    # -- NAT --

    def _translate(self, view: View, v4: bool) -> Ruling | None:
        """Decide about a new connection's NAT, and give the packet its names (nf_nat_inet_fn)."""
        passage, connection = view.passage, view.passage.connection
        if connection is None:
            return None
        what = DESTINATION if view.hook in (PREROUTING, OUTPUT) else SOURCE
        message = isinstance(view.whole, IcmpMessage) and view.whole.quoted is not None
        if passage.state in (NEW, RELATED) and not message and not connection.renamed & what:
            for chain in self._nat_at[view.hook, v4]:
                ruling = self._ask(chain, view)
                if ruling is None or ruling.verdict == ACCEPT:
                    continue
                if ruling.verdict not in NAT_VERDICTS:
                    return ruling
                ruling = self._rename(view, what, ruling)
                if ruling is not None:
                    return ruling
                break
            else:
                self._keep(view, what)
            connection.renamed |= what
        nat.apply(passage, what)
        return None

    def _keep(self, view: View, what: int) -> None:
        """No rule says anything: the source port changes only where another connection has it (null binding)."""
        connection = view.passage.connection
        assert connection is not None
        if what == SOURCE and view.passage.state == NEW:
            _, address, _, _, _ = nat.translated(connection)
            self._set(view, what, address, None)

    def _rename(self, view: View, what: int, ruling: Ruling) -> Ruling | None:
        """Do what a NAT rule says; a ruling that drops the packet when it can't be done."""
        rule, connection = ruling.rule, view.passage.connection
        assert rule is not None
        assert connection is not None
        _, src, _, dst, _ = nat.translated(connection)
        address = src if what == SOURCE else dst
        if rule.verdict == "masquerade":
            address = self.surroundings.masquerade_as(dst, view.oif) if view.oif is not None else 0
        elif rule.verdict == "redirect":
            address = self.surroundings.redirect_to(view.iif if view.hook == PREROUTING else None, dst)
        elif rule.to_address is not None:
            first, last = rule.to_address
            address = first + (self.doubts.which(rule, last - first + 1, (src, dst)) if last > first else 0)
        if not address:
            return Ruling(view.hook, DROP, ruling.chain, rule)
        self._set(view, what, address, rule.to_port)
        return None

    def _set(self, view: View, what: int, address: int, ports: tuple[int, int] | None) -> None:
        connection = view.passage.connection
        assert connection is not None
        tracker, now = self.tracker, self.surroundings.now

        def free(key: Key) -> bool:
            assert connection is not None
            return not tracker.taken(key, connection, now)

        port = nat.unique_port(connection, what, address, ports, free)
        nat.rename(connection, what, address, port)

    # -- chains --

    def _ask(self, chain: Chain, view: View) -> Ruling | None:
        """What a base chain decides; its policy where no rule does."""
        ruling = self._walk(chain, view, chain, 0)
        if ruling is None:
            ruling = Ruling(view.hook, chain.policy, chain, None)
        if self.told is not None and (ruling.rule is not None or ruling.verdict != ACCEPT):
            self.told(ruling, view.packet)
        return ruling

    def _end(self, verdict: str, view: View, chain: Chain, rule: FirewallRule) -> Ruling:
        """A rule ends the packet's way through the chains of the hook, maybe in a way that is not known."""
        if verdict == "queue":
            verdict = ACCEPT if self.doubts.holds(rule, chain, view.packet) else DROP
        elif verdict == "unknown":
            self.doubts.unforeseen(rule)
            verdict = DROP
        return Ruling(view.hook, verdict, chain, rule)

    def _walk(self, chain: Chain, view: View, base: Chain, depth: int) -> Ruling | None:
        for rule in chain.rules:
            if is_idle(rule, chain, self._idle):
                continue
            holds = self._conditions.hold(rule, view)
            unsure = holds is None or not rule.understood
            if holds is False or (unsure and not self.doubts.holds(rule, chain, view.packet)):
                continue
            if rule.set_mark is not None:
                value, mask = rule.set_mark
                view.passage.mark = (view.passage.mark & ~mask) | value
                if mask == FULL_MARK:
                    view.passage.marked_by = None
            elif rule.verdict == "continue":  # one that can't be read: what sets the mark of the packet from elsewhere
                view.passage.marked_by = rule
            verdict = rule.verdict
            if verdict in ("jump", "goto"):
                target = self._by_name.get((chain.family, chain.table, rule.target))
                ruling = self._walk(target, view, base, depth + 1) if target is not None and depth < DEEPEST else None
                if ruling is not None or verdict == "goto":
                    return ruling
            elif verdict == "return":
                return None
            elif verdict == "notrack":
                if view.passage.connection is None:
                    view.passage.state = UNTRACKED
            elif verdict != "continue":
                return self._end(verdict, view, chain, rule)
        return None


def _nobody(_packet: Packet) -> Sender | None:
    return None
