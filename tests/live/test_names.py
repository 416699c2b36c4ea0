"""Names as other places know them: a network namespace with files of its own, a process with another root."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.live.apart import lacking

from portside.live import names

pytestmark = [pytest.mark.linux, pytest.mark.skipif(lacking("ip") != "", reason=lacking("ip"))]
NAMESPACE = f"ps-names-{os.getpid()}"


@pytest.fixture(scope="module")
def named() -> Iterator[str]:
    """A network namespace that ip-netns(8) knows, with a hosts file."""
    files = Path(names.NAMED, NAMESPACE)
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    files.mkdir(parents=True)
    (files / "hosts").write_text("192.0.2.7 db\n2001:db8::7 db\n127.0.0.1 localhost\n")
    yield NAMESPACE
    (files / "hosts").unlink()
    files.rmdir()
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


def test_the_files_of_a_named_namespace_count(named: str) -> None:
    found = names.addresses("db", 80, socket.AF_INET, names.path_of(named), named=named)
    assert found == [(socket.AF_INET, "192.0.2.7")]
    assert names.addresses("localhost", 80, 0, names.path_of(named), named=named) == [(socket.AF_INET, "127.0.0.1")]
    with pytest.raises(socket.gaierror):
        names.addresses("other.invalid", 80, 0, names.path_of(named), named=named)
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("db", 80)  # nothing was changed here


def test_the_root_of_a_process_counts(tmp_path: Path) -> None:
    """What lives in a mount namespace of its own, as a container does."""
    (tmp_path / "hosts").write_text("192.0.2.9 web\n")
    script = f"mount --bind {tmp_path}/hosts /etc/hosts && echo ready && exec sleep 60"
    with subprocess.Popen(["unshare", "-n", "-m", "sh", "-c", script], stdout=subprocess.PIPE, text=True) as living:
        try:
            assert living.stdout is not None
            assert living.stdout.readline() == "ready\n"
            network = f"/proc/{living.pid}/ns/net"
            found = names.addresses("web", 80, 0, network, pid=living.pid)
            assert found == [(socket.AF_INET, "192.0.2.9")]
        finally:
            living.kill()


def test_what_can_not_be_entered_is_said() -> None:
    with pytest.raises(names.Elsewhere, match="No such file"):
        names.addresses("localhost", 80, 0, "/run/netns/ps-nothing")
    assert names.path_of("ps-nothing") == ""
