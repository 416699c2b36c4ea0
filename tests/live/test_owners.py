"""Who holds each socket: real processes, and a /proc that the test made, in which things vanish and are forbidden."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from portside.facts.socket import Owner
from portside.live import btf, fd_iterator, machine, options, owners, proc, processes

linux = pytest.mark.linux


def inode(one):
    return os.fstat(one.fileno()).st_ino


class Child:
    """A process that does `work()`, says so, and waits until the test has ended."""

    def __init__(self, work=lambda: None):
        told, tell = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                work()
                os.write(tell, b"!")
                signal.pause()
            finally:
                os._exit(0)
        os.close(tell)
        assert os.read(told, 1) == b"!"
        os.close(told)

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def children():
    made = []
    yield made
    for child in made:
        child.end()


@linux
def test_a_listener_that_four_processes_share_has_four_owners(fresh, keep, children):
    one = socket.create_server(("127.0.0.1", 0))
    keep.append(one)
    children += [Child() for _ in range(3)]
    again = os.dup(one.fileno())
    try:
        found = {each.inode: each for each in machine.read(namespaces=False).sockets}[inode(one)]
        at_port = machine.at_port(one.getsockname()[1])
    finally:
        os.close(again)
    mine = {(os.getpid(), one.fileno()), (os.getpid(), again)}
    theirs = {(child.pid, one.fileno()) for child in children}
    assert {(owner.pid, owner.fd) for owner in found.owners} == mine | theirs
    assert at_port.sockets[0].owners == found.owners
    assert {process.pid for process in at_port.processes} >= {os.getpid(), *(child.pid for child in children)}


@linux
def test_only_some_sockets_or_processes(fresh, keep, children):
    one, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    keep += [one, other]
    children.append(Child())
    found = owners.walk([inode(one)])
    assert set(found.found) == {inode(one)}
    assert len(found.of(inode(one))) == 2
    assert set(found.processes) == {os.getpid(), children[0].pid}
    assert [owner.pid for owner in owners.walk(pids=[children[0].pid]).of(inode(other))] == [children[0].pid]
    assert found.of(0) == ()


@linux
def test_many_descriptors_are_looked_at_by_several_threads_and_none_is_lost(fresh, keep, monkeypatch):
    monkeypatch.setattr(owners, "CROWD", 10)
    keep += [socket.socket() for _ in range(200)]
    found = owners.walk(pids=[os.getpid()])
    for one in keep:
        assert [owner.fd for owner in found.of(inode(one))] == [one.fileno()]


def by_descriptor(found):
    return {inode: set(held) for inode, held in found.found.items()}


@linux
def test_the_kernel_tells_at_once_what_a_walk_finds(fresh, keep, children, monkeypatch):
    shared = socket.create_server(("127.0.0.1", 0))
    keep += [shared, shared.dup(), *socket.socketpair(), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)]
    children += [Child(lambda: keep.append(socket.socket())), Child()]
    try:
        fd_iterator.sockets()
    except fd_iterator.Unavailable as reason:
        pytest.skip(f"no iterator over descriptors here: {reason}")
    mine = [os.getpid(), *(child.pid for child in children)]
    walked = owners.walk(pids=mine)
    monkeypatch.setattr(owners, "MANY", 0)
    monkeypatch.setattr(proc, "pids", lambda root: mine)
    told = owners.walk()
    assert by_descriptor(told) == by_descriptor(walked)
    assert len(told.of(inode(shared))) == 2 * len(mine)
    assert (sorted(told.processes), told.denied) == (sorted(mine), [])
    only = owners.walk([inode(shared)])
    assert by_descriptor(only) == {inode(shared): set(told.of(inode(shared)))}
    # What the kernel would not show of a process is not taken from elsewhere.
    monkeypatch.setattr(proc, "link", lambda path: None if f"/{children[0].pid}/" in path else os.readlink(path))
    told = owners.walk()
    assert told.denied == [children[0].pid]
    assert {owner.pid for held in told.found.values() for owner in held} == {mine[0], mine[2]}


@linux
@pytest.mark.parametrize("lacking", ["/nonexistent", os.devnull, __file__])
def test_where_the_kernel_does_not_tell_the_walk_finds_them(fresh, keep, monkeypatch, lacking):
    keep.append(socket.create_server(("127.0.0.1", 0)))
    monkeypatch.setattr(owners, "MANY", 0)
    monkeypatch.setattr(btf, "VMLINUX", lacking)
    with pytest.raises(fd_iterator.Unavailable):
        fd_iterator.sockets()
    assert [owner.pid for owner in owners.walk().of(inode(keep[0]))] == [os.getpid()]


@linux
def test_a_description_that_is_not_mapped_is_copied(monkeypatch):
    if not os.access(btf.VMLINUX, os.R_OK):
        pytest.skip("this kernel does not describe its types")
    names = (b"bpf_iter_task_file", b"file")
    mapped = btf.Types(btf.read(btf.VMLINUX), names)

    def refuse(*_):
        raise OSError(19, "No such device")

    monkeypatch.setattr(btf, "mmap", refuse)
    copied = btf.read(btf.VMLINUX)
    assert type(copied) is bytes
    copied = btf.Types(copied, names)
    assert copied.number(names[0]) == mapped.number(names[0])
    assert copied.offset(b"file", b"f_inode") == mapped.offset(b"file", b"f_inode")
    with pytest.raises(ValueError, match="this kernel has no task_file_nobody_has"):
        btf.Types(btf.read(btf.VMLINUX), (*names, b"task_file_nobody_has"))
    with pytest.raises(ValueError, match="this kernel has no f_inode"):  # of a member, not of a struct
        btf.Types(btf.read(btf.VMLINUX), (*names, b"f_inode"))


# -- a /proc of the test's own --


@pytest.fixture
def root(tmp_path):
    """Three processes; 20 has two descriptors of one socket, 30 shares another with 10."""
    for pid, name, links in (
        (10, b"web\n", {"3": "socket:[1001]", "4": "pipe:[5]", "5": "socket:[1002]"}),
        (20, b"we\xff ird)\n", {"7": "socket:[1003]", "12": "socket:[1003]", "13": "/dev/null"}),
        (30, b"other\n", {"0": "socket:[1002]", "1": "anon_inode:[eventpoll]"}),
    ):
        home = tmp_path / str(pid)
        (home / "fd").mkdir(parents=True)
        (home / "comm").write_bytes(name)
        for number, target in links.items():
            (home / "fd" / number).symlink_to(target)
    (tmp_path / "self").mkdir()
    return tmp_path


def test_a_process_is_found_with_all_that_it_holds(root):
    found = owners.walk(root=str(root))
    assert found.found.keys() == {1001, 1002, 1003}
    assert set(found.of(1002)) == {Owner(10, 5, "web"), Owner(30, 0, "other")}
    assert set(found.of(1003)) == {Owner(20, 7, "we\udcff ird)"), Owner(20, 12, "we\udcff ird)")}
    assert sorted(found.processes) == [10, 20, 30]


def vanishing(monkeypatch, name, when, before):
    """Do `before()` the moment that os.NAME is called with something for which `when` holds."""
    real = getattr(os, name)

    def call(path, *arguments, **keywords):
        if when(path):
            before()
        return real(path, *arguments, **keywords)

    monkeypatch.setattr(os, name, call)


def test_a_process_that_ends_before_it_is_looked_at_is_left_out(root, monkeypatch):
    vanishing(monkeypatch, "open", lambda path: path.endswith("/20/fd"), lambda: os.rename(root / "20", root / "gone"))
    found = owners.walk(root=str(root))
    assert found.found.keys() == {1001, 1002}
    assert found.denied == []


def test_a_descriptor_that_is_closed_meanwhile_is_left_out(root, monkeypatch):
    vanishing(monkeypatch, "readlink", lambda name: name == "7" and (root / "20/fd/7").is_symlink(),
              (root / "20/fd/7").unlink)  # fmt: skip
    assert owners.walk(root=str(root)).of(1003) == (Owner(20, 12, "we\udcff ird)"),)


def test_a_process_that_ends_before_it_tells_its_name_has_none(root, monkeypatch):
    vanishing(monkeypatch, "open", lambda path: path.endswith("/10/comm"), (root / "10/comm").unlink)
    assert owners.walk(root=str(root)).of(1001) == (Owner(10, 3, ""),)


@pytest.mark.parametrize("call", ["open", "listdir", "readlink"])
def test_what_is_forbidden_is_remembered_and_what_is_wrong_is_raised(root, monkeypatch, call):
    real = getattr(os, call)
    failure = PermissionError(13, "Permission denied")

    def refuse(path, *arguments, **keywords):
        inside = path == "7" if call == "readlink" else str(path).endswith("/20/fd")
        if call == "listdir":
            inside = isinstance(path, int) and os.path.samestat(os.stat(path), os.stat(root / "20/fd"))
        if inside:
            raise failure
        return real(path, *arguments, **keywords)

    monkeypatch.setattr(os, call, refuse)
    found = owners.walk(root=str(root))
    assert found.denied == [20]
    assert found.found.keys() == {1001, 1002}
    failure = OSError(5, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        owners.walk(root=str(root))


@linux
def test_every_way_in_which_a_process_may_end_while_it_is_read(children, monkeypatch):
    """The real one, ended at each of the files in turn that are read of it."""
    reads = []
    real = proc.read
    monkeypatch.setattr(proc, "read", lambda path: reads.append(path) or real(path))
    processes.read([os.getpid()])
    monkeypatch.undo()
    names = [path.rpartition("/")[2] for path in reads]
    assert {"stat", "status", "cmdline", "cgroup"} <= set(names)
    for name in names:
        child = Child()

        def end_first(path, name=name, child=child):
            if path.endswith(f"/{child.pid}/{name}"):
                child.end()
            return real(path)

        monkeypatch.setattr(proc, "read", end_first)
        assert [each.pid for each in processes.read([child.pid, os.getpid()])] == [os.getpid()], name
        monkeypatch.undo()


@linux
def test_options_through_copies_of_descriptors(fresh, keep, children):
    plain, reusing, sharing = socket.socket(), socket.socket(), socket.socket(socket.AF_INET6)
    keep += [plain, reusing, sharing]
    reusing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reusing.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sharing.setsockopt(socket.IPPROTO_IP, 15, 1)
    for one in keep:
        one.bind(("::1" if one.family == socket.AF_INET6 else "127.0.0.1", 0))
    blocking = [one.getblocking() for one in keep]
    found = {e.inode: e for e in machine.read(want={"sockets", "owners", "options"}, namespaces=False).sockets}
    rows = [found[inode(one)] for one in keep]
    assert [row.reuseaddr for row in rows] == [False, True, False]
    assert [row.reuseport for row in rows] == [False, False, True]
    assert [row.keepalive for row in rows] == [False, True, False]
    assert [row.freebind for row in rows] == [False, False, True]
    assert [one.getblocking() for one in keep] == blocking
    unasked = {e.inode: e for e in machine.read(want={"sockets"}, namespaces=False).sockets}
    assert [unasked[inode(one)].reuseaddr for one in keep] == [None] * 3
    # A descriptor that is another socket by now says nothing of the first.
    row = unasked[inode(plain)]
    options.complete(row, owners=(Owner(os.getpid(), reusing.fileno()),))
    assert options.read([row]) == 0
    assert row.reuseaddr is None
