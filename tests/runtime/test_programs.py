# ruff: noqa: E501, SIM115 - programs stand in here as they are
"""Programs: their own globals, arguments, streams and endings."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def project(tmp_path):
    """Write files beside each other and give their directory."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__SLASH__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return tmp_path

    return write


def test_a_script_started_twice_has_its_own_globals_each_time(world, project):
    directory = project(
        counter="count = 0\ndef up():\n    global count\n    count += 1\n    return count\n",
        main="""
            import sys, time
            import counter
            from counter import up
            time.sleep(int(sys.argv[1]))
            print(sys.argv[1:], __name__, up(), up(), counter.count, sys.modules["counter"] is counter)
        """,
    )
    first = world.host.spawn(str(directory / "main.py"), "1")
    second = world.host.spawn(str(directory / "main.py"), "2")
    world.network.run()
    assert first.output == "['1'] __main__ 1 2 2 True\n"
    assert second.output == "['2'] __main__ 1 2 2 True\n"
    assert "counter" not in sys.modules


def test_a_package_beside_the_script_is_imported_in_every_form(world, project):
    directory = project(
        pack__SLASH____init__="from . import one\nfrom .one import A\n__all__ = ['one', 'two']\n",
        pack__SLASH__one="from . import two\nfrom .sub import deep\nA = 'a' + two.B + deep.C\n",
        pack__SLASH__two="B = 'b'\n",
        pack__SLASH__sub__SLASH____init__="",
        pack__SLASH__sub__SLASH__deep="from ..two import B\nC = B.upper()\n",
        main="""
            import importlib, pack.sub.deep, pack.two as t
            from pack import *
            from pack.sub import deep as d
            print(pack.A, t.B, one.A, two is t, d is pack.sub.deep, importlib.import_module("pack.one") is one)
            print(importlib.import_module(".two", "pack") is t, __import__("pack.sub").__name__, pack.__file__ != "")
            for name in ("pack.none", "pack.two.x", "nothing"):
                try:
                    importlib.import_module(name)
                except ImportError as error:
                    print(type(error).__name__, error, error.name)
            try:
                from pack import missing
            except ImportError as error:
                print(str(error).split(" (")[0])
        """,
    )
    (program,) = [world.host.spawn(str(directory / "main.py"))]
    world.network.run()
    assert program.output.splitlines() == [
        "abB b abB True True True",
        "True pack True",
        "ModuleNotFoundError No module named 'pack.none' pack.none",
        "ModuleNotFoundError No module named 'pack.two.x'; 'pack.two' is not a package pack.two.x",
        "ModuleNotFoundError No module named 'nothing' nothing",
        "cannot import name 'missing' from 'pack'",
    ]


def test_a_module_that_fails_is_imported_anew_and_shows_its_own_frames(world, project):
    directory = project(
        bad="1 / 0\n",
        main="""
            for _ in range(2):
                try:
                    import bad
                except ZeroDivisionError:
                    print("again")
            import bad
        """,
    )
    program = world.host.spawn(str(directory / "main.py"), check=False)
    world.network.run()
    assert program.stdout == "again\nagain\n"
    lines = program.stderr.splitlines()
    files = [line for line in lines if line.startswith("  File")]
    assert [line.split('"')[1].rpartition("/")[2] for line in files] == ["main.py", "bad.py"]
    assert program.exit_code == 1


def test_dataclasses_pickles_and_main_find_the_programs_own_modules(world, project):
    directory = project(
        shapes="""
            from __future__ import annotations
            import dataclasses, typing
            @dataclasses.dataclass
            class Point:
                x: int
                tags: typing.ClassVar[int] = 3
        """,
        main="""
            import copy, pickle, sys, typing
            import shapes
            class Mine:
                pass
            assert sys.modules["__main__"].Mine is Mine
            import __main__
            assert __main__.Mine is Mine
            print(shapes.Point(3), [f.name for f in shapes.dataclasses.fields(shapes.Point)])
            print(pickle.loads(pickle.dumps(shapes.Point(4))), type(pickle.loads(pickle.dumps(Mine()))) is Mine)
            print(copy.deepcopy(shapes.Point(5)), list(typing.get_type_hints(shapes.Point)))
        """,
    )
    program = world.host.spawn(str(directory / "main.py"), check=False)
    world.network.run()
    assert program.output.splitlines() == ["Point(x=3) ['x']", "Point(x=4) True", "Point(x=5) ['x', 'tags']"]


def test_a_module_is_run_as_python_m_runs_it(world, project, monkeypatch):
    directory = project(
        tool__SLASH____init__="NAME = 'tool'\n",
        tool__SLASH____main__="import sys\nfrom . import NAME\nprint(NAME, __name__, __package__, sys.argv[1:], sys.argv[0].endswith('__main__.py'))\n",
        single="import sys\nprint(__name__, __spec__.name, sys.argv[1:])\n",
    )
    monkeypatch.chdir(directory)
    programs = [world.host.spawn("a", module=name, check=False) for name in ("tool", "single", "no_such", "json")]
    world.network.run()
    assert programs[0].output == "tool __main__ tool ['a'] True\n"
    assert programs[1].output == "__main__ single ['a']\n"
    assert programs[2].output.endswith("No module named no_such\n")
    assert "No module named json.__main__; 'json' is a package and cannot be directly executed" in programs[3].output
    assert [program.exit_code for program in programs] == [0, 0, 1, 1]


def test_names_of_sys_are_free_in_other_modules(world, project):
    directory = project(
        package__SLASH____init__="from .views import path, modules, argv\nstdout = 1\n",
        package__SLASH__views="def path(): return 'path'\ndef modules(): return 'modules'\nargv = 'argv'\n",
        main="""
            import sys, types
            import package
            from package import path
            print(path(), package.modules(), package.argv, package.stdout, type(package) is types.ModuleType)
            made = type(sys)("made")
            made.path = 5
            print(made.path, type(made).__name__, type(sys.path).__name__)
        """,
    )
    program = world.host.spawn(directory / "main.py")
    world.network.run()
    assert program.output == "path modules argv 1 True\n5 module list\n"


def test_a_stream_that_mock_replaced_is_the_programs_own_again(world):
    (program,) = world.run("""
        import io, sys
        from unittest import mock
        with mock.patch.object(sys, "stdout", io.StringIO()):
            print("hidden")
        print("seen")
        sys.stdout.flush()
    """)
    assert (program.exit_code, program.output) == (0, "seen\n")


def test_streams_arguments_and_paths_are_a_programs_own(world):
    one = "import sys, contextlib, io\nsys.argv.append('x')\nsys.path.insert(0, '/one')\nsys.stdout = io.StringIO()\nprint('hidden')\n" + (
        "import time; time.sleep(1)\nsys.__stdout__.write(repr((sys.argv, sys.path[:2], sys.stdout.getvalue())))"
    )
    two = "import sys, time, contextlib, io\ntime.sleep(0.5)\nprint(sys.argv, '/one' in sys.path)\n" + (
        "with contextlib.redirect_stderr(io.StringIO()) as err:\n    print('e', file=sys.stderr); time.sleep(1)\nprint(err.getvalue())"
    )
    first, second = world.run(one, two)
    assert first.output == "(['-c', 'x'], ['/one', ''], 'hidden\\n')"
    assert second.output == "['-c'] False\ne\n\n"
    assert "/one" not in sys.path


def test_standard_output_can_be_redirected_by_descriptor(world, tmp_path):
    path = tmp_path / "out"
    output = world.output(f"""
        import os, sys
        print("before")
        saved = os.dup(1)
        fd = os.open({str(path)!r}, os.O_WRONLY | os.O_CREAT)
        os.dup2(fd, 1)
        print("into the file")
        os.dup2(saved, 1)
        os.write(1, b"raw\\n")
        print("after", sys.stdout.fileno(), os.isatty(1))
    """)
    assert output == "before\nraw\nafter 1 False\n"
    assert path.read_text() == "into the file\n"


def test_files_of_the_real_disk_share_the_numbers_of_sockets(world, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")

    def program():
        import select
        import socket

        real_before = set(os.listdir("/proc/self/fd"))
        a, b = socket.socketpair()
        f = open(path, "rb")
        numbers = [a.fileno(), b.fileno(), f.fileno()]
        assert os.fstat(f.fileno()).st_size == 10
        assert os.pread(f.fileno(), 3, 5) == b"567"
        assert os.lseek(f.fileno(), 2, 0) == 2
        assert f.read(3) == b"234"
        assert select.select([f], [f], [], 0) == ([f], [f], [])
        assert os.sendfile(a.fileno(), f.fileno(), 0, 4) == 4
        assert b.recv(10) == b"0123"
        assert a.sendfile(f, 5) == 5
        assert b.recv(10) == b"56789"
        copy = os.dup(f.fileno())
        f.close()
        assert os.read(copy, 10) == b""
        os.close(copy)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.read(copy, 1)
        with os.scandir(tmp_path) as found:
            assert [entry.name for entry in found] == ["data"]
        dir_fd = os.open(tmp_path, os.O_RDONLY)
        assert os.stat("data", dir_fd=dir_fd).st_size == 10
        assert os.listdir(dir_fd) == ["data"]
        a.close(), b.close(), os.close(dir_fd)
        assert set(os.listdir("/proc/self/fd")) == real_before
        return numbers

    assert world.call(program) == [3, 4, 5]


def test_what_a_program_leaves_open_is_closed_with_it(world, tmp_path):
    real = len(os.listdir("/proc/self/fd"))

    def program():
        import socket

        globals()["kept"] = [open(tmp_path / "x", "w"), socket.socket(), socket.socketpair()]

    world.call(program)
    assert len(os.listdir("/proc/self/fd")) == real
    globals().pop("kept")


def test_the_simulated_proc_is_read_and_written_as_files(world):
    def program():
        import pathlib
        import socket

        place = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
        before = place.read_text()
        place.write_text("5000 5000\n")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
            s.listen()
            rows = open("/proc/net/tcp").read().splitlines()
        assert os.path.isdir("/proc/sys/net/ipv4")
        assert "ip_forward" in os.listdir("/proc/sys/net/ipv4")
        with pytest.raises(FileNotFoundError) as missing:
            open("/proc/sys/net/no_such")
        os.seteuid(1000)
        with pytest.raises(PermissionError) as refused:
            open(place, "w")
        return before, port, len(rows), missing.value.filename, refused.value.errno

    assert world.call(program) == ("32768\t60999\n", 5000, 2, "/proc/sys/net/no_such", errno.EACCES)


def test_identity_is_the_simulated_process(world):
    def program():
        import pwd
        import signal

        parent = os.getppid()
        ids = os.getuid(), os.geteuid(), os.getgid(), os.getresuid()
        os.setresuid(1000, 1000, 0)
        changed = os.getresuid()
        with pytest.raises(PermissionError):
            os.setuid(7)
        with pytest.raises(ProcessLookupError):
            os.kill(9999, 0)
        with pytest.raises(OverflowError):
            os.setuid(1 << 40)
        with pytest.raises(TypeError):
            os.setuid("x")
        os.kill(os.getpid(), signal.SIGCHLD)
        return parent, ids, changed, os.uname().nodename, pwd.getpwuid(0).pw_name

    real = os.getresuid()
    assert world.call(program) == (1, (0, 0, 0, (0, 0, 0)), (1000, 1000, 0), "alpha", "root")
    assert os.getresuid() == real


def test_one_program_ends_another(world):
    victim = "import os, time\nprint(os.getpid(), flush=True)\ntry:\n    time.sleep(100)\nfinally:\n    print('never seen?')\n"
    program = "import os, signal, time\ntime.sleep(1)\nos.kill(100, signal.SIGTERM)\ntime.sleep(1)\ntry:\n    os.kill(100, 0)\nexcept ProcessLookupError:\n    print('gone')"
    first, second = world.run(victim, program)
    assert first.exit_code == -15
    assert second.output == "gone\n"


def test_chance_is_the_worlds_seed(world):
    source = "import os, random, uuid\nprint(random.random(), random.Random().random(), os.urandom(4).hex(), uuid.uuid4(), random.sample(range(99), 3))"
    first, second = world.run(source, source)
    assert first.output != second.output

    again = type(world)()
    repeated, _ = again.run(source, source)
    assert repeated.output == first.output


def test_loggers_are_a_programs_own(world):
    import logging

    source = "import logging, time\nlogging.basicConfig(format='%(message)s', level=logging.INFO)\nlogging.getLogger('x').info('told')\ntime.sleep(1)\nlogging.info('again')"
    silent = "import logging, time\ntime.sleep(0.5)\nlogging.getLogger('x').info('not told')\nlogging.getLogger('x').warning('last resort')"
    handlers = list(logging.root.handlers)
    first, second, third = world.run(source, source, silent)
    assert first.output == second.output == "told\nagain\n"
    assert third.output == "last resort\n"
    assert logging.root.handlers == handlers


def test_a_unix_socket_has_a_file_that_is_unlinked(world, tmp_path):
    def program():
        import socket
        import stat

        path = str(tmp_path / "s")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            os.chmod(path, 0o600)
            assert stat.S_ISSOCK(os.stat(path).st_mode)
            assert os.access(path, os.F_OK)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                peer, address = server.accept()
                with peer:
                    assert (address, server.getsockname(), client.getpeername()) == ("", path, path)
        assert os.path.exists(path)
        with socket.socket(socket.AF_UNIX) as again:
            with pytest.raises(OSError, match="Address already in use"):
                again.bind(path)
            os.rename(path, path + "2")
            os.unlink(path + "2")
            assert not os.path.exists(path)
            with pytest.raises(FileNotFoundError):
                again.bind(str(tmp_path / "none" / "s"))
            again.bind(path)
            os.remove(path)

    world.call(program)
    assert os.listdir(tmp_path) == []


def test_root_names_its_host(world):
    program = """
        import os, socket
        def told(name):
            try:
                socket.sethostname(name)
            except OSError as error:
                print(error)
            except TypeError as error:
                print(error)
            print(socket.gethostname(), os.uname().nodename)
        told("new")
        told(b"bar")
        told("x" * 65)
        told(5)
    """
    (root,) = world.run(program)
    assert root.output.splitlines() == [
        "new new", "bar bar", "[Errno 22] Invalid argument", "bar bar",
        "expected str, bytes or os.PathLike object, not int", "bar bar",
    ]  # fmt: skip
    (user,) = world.run(program, user="alice")
    assert user.output.splitlines()[:2] == ["[Errno 1] Operation not permitted", "bar bar"]


@pytest.mark.parametrize(
    "program",
    [
        "f = open(path, 'w'); f.write('data')",
        "import sys\nf = open(path, 'w'); f.write('data'); sys.exit(3)",
        "import gzip\nf = gzip.open(path, 'wt'); f.write('data')",
        "f = open(path, 'wb', 100); f.write(b'x' * 250)",
        "f = open(path, 'w+'); ring = [f]; ring.append(ring); f.write('in a cycle')",
        "def work():\n    f = open(path, 'w'); f.write('data'); 1 / 0\nwork()",
        "import threading\nkept = []\ndef work():\n    f = open(path, 'w'); f.write('thread'); kept.append(f)\nthreading.Thread(target=work).start()",
        "class Last:\n    def __init__(self): self.file = open(PATH, 'w')\n    def __del__(self): self.file.write(text())\ndef text(): return WORDS\nWORDS = 'last words'\nPATH = path\nlast = Last()",
        "import os\nf = open(path, 'w'); f.write('lost'); f2 = f\nos._exit(0)",
        "import os, signal\nf = open(path, 'w'); f.write('lost')\nos.kill(os.getpid(), signal.SIGKILL)",
    ],
    ids=range(10),
)  # fmt: skip
def test_what_is_open_at_the_end_is_written_as_under_the_interpreter(world, tmp_path, program):
    def written(name, run):
        path = tmp_path / name
        run(f"path = {str(path)!r}\n{program}\n")
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data

    def alone(text):
        subprocess.run([sys.executable, "-W", "ignore", "-c", text], capture_output=True, check=False)

    real = written("real", alone)
    assert written("simulated", world.run) == real
    assert (real == b"") == ("lost" in program)
