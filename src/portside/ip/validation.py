"""What the interfaces of a real machine take in and pass on, as their sysctls say (ip-sysctl.rst, conf/INTERFACE/*)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portside.addr.ip import V4_ANY, is_loopback, is_v4
from portside.facts.interface import SCOPE_LINK
from portside.facts.settings import Settings
from portside.ip.interface import Interface, InterfaceAddress
from portside.ip.route import LOCAL
from portside.ip.source import in_subnet
from portside.wire.packet import Packet

if TYPE_CHECKING:
    from portside.ip.layer import IpLayer

STRICT: Final = 1  # rp_filter: the way back is by the interface
LOOSE: Final = 2  # there is a way back


class Validation:
    """The sysctls of each interface that decide what comes in."""

    def __init__(self, layer: IpLayer, settings: Settings) -> None:
        self.layer = layer
        self.settings = settings

    def _own(self, name: str, interface: Interface, family: str = "ipv4") -> int:
        text = self.settings.extra.get(f"net/{family}/conf/{interface.name}/{name}", "")
        return int(text) if text.lstrip("-").isdigit() else 0

    def _all(self, name: str) -> int:
        text = self.settings.extra.get(f"net/ipv4/conf/all/{name}", "")
        return int(text) if text.lstrip("-").isdigit() else 0

    def forwards(self, interface: Interface, v4: bool) -> bool:
        """Whether what comes in by an interface is passed on (IN_DEV_FORWARD; ip6_forward asks for all alike)."""
        if not v4:
            return bool(self.settings.ip6_forwarding)
        if f"net/ipv4/conf/{interface.name}/forwarding" in self.settings.extra:
            return bool(self._own("forwarding", interface))
        return bool(self.settings.ip_forward)

    def takes_own(self, interface: Interface, src: int) -> bool:
        """Whether an address of this host may come in from outside: `accept_local`; loopback ones were asked about."""
        return is_loopback(src) or bool(self._own("accept_local", interface) or self._all("accept_local"))

    def takes_loopback(self, interface: Interface) -> bool:
        """Whether loopback addresses may come in by an interface: `route_localnet`."""
        return bool(self._own("route_localnet", interface) or self._all("route_localnet"))

    def announces(self, src: int, interface: Interface, target: int) -> bool:
        """Whether a question who has `target` may come from an address of another interface: `arp_announce`."""
        level = max(self._own("arp_announce", interface), self._all("arp_announce"))
        alike = any(in_subnet(target, each) and in_subnet(src, each) for each in _v4(interface))
        return not level or (level == 1 and alike)

    def answers(self, question: Packet, interface: Interface) -> bool:
        """Whether a question who has an address of this host is answered: `arp_ignore`, of IPv4 only."""
        level = max(self._own("arp_ignore", interface), self._all("arp_ignore"))
        if not level or not is_v4(question.dst):
            return True
        own = next((each for each in _v4(interface) if each.address == question.dst), None)
        if level in (1, 2):
            return own is not None and (level == 1 or in_subnet(question.src, own))
        if level == 3:
            held = (each for other in self.layer.interfaces.values() for each in _v4(other))
            return any(each.address == question.dst and each.scope <= SCOPE_LINK for each in held)
        return level != 8

    def refuses(self, packet: Packet, interface: Interface) -> bool:
        """Whether `rp_filter` keeps a packet out (fib_validate_source)."""
        if not is_v4(packet.src) or packet.src == V4_ANY or interface.loopback:
            return False
        mode = max(self._own("rp_filter", interface), self._all("rp_filter"))
        if mode not in (STRICT, LOOSE) or self.layer.kind_of(packet.src) == LOCAL:
            return False
        marked = self._own("src_valid_mark", interface) or self._all("src_valid_mark")
        mark = self.layer.mark_of(packet) if marked else 0
        back = self.layer.routes.leads_back(packet.src, packet.dst, interface, packet, mark)
        strict = mode == STRICT or not _v4(interface)
        return back is None or (strict and not back)


def _v4(interface: Interface) -> list[InterfaceAddress]:
    return [each for each in interface.addresses if is_v4(each.address)]
