"""Which systemd unit and which container a process belongs to: what the path of its control group tells.

Container runtimes name the groups that they make after the container; nothing needs to be asked of a runtime, and none
has to run. Sources: cgroups(7), systemd's CGROUP_DELEGATION, runc's cgroup managers, lxc.container.conf(5).
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final, NamedTuple


class Place(NamedTuple):
    """Where a process is in the control groups. `container` is an id or a name, `runtime` says whose."""

    path: str | None = None  # in the cgroup2 hierarchy, or in systemd's of cgroup v1
    unit: str | None = None
    container: str | None = None
    runtime: str | None = None
    pod: str | None = None


_UNIT: Final = re.compile(r"[^/]+\.(?:service|scope|socket|mount|swap|timer|path|target|device|automount)\Z")
_POD: Final = re.compile(r"(?:.*-)?pod([0-9a-f]{8}[-_](?:[0-9a-f]{4}[-_]){3}[0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?\Z")
_ID: Final = r"([0-9a-f]{64})"

# The name of one group on the path, and whose container it is. A runtime's own monitor (conmon) has a group too.
_NAMED: Final = (
    (re.compile(rf"docker-{_ID}\.scope\Z"), "docker"),
    (re.compile(rf"libpod-{_ID}(?:\.scope)?\Z"), "podman"),
    (re.compile(rf"crio-{_ID}(?:\.scope)?\Z"), "cri-o"),
    (re.compile(rf"(?:cri-containerd|nerdctl)-{_ID}\.scope\Z"), "containerd"),
    (re.compile(r"lxc\.payload\.(.+)\Z"), "lxc"),
    (re.compile(r"systemd-nspawn@(.+)\.service\Z"), "nspawn"),
)
# The name of the group above and of the group.
_BELOW: Final = (
    (re.compile(r"docker\Z"), re.compile(rf"{_ID}\Z"), "docker"),
    (re.compile(r"libpod_parent\Z"), re.compile(rf"libpod-{_ID}\Z"), "podman"),
    (re.compile(r"lxc(?:\.payload)?\Z"), re.compile(r"(.+)\Z"), "lxc"),
    (re.compile(r"machine\.slice\Z"), re.compile(r"machine-(?!qemu\b)(.+)\.scope\Z"), "nspawn"),
    (_POD, re.compile(rf"{_ID}\Z"), "kubernetes"),
    (re.compile(r"(?:default|k8s\.io|moby|buildkit)\Z"), re.compile(rf"{_ID}\Z"), "containerd"),
    (re.compile(r".*\Z"), re.compile(rf"{_ID}\Z"), "container"),
)


def read(text: str) -> Place:
    """What /proc/PID/cgroup says, for cgroup v1, v2 and both at once (cgroups(7)).

    Args: text: lines of `hierarchy:controllers:path`.
    """
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            paths.setdefault(controllers, path.removesuffix(" (deleted)"))
    unified, systemd = paths.get(""), paths.get("name=systemd")
    # Where both are there, systemd may keep its tree in either one, and runtimes theirs in the controllers'.
    telling = sorted(set(paths.values()), key=lambda path: (-len(path), path))
    main = unified if unified not in (None, "/") or systemd is None else systemd
    container, runtime = next((found for path in telling if (found := _container(path))[0]), (None, None))
    return Place(
        path=main,
        unit=next((unit for path in (unified, systemd) if path and (unit := _unit(path))), None),
        container=container,
        runtime=runtime,
        pod=next((pod for path in telling if (pod := _pod(path))), None),
    )


def _unit(path: str) -> str | None:
    """The unit of a user's own manager where there is one, or else of the system's (sd_pid_get_user_unit(3))."""
    units = [_unescaped(part) for part in path.split("/") if _UNIT.match(part)]
    if len(units) > 1 and units[0].startswith("user@"):
        return units[1]
    return units[0] if units else None


def _unescaped(part: str) -> str:
    """systemd puts an underscore before a name that would mean something else to the kernel (cg_escape)."""
    return part.removeprefix("_")


def _container(path: str) -> tuple[str | None, str | None]:
    """The innermost container on the path, and its runtime."""
    parts = path.split("/")
    for above, name in reversed(list(pairwise(parts))):
        for pattern, runtime in _NAMED:
            if found := pattern.match(name):
                return found[1], runtime
        for parent, pattern, runtime in _BELOW:
            if parent.match(above) and (found := pattern.match(name)):
                return found[1], runtime
    return None, None


def _pod(path: str) -> str | None:
    """The UID of the Kubernetes pod, with the dashes that a slice's name can't have."""
    for part in path.split("/"):
        if found := _POD.match(part):
            return found[1].replace("_", "-")
    return None
