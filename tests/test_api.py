"""What programs ask portside about the machine they run on, real or simulated."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

import portside
from portside import Network
from portside.explain.notation import explain
from portside.facts import saved


def test_importing_it_costs_next_to_nothing() -> None:
    program = "import sys, portside; print(sorted(name for name in sys.modules if name.startswith('portside')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "['portside']\n"


@pytest.mark.scenario("C1")
@pytest.mark.parametrize("first", ["", "import portside.explain.notation; "])
def test_explain_is_a_function_whatever_was_imported_before(first: str) -> None:
    program = f"{first}import portside; print(portside.explain('127.0.0.1:80').lines[0][:20])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "Port 80 (http) of 12\n"
    assert portside.explain(":22") == explain(":22")


@pytest.mark.scenario("C4")
@pytest.mark.scenario("E1")
def test_on_a_simulated_host_they_are_about_that_host() -> None:
    def program() -> tuple[object, ...]:
        with socket.create_server(("10.0.0.1", 8080)):
            [listener] = portside.listeners()
            taken = portside.would_bind("0.0.0.0:8080")
            free = portside.would_bind("8081", reuseaddr=True)
            name = portside.snapshot().host
        return name, listener.address, listener.reach, bool(taken), taken.outcome, bool(free), free.attempt.where

    with Network(seed=1, quiet=True) as network:
        running = network.host("web", "10.0.0.1/24").spawn(program)
        network.run()
    assert running.result == ("web", "10.0.0.1:8080", "network", False, "fails", True, "0.0.0.0:8081")


@pytest.mark.linux
@pytest.mark.scenario("E1")
def test_on_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        [listener] = [each for each in portside.listeners() if each.port == port and each.protocol == "tcp"]
        assert (listener.address, listener.reach) == (f"127.0.0.1:{port}", "machine")
        answer = portside.would_bind(f"127.0.0.1:{port}")
        assert (answer.outcome, answer.call) == ("fails", "bind")
        assert portside.would_bind(f"127.0.0.1:{port}", udp=True)
    assert portside.would_bind(f"127.0.0.1:{port}")


def test_of_a_saved_snapshot(tmp_path: Path) -> None:
    with Network(seed=1, quiet=True) as network:
        host = network.host("web", "10.0.0.1/24")
        told: list[str] = []

        def program() -> None:
            with socket.create_server(("", 80)):
                told.append(saved.dump(portside.snapshot()))

        host.spawn(program)
        network.run()
    file = tmp_path / "web.json"
    file.write_text(told[0], "utf-8")
    found = portside.snapshot(file)
    assert [each.address for each in portside.listeners(found)] == ["0.0.0.0:80"]
    assert not portside.would_bind("127.0.0.1:80", of=found, uid=0)
    assert portside.would_bind("127.0.0.1:80", of=found, uid=1000).errno == 13


@pytest.mark.parametrize("where", ["localhost", "localhost:80", "unix:/x", "nonsense:"])
def test_what_is_no_address_and_port_is_a_value_error(where: str) -> None:
    with pytest.raises(ValueError, match=r"address|port"):
        portside.would_bind(where)


@pytest.mark.scenario("E2")
def test_why_says_how_a_connection_would_end() -> None:
    def program() -> tuple[object, ...]:
        with socket.create_server(("127.0.0.1", 8080)):
            return portside.why("127.0.0.1:8080").outcome, portside.why("10.0.0.1:8080").sentence

    with Network(seed=1, quiet=True) as network:
        asking = network.host("web", "10.0.0.1/24").spawn(program)
        network.run()
    assert asking.result == ("accepted", "10.0.0.1:8080 would fail: connection refused (ECONNREFUSED)")


@pytest.mark.parametrize("where", ["127.0.0.1", "unix:/run/x.sock"])
def test_why_needs_a_port(where: str) -> None:
    with pytest.raises(ValueError, match="an address and a port"):
        portside.why(where)
