"""Network namespaces: of processes, kept by a mount, kept by nothing but a socket; and what a stranger may know."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager

import pytest
from tests.live.apart import in_child
from tests.live.conftest import unshare_network

from portside.cli.ls import WANT
from portside.cli.source import Complaint, _in_namespace
from portside.explain.listening import listeners
from portside.facts import saved
from portside.facts.snapshot import Namespace
from portside.live import descriptors, machine, namespaces

pytestmark = pytest.mark.linux


def this():
    return os.stat("/proc/thread-self/ns/net").st_ino


def apart(work=lambda: None):
    """A child in a network namespace of its own that has done `work()` and waits: its pid, and what work returned."""
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            unshare_network()
            with os.fdopen(tell, "wb") as pipe:
                pickle.dump(work(), pipe)
            signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        return pid, pickle.load(pipe)


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.fixture
def other(fresh):
    """A process in another network namespace, which listens there."""
    pid, (place, inode) = apart(listen)
    yield pid, place, inode
    end(pid)


kept_by_children = []


def listen():
    one = socket.create_server(("127.0.0.1", 0))
    kept_by_children.append(one)
    return one.getsockname(), os.fstat(one.fileno()).st_ino


def test_a_namespace_of_a_process(other):
    pid, place, inode = other
    found = namespaces.every()
    home = os.stat(f"/proc/{pid}/ns/net").st_ino
    assert found.own == this() != home
    assert found.found[home].pids == [pid]
    assert found.closed == []
    snapshot = machine.read()
    (there,) = (one for one in snapshot.others if one.namespace.inode == home)
    assert [(each.inode, each.lport) for each in there.sockets] == [(inode, place[1])]
    assert [owner.pid for owner in there.sockets[0].owners] == [pid]
    assert [process.pid for process in there.processes] == [pid]
    assert [interface.name for interface in there.interfaces] == ["lo"]
    assert {os.getpid(), pid} <= {process.pid for process in snapshot.processes}
    assert inode not in {each.inode for each in snapshot.sockets}
    assert saved.load(saved.dump(snapshot)) == snapshot
    assert machine.read(want={"sockets"}, namespaces=False).others == ()


def test_a_process_that_has_left_its_namespace_is_not_taken_for_it(other, monkeypatch):
    pid, _, inode = other
    home = os.stat(f"/proc/{pid}/ns/net").st_ino
    with socket.create_server(("127.0.0.1", 0)) as mine:
        port = mine.getsockname()[1]
        found = namespaces.every()
        found.found[home].path = "/proc/self/ns/net"  # it led there, and does no more
        found.found[home].pids = [2**22 + 1, os.getpid(), pid]  # one has ended, one has left
        found.found[1] = left = namespaces.Found(1, path="/proc/self/ns/net")
        monkeypatch.setattr(namespaces, "every", lambda: found)
        snapshot = machine.read(want={"sockets", "interfaces"})
        with pytest.raises(ProcessLookupError, match="nothing leads to this network namespace any more"):
            left.open()
    assert [each.lport for each in snapshot.sockets] == [port]
    assert 1 not in {each.namespace.inode for each in snapshot.others}
    (there,) = (each for each in snapshot.others if each.namespace.inode == home)
    assert [each.inode for each in there.sockets] == [inode]


def test_who_has_a_port_in_another_namespace(other):
    pid, place, inode = other
    found = machine.at_port(place[1])
    assert [(each.inode, each.owners[0].pid) for one in found.others for each in one.sockets] == [(inode, pid)]
    assert pid in {process.pid for process in found.processes}


@contextmanager
def mounted(name):
    """A network namespace that ip-netns(8) made under this name: its inode."""
    if not shutil.which("ip"):
        pytest.skip("ip(8) is needed")
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"ip netns does not work here: {made.stderr.strip()}")
    try:
        yield os.stat(f"/run/netns/{name}").st_ino
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_a_namespace_that_a_mount_keeps(fresh):
    name = f"ps-live-{os.getpid()} \\x"
    with mounted(name) as inode:
        found = namespaces.every()
        assert (found.found[inode].name, found.found[inode].pids) == (name, [])
        snapshot = machine.read(want={"sockets", "interfaces"})
        (there,) = (one for one in snapshot.others if one.namespace == Namespace(inode=inode, name=name))
        assert [interface.name for interface in there.interfaces] == ["lo"]
        with namespaces.entered(f"/run/netns/{name}"):
            assert this() == inode
            assert machine.read(want={"users"}).namespace == Namespace(inode=inode, name=name)


def test_a_namespace_that_only_a_socket_keeps(fresh, keep):
    def leave_behind():
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        unshare_network()
        keep.append(socket.create_server(("127.0.0.1", 0)))
        inode = this()
        namespaces.set_namespace(home)
        os.close(home)
        return inode

    inode = leave_behind()
    assert inode not in namespaces.every().found
    snapshot = machine.read()
    (there,) = (one for one in snapshot.others if one.namespace.inode == inode)
    (listener,) = there.sockets
    assert (listener.lport, listener.owners[0].fd) == (keep[0].getsockname()[1], keep[0].fileno())


def test_no_descriptor_is_left_open(other):
    machine.read()
    before = os.listdir("/proc/self/fd")
    machine.read(want=machine.EVERYTHING)
    assert os.listdir("/proc/self/fd") == before


def test_a_thread_is_put_back(other):
    pid, _, _ = other
    home = this()
    with namespaces.entered(f"/proc/{pid}/ns/net"):
        assert this() == os.stat(f"/proc/{pid}/ns/net").st_ino
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(this()))
        thread.start()
        thread.join()
    assert this() == home
    with pytest.raises(ZeroDivisionError), namespaces.entered(f"/proc/{pid}/ns/net"):
        raise ZeroDivisionError
    assert this() == home


def test_what_runs_inside_returns_and_raises(other):
    pid, _, _ = other
    home, path = this(), f"/proc/{pid}/ns/net"
    assert namespaces.inside(path, this) == os.stat(path).st_ino
    with open(path) as opened:
        assert namespaces.inside(opened.fileno(), this) == os.stat(path).st_ino
    with pytest.raises(ZeroDivisionError):
        namespaces.inside(path, lambda: 1 // 0)
    with pytest.raises(FileNotFoundError):
        namespaces.inside("/proc/4194305/ns/net", this)
    with pytest.raises(OSError, match="Invalid argument"):
        namespaces.inside("/proc/self/ns/uts", this)
    assert this() == home


def test_a_namespace_that_vanishes_meanwhile_is_no_error(fresh, monkeypatch):
    pid, _ = apart(listen)
    real = namespaces.every

    def then_end():
        found = real()
        end(pid)
        return found

    inode = os.stat(f"/proc/{pid}/ns/net").st_ino
    monkeypatch.setattr(namespaces, "every", then_end)
    assert inode not in {one.namespace.inode for one in machine.read().others}


def test_a_proc_of_the_tests_own(tmp_path):
    for pid, target in ((10, "net:[100]"), (20, "net:[200]"), (21, "net:[200]"), (30, "nonsense")):
        (tmp_path / str(pid) / "ns").mkdir(parents=True)
        (tmp_path / str(pid) / "ns" / "net").symlink_to(target)
    (tmp_path / "self" / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns" / "net").symlink_to("net:[100]")
    (tmp_path / "40").mkdir()  # it has just ended
    (tmp_path / "self" / "mountinfo").write_text(
        "10 1 0:4 net:[300] /run/netns/a\\040name rw shared:1 - nsfs nsfs rw\n"
        "11 1 0:4 net:[200] /run/docker/netns/1a2b3c rw - nsfs nsfs rw\n"
        "12 1 0:4 mnt:[400] /run/snapd/ns/x.mnt rw - nsfs nsfs rw\n"
        "13 1 0:4 net:[500] /srv/kept\\134here rw - nsfs nsfs rw\n"
        "14 1 0:5 / /proc rw - proc proc rw\n"
    )
    found = namespaces.every(str(tmp_path))
    assert found.own == 100
    assert {one.inode: (one.name, one.pids) for one in found.found.values()} == {
        100: ("", [10]), 200: ("1a2b3c", [20, 21]), 300: ("a name", []), 500: ("/srv/kept\\here", []),
    }  # fmt: skip
    assert found.found[300].way == "/run/netns/a name"


# -- without privileges --


def become_stranger():
    os.setgroups([])
    os.setgid(54321)
    os.setuid(54321)


def as_stranger(look):
    """What `look()` returns in a child that is nobody in particular."""

    def inside():
        become_stranger()
        return look()

    return in_child(inside)


def test_a_stranger_sees_all_that_the_kernel_shows_and_what_is_missing(other, keep):
    _, place, inode = other
    machine.read(want=machine.EVERYTHING)  # what is imported on demand may lie where a stranger can't read
    one = socket.socket(socket.AF_INET6)
    keep.append(one)
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.bind(("::", 0))
    one.listen(3)
    ours = os.fstat(one.fileno()).st_ino
    whole = machine.read()

    def look():
        os.close(one.fileno())
        mine = socket.create_server(("127.0.0.1", 0))
        return machine.read(want=machine.EVERYTHING), os.fstat(mine.fileno()).st_ino, os.getpid()

    seen, theirs, pid = as_stranger(look)
    rows = {each.inode: each for each in seen.sockets}
    full = {each.inode: each for each in whole.sockets}[ours]
    for name in ("state", "laddr", "lport", "v6only", "uid", "inode", "backlog", "cgroup", "memory", "cookie"):
        assert getattr(rows[ours], name) == getattr(full, name), name
    assert rows[ours].owners == ()
    assert (rows[ours].reuseaddr, rows[ours].tcp is not None) == (None, True)
    assert [owner.pid for owner in rows[theirs].owners] == [pid]
    assert (rows[theirs].uid, rows[theirs].reuseaddr) == (54321, True)
    assert (inode, place[1]) in {(each.inode, each.lport) for other in seen.others for each in other.sockets}
    assert seen.interfaces != ()
    for process in whole.processes:
        if process.pid == os.getpid():
            (again,) = (each for each in seen.processes if each.pid == process.pid)
            assert (again.name, again.argv, again.uid, again.started) == (
                process.name, process.argv, process.uid, pytest.approx(process.started, abs=50_000_000)
            )  # fmt: skip
            assert (again.exe, again.cwd) == (None, None)
    whats = [one.what for one in seen.missing]
    assert len([what for what in whats if "processes may hold" in what]) == 1
    assert len([what for what in whats if "other network namespace" in what]) == 1
    assert {one.remedy for one in seen.missing if "may hold" in one.what} == {"use sudo"}
    assert all("\n" not in what for what in whats)
    assert saved.load(saved.dump(seen)) == seen


def test_a_stranger_finds_who_has_a_port_of_his_own(fresh):
    machine.at_port(1)

    def look():
        mine = socket.create_server(("127.0.0.1", 0))
        return machine.at_port(mine.getsockname()[1]), os.getpid()

    seen, pid = as_stranger(look)
    assert [owner.pid for each in seen.sockets for owner in each.owners] == [pid]
    assert seen.processes[0].ppid == 0


def remounted(options, look):
    """What `look()` returns where /proc is mounted with these options, in a child of its own."""
    libc = descriptors.libc()

    def inside():
        assert libc.unshare(0x00020000) == 0  # CLONE_NEWNS
        assert libc.mount(b"none", b"/", None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE
        assert libc.mount(b"proc", b"/proc", b"proc", 0, options) == 0
        return look()

    return in_child(inside)


def test_where_processes_are_hidden_it_says_so(fresh, keep):
    keep.append(socket.create_server(("127.0.0.1", 0)))
    machine.read()

    def look():
        become_stranger()
        keep.append(socket.create_server(("127.0.0.1", 0)))
        os.close(keep[0].fileno())
        return machine.read(want={"sockets", "owners"}, namespaces=False), os.getpid()

    hidden, pid = remounted(b"hidepid=invisible", look)
    assert sorted([owner.pid for owner in each.owners] for each in hidden.sockets) == [[], [pid]]
    assert [(one.what, one.remedy) for one in hidden.missing] == [("who holds 1 socket", "use sudo")]
    shown, _ = remounted(b"hidepid=off", look)
    assert not [one for one in shown.missing if one.what == "who holds 1 socket"]


def test_in_a_container_it_says_that_others_may_hold_the_rest(fresh, keep):
    keep.append(socket.create_server(("127.0.0.1", 0)))
    machine.read()

    def look():
        assert descriptors.libc().unshare(0x20000000) == 0  # CLONE_NEWPID: for the children
        return remounted(None, lambda: machine.read(want={"sockets", "owners", "processes"}, namespaces=False))

    seen = in_child(look)
    assert [process.pid for process in seen.processes] == [1]
    # The child holds a copy of the descriptor; what the parent holds it can't know.
    assert [owner.pid for owner in seen.sockets[0].owners] == [1]
    assert seen.missing == ()


def test_without_proc_there_are_sockets_at_least(fresh, keep):
    keep.append(socket.create_server(("127.0.0.1", 0)))
    machine.read()
    libc = descriptors.libc()

    def look():
        assert libc.unshare(0x00020000) == 0
        assert libc.mount(b"none", b"/", None, 0x44000, None) == 0
        assert libc.mount(b"none", b"/proc", b"tmpfs", 0, None) == 0
        return machine.read()

    seen = in_child(look)
    assert [each.lport for each in seen.sockets] == [keep[0].getsockname()[1]]
    assert (seen.processes, seen.sockets[0].owners) == ((), ())
    assert "who holds 1 socket" in {one.what for one in seen.missing}


def test_a_stranger_is_told_nothing_made_up_about_namespaces_that_only_root_may_enter(other):
    pid, place, _ = other
    machine.read(want=WANT)

    def look():
        seen = machine.read(want=WANT)
        rows = [
            (each.namespace, each.reach, each.exposure.words, each.findings)
            for each in listeners(seen)
            if each.port == place[1]
        ]
        named = []
        for name in (f"pid {pid}", "nosuch"):
            with pytest.raises(Complaint) as caught:
                _in_namespace(seen, name)
            named.append(str(caught.value))
        return rows, named

    rows, (closed, none) = as_stranger(look)
    assert rows == [(f"pid {pid}", "unknown", "unknown: only root may look into that network namespace", ())]
    assert closed == f"the network namespace pid {pid}: only root may enter it"
    assert none.startswith("there is no network namespace 'nosuch'; there are ")
    assert f"pid {pid}" in none


def test_a_stranger_sees_the_sockets_of_either_kind_alone(fresh):
    def work():
        listen()
        one = socket.socket(socket.AF_UNIX)
        one.bind("\0")
        one.listen()
        kept_by_children.append(one)
        return os.fstat(one.fileno()).st_ino

    pid, inode = apart(work)
    try:
        seen = {what: as_stranger(lambda what=what: machine.read(want={what})) for what in ("unix", "sockets")}
    finally:
        end(pid)
    rows = {
        what: [(len(each.sockets), [one.inode for one in each.unix_sockets]) for each in found.others]
        for what, found in seen.items()
    }
    assert (0, [inode]) in rows["unix"]
    assert (1, []) in rows["sockets"]


def test_a_strangers_namespace_of_a_name_can_only_be_entered_by_root(fresh):
    name = f"ps-expl-{os.getpid()}"
    with mounted(name) as inode:
        machine.read(want=WANT)
        seen = as_stranger(lambda: machine.read(want=WANT))
        (there,) = (one for one in seen.others if one.namespace == Namespace(inode=inode, name=name))
        assert not there.entered
        with pytest.raises(Complaint, match=f"the network namespace {name}: only root may enter it"):
            _in_namespace(seen, name)
