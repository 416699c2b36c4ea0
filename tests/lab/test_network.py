"""Hosts, links and programs: what a person builds and what comes of it."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import sys
import threading
import time

import pytest

from portside import Deadlock, LabError, Network, ProgramFailed
from portside.addr.ip import parse
from portside.sim.faults import DropNth


@pytest.fixture
def network():
    with Network(seed=1, quiet=True) as network:
        yield network


def echo_server(port=7, connections=1):
    with socket.create_server(("", port)) as listener:
        for _ in range(connections):
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(4096):
                    connection.sendall(data)


def echo(address, data=b"hello", port=7):
    started = time.monotonic()
    with socket.create_connection((address, port)) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while more := connection.recv(4096):
            received += more
    assert received == data
    return time.monotonic() - started


class TestBuilding:
    def test_hosts_without_addresses_get_some(self, network):
        assert network.host("a").addresses == ["10.0.0.1", "fd00::1"]
        assert network.host("b", "10.0.0.2").addresses == ["10.0.0.2"]
        assert network.host("c").addresses == ["10.0.0.3", "fd00::3"]

    @pytest.mark.parametrize("name", ["", "a b", "a@b", "a/b", "taken"])
    def test_names_of_hosts(self, network, name):
        network.host("taken")
        with pytest.raises(LabError):
            network.host(name)

    def test_an_address_is_given_once(self, network):
        with pytest.raises(LabError, match="already"):
            network.host("a", "10.0.0.1/24", "10.0.0.1/24")

    def test_an_address_is_one_hosts_on_a_segment(self, network):
        first, second = network.host("first", "10.0.0.1/24"), network.host("second", "10.0.0.2/24")
        network.host("elsewhere", "10.0.0.1/24")
        network.segment("one", first, second)
        with pytest.raises(LabError, match=r"second and first both have the address 10\.0\.0\.1 on one"):
            second.add_address("10.0.0.1/24")
        first.machine.ip.remove_address(first.interface("eth0"), parse("10.0.0.1"))
        second.add_address("10.0.0.1/24")
        network.run()

    def test_a_link_takes_the_interfaces_that_share_a_subnet(self, network):
        router = network.host("router", "10.0.1.1/24@eth0", "10.0.2.1/24@eth1")
        host = network.host("host", "10.0.2.2/24")
        link = network.link(router, "host")
        assert [port.interface for port in link.wire.ports] == [router.interface("eth1"), host.interface("eth0")]

    def test_ends_can_be_named(self, network):
        a = network.host("a", "10.0.1.1/24", "10.0.2.1/24@eth1")
        b = network.host("b", "10.0.3.1/24")
        link = network.link("a@eth1", (b, "eth0"))
        assert link.name == "a@eth1 - b@eth0"
        assert a.interface("eth0").link is None

    def test_what_is_wrong_with_a_link_is_told(self, network):
        a, b = network.host("alpha", "10.0.1.1/24"), network.host("beta", "10.0.2.1/24")
        with pytest.raises(LabError, match="no free interfaces on a common subnet"):
            network.link(a, b)
        with pytest.raises(LabError, match="did you mean 'beta'"):
            network.link(a, "bet")
        with pytest.raises(LabError, match="did you mean 'eth0'"):
            network.link("alpha@eth", b)
        with pytest.raises(LabError, match="two ends"):
            network.link(a, a)
        with pytest.raises(LabError, match="no MTU"):
            network.link("alpha@eth0", "beta@eth0", mtu=10)
        network.link("alpha@eth0", "beta@eth0")
        with pytest.raises(LabError, match="connected already"):
            network.link("alpha@eth0", "beta@eth0")

    def test_the_mtu_of_a_link_is_that_of_its_interfaces(self, network):
        a, b = network.host("a"), network.host("b")
        network.link(a, b, mtu=1280)
        assert a.interface("eth0").mtu == b.interface("eth0").mtu == 1280

    def test_sysctls_by_name(self, network):
        host = network.host("a", sysctls={"net.ipv4.ip_local_port_range": (40000, 40009)}, forward=True)
        assert host.sysctl["net.ipv4.ip_local_port_range"].split() == ["40000", "40009"]
        assert host.sysctl["net.ipv4.ip_forward"] == "1"
        assert host.sysctl["net.ipv6.conf.all.forwarding"] == "1"
        host.sysctl["net.core.somaxconn"] = 5
        assert host.machine.settings.somaxconn == 5
        with pytest.raises(LabError, match=r"net\.core\.somaxconn"):
            host.sysctl["net.core.somaxcon"] = 5
        with pytest.raises(LabError, match="does not take"):
            host.sysctl["net.ipv4.ip_local_port_range"] = "many"

    def test_sysctls_are_a_mapping(self, network):
        sysctl = network.host("a").sysctl
        names = list(sysctl)
        assert len(names) == len(sysctl) > 100
        assert {"net.ipv4.ip_forward", "net.ipv4.conf.eth0.forwarding"} < set(names)
        assert "net.core.somaxconn" in sysctl
        assert "net/core/somaxconn" in sysctl
        assert "net.core.somaxcon" not in sysctl
        assert 3 not in sysctl
        assert dict(sysctl)["net.core.somaxconn"] == sysctl.get("net.core.somaxconn") == "4096"
        assert sysctl.get("net.core.somaxcon") is None
        with pytest.raises(LabError, match=r"^there is no setting net\.core\.somaxcon: did you mean"):
            sysctl["net.core.somaxcon"]
        with pytest.raises(LabError, match="3 is no setting"):
            sysctl[3] = 1
        with pytest.raises(LabError, match="does not take None"):
            sysctl["net.core.somaxconn"] = None

    def test_what_is_no_network_or_host_is_told(self, network):
        with pytest.raises(LabError, match="'x' is no seed: it is a whole number"):
            Network(seed="x")
        with pytest.raises(LabError, match=r"1e\+300 is no time"):
            Network(start=1e300)
        with pytest.raises(LabError, match="3 is no name for a host"):
            network.host(3)
        with pytest.raises(LabError, match="3 is no address: write"):
            network.host("a", 3)
        host = network.host("b", "10.0.0.1/24")
        with pytest.raises(LabError, match="10 is no prefix: write"):
            host.firewall.drop("input", src=10)
        with pytest.raises(LabError, match="10 is no prefix: write"):
            host.route(10, "10.0.0.2")
        with pytest.raises(LabError, match="10 is no address: write"):
            host.route("default", 10)

    def test_what_is_wrong_with_a_route_is_told(self, network):
        host = network.host("a", "10.0.0.1/24", "fd00::1/64")
        host.route("default", "10.0.0.254")
        host.route("default", "fd00::254")
        host.route("192.0.2.0/24", kind="blackhole")
        for arguments, words in [
            (("default", "10.0.0.254"), "there already"),
            (("10.9.0.0/16", "10.0.9.1"), "on no network"),
            (("10.9.0.0/16",), "needs via="),
            (("10.9.0.1/16", "10.0.0.254"), "bits are set"),
            (("10.9.0.0/16", "fd00::9"), "one is IPv4"),
        ]:
            with pytest.raises(LabError, match=words):
                host.route(*arguments)
        with pytest.raises(LabError, match="did you mean 'blackhole'"):
            host.route("10.9.0.0/16", kind="blackhol")

    def test_what_is_wrong_with_a_program_is_told(self, network):
        host = network.host("a")
        with pytest.raises(LabError, match=r"there is no program 'nowhere\.py"):
            host.spawn("nowhere.py")
        with pytest.raises(LabError, match="one thing"):
            host.spawn()
        with pytest.raises(LabError, match="one thing"):
            host.spawn(code="pass", module="this")
        with pytest.raises(LabError, match="for functions"):
            host.spawn(module="this", kwargs={"a": 1})
        with pytest.raises(LabError, match="one thing"):
            host.spawn(print, code="1")
        for arguments, words in [
            ({"code": 1}, "1 is no code"),
            ({"user": None}, "None is no user"),
            ({"start": "soon"}, "'soon' is no duration"),
            ({"start": 1e300}, "292 years"),
            ({"environment": {"A": 1}}, "cannot be the value of the variable A"),
            ({"environment": {"A=B": "1"}}, "no name of an environment variable"),
            ({"environment": {"A": "1\0"}}, "without NUL"),
        ]:
            with pytest.raises(LabError, match=words):
                host.spawn(**{"code": "pass", **arguments})
        assert host.programs == []


class TestRunning:
    def test_an_echo_takes_its_latency(self, network):
        server, client = network.host("server", "10.0.0.1"), network.host("client", "10.0.0.2")
        network.link(server, client, latency="10ms")
        server.spawn(echo_server)
        program = client.spawn(echo, "10.0.0.1", start="1s")
        network.run()
        # Finding the neighbour, the handshake, the data and the answer: a round trip of 20 ms each.
        assert program.result == pytest.approx(0.060, abs=0.001)
        assert network.now == pytest.approx(1.06, abs=0.02)

    def test_hosts_without_links_share_a_segment(self, network):
        network.host("a").spawn(echo_server, 7, 2)
        programs = [network.host(name).spawn(echo, "10.0.0.1", start=1) for name in ("b", "c")]
        network.run()
        assert [program.exit_code for program in programs] == [0, 0]

    def test_a_router_passes_packets_on(self, network):
        network.host("r", "10.0.1.254/24@eth0", "10.0.2.254/24@eth1", forward=True)
        a, b = network.host("a", "10.0.1.1/24"), network.host("b", "10.0.2.1/24")
        network.link("r", a, latency="1ms")
        network.link("r", b, latency="2ms")
        a.route("default", via="10.0.1.254")
        b.route("default", via="10.0.2.254")
        b.spawn(echo_server)
        program = a.spawn(echo, "10.0.2.1", start=1)
        network.run()
        assert program.result >= 4 * 0.003

    def test_bandwidth_limits_a_transfer(self, network):
        a, b = network.host("a", "10.0.0.1"), network.host("b", "10.0.0.2")
        network.link(a, b, latency="1ms", bandwidth="8Mbit")
        a.spawn(echo_server)
        program = b.spawn(echo, "10.0.0.1", bytes(200_000), start=1)
        network.run()
        assert 0.2 < program.result < 0.6

    def test_a_lossy_link_delivers_in_order_all_the_same(self, network):
        a, b = network.host("a", "10.0.0.1"), network.host("b", "10.0.0.2")
        network.link(a, b, latency="1ms", loss=0.05)
        a.spawn(echo_server)
        program = b.spawn(echo, "10.0.0.1", bytes(range(256)) * 400, start=1)
        network.run()
        assert program.exit_code == 0

    def test_a_firewall_decides(self, network):
        server, client = network.host("server", "10.0.0.1"), network.host("client", "10.0.0.2")
        server.firewall.reject(proto="tcp", dport=7, src="10.0.0.2")
        server.spawn(echo_server, background=True)
        program = client.spawn(echo, "10.0.0.1", start=1)
        network.run(check=False)
        assert isinstance(program.exception, ConnectionRefusedError)

    def test_a_cut_link_and_actions_at_a_time(self, network):
        a, b = network.host("a", "10.0.0.1"), network.host("b", "10.0.0.2")
        link = network.link(a, b, latency="1ms")
        a.spawn(echo_server)
        network.at(0.5, setattr, link, "up", False)
        network.at(10, setattr, link, "up", True)
        program = b.spawn(echo, "10.0.0.1", start=1)
        with pytest.raises(ProgramFailed, match="No route to host"):
            network.run()
        assert network.now == pytest.approx(4.1, abs=0.2)  # three questions for the neighbour, a second apart
        assert isinstance(program.exception, OSError)

    def test_a_fault_on_one_direction(self, network):
        a, b = network.host("a", "10.0.0.1"), network.host("b", "10.0.0.2")
        link = network.link(a, b, latency="1ms")
        fault = DropNth(1, match=lambda packet: getattr(packet, "dport", 0) == 7)
        link.add(fault, sender=b)
        a.spawn(echo_server)
        program = b.spawn(echo, "10.0.0.1", start=1)
        network.run()
        assert 1 < program.result < 1.2  # the SYN was lost and sent again after a second
        assert fault.count > 1

    def test_run_until_and_on(self, network):
        def sleeper():
            time.sleep(10)
            return time.monotonic()

        program = network.host("a").spawn(sleeper)
        network.run(until="3s")
        assert network.now == 3
        assert program.running
        assert program.exit_code is None
        network.run()
        assert program.exit_code == 0
        assert network.now == 10

    def test_everybody_waiting_for_ever_is_reported(self, network):
        network.host("alpha").spawn(echo_server, 80, name="server")
        with pytest.raises(Deadlock, match=r"server \(pid 100\) on alpha: accept on tcp 0.0.0.0:80 LISTEN"):
            network.run()

    @pytest.mark.parametrize(
        ("wait", "words"),
        [
            ("select.select([s, t], [], [v])", "select on tcp 0.0.0.0:80 LISTEN, tcp .*:81 LISTEN, udp 0.0.0.0:53$"),
            ("select.select([s], [], [])", "select on tcp 0.0.0.0:80 LISTEN$"),
            ("watch(select.poll(), s, t)", "poll on tcp 0.0.0.0:80 LISTEN, tcp 0.0.0.0:81 LISTEN$"),
            ("watch(select.poll(), s)", "poll on tcp 0.0.0.0:80 LISTEN$"),
            ("watch(select.epoll(), s, t)", "epoll_wait on epoll of tcp 0.0.0.0:80 LISTEN, tcp 0.0.0.0:81 LISTEN$"),
            ("watch(select.epoll())", "epoll_wait on epoll of nothing$"),
            ("watch(select.poll())", "poll$"),
            (
                "watch(select.poll(), s, t, *socket.socketpair(), s2)",
                "poll on tcp 0.0.0.0:80 LISTEN, tcp 0.0.0.0:81 LISTEN, unix stream, and 2 more$",
            ),
            ("s.accept()", "accept on tcp 0.0.0.0:80 LISTEN$"),
            ("v.recv(1)", "recv on udp 0.0.0.0:53$"),
        ],
    )
    def test_what_it_is_that_a_program_waits_for_is_told(self, network, wait, words):
        network.host("alpha").spawn(code=f"""if True:
            import select, socket
            s, t, s2 = (socket.create_server(("", port)) for port in (80, 81, 82))
            v = socket.socket(type=socket.SOCK_DGRAM)
            v.bind(("", 53))
            def watch(poller, *sockets):
                for each in sockets:
                    poller.register(each, select.POLLIN)
                poller.poll()
            {wait}
        """)
        with pytest.raises(Deadlock) as caught:
            network.run()
        assert re.search(": " + words, caught.value.waiting[0]), caught.value.waiting

    def test_ctrl_c_ends_the_run_and_is_no_error_of_a_program(self, network):
        program = network.host("a").spawn(echo_server)
        network.at(1, os.kill, os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            network.run()
        assert program.running
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    @pytest.fixture
    def no_collection(self):
        """What others left behind is not finalized while calls are counted."""
        gc.collect()
        gc.disable()
        yield
        gc.enable()

    @pytest.mark.usefixtures("no_collection")
    def test_idle_hosts_cost_nothing_per_event(self):
        def calls(idle):
            count = 0

            def counting(frame, event, argument):
                nonlocal count
                count += 1

            def client():
                with socket.create_connection(("10.1.0.1", 7)) as connection:
                    connection.sendall(b"x")
                    connection.recv(1)
                    sys.setprofile(counting)
                    for _ in range(20):
                        connection.sendall(b"x")
                        connection.recv(1)
                    sys.setprofile(None)

            with Network(quiet=True) as network:
                a, b = network.host("a", "10.1.0.1"), network.host("b", "10.1.0.2")
                network.link(a, b, latency="1ms")
                for number in range(idle):
                    sleeper = network.host(f"idle{number}")
                    sleeper.spawn(lambda: time.sleep(3600), background=True)
                a.spawn(echo_server)
                b.spawn(client, start=1)
                network.run()
                return count

        alone = calls(0)
        assert alone > 20 * 50
        assert calls(200) == alone

    def test_wall_clock_starts_where_told(self):
        with Network(start="2001-02-03T04:05:06Z", quiet=True) as network:
            program = network.host("a").spawn(lambda: time.strftime("%F %T", time.gmtime()))
            network.run()
            assert program.result == "2001-02-03 04:05:06"

    def test_the_same_seed_gives_the_same_trace(self):
        def trace(seed):
            with Network(seed=seed, quiet=True) as network:
                network.trace.keep()
                a, b = network.host("a", "10.0.0.1"), network.host("b", "10.0.0.2")
                network.link(a, b, latency="1ms", loss=0.1)
                a.spawn(echo_server)
                b.spawn(echo, "10.0.0.1", bytes(20_000), start=1)
                network.run(drain=1)
                return network.trace.lines()

        assert trace(5) == trace(5)
        assert trace(5) != trace(6)


class TestPrograms:
    def test_arguments_result_and_output(self, network):
        def body(a, *, b):
            print("out", a)
            os.write(2, b"err\n")
            return b

        program = network.host("a").spawn(body, 1, kwargs={"b": 2}, name="both")
        assert (program.exit_code, program.result, program.output) == (None, None, "")
        network.run()
        assert (program.exit_code, program.result, program.pid) == (0, 2, 100)
        assert sorted(program.output.split("\n")) == ["", "err", "out 1"]
        assert (program.stdout, program.stderr) == ("out 1\n", "err\n")

    def test_a_function_of_the_standard_library_is_that_of_the_host(self, network):
        host = network.host("a")
        sleeper, pid = host.spawn(time.sleep, 100), host.spawn(os.getpid)
        host.spawn(os.kill, 100, signal.SIGTERM, start=5)
        network.run(check=False)
        assert (sleeper.pid, sleeper.exit_code, pid.result) == (100, -signal.SIGTERM, 101)
        assert network.now == 5

    def test_scripts_modules_and_code(self, network, tmp_path):
        script = tmp_path / "script.py"
        script.write_text("import sys, helper; print(sys.argv[1:], __name__, helper.x); sys.exit(3)")
        (tmp_path / "helper.py").write_text("x = 5")
        host = network.host("a")
        programs = [
            host.spawn(script, "one", 2, check=False),
            host.spawn(code="print(6 * 7)"),
            host.spawn("-h", module="timeit"),
        ]
        network.run()
        assert [program.output for program in programs[:2]] == ["['one', '2'] __main__ 5\n", "42\n"]
        assert programs[2].output.startswith("Tool for measuring execution time")
        assert [program.exit_code for program in programs] == [3, 0, 0]

    def test_users(self, network):
        host = network.host("a")
        programs = [host.spawn(lambda: os.getuid(), user=user) for user in ("root", "nobody", 1234, "alice")]
        network.run()
        assert [program.result for program in programs] == [0, 65534, 1234, 1000]

    def test_environments_are_their_own(self, network, monkeypatch):
        monkeypatch.setenv("FROM_OUTSIDE", "yes")

        def body():
            os.environ["CHANGED"] = "inside"
            time.sleep(1)
            return [os.environ.get(name) for name in ("FROM_OUTSIDE", "GIVEN", "CHANGED")]

        host = network.host("a")
        program = host.spawn(body, environment={"GIVEN": "x"})
        other = host.spawn(lambda: os.environ.get("CHANGED"), start=0.5)
        network.run()
        assert program.result == ["yes", "x", "inside"]
        assert other.result is None
        assert "CHANGED" not in os.environ
        assert os.getenv("FROM_OUTSIDE") == "yes"

    def test_an_error_of_a_function_is_the_cause_and_ends_the_run_at_once(self, network):
        def broken():
            time.sleep(1)
            raise KeyError("mine")

        host = network.host("a")
        host.spawn(echo_server)
        program = host.spawn(broken)
        with pytest.raises(ProgramFailed, match="broken on a failed: KeyError: 'mine'") as caught:
            network.run()
        assert isinstance(caught.value.__cause__, KeyError)
        assert caught.value.program is program
        assert network.now == 1
        assert "KeyError: 'mine'" in program.stderr

    def test_a_script_that_fails_shows_its_error(self, network):
        network.host("a").spawn(code="import sys; sys.exit('no such luck')")
        with pytest.raises(ProgramFailed, match=r"(?s)exit code 1\nno such luck"):
            network.run()

    @pytest.mark.parametrize("where", ["run", "spawn"])
    def test_failures_can_be_let_pass(self, network, where):
        program = network.host("a").spawn(code="1/0", check=where != "spawn")
        network.run(check=where != "run")
        assert program.exit_code == 1
        assert program.failed

    def test_a_program_that_is_killed_has_not_failed(self, network):
        program = network.host("a").spawn(echo_server)
        early = network.host("b").spawn(echo_server, start=5)
        network.at(1, program.kill)
        network.at(1, early.kill)
        network.run()
        assert program.exit_code == -15
        assert not program.failed
        assert early.process is None
        assert network.now == 1

    def test_the_network_does_not_wait_for_background_programs_and_their_threads(self, network):
        def server():
            threading.Thread(target=echo_server).start()
            echo_server(8)

        program = network.host("a").spawn(server, background=True)
        network.host("b").spawn(echo, "10.0.0.1", start=1)
        network.run()
        assert program.running

    def test_programs_that_still_wait_clean_up_when_the_network_closes(self):
        seen = []

        def waiter():
            try:
                echo_server()
            finally:
                seen.append("cleaned up")

        with Network(quiet=True) as network:
            network.host("a").spawn(waiter, background=True)
            network.run(until=1)
        assert seen == ["cleaned up"]

    def test_output_goes_where_it_should(self, capsys):
        with Network() as network:
            for name in ("a", "bb"):
                network.host(name).spawn(lambda name=name: print("I am", name))
            network.run()
        assert capsys.readouterr().out == "a  | I am a\nbb | I am bb\n"

    def test_hosts_find_each_other_by_name(self, network):
        network.host("server").spawn(echo_server)
        program = network.host("client").spawn(echo, "server", start=1)
        network.run()
        assert program.exit_code == 0
