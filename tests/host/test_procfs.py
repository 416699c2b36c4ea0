from __future__ import annotations

import stat

import pytest

from portside.addr.abi import AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM
from portside.addr.ip import parse
from portside.host import procfs
from portside.host.kernel import Host
from portside.host.syscalls import files, poll, process, socket
from portside.sim.scheduler import Scheduler


@pytest.fixture
def host():
    return Host("alpha", Scheduler())


@pytest.fixture
def root(host):
    return host.processes.create("server.py", ["python3", "server.py"])


def text(who, path):
    return procfs.open(who, path).read(1 << 20).decode()


def write(who, path, data):
    return procfs.open(who, path, 1).write(data)


def test_a_sysctl_is_a_file(host, root):
    path = "/proc/sys/net/ipv4/ip_local_port_range"
    assert text(root, path) == "32768\t60999\n"
    assert write(root, path, b"5000 5010\n") == 10
    assert host.settings.ip_local_port_range == (5000, 5010)
    with pytest.raises(OSError, match="Invalid argument"):
        write(root, path, b"9 8")


def test_reading_writing_and_seeking(root):
    file = procfs.open(root, "/proc/sys/net/core/somaxconn", 2)
    assert [file.read(2), file.read(100), file.read(5)] == [b"40", b"96\n", b""]
    assert file.seek(0) == 0
    assert file.write(b"77") == 2
    assert file.write(b"88") == 2  # behind the start: taken, and nothing changes
    file.seek(0)
    assert file.read(100) == b"77\n"
    assert file.seek(1) == 1
    assert file.seek(1, 1) == 2
    for place, whence in ((-1, 0), (0, 2)):
        with pytest.raises(OSError, match="Invalid argument"):
            file.seek(place, whence)
    with pytest.raises(OSError, match="Bad file descriptor"):
        procfs.open(root, "/proc/sys/net/core/somaxconn", 1).read(1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        procfs.open(root, "/proc/sys/net/core/somaxconn").write(b"1")


def test_only_root_and_network_administrators_write(host, root):
    user = host.processes.create("user", uid=1000)
    path = "/proc/sys/net/core/somaxconn"
    assert text(user, path) == "4096\n"
    with pytest.raises(PermissionError, match=r"\[Errno 13\]"):
        procfs.open(user, path, 1)
    user.effective = 1 << 12
    assert write(user, path, b"5") == 1
    file = procfs.open(root, path, 1)
    process.seteuid(root, 1000)
    with pytest.raises(PermissionError, match=r"\[Errno 1\]"):
        file.write(b"6")
    process.seteuid(root, 0)
    with pytest.raises(PermissionError, match=r"\[Errno 13\]"):
        procfs.open(root, "/proc/sys/net/ipv4/tcp_available_congestion_control", 1)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/proc/sys/net/nope", FileNotFoundError), ("/proc/sys/net/ipv4/nope/x", FileNotFoundError),
        ("/proc/sys/net/core/somaxconn/x", NotADirectoryError), ("/proc/sys/net/ipv4", IsADirectoryError),
        ("/proc/net/nope", FileNotFoundError), ("/proc/77/comm", FileNotFoundError), ("/proc/100/maps",
        FileNotFoundError),
        ("/proc/self/fd/99", FileNotFoundError), ("/proc/self/fd/x", FileNotFoundError), ("/proc/net",
        IsADirectoryError),
    ],
)  # fmt: skip
def test_what_is_not_there(root, path, error):
    with pytest.raises(error):
        procfs.open(root, path)


@pytest.mark.parametrize("path", ["/proc/self/maps", "/proc/cpuinfo", "/proc/sys/kernel/pid_max", "/etc/passwd",
         "/proc"])
def test_what_is_not_ours(root, path):
    assert procfs.open(root, path) is None
    assert procfs.listdir(root, path) is None
    assert procfs.readlink(root, path) is None
    assert procfs.mode(root, path) is None


def test_directories(root):
    assert procfs.listdir(root, "/proc/sys/net") == ["core", "ipv4", "ipv6", "unix"]
    assert "lo" in procfs.listdir(root, "/proc/sys/net/ipv4/conf")
    assert {"tcp", "tcp6", "udp", "udp6", "unix"} <= set(procfs.listdir(root, "/proc/net/"))
    assert procfs.listdir(root, "/proc/self/fd") == ["0", "1", "2"]
    assert procfs.listdir(root, f"/proc/{root.pid}") == ["cmdline", "comm", "fd", "net", "status", "task"]
    with pytest.raises(NotADirectoryError):
        procfs.listdir(root, "/proc/net/tcp")
    assert stat.S_ISDIR(procfs.mode(root, "/proc/sys/net/ipv4"))
    assert procfs.mode(root, "/proc/sys/net/ipv4/ip_forward") == stat.S_IFREG | 0o644
    assert procfs.mode(root, "/proc/net/tcp") == stat.S_IFREG | 0o444


def test_links(root):
    reader, writer = files.pipe2(root)
    sock = socket.socket(root, AF_UNIX, SOCK_STREAM)
    epfd = poll.epoll_create1(root)
    links = [procfs.readlink(root, f"/proc/self/fd/{fd}") for fd in (0, reader, writer, sock, epfd)]
    pipe = f"pipe:[{root.files.get(reader).inode}]"
    assert links == ["/dev/null", pipe, pipe, f"socket:[{root.files.get(sock).inode}]", "anon_inode:[eventpoll]"]
    assert procfs.readlink(root, "/proc/self") == str(root.pid)
    assert stat.S_ISLNK(procfs.mode(root, "/proc/self/fd/0"))
    with pytest.raises(OSError, match="Invalid argument"):
        procfs.readlink(root, "/proc/self/comm")
    with pytest.raises(OSError, match="No such device"):
        procfs.open(root, f"/proc/self/fd/{sock}")


def test_processes(host, root):
    user = host.processes.create("a very long name indeed", uid=1000)
    assert text(root, f"/proc/{user.pid}/comm") == "a very long nam\n"
    assert text(root, "/proc/self/cmdline") == "python3\0server.py\0"
    lines = dict(line.split(":\t", 1) for line in text(user, "/proc/self/status").splitlines())
    assert (lines["Pid"], lines["PPid"], lines["Uid"]) == (str(user.pid), "1", "1000\t1000\t1000\t1000")
    assert lines["CapEff"] == "0" * 16
    assert write(root, "/proc/self/comm", b"renamed\n") == 8
    assert root.name == "renamed"
    with pytest.raises(PermissionError):
        procfs.listdir(user, f"/proc/{root.pid}/fd")


def test_the_sockets_of_the_host(host, root):
    fd = socket.socket(root, AF_INET, SOCK_STREAM)
    socket.bind(root, fd, (AF_INET, parse("127.0.0.1"), 8080))
    socket.listen(root, fd, 5)
    name = socket.socket(root, AF_UNIX, SOCK_DGRAM)
    socket.bind(root, name, (AF_UNIX, b"/run/x"))
    assert "0100007F:1F90 00000000:0000 0A" in text(root, "/proc/net/tcp")
    assert text(root, "/proc/net/unix").rstrip().endswith(f"{root.files.get(name).inode} /run/x")
    for path in ("/proc/self/net/tcp", f"/proc/{root.pid}/net/tcp", "/proc/thread-self/net/tcp"):
        assert text(root, path) == text(root, "/proc/net/tcp")
    other = Host("beta", host.world)
    assert "1F90" not in text(other.processes.create("x"), "/proc/net/tcp")


def test_epoll_takes_them(root):
    epfd = poll.epoll_create1(root)
    fd = root.files.install(procfs.open(root, "/proc/net/tcp"))
    poll.epoll_ctl(root, epfd, 1, fd, 1)
    assert poll.epoll_wait(root, epfd, 5, 0) == [(fd, 1)]
    with pytest.raises(PermissionError, match="not permitted"):
        poll.epoll_ctl(root, epfd, 1, 0, 1)
