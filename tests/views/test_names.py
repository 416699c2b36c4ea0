"""What ports are called: as the machine's own tools call them where it is one's own, else by portside's table."""

from __future__ import annotations

import socket

import pytest
from view_facts import machine, tcp, udp

from portside.addr.abi import IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from portside.cli import source as sources
from portside.views import fuser, lsof, netstat, ss
from portside.views.names import NO_NAMES, HostNames

SERVICES = """
# a comment
ssh             22/tcp                          # SSH
domain          53/udp  dns
acme            9300/udp        roadrunner
second          22/tcp
broken
worse           x/tcp
"""
OURS = HostNames("", SERVICES)


def test_a_services_file_as_getservbyport_reads_it() -> None:
    assert OURS.service(22, IPPROTO_TCP) == "ssh"
    assert OURS.service(22, IPPROTO_UDP) is None
    assert OURS.service(9300, IPPROTO_TCP) is None
    assert OURS.service(9300, IPPROTO_UDPLITE) == "acme"
    assert (OURS.port("roadrunner"), OURS.port("second"), OURS.port("https")) == (9300, 22, 443)
    assert NO_NAMES.service(9300, IPPROTO_TCP) == "vrace"
    assert NO_NAMES.port("no-such") is None


def test_each_view_takes_the_names_of_the_machine() -> None:
    snapshot = machine(tcp("*:9300"), tcp("*:22"), udp("*:9300"))
    told = ss.show(snapshot, ["-tl"], OURS).text
    assert "0.0.0.0:9300" in told
    assert "0.0.0.0:ssh" in told
    assert "0.0.0.0:vrace" in ss.show(snapshot, ["-tl"]).text
    assert "0.0.0.0:9300 " in netstat.show(snapshot, ["-tl"], OURS).text
    assert "0.0.0.0:vrace" in netstat.show(snapshot, ["-tl"]).text
    assert "vrace" not in netstat.show(snapshot, ["-a", "--windows"], OURS).text
    assert "0.0.0.0:acme" in ss.show(snapshot, ["-ul", "sport", "=", ":roadrunner"], OURS).text
    assert fuser.select(snapshot, ["acme/udp"], OURS)[0] == [snapshot.sockets[2]]
    assert lsof.options(["-i", ":acme"], OURS).internet[0].ports == ((9300, 9300),)


@pytest.mark.linux
def test_every_name_of_this_machine_is_what_its_library_says() -> None:
    names = HostNames("", sources.services_file())
    for name, protocol in (("tcp", IPPROTO_TCP), ("udp", IPPROTO_UDP)):
        for port in range(1, 20000):
            try:
                known = socket.getservbyport(port, name)
            except OSError:
                known = None
            assert names.service(port, protocol) == known, (port, name)
