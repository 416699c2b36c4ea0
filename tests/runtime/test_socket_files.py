# ruff: noqa: E501 - programs stand in here as they are
"""AF_UNIX sockets among the files: the same program for real and simulated, in a directory of its own."""

from __future__ import annotations

import os
import stat

import pytest

SHOW = """
import glob, os, pathlib, shutil, socket, stat, sys, tempfile
directory = tempfile.mkdtemp(dir=os.path.realpath(tempfile.gettempdir()))
os.chdir(directory)
def show(what, call):
    try:
        answer = call()
    except BaseException as error:
        answer = f"{type(error).__name__}: {error}"
    print(what, "->", str(answer).replace(directory, "DIR"), flush=True)
def bound(path, listening=True):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    if listening:
        s.listen()
    return s
def connect(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
os.umask(0o022)
"""
END = "\nos.chdir('/')\nshow('rmtree', lambda: shutil.rmtree(directory))\nshow('gone', lambda: os.path.exists(directory))\n"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="on the real machine it takes root to be another user")


def run(same, program):
    return same(SHOW + program + END)


def test_a_socket_file_is_found_where_files_are(same):
    run(same, """
os.mkdir("sub")
open("sub/a file", "w").close()
s = bound("sub/s")
show("listdir", lambda: (sorted(os.listdir("sub")), sorted(os.listdir(b"sub"))))
show("listdir of a descriptor", lambda: sorted(os.listdir(os.open("sub", os.O_RDONLY))))
show("scandir", lambda: sorted((e.name, e.path, e.is_file(), e.is_dir(), e.is_symlink(), stat.filemode(e.stat().st_mode)) for e in os.scandir("sub")))
with os.scandir("sub") as scan:
    show("a scan", lambda: len(list(scan)))
show("walk", lambda: [(d, sorted(f)) for d, _, f in os.walk(".")])
show("glob", lambda: (sorted(glob.glob("sub/*")), sorted(map(str, pathlib.Path().rglob("s")))))
show("a path", lambda: [(p.exists(), p.is_socket(), p.is_file(), p.stat().st_size, p.owner() == pathlib.Path(".").owner()) for p in [pathlib.Path("sub/s")]])
show("realpath", lambda: os.path.realpath("sub/../sub/s"))
show("dir_fd", lambda: stat.filemode(os.stat("s", dir_fd=os.open("sub", 0)).st_mode))
for call in ("open", "os.listdir", "os.mkdir", "os.rmdir"):
    show(call, lambda: eval(call)("sub/s"))
show("x", lambda: open("sub/s", "x"))
show("rmdir of what is not empty", lambda: (os.unlink("sub/a file"), os.rmdir("sub")))
    """)


def test_permissions_owner_and_times(same):
    run(same, """
s = bound("s")
show("as bound", lambda: stat.filemode(os.stat("s").st_mode))
for mask in (0, 0o077, 0o777):
    show("umask", lambda: (oct(os.umask(mask)), bound(f"s{mask}", False) and stat.filemode(os.stat(f"s{mask}").st_mode)))
    show("a file", lambda: (open(f"f{mask}", "w").close(), stat.filemode(os.stat(f"f{mask}").st_mode)))
    show("a directory", lambda: (os.mkdir(f"d{mask}"), stat.filemode(os.stat(f"d{mask}").st_mode)))
os.umask(0o022)
show("chmod", lambda: (os.chmod("s", 0o640), stat.filemode(os.lstat("s").st_mode)))
show("utime", lambda: (os.utime("s", (1, 2.5)), os.stat("s").st_atime, os.stat("s").st_mtime_ns))
show("utime in ns", lambda: (os.utime("s", ns=(5, 7)), os.stat("s").st_atime_ns, os.stat("s").st_mtime))
show("utime now", lambda: (os.utime("s"), os.stat("s").st_mtime > 2.5))
show("access", lambda: (os.access("s", os.R_OK | os.W_OK), os.access("s", os.X_OK), os.access("s", os.F_OK)))
    """)


def test_names_of_a_socket_file(same):
    run(same, """
s = bound("s")
show("link", lambda: (os.link("s", "hard"), os.stat("s").st_nlink, os.path.samefile("s", "hard"), connect("hard")))
show("symlink", lambda: (os.symlink("s", "soft"), stat.filemode(os.stat("soft").st_mode), stat.filemode(os.lstat("soft").st_mode), connect("soft")))
show("linked directory", lambda: (os.mkdir("sub"), os.symlink("sub", "subs"), bound("subs/x"), connect("sub/x"), connect("subs/../subs/./x")))
show("a ring", lambda: (os.symlink("ring", "ring"), connect("ring")))
show("bind at a symlink", lambda: (os.symlink("nowhere", "dangling"), bound("dangling")))
show("rename", lambda: (os.rename("s", "t"), connect("t")))
show("the old name", lambda: connect("s"))
show("the symlink", lambda: connect("soft"))
show("link to what is there", lambda: os.link("t", "hard"))
show("symlink to what is there", lambda: os.symlink("t", "hard"))
show("replace a file", lambda: (open("file", "w").close(), os.replace("t", "file"), connect("file"), stat.filemode(os.stat("file").st_mode)))
show("replaced by a file", lambda: (open("g", "w").close(), os.rename("g", "file"), stat.filemode(os.stat("file").st_mode)))
show("onto a directory", lambda: os.rename("hard", "sub"))
show("to nowhere", lambda: os.rename("hard", "none/hard"))
show("a renamed directory", lambda: (os.rename("sub", "moved"), connect("moved/x")))
show("unlinked", lambda: (os.unlink("hard"), connect("hard")))
show("unlinked twice", lambda: os.unlink("hard"))
show("by a descriptor", lambda: (os.unlink("x", dir_fd=os.open("moved", 0)), os.listdir("moved")))
show("stale", lambda: (bound("stale").close(), os.path.exists("stale"), connect("stale")))
show("left", lambda: sorted(os.listdir()))
    """)


@as_root
def test_who_may_connect(same):
    run(same, """
os.chmod(directory, 0o755)
def as_user(uid, call):
    os.setegid(uid)
    os.seteuid(uid)
    try:
        return call()
    finally:
        os.seteuid(0)
        os.setegid(0)
s = bound("s")
for mode in (0o755, 0o722, 0o666, 0o002, 0o700):
    show(oct(mode), lambda: (os.chmod("s", mode), as_user(1000, lambda: connect("s"))))
for uid, gid in ((1000, 0), (0, 1000), (1001, 1001)):
    show((uid, gid), lambda: (os.chown("s", uid, gid), os.chmod("s", 0o220), as_user(1000, lambda: connect("s"))))
show("a datagram", lambda: as_user(1000, lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", "s")))
show("no search", lambda: (os.mkdir("shut", 0o700), bound("shut/s"), os.chmod("shut/s", 0o777), as_user(1000, lambda: connect("shut/s"))))
show("search", lambda: (os.chmod("shut", 0o711), as_user(1000, lambda: connect("shut/s"))))
show("bind", lambda: as_user(1000, lambda: bound("shut/new")))
show("bind where it may", lambda: (os.chmod("shut", 0o777), as_user(1000, lambda: bound("shut/new")), os.stat("shut/new").st_uid))
show("chmod", lambda: as_user(1000, lambda: os.chmod("s", 0o777)))
show("chmod of one's own", lambda: as_user(1000, lambda: os.chmod("shut/new", 0o700)))
show("chown", lambda: as_user(1000, lambda: os.chown("shut/new", 5, -1)))
show("utime", lambda: as_user(1000, lambda: os.utime("s", (1, 1))))
show("access", lambda: (os.chmod("s", 0o751), os.chown("s", 0, 0), as_user(1000, lambda: [os.access("s", mode, effective_ids=True) for mode in (1, 2, 4)])))
show("unlink", lambda: (os.chmod("shut", 0o755), as_user(1000, lambda: os.unlink("shut/new"))))
show("sticky", lambda: (os.chmod("shut", 0o1777), as_user(1000, lambda: os.unlink("shut/s"))))
show("sticky, one's own", lambda: as_user(1000, lambda: os.unlink("shut/new")))
show("a file", lambda: (open("file", "w").close(), as_user(1000, lambda: connect("file"))))
    """)


def test_the_umask_is_the_programs_own(world):
    outside = os.umask(0o027)
    try:
        first, second = world.run(
            "import os, time; print(oct(os.umask(0o77))); time.sleep(2); print(oct(os.umask(0)))",
            "import os, time; time.sleep(1); print(oct(os.umask(0o22)))",
        )
        assert first.output == "0o27\n0o77\n"
        assert second.output == "0o27\n"
    finally:
        assert os.umask(outside) == 0o027


def test_each_host_has_its_own_sockets(world, tmp_path):
    path = tmp_path / "s"
    world.run(f"import socket, time; s = socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); time.sleep(5)")
    other = world.network.host("other").spawn(code=f"import os; print(os.path.exists({str(path)!r}))")
    world.network.run()
    assert other.output == "False\n"
    assert not path.exists()
    assert not stat.S_ISSOCK(tmp_path.stat().st_mode)


def test_proc_net_unix(same):
    same("""
import os, socket, tempfile
path = tempfile.mktemp()
def show(*sockets):
    inodes = {str(os.fstat(s.fileno()).st_ino): n for n, s in enumerate(sockets)}
    rows = [row.split() for row in open("/proc/net/unix").read().splitlines()]
    seen = [(inodes.get(r[6]), r[1:6], [p.replace(path, "PATH") for p in r[7:]]) for r in rows if r[6] in inodes or r[7:8] == [path] or r[7:] == ["@portside"]]
    print(*sorted(seen, key=str), sep="\\n")
    print()
listener, dgram, peer, other = (socket.socket(socket.AF_UNIX, kind) for kind in (1, 2, 2, 2))
listener.bind(path)
listener.listen(3)
dgram.bind("\\0portside")
peer.connect("\\0portside")
other.connect("\\0portside")
clients = [socket.socket(socket.AF_UNIX) for _ in range(2)]
for client in clients:
    client.connect(path)
one, two = socket.socketpair()
show(listener, dgram, peer, other, one, two, *clients)
accepted = listener.accept()[0]
two.close()
peer.close()
clients[1].close()
show(listener, dgram, other, one, clients[0], accepted)
os.unlink(path)
    """)
