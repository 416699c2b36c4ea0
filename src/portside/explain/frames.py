"""The chains that see the frames of a wire: of devices (netdev, inet ingress) and of bridges (the family bridge)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from portside.addr.ip import is_v4
from portside.facts.rule import EGRESS, FORWARD, INGRESS, INPUT, OUTPUT, POSTROUTING, PREROUTING
from portside.ip.filtering import as_icmp
from portside.ip.interface import Interface
from portside.ip.link import NeighborMessage
from portside.ip.ruleset import ALL_PRIORITIES as ALL
from portside.wire.packet import Packet

BEFORE: Final = range(ALL.start, 1)
AFTER: Final = range(1, ALL.stop)
"""The chains of a bridge that see a frame before br_netfilter does, at NF_BR_PRI_BRNF, and after it. Of those at this
priority the newest is asked first: br_netfilter came before them."""

if TYPE_CHECKING:
    from portside.ip.layer import IpLayer


class Plug(NamedTuple):
    """What hangs on a wire: an interface of a host, and the port of a bridge that is its veth pair's other end."""

    layer: IpLayer
    interface: Interface
    bridge: IpLayer | None = None
    port: Interface | None = None


class Frames:
    """Asks the chains of everything that a frame passes on one wire. `plugs` are by link address."""

    def __init__(self) -> None:
        self.plugs: dict[int, Plug] = {}

    def leaves(self, packet: Packet, sender: Interface) -> bool:
        """Whether a frame gets out of an interface, and into the bridge that it is plugged into."""
        plug = self.plugs[sender.link_address]
        packet = _seen(packet)
        return (
            _asked(plug.layer, EGRESS, packet, None, plug.interface)
            and (plug.bridge is None or _asked(plug.bridge, INGRESS, packet, plug.port, None))
            and (plug.bridge is None or _asked(plug.bridge, PREROUTING, packet, plug.port, None, bridge=True))
        )

    def crosses(self, packet: Packet, sender: Interface, receiver: Interface) -> bool:
        """Whether a frame gets through the bridge, up to where br_netfilter shows it to the filter of IP.

        What is for the bridge itself comes in by it then, and is seen by the filter of IP afterwards.
        """
        came, goes = self.plugs[sender.link_address], self.plugs[receiver.link_address]
        packet = _seen(packet)
        if came.bridge is goes.layer:
            return _asked(goes.layer, INPUT, packet, came.port, None, bridge=True) and _asked(
                goes.layer, INGRESS, packet, receiver, None
            )
        return goes.bridge is None or _asked(
            goes.bridge, _hook(came, goes), packet, came.port, goes.port, bridge=True, priorities=BEFORE
        )

    def reaches(self, packet: Packet, sender: Interface, receiver: Interface) -> bool:
        """Whether a frame gets out of the bridge then, and into an interface."""
        came, goes = self.plugs[sender.link_address], self.plugs[receiver.link_address]
        packet = _seen(packet)
        if came.bridge is goes.layer:
            return True
        if goes.bridge is not None and not (
            _asked(goes.bridge, _hook(came, goes), packet, came.port, goes.port, bridge=True, priorities=AFTER)
            and _asked(goes.bridge, POSTROUTING, packet, None, goes.port, bridge=True)
            and _asked(goes.bridge, EGRESS, packet, None, goes.port)
        ):
            return False
        return _asked(goes.layer, INGRESS, packet, receiver, None)

    def watches(self, interface: Interface) -> bool:
        """Whether the host of an interface has chains that see frames."""
        ruleset = self.plugs[interface.link_address].layer.ruleset
        return ruleset is not None and bool(ruleset.frames)

    def returns(self, packet: Packet, receiver: Interface) -> bool:
        """Whether a frame reaches an interface that is put on the port where this is plugged in, past the bridge."""
        goes = self.plugs[receiver.link_address]
        out = goes.bridge is None or _asked(goes.bridge, EGRESS, packet, None, goes.port)
        return out and _asked(goes.layer, INGRESS, packet, receiver, None)


def _hook(came: Plug, goes: Plug) -> str:
    """Whether the bridge itself sends a frame, or passes it on."""
    return OUTPUT if came.layer is goes.bridge and came.bridge is None else FORWARD


def _seen(packet: Packet) -> Packet:
    """Neighbour discovery of IPv6 is ICMPv6 to a filter; ARP is what it is."""
    return as_icmp(packet) if isinstance(packet, NeighborMessage) and not is_v4(packet.dst) else packet


def _asked(
    layer: IpLayer, hook: str, packet: Packet, iif: Interface | None, oif: Interface | None, *, bridge: bool = False,
    priorities: range = ALL,
) -> bool:  # fmt: skip
    ruleset = layer.ruleset
    return ruleset is None or not ruleset.frames or ruleset.frame(hook, packet, iif, oif, bridge, priorities)
