"""What is true of one process: who it runs as, what it is called, and how it came to run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as /proc/PID tells of it (proc(5)).

    Names and arguments keep undecodable bytes as surrogate escapes. `descriptors` pairs a file descriptor
    with what it refers to, `socket:[12345]` and the like, and is None where permission was lacking.
    """

    pid: int
    ppid: int = 0
    name: str = ""  # /proc/PID/comm: at most 15 bytes
    argv: tuple[str, ...] = ()
    exe: str | None = None
    cwd: str | None = None
    uid: int = 0  # real
    euid: int = 0
    gid: int = 0
    egid: int = 0
    groups: tuple[int, ...] = ()
    capabilities: int | None = None  # effective set, one bit for each capability of capabilities(7)
    state: str = "S"  # R, S, D, T, Z as in /proc/PID/stat
    started: int | None = None  # nanoseconds since the epoch of the snapshot's clock
    namespace: int = 0  # network namespace: inode of /proc/PID/ns/net
    cgroup: str | None = None  # path below the cgroup2 root
    unit: str | None = None  # systemd unit: `nginx.service`
    container: str | None = None  # container id or name
    runtime: str | None = None  # whose container: docker, podman, containerd, cri-o, kubernetes, lxc, nspawn
    pod: str | None = None  # UID of the Kubernetes pod
    terminal: str | None = None
    threads: int = 1
    group: int = 0  # process group
    session: int = 0  # the process that began the session, setsid(2)
    login: int | None = None  # user that logged in, whoever it has become since (pam_loginuid(8))
    inner_pids: tuple[int, ...] = ()  # its numbers in the PID namespaces that it is in, the outer first
    descriptors: tuple[tuple[int, str], ...] | None = None
