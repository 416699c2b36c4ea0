from __future__ import annotations

import threading
from dataclasses import fields
from pathlib import Path

import pytest
from tests.live.apart import apart, lacking

from portside.facts.settings import Settings
from portside.facts.sysctls import PATHS
from portside.host.sysctl import CODECS
from portside.live import sysctls

VALUES = {
    "net/ipv4/ip_local_port_range": ("40000 41000", "ip_local_port_range", (40000, 41000)),
    "net/ipv4/ip_local_reserved_ports": ("8080,40001-40003", "ip_local_reserved_ports",
                                         frozenset({8080, 40001, 40002, 40003})),
    "net/ipv4/ip_unprivileged_port_start": ("80", "ip_unprivileged_port_start", 80),
    "net/ipv4/tcp_rmem": ("4096 8192 16384", "tcp_rmem", (4096, 8192, 16384)),
    "net/ipv6/bindv6only": ("1", "bindv6only", 1),
    "net/ipv4/tcp_congestion_control": ("reno", "tcp_congestion_control", "reno"),
    "net/ipv4/conf/lo/rp_filter": ("2", "", "2"),
}  # fmt: skip


def test_every_setting_has_its_file() -> None:
    assert sorted(PATHS.values()) == sorted({field.name for field in fields(Settings)} - {"extra"})


def test_the_files_are_those_of_a_simulated_host() -> None:
    """conf/all/forwarding is a second name of ip_forward there."""
    codecs = {path: getattr(codec, "name", "") for path, codec in CODECS.items() if getattr(codec, "name", "")}
    assert codecs.pop("net/ipv4/conf/all/forwarding") == "ip_forward"
    codecs["net/ipv4/ip_local_port_range"] = "ip_local_port_range"  # the one of its kind, whose codec needs no name
    assert codecs == PATHS


@pytest.mark.linux
@pytest.mark.skipif(lacking("ip") != "", reason=lacking("ip"))
def test_what_is_set_is_read() -> None:
    found = apart(_set_and_read)
    for path, (_, attribute, value) in VALUES.items():
        assert (getattr(found, attribute) if attribute else found.extra[path]) == value, path


def _set_and_read() -> Settings:
    for path, (text, _, _) in VALUES.items():
        Path("/proc/sys", path).write_text(text)
    return sysctls.settings()


@pytest.mark.linux
@pytest.mark.skipif(lacking("ip") != "", reason=lacking("ip"))
def test_a_thread_in_another_namespace_reads_that_ones() -> None:
    assert apart(_in_a_thread) == (0, 1)


def _in_a_thread() -> tuple[int, int]:
    from tests.live.apart import unshare

    found = []

    def there() -> None:
        unshare()
        Path("/proc/sys/net/ipv6/bindv6only").write_text("1")
        found.append(sysctls.settings().bindv6only)

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    return sysctls.settings().bindv6only, found[0]


@pytest.mark.parametrize("path", [path for path, name in PATHS.items() if isinstance(getattr(Settings(), name), int)])
def test_numbers_are_as_the_file_says(path: str) -> None:
    file = Path("/proc/sys", path)
    if not file.exists():
        pytest.skip(f"this kernel has no {path}")
    assert getattr(sysctls.settings(), PATHS[path]) == int(file.read_text())


@pytest.mark.parametrize("text", ["70000", "80-", "x", "5-x"])
def test_what_is_no_list_of_ports_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|no list"):
        sysctls.parse_ports(text)
