"""Units and containers, from /proc/PID/cgroup as systemd, container runtimes and Kubernetes leave it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.live.cgroups import Place, read

ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
UID = "8dbc1234-5678-9abc-def0-1234567890ab"
SLICED = UID.replace("-", "_")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", Place()),
        ("0::/\n", Place(path="/")),
        ("0::/init.scope\n", Place("/init.scope", "init.scope")),
        ("0::/system.slice/nginx.service\n", Place("/system.slice/nginx.service", "nginx.service")),
        ("0::/system.slice/a.service/inner\n", Place("/system.slice/a.service/inner", "a.service")),
        ("0::/system.slice/a.service (deleted)\n", Place("/system.slice/a.service", "a.service")),
        (
            "0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n",
            Place("/system.slice/system-postgresql.slice/postgresql@15-main.service", "postgresql@15-main.service"),
        ),
        (
            "0::/user.slice/user-1000.slice/session-3.scope\n",
            Place("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n",
            Place("/user.slice/user-1000.slice/user@1000.service/app.slice/web.service", "web.service"),
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/init.scope\n",
            Place("/user.slice/user-1000.slice/user@1000.service/init.scope", "init.scope"),
        ),
        # Docker: cgroup v2 with systemd, cgroup v1 without, hybrid.
        (
            f"0::/system.slice/docker-{ID}.scope\n",
            Place(f"/system.slice/docker-{ID}.scope", f"docker-{ID}.scope", ID, "docker"),
        ),
        (
            f"12:pids:/docker/{ID}\n3:cpu,cpuacct:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/\n",
            Place(f"/docker/{ID}", None, ID, "docker"),
        ),
        (f"4:memory:/docker/{ID}\n1:name=systemd:/\n0::/\n", Place("/", None, ID, "docker")),
        (f"0::/../../docker/{ID}\n", Place(f"/../../docker/{ID}", None, ID, "docker")),
        # Docker in a node of kind: the innermost one.
        (
            f"0::/docker/{OTHER}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"
            f"/kubelet-kubepods-besteffort-pod{SLICED}.slice/cri-containerd-{ID}.scope\n",
            Place(
                f"/docker/{OTHER}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"
                f"/kubelet-kubepods-besteffort-pod{SLICED}.slice/cri-containerd-{ID}.scope",
                f"cri-containerd-{ID}.scope", ID, "containerd", UID,
            ),
        ),
        # Kubernetes, with cgroupfs and with systemd.
        (
            f"0::/kubepods/burstable/pod{UID}/{ID}\n",
            Place(f"/kubepods/burstable/pod{UID}/{ID}", None, ID, "kubernetes", UID),
        ),
        (
            f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICED}.slice/crio-{ID}.scope\n",
            Place(
                f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICED}.slice/crio-{ID}.scope",
                f"crio-{ID}.scope", ID, "cri-o", UID,
            ),
        ),
        # Podman: as root, as a user; its monitor is not in the container.
        (
            f"0::/machine.slice/libpod-{ID}.scope/container\n",
            Place(f"/machine.slice/libpod-{ID}.scope/container", f"libpod-{ID}.scope", ID, "podman"),
        ),
        (
            f"0::/user.slice/user-1.slice/user@1.service/user.slice/libpod-{ID}.scope\n",
            Place(
                f"/user.slice/user-1.slice/user@1.service/user.slice/libpod-{ID}.scope", f"libpod-{ID}.scope", ID,
                "podman",
            ),
        ),
        (
            f"0::/machine.slice/libpod-conmon-{ID}.scope\n",
            Place(f"/machine.slice/libpod-conmon-{ID}.scope", f"libpod-conmon-{ID}.scope"),
        ),
        (f"0::/libpod_parent/libpod-{ID}\n", Place(f"/libpod_parent/libpod-{ID}", None, ID, "podman")),
        # containerd by itself, nerdctl.
        (f"0::/default/{ID}\n", Place(f"/default/{ID}", None, ID, "containerd")),
        (
            f"0::/system.slice/nerdctl-{ID}.scope\n",
            Place(f"/system.slice/nerdctl-{ID}.scope", f"nerdctl-{ID}.scope", ID, "containerd"),
        ),
        # LXC and LXD, systemd-nspawn; a virtual machine is no container.
        ("0::/lxc.payload.web/init.scope\n", Place("/lxc.payload.web/init.scope", "init.scope", "web", "lxc")),
        ("0::/lxc/web\n", Place("/lxc/web", None, "web", "lxc")),
        ("0::/lxc.monitor.web\n", Place("/lxc.monitor.web")),
        (
            "0::/machine.slice/systemd-nspawn@web.service/payload\n",
            Place("/machine.slice/systemd-nspawn@web.service/payload", "systemd-nspawn@web.service", "web", "nspawn"),
        ),
        (
            "0::/machine.slice/machine-web.scope\n",
            Place("/machine.slice/machine-web.scope", "machine-web.scope", "web", "nspawn"),
        ),
        (
            "0::/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt\n",
            Place("/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt", "machine-qemu\\x2d1\\x2dweb.scope"),
        ),
        # Another runtime, as Amazon's ECS.
        (f"0::/ecs/task/{ID}\n", Place(f"/ecs/task/{ID}", None, ID, "container")),
    ],
)  # fmt: skip
def test_where_a_process_is(text, place):
    assert read(text) == place


@settings(deadline=None, derandomize=True, database=None)
@given(st.text(alphabet=st.sampled_from("0:/abc-.\n=@{}()[]\\*ufservic" + "\udcff")))
def test_anything_can_be_read(text):
    read(text)
