"""`portside run` as its users see it: output, exit codes, and one sentence for what is wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from portside.wire import pcapng


def command(*arguments):
    return [sys.executable, "-m", "portside", *map(str, arguments)]


def portside(*arguments, cwd=None):
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=60, cwd=cwd, check=False
    )
    return done.returncode, done.stdout, done.stderr


def run(*arguments, **options):
    return portside("run", *arguments, **options)


LOOK = """
import os, sys
with open(sys.argv[1], "w") as file:
    print([getattr(sys, name) is None for name in ("stdin", "stdout", "stderr", "__stdout__")], file=file)
    for fd in range(3):
        try:
            file.write(f"{os.fstat(fd) is None}\\n")
        except OSError as error:
            file.write(f"{error}\\n")
    try:
        input()
    except (EOFError, RuntimeError) as error:
        file.write(f"{error}\\n")
print("out")
"""


class TestClosedStreams:
    """What python3 does whose standard streams are closed, portside does too."""

    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-"])
    def test_a_program_finds_them_closed(self, tmp_path, closed):
        def shell(name, *words):
            line = f'exec "$@" {closed}'
            end = ["raise SystemExit('bye')", "1 / 0"]
            told = [
                subprocess.run(
                    ["/bin/sh", "-c", line, "sh", *words, "-c", LOOK + last, tmp_path / name],
                    capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
                )
                for last in end
            ]  # fmt: skip
            written = (tmp_path / name).read_text()
            return written, [(done.returncode, done.stdout, done.stderr) for done in told]

        assert shell("ours", *command("run")) == shell("cpython", sys.executable)

    @pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
    def test_a_labs_programs_go_on(self, tmp_path, closed):
        (tmp_path / "lab.toml").write_text(
            "[host.a]\n[host.b]\n"
            "[[program]]\nhost = 'a'\ncode = 'import sys; print(1); print(2, file=sys.stderr)'\n"
            "[[program]]\nhost = 'b'\ncode = 'raise SystemExit(4)'\n"
        )
        line = f'exec "$@" {closed}'
        words = ["/bin/sh", "-c", line, "sh", *command("run", "--trace", "-", tmp_path / "lab.toml")]
        assert subprocess.run(words, timeout=60, capture_output=True, check=False).returncode == 4

    def test_a_mistake_and_a_deadlock_have_their_exit_codes(self):
        wait = "import socket; socket.create_server(('', 1)).accept()"
        for words, code in (("nowhere.py",), 2), (("-c", wait), 3):
            shell = ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command("run", *words)]
            assert subprocess.run(shell, timeout=60, check=False).returncode == code


class TestPrograms:
    @pytest.mark.parametrize("words", [["main.py"], ["./main.py"], ["inner/../main.py"], ["inner"], ["./inner/"]])
    def test_a_program_knows_its_own_place(self, tmp_path, words):
        text = """
import sys
print(__file__, sys.argv, sys.path[0], sys._getframe().f_code.co_filename, repr(__package__))
print(type(__loader__).__name__, __spec__ and (__spec__.origin, type(__spec__.loader).__name__))
raise OSError
"""
        (tmp_path / "inner").mkdir()
        for path in ("main.py", "inner/__main__.py"):
            (tmp_path / path).write_text(text)
        plain = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, cwd=tmp_path)
        told = "".join(line for line in plain.stderr.splitlines(keepends=True) if "<frozen runpy>" not in line)
        assert run(*words, cwd=tmp_path) == (plain.returncode, plain.stdout, told)

    def test_modules_of_its_own_are_kept_compiled(self, tmp_path):
        (tmp_path / "main.py").write_text("import beside; print(beside.NAME)")
        (tmp_path / "beside.py").write_text("NAME = 'beside'")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["THREE"] = str(tmp_path / "three")  # is descriptor 3 of the real process, and none of the program's
        words = ["/bin/sh", "-c", 'exec "$@" 3>"$THREE"', "sh", *command("run", tmp_path / "main.py")]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "beside\n", "")
        assert (tmp_path / "three").read_bytes() == b""
        assert len(list((tmp_path / "__pycache__").glob("beside.*.pyc"))) == 1

    def test_output_and_exit_code_are_the_programs(self):
        code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
        assert run("-c", code) == (7, "out\n", "err\n")

    def test_what_follows_the_program_is_its_own(self, tmp_path):
        (tmp_path / "program.py").write_text("import sys; print(sys.argv)")
        assert run("--seed", 1, tmp_path / "program.py", "--seed", "-m", "--help")[1] == (
            f"['{tmp_path}/program.py', '--seed', '-m', '--help']\n"
        )
        assert run("-c", "import sys; print(sys.argv)", "--user", "x")[1] == "['-c', '--user', 'x']\n"
        assert "2020" in run("-mcalendar", "--type", "text", "2020")[1]
        code, out, _ = run("--seed=1", "-m", "timeit", "-n1", "-r1", "--setup", "import time", "time.sleep(3600)")
        assert (code, out) == (0, "1 loop, best of 1: 3.6e+03 sec per loop\n")

    def test_a_programs_collector_looks_at_the_programs_objects(self):
        modules = "[x for x in gc.get_objects() if type(x) is types.ModuleType and 'portside' in x.__name__]"
        assert run("-c", f"import gc, types; print({modules})")[1] == "[]\n"

    def test_an_uncaught_exception_shows_the_programs_traceback_and_gives_1(self, tmp_path):
        program = tmp_path / "program.py"
        program.write_text("import socket\n\nsocket.socket().bind(('192.0.2.1', 80))\n")
        plain = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
        assert "[Errno 99] Cannot assign requested address" in plain.stderr
        assert run(program) == (1, "", plain.stderr)

    def test_the_end_by_a_signal_is_shown_as_a_shell_does(self):
        assert run("-c", "import os; os.kill(os.getpid(), 9)")[0] == 128 + 9

    def test_deadlock_gives_3_and_a_report(self):
        code, out, err = run("-c", "import socket; socket.create_server(('', 80)).accept()")
        assert (code, out) == (3, "")
        assert err.startswith("portside: everybody waits for ever")
        assert "-c (pid 100) on host: accept" in err
        assert "tcp 0.0.0.0:80 LISTEN" in err

    def test_until_ends_a_server_that_serves_for_ever(self):
        code, out, err = run("--until", "60s", "-m", "http.server")
        assert code == 0
        assert out + err == "Serving HTTP on 0.0.0.0 port 8000 (http://0.0.0.0:8000/) ...\n"

    def test_addresses(self):
        code = "import socket; [socket.create_server((a, 80)) for a in ('10.0.0.1', '127.0.0.1')]; print('both')"
        assert run("-c", code)[1] == "both\n"
        v6 = "import socket; socket.create_server(('fd00::1', 80), family=socket.AF_INET6); print(6)"
        assert run("-c", v6)[1] == "6\n"
        other = "import socket; print(socket.if_nameindex()); socket.create_server(('192.0.2.1', 80))"
        assert run("--address", "192.0.2.1/24@eth1", "-c", other)[:2] == (0, "[(1, 'lo'), (2, 'eth1')]\n")

    def test_users(self):
        code = "import os, socket; print(os.getuid()); socket.create_server(('', 80))"
        status, out, err = run("--user", "nobody", "-c", code)
        assert (status, out) == (1, "65534\n")
        assert err.endswith(
            "PermissionError: [Errno 13] Permission denied (while attempting to bind on address ('', 80))\n"
        )

    def test_sysctls(self):
        code = "print(open('/proc/sys/net/ipv4/ip_local_port_range').read())"
        assert run("--sysctl", "net.ipv4.ip_local_port_range=40000 40009", "-c", code)[1].split() == ["40000", "40009"]

    def test_a_seed_decides_ports(self):
        code = "import socket; print(socket.create_server(('', 0)).getsockname()[1])"
        assert run("--seed", 1, "-c", code) == run("--seed", 1, "-c", code) != run("--seed", 2, "-c", code)

    def test_the_clock_starts_when_it_is_told_to(self):
        code = "import time; time.sleep(90); print(time.ctime())"
        assert run("-c", code)[1] == "Wed Jan  1 00:01:30 2020\n"
        assert run("--start", "2026-01-02T03:04:05Z", "-c", code)[1] == "Fri Jan  2 03:05:35 2026\n"

    @pytest.mark.parametrize(
        ("handler", "code", "error"),
        [
            ("signal.SIG_IGN", 1, "BrokenPipeError: [Errno 32] Broken pipe\n"),
            ("signal.SIG_DFL", 128 + signal.SIGPIPE, ""),
            ("lambda *_: os._exit(7)", 7, ""),
        ],
    )
    def test_who_reads_the_output_may_go(self, handler, code, error):
        text = f"import os, signal; signal.signal(signal.SIGPIPE, {handler})\nwhile True: print('x' * 1000)"
        with subprocess.Popen(command("run", "-c", text), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
            assert program.stdout.read(10) == b"x" * 10
            program.stdout.close()
            assert program.stderr.read().decode().endswith(error)
            assert program.wait(60) == code

    def test_standard_input_is_the_commands(self):
        done = subprocess.run(
            command("run", "-c", "print(input('name? ')); import sys; print(sys.stdin.read())"),
            input="me\nand\nmore",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "name? me\nand\nmore\n", "")

    def test_the_same_seed_gives_the_same_trace_in_every_process(self, tmp_path):
        program = tmp_path / "program.py"
        program.write_text(
            "import random, select, socket, threading\n"
            "listener = socket.create_server(('', 7))\n"
            "def serve():\n"
            "    while True:\n"
            "        connection, peer = listener.accept()\n"
            "        threading.Thread(target=echo, args=(connection,), daemon=True).start()\n"
            "def echo(connection):\n"
            "    while data := connection.recv(10):\n"
            "        connection.sendall(data)\n"
            "threading.Thread(target=serve, daemon=True).start()\n"
            "clients = {socket.create_connection(('127.0.0.1', 7)) for _ in range(10)}\n"
            "for client in sorted(clients, key=socket.socket.fileno):\n"
            "    client.sendall(random.randbytes(random.randrange(100)) + b'x')\n"
            "left = {client.fileno(): client for client in clients}\n"
            "while left:\n"
            "    for client in select.select(sorted(left), [], [])[0]:\n"
            "        print(left[client].recv(100))\n"
            "        del left[client]\n"
        )
        seen = set()
        for hash_seed in ("0", "1", "2"):
            done = subprocess.run(
                command("run", "--seed", 5, "--trace", "-", program),
                capture_output=True,
                timeout=60,
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                check=True,
            )
            seen.add((done.stdout, done.stderr))
        assert len(seen) == 1
        assert seen.pop()[1].count(b"\n") > 60

    def test_threads_and_their_server(self, tmp_path):
        program = tmp_path / "echo.py"
        program.write_text(
            "import socket, threading\n"
            "listener = socket.create_server(('', 7))\n"
            "def serve():\n"
            "    connection, peer = listener.accept()\n"
            "    while data := connection.recv(100):\n"
            "        connection.sendall(data.upper())\n"
            "threading.Thread(target=serve).start()\n"
            "with socket.create_connection(('127.0.0.1', 7)) as client:\n"
            "    client.sendall(b'hello')\n"
            "    print(client.recv(100))\n"
        )
        assert run(program) == (0, "b'HELLO'\n", "")


class TestRecords:
    PROGRAM = "import socket; s = socket.create_server(('', 7)); c = socket.create_connection(('127.0.0.1', 7))"

    def test_a_trace_as_text(self, tmp_path):
        file = tmp_path / "trace.txt"
        assert run("--trace", file, "-c", self.PROGRAM)[0] == 0
        lines = file.read_text().splitlines()
        assert lines[0] == "0.000000 host -c starts (pid 100)"
        assert "127.0.0.1.7: Flags [S], seq" in lines[1]
        assert run("--trace", "-", "-c", self.PROGRAM)[2] == file.read_text()

    def test_a_capture(self, tmp_path):
        file = tmp_path / "out.pcapng"
        assert run("--pcap", file, "-c", self.PROGRAM)[0] == 0
        with file.open("rb") as stream:
            packets = list(pcapng.read(stream))
        assert len(packets) >= 3
        assert packets[0].when == 1577836800 * 10**9
        assert packets[0].interface.name == "host/lo"

    @pytest.mark.parametrize("option", ["--trace", "--pcap"])
    def test_a_file_that_cannot_be_written(self, tmp_path, option):
        code, _, err = run(option, tmp_path / "no" / "where", "-c", "pass")
        assert code == 2
        assert "No such file" in err
        assert "Traceback" not in err


LAB = """
[host.server]
addresses = ["10.0.0.1/24"]
[host.client]
addresses = ["10.0.0.2/24"]
[[link]]
ends = ["server", "client"]
latency = "10ms"
[[program]]
host = "server"
script = "server.py"
arguments = [7]
[[program]]
host = "client"
script = "client.py"
start = "1s"
"""

SERVER = """
import socket, sys
listener = socket.create_server(("", int(sys.argv[1])))
connection, peer = listener.accept()
print("from", peer[0])
while data := connection.recv(100):
    connection.sendall(data)
"""

CLIENT = """
import socket
with socket.create_connection(("server", 7)) as connection:
    connection.sendall(b"hello")
    print(connection.recv(100))
"""


class TestLabs:
    @pytest.fixture
    def lab(self, tmp_path):
        (tmp_path / "lab.toml").write_text(LAB)
        (tmp_path / "server.py").write_text(SERVER)
        (tmp_path / "client.py").write_text(CLIENT)
        return tmp_path

    def test_programs_on_several_hosts(self, lab):
        assert run("lab.toml", cwd=lab) == (0, "server | from 10.0.0.2\nclient | b'hello'\n", "")

    def test_the_exit_code_is_that_of_the_first_in_order_that_failed(self, lab):
        (lab / "server.py").write_text(SERVER + "sys.exit(5)")
        (lab / "client.py").write_text(CLIENT + "raise SystemExit(6)")
        assert run("lab.toml", cwd=lab)[0] == 5

    def test_the_same_seed_gives_the_same_trace_of_all_hosts(self, lab):
        (lab / "lab.toml").write_text(LAB.replace('latency = "10ms"', 'latency = "10ms"\nloss = 0.1'))
        (lab / "client.py").write_text(
            "import socket\n"
            "with socket.create_connection(('server', 7)) as connection:\n"
            "    connection.sendall(bytes(10_000))\n"
            "    connection.shutdown(socket.SHUT_WR)\n"
            "    while connection.recv(1000):\n"
            "        pass\n"
        )
        traces = []
        for seed, hash_seed in ((5, "0"), (5, "1"), (6, "0")):
            subprocess.run(
                command("run", "--seed", seed, "--trace", "trace.txt", "lab.toml"),
                cwd=lab,
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                capture_output=True,
                timeout=60,
                check=True,
            )
            traces.append((lab / "trace.txt").read_bytes())
        assert traces[0] == traces[1] != traces[2]
        assert traces[0].count(b"(lost)") > 1

    def test_a_deadlock_names_hosts(self, lab):
        (lab / "client.py").write_text("raise SystemExit(0)")
        code, _, err = run("lab.toml", cwd=lab)
        assert code == 3
        assert "server.py (pid 100) on server: accept" in err

    def test_mistakes_are_told_with_their_place(self, lab):
        (lab / "lab.toml").write_text(LAB + 'usr = "root"')
        assert run("lab.toml", cwd=lab) == (
            2,
            "",
            "portside: lab.toml:17: program[1].usr: unknown key, did you mean 'user'?\n",
        )

    @pytest.mark.parametrize(
        "wrong",
        [("lab.toml", "x"), *((name, "2026-01-01", "lab.toml") for name in ("--user", "--address", "--start"))],
    )
    def test_what_is_for_one_program_is_refused(self, lab, wrong):
        code, _, err = run(*wrong, cwd=lab)
        assert code == 2
        assert "file" in err


class TestWrongUsage:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("nowhere.py",), "there is no file nowhere.py"),
            (("nowhere.toml",), "nowhere.toml: No such file or directory"),
            ((), "what should run?"),
            (("-c", "1", "-m", "x", "--"), None),
            (("--adress", "1", "x.py"), "'--address'"),
            (("--seed", "x", "-c", "1"), "'x' is not a valid integer"),
            (("--address", "10.0.0.300", "-c", "1"), "10.0.0.300"),
            (("--sysctl", "net.ipv4.ip_foward=1", "-c", "1"), "did you mean net.ipv4.ip_forward"),
            (("--sysctl", "net.ipv4.ip_forward", "-c", "1"), "write NAME=VALUE"),
            (("--sysctl", "net.core.somaxconn=x", "-c", "1"), "does not take 'x'"),
            (("--until", "soon", "-c", "1"), "'soon' is no duration"),
            (("--start", "soon", "-c", "1"), "--start soon: write a date and time such as"),
            (("--start", "1969-12-31", "-c", "1"), "from 1970 on"),
            (("--user", "-5", "-c", "1"), "'-5' is no user"),
            (("--user", "", "-c", "1"), "'' is no user"),
            (("-m",), "requires an argument"),
            (("--seed", "1", "-c"), "requires an argument"),
        ],
    )
    def test_gets_a_sentence_and_2(self, arguments, words):
        code, out, err = run(*arguments)
        if words is not None:
            assert (code, out) == (2, "")
            assert words in err
        assert "portside/cli" not in err

    def test_a_directory_without_main(self, tmp_path):
        assert run(tmp_path) == (2, "", f"portside: {tmp_path} is a directory without __main__.py\n")


class TestCommand:
    def test_version_and_help(self):
        assert re.fullmatch(r"portside 0\.\S+ \(compiled: (yes|no)\) on Python 3\.\S+\n", portside("--version")[1])
        for arguments in (("--help",), ("run", "--help"), ("-h",)):
            code, out, err = portside(*arguments)
            assert (code, err) == (0, "")
            assert "Usage: portside" in out
        assert "_PORTSIDE_COMPLETE=bash_source" in portside("--help")[1]
        assert portside()[0] == 0  # who listens

    @staticmethod
    def interrupted(*words, times=1):
        """Exit code and output of a command to which Ctrl-C is given whenever it has said `ready`."""
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        limit = threading.Timer(50, process.kill)
        limit.start()
        try:
            for _ in range(times):
                while process.stdout.readline() not in ("ready\n", "a | ready\n", ""):
                    pass
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            limit.cancel()
            process.kill()
            process.communicate()
        code = process.returncode
        return code if code >= 0 else 128 - code, out.replace("x", "").lstrip("\n"), err

    @pytest.mark.parametrize(
        "body",
        [
            "while True: pass",
            "while True: time.sleep(1)",
            "while True: print('x')",
            "while True: time.monotonic()",
            "sys.stdin.readline()",
            "while True: sum([1])",
            "threading.Thread(target=time.sleep, args=(1e9,), daemon=True).start()\n    while True: time.sleep(1e-6)",
        ],
    )
    def test_ctrl_c_is_a_keyboard_interrupt_of_a_single_program(self, body):
        code = (
            f"import sys, threading, time\ntry:\n    print('ready', flush=True)\n    {body}\n"
            "except KeyboardInterrupt:\n    print('caught')\n    raise SystemExit(9)\n"
            "finally:\n    print('cleaned up')\n"
        )
        words = self.interrupted(*command("run", "-c", code))
        assert words == self.interrupted(sys.executable, "-c", code) == (9, "caught\ncleaned up\n", "")

    def test_ctrl_c_is_given_to_the_handler_that_asyncio_sets(self):
        code = (
            "import asyncio\nasync def main():\n    try:\n        print('ready', flush=True)\n"
            "        while True: await asyncio.sleep(1)\n    finally:\n        print('cleaned up')\n"
            "try:\n    asyncio.run(main())\nexcept KeyboardInterrupt:\n    print('caught')\n"
        )
        assert self.interrupted(*command("run", "-c", code)) == (0, "cleaned up\ncaught\n", "")

    def test_an_uncaught_keyboard_interrupt_gives_130(self):
        code = "print('ready', flush=True)\nwhile True: pass"
        status, out, err = self.interrupted(*command("run", "-c", code))
        assert (status, out) == (130, "")
        assert err.endswith("KeyboardInterrupt\n")

    @pytest.mark.parametrize("body", ["pass", "time.sleep(1)"])
    def test_the_second_ctrl_c_ends_the_world_at_once(self, body):
        code = (
            "import signal, time\nsignal.signal(2, lambda *_: print('ready', flush=True))\n"
            f"print('ready', flush=True)\nwhile True: {body}"
        )
        assert self.interrupted(*command("run", "-c", code), times=2) == (130, "", "")

    def test_ctrl_c_ends_a_program_that_leaves_it_to_the_system(self):
        code = "import signal\nsignal.signal(2, signal.SIG_DFL)\nprint('ready', flush=True)\nwhile True: pass"
        assert self.interrupted(*command("run", "-c", code)) == (130, "", "")

    def test_ctrl_c_ends_a_lab_at_once(self, tmp_path):
        code = "import time\nprint('ready')\ntry:\n    while True: time.sleep(1)\nfinally: print('never')"
        (tmp_path / "lab.toml").write_text(
            f"[host.a]\n[host.b]\n[[program]]\nhost = 'a'\ncode = '''{code}'''\n"
        )
        assert self.interrupted(*command("run", tmp_path / "lab.toml")) == (130, "", "")

    def test_importing_portside_imports_little(self):
        code = "import sys; before = set(sys.modules); import portside; print(len(set(sys.modules) - before))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert int(done.stdout) < 10
