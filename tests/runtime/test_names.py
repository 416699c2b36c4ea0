"""Names of hosts: /etc/hosts, the network's table, getaddrinfo(3) and its kin; and all of it against glibc."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from portside.lab.network import Network

NAMES = Path(__file__).parent / "names"
sys.path.insert(0, str(NAMES))
import asking  # noqa: E402
import real  # noqa: E402

sys.path.remove(str(NAMES))


@pytest.fixture
def network():
    with Network(quiet=True) as made:
        yield made


def call(host, function, *arguments, user="root"):
    program = host.spawn(function, *arguments, user=user, check=False)
    host.network.run(check=False)
    if program.exception is not None:
        raise program.exception
    return program.result


def addresses(host, name, family=0, **options):
    return [info[4][0] for info in call(host, lambda: socket.getaddrinfo(name, 80, family, 1, **options))]


# -- against glibc --


def simulated(machine, served=False):
    """The same questions to a simulated host that is configured alike, and asks the table or the same server."""
    with Network(quiet=True) as network:
        host = network.bare_host("alpha")
        host.machine.ip.add_interface("eth0")
        host.set_up("eth0", bool(asking.ADDRESSES[machine]))
        for address in asking.ADDRESSES[machine]:
            host.add_address(address)
        host.hosts.text = asking.HOSTS
        if served:
            host.machine.etc.files["/etc/resolv.conf"].data = real.RESOLV_CONF.encode()
            host.spawn(real.serve, background=True)
            return call(host, asking.transcript, machine)
        network.dns.fail("alpha", "EAI_NONAME")
        for name, values in asking.table().items():
            if values == ["SERVFAIL"]:
                network.dns.fail(name)
            elif values and values[0].startswith("CNAME "):
                network.dns.alias(name, values[0].split()[1])
            else:
                network.dns[name] = values
        return call(host, asking.transcript, machine)


@pytest.mark.linux
@pytest.mark.parametrize("machine", asking.ADDRESSES)
def test_every_answer_is_glibcs(machine):
    if os.geteuid() or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("namespaces need root, unshare(1) and ip(8)")
    done = subprocess.run(
        [sys.executable, NAMES / "real.py", machine], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        pytest.skip(f"no namespaces here: {done.stderr.strip().splitlines()[-1]}")
    expected = done.stdout.splitlines()
    assert len(expected) > 6000
    for served in (False, True):
        got = simulated(machine, served)
        assert [pair for pair in itertools.zip_longest(expected, got) if pair[0] != pair[1]] == []


# -- /etc/hosts and its neighbours --


def test_a_host_knows_localhost_itself_and_what_its_file_says(network):
    alpha, beta = network.host("alpha"), network.host("beta")
    alpha.hosts["db.internal"] = "10.9.0.5"
    alpha.hosts["all.internal"] = ["10.9.0.6", "fd09::6", beta]
    assert addresses(alpha, "db.internal") == ["10.9.0.5"]
    assert addresses(alpha, "all.internal", socket.AF_INET) == ["10.0.0.2", "10.9.0.6"]
    assert addresses(alpha, "localhost") == ["::1", "127.0.0.1"]
    assert addresses(alpha, "alpha") == ["fd00::1", "10.0.0.1"]
    with pytest.raises(socket.gaierror, match="Name or service not known"):
        addresses(beta, "db.internal")
    del alpha.hosts["db.internal"]
    with pytest.raises(socket.gaierror):
        addresses(alpha, "db.internal")


def test_a_program_reads_the_files_of_its_host(network):
    alpha = network.host("alpha", "10.0.0.1/24")
    alpha.hosts["db.internal"] = "10.9.0.5"

    def read():
        return [Path(name).read_text() for name in ("/etc/hosts", "/etc/hostname")], os.stat("/etc/hosts").st_size

    (hosts, name), size = call(alpha, read)
    assert hosts == alpha.hosts.text
    assert hosts.endswith("10.0.0.1\talpha\n10.9.0.5\tdb.internal\n")
    assert (name, size) == ("alpha\n", len(hosts))
    assert "nameserver" not in call(alpha, lambda: Path("/etc/resolv.conf").read_text())


def test_what_root_writes_is_resolved(network):
    alpha = network.host("alpha", "10.0.0.1/24")

    def change():
        with open("/etc/hosts", "a") as file:
            file.write("10.9.0.7 new.internal")
        first = socket.gethostbyname("new.internal")
        with open("/etc/hosts", "r+") as file:
            text = file.read()
            file.seek(0)
            file.write(text.replace("10.9.0.7", "10.9.0.8"))
            file.truncate()
        second = socket.gethostbyname("new.internal")
        Path("/etc/hosts").write_text("10.9.0.9 only")
        return first, second, socket.gethostbyname("only")

    assert call(alpha, change) == ("10.9.0.7", "10.9.0.8", "10.9.0.9")
    alpha.hosts["later"] = "10.9.0.10"
    alpha.hosts["LATER"] = "10.9.0.11"
    assert alpha.hosts.text == "10.9.0.9 only\n10.9.0.11\tLATER\n"


def test_others_may_read_the_files_and_nobody_removes_them(network, tmp_path):
    alpha = network.host("alpha", "10.0.0.1/24")
    before = Path("/etc/hosts").read_bytes()
    own = tmp_path / "hosts"
    own.write_text("nonsense")

    def fails(number, call, *arguments):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is compared
            call(*arguments)
        assert caught.value.errno == number, call

    def user():
        assert "localhost" in Path("/etc/hosts").read_text()
        assert os.access("/etc/hosts", os.R_OK)
        assert not os.access("/etc/hosts", os.W_OK)
        fails(errno.EACCES, open, "/etc/hosts", "a")

    def root():
        for number, call, *arguments in (
            (errno.EBUSY, os.unlink, "/etc/hosts"),
            (errno.EBUSY, os.rename, own, "/etc/hosts"),
            (errno.EBUSY, os.replace, "/etc/../etc/hosts", own),
            (errno.EBUSY, os.truncate, "/etc/resolv.conf", 0),
            (errno.EBUSY, lambda: os.rename(src=own, dst="/etc/hosts")),
            (errno.EEXIST, open, "/etc/hostname", "x"),
            (errno.EINVAL, os.readlink, "/etc/resolv.conf"),
        ):
            fails(number, call, *arguments)

    def elsewhere():
        assert shutil.copyfile("/etc/hosts", own) == own
        os.chdir("/etc")
        return own.read_text(), Path("hosts").read_text(), os.path.realpath("resolv.conf"), os.path.getsize("hosts")

    call(alpha, user, user="alice")
    call(alpha, root)
    text = alpha.hosts.text
    assert call(alpha, elsewhere) == (text, text, "/etc/resolv.conf", len(text))
    assert Path("/etc/hosts").read_bytes() == before


def test_a_name_of_ones_own_by_sethostname(network):
    alpha = network.host("alpha", "10.0.0.1/24")

    def rename():
        socket.sethostname("alpha.example")
        return socket.gethostname(), socket.getfqdn()

    assert call(alpha, rename) == ("alpha.example", "alpha.example")
    with pytest.raises(PermissionError):
        call(alpha, lambda: socket.sethostname("other"), user="alice")


# -- the network's table --


def test_the_table_answers_what_the_file_does_not_know(network):
    alpha = network.host("alpha", "10.0.0.1/24")
    network.host("beta", "10.0.0.2/24")
    network.dns["api.example"] = "10.0.0.5", "10.0.0.6"
    network.dns.alias("www.example", "API.example.")
    network.dns["beta"] = "10.0.0.7"
    alpha.hosts["www.internal"] = "10.0.0.8"
    network.dns["www.internal"] = "10.0.0.9"
    assert addresses(alpha, "api.example") == ["10.0.0.5", "10.0.0.6"]
    assert call(alpha, lambda: socket.gethostbyname_ex("www.example")) == (
        "API.example", ["www.example"], ["10.0.0.5", "10.0.0.6"],
    )  # fmt: skip
    assert addresses(alpha, "beta") == ["10.0.0.7"]
    assert addresses(alpha, "www.internal") == ["10.0.0.8"]
    assert call(alpha, lambda: socket.gethostbyaddr("10.0.0.6"))[0] == "api.example"
    del network.dns["beta"]
    assert addresses(alpha, "BETA") == ["10.0.0.2"]


@pytest.mark.parametrize(("failure", "words"), [
    ("EAI_AGAIN", "Temporary failure in name resolution"),
    ("EAI_NONAME", "Name or service not known"),
    ("EAI_NODATA", "No address associated with hostname"),
    ("EAI_FAIL", "Non-recoverable failure in name resolution"),
])  # fmt: skip
def test_failures(network, failure, words):
    alpha = network.host("alpha", "10.0.0.1/24")
    network.dns.fail("bad.example", failure)
    with pytest.raises(socket.gaierror, match=words) as caught:
        addresses(alpha, "bad.example")
    assert caught.value.errno == getattr(socket, failure)


def test_a_circle_of_aliases_is_a_temporary_failure(network):
    alpha = network.host("alpha", "10.0.0.1/24")
    network.dns.alias("one", "two")
    network.dns.alias("two", "one")
    with pytest.raises(socket.gaierror, match="Temporary failure"):
        addresses(alpha, "one")


def test_a_server_that_is_down_answers_nobody_but_the_file_does(network):
    alpha = network.host("alpha", "10.0.0.1/24")
    network.host("beta", "10.0.0.2/24")
    network.dns.down = True
    assert addresses(alpha, "alpha") == ["10.0.0.1"]
    for name in ("beta", "nowhere"):
        with pytest.raises(socket.gaierror, match="Temporary failure"):
            addresses(alpha, name)
    with pytest.raises(socket.gaierror, match="Temporary failure"):
        call(alpha, lambda: socket.getnameinfo(("10.0.0.2", 80), 0))
    network.dns.down = False
    assert addresses(alpha, "beta") == ["10.0.0.2"]


def timed(*names):
    taken = []
    for name in names:
        before = time.monotonic_ns()
        with contextlib.suppress(socket.gaierror):
            socket.getaddrinfo(name, 80)
        taken.append((time.monotonic_ns() - before) // 1_000_000)
    return taken


def test_answers_take_their_time_and_the_file_none(network):
    alpha = network.host("alpha", "10.0.0.1/24")
    network.host("beta", "10.0.0.2/24")
    network.dns.delay = "20ms"
    network.dns["slow.example"] = "10.0.0.5"
    network.dns.slow("slow.example", "3s")
    network.dns["slow.example"] = "10.0.0.6"
    names = ("beta", "nowhere", "Slow.example.", "localhost", "alpha", "10.0.0.9", "fd00::9")
    assert call(alpha, timed, *names) == [20, 20, 3000, 0, 0, 0, 0]
    assert network.dns.delay == 0.02


def test_a_look_up_holds_up_its_own_thread_alone(network):
    alpha = network.host("alpha", "10.0.0.1/24")
    network.dns["api.example"] = "10.0.0.5"
    network.dns.delay = "2s"

    async def main():
        async def tick():
            while True:
                await asyncio.sleep(0.5)
                ticks.append(loop.time() - start)

        ticks = []
        loop = asyncio.get_running_loop()
        start = loop.time()
        ticker = asyncio.create_task(tick())
        found = await asyncio.gather(*(loop.getaddrinfo("api.example", 80, type=1) for _ in range(3)))
        ticker.cancel()
        return [info[0][4] for info in found], round(loop.time() - start, 3), len(ticks)

    places, taken, ticks = call(alpha, lambda: asyncio.run(main()))
    assert places == [("10.0.0.5", 80)] * 3
    assert taken == 2
    assert ticks >= 3


def test_who_waits_for_an_answer_is_told(network):
    alpha = network.host("alpha", "10.0.0.1/24")
    network.dns.slow("slow.example", "1h")
    program = alpha.spawn(socket.gethostbyname, "slow.example", check=False)
    network.run(until="1s")
    assert str(program.task.blocked) == "DNS query slow.example"


def test_the_table_changes_at_a_virtual_time(network):
    alpha = network.host("alpha", "10.0.0.1/24")
    network.dns["api.example"] = "10.0.0.5"
    network.at("10s", network.dns.set, "api.example", "10.0.0.6")
    network.at("20s", network.dns.fail, "api.example", "EAI_NONAME")

    def ask():
        seen = [socket.gethostbyname("api.example")]
        time.sleep(15)
        seen.append(socket.gethostbyname("api.example"))
        time.sleep(15)
        with pytest.raises(socket.gaierror):
            socket.gethostbyname("api.example")
        return seen

    assert call(alpha, ask) == ["10.0.0.5", "10.0.0.6"]


# -- a name server that is a program of the network --


@pytest.fixture
def served(network):
    """A client and a name server, a link of 5 ms between them."""
    client, server = network.host("client", "10.0.0.1/24"), network.host("ns", "10.0.0.53/24")
    network.link(client, server, latency="5ms")
    client.nameservers(server)
    server.spawn(real.serve, "10.0.0.53", background=True)
    return client


def test_a_server_that_resolv_conf_names_is_asked_over_the_network(network, served):
    network.dns["api.example"] = "10.0.0.99"
    assert addresses(served, "web.example") == ["2001:db8::4", "203.0.113.4"]
    assert call(served, lambda: socket.gethostbyname_ex("www.example")) == (
        "api.example", ["www.example"], ["203.0.113.4"],
    )  # fmt: skip
    assert call(served, lambda: socket.gethostbyaddr("203.0.113.4"))[0] == "api.example"
    assert call(served, timed, "api.example", "nowhere.example", "client") == [10, 10, 0]
    with pytest.raises(socket.gaierror, match="Name or service not known"):
        addresses(served, "ns")


@pytest.mark.parametrize(("conf", "seconds"), [
    ("nameserver 10.0.0.53", 10),
    ("nameserver 10.0.0.53\nnameserver 10.0.0.53\noptions timeout:2", 8),
    ("nameserver 10.0.0.53\noptions timeout:3 attempts:1", 3),
    ("nameserver 10.0.0.77", 6),  # a neighbour that is not there: EHOSTUNREACH after 3 s
])  # fmt: skip
def test_a_silent_server_costs_as_much_as_with_glibc(network, served, conf, seconds):
    network.hosts["ns"].firewall.policy("input", "drop")
    call(served, lambda: Path("/etc/resolv.conf").write_text(conf))
    (taken,) = call(served, timed, "api.example")
    assert abs(taken - seconds * 1000) < 200
    with pytest.raises(socket.gaierror, match="Temporary failure"):
        addresses(served, "api.example")


def test_a_port_where_nobody_listens_is_no_server(network):
    client, other = network.host("client", "10.0.0.1/24"), network.host("other", "10.0.0.2/24")
    client.nameservers(other)
    assert call(client, timed, "api.example")[0] < 10
    with pytest.raises(socket.gaierror, match="Temporary failure"):
        addresses(client, "api.example")


def test_the_next_server_is_asked_when_one_is_silent(network, served):
    text = "options timeout:1\nnameserver 10.0.0.54\nnameserver 10.0.0.53\n"
    network.hosts["ns"].add_address("10.0.0.54/24")
    network.hosts["ns"].firewall.drop(dst="10.0.0.54")
    call(served, lambda: Path("/etc/resolv.conf").write_text(text))
    assert call(served, timed, "api.example") == [1020]  # the address of its link is found out first


def test_search_domains_and_absolute_names(served):
    call(served, lambda: Path("/etc/resolv.conf").write_text("nameserver 10.0.0.53\nsearch internal example\n"))
    assert addresses(served, "www", socket.AF_INET) == ["203.0.113.4"]
    with pytest.raises(socket.gaierror, match="Name or service not known"):
        addresses(served, "www.")


@pytest.mark.parametrize("reply", [
    b"", b"x", b"\x81\x80\0\1\0\1\0\0\0\0", b"\x81\x80\0\1\0\1\0\0\0\0\1a\0\0\1\0\1\xc0\x0c\0\1",
    b"\x81\x80\0\1\0\1\0\0\0\0\1a\0\0\1\0\1\xc0\x13",
])  # fmt: skip
def test_nonsense_is_a_temporary_failure(network, reply):
    host = network.host("a", "10.0.0.1/24")
    host.nameservers("127.0.0.1")

    def serve():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
            listener.bind(("127.0.0.1", 53))
            while True:
                query, peer = listener.recvfrom(512)
                listener.sendto(query[:2] + reply, peer)

    host.spawn(serve, background=True)
    with pytest.raises(socket.gaierror, match="Temporary failure"):
        addresses(host, "a.", socket.AF_INET)


@pytest.mark.parametrize(("mistake", "words"), [
    (lambda dns: dns.set("api.example", "10.0.0"), "'10.0.0' is not an IP address"),
    (lambda dns: dns.set("", "10.0.0.1"), "'' is no name"),
    (lambda dns: dns.set("a..b", "10.0.0.1"), "'a..b' is no name"),
    (lambda dns: dns.alias("a", "b c"), "'b c' is no name"),
    (lambda dns: dns.set("x" * 64, "10.0.0.1"), "is no name"),
    (lambda dns: dns.fail("a", "EAI_AGIAN"), "did you mean 'EAI_AGAIN'"),
    (lambda dns: dns.slow("a", "3 parsecs"), "3 parsecs"),
    (lambda dns: dns.__delitem__("a"), "the table has no name 'a'"),
    (lambda dns: setattr(dns, "delay", "soon"), "soon"),
])  # fmt: skip
def test_mistakes_are_told(network, mistake, words):
    with pytest.raises(ValueError, match=words):
        mistake(network.dns)


def test_a_line_of_the_file_needs_an_address(network):
    alpha = network.host("alpha", "10.0.0.1/24")
    with pytest.raises(ValueError, match="needs an address"):
        alpha.hosts["db"] = []
    with pytest.raises(ValueError, match="is not an IP address"):
        alpha.hosts["db"] = "beta"
