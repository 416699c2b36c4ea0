# ruff: noqa: E501 - programs stand in here as they are
"""The standard library above the border, unmodified: servers and clients, executors, timers, selectors."""

from __future__ import annotations

import pytest

from portside.lab.network import Network
from portside.sim.capture import Capture


def test_a_threading_tcp_server(world):
    assert world.output("""
        import socket, socketserver, threading, time
        class Upper(socketserver.StreamRequestHandler):
            def handle(self):
                for line in self.rfile:
                    time.sleep(1)
                    self.wfile.write(line.upper())
        with socketserver.ThreadingTCPServer(("", 7000), Upper) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            clients = [socket.create_connection(("10.0.0.1", 7000)) for _ in range(3)]
            for number, client in enumerate(clients):
                client.sendall(b"line %d\\n" % number)
            for client in clients:
                with client, client.makefile("rb") as lines:
                    print(lines.readline(), time.monotonic() < 1.1)
            server.shutdown()
            thread.join()
    """) == "b'LINE 0\\n' True\nb'LINE 1\\n' True\nb'LINE 2\\n' True\n"


def test_an_http_server_and_urllib(world):
    server = """
        import http.server
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = f"{self.path} for {self.client_address[0]}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            def log_message(self, *args):
                pass
        server = http.server.ThreadingHTTPServer(("", 80), Handler)
        for _ in range(2):
            server.handle_request()
        server.server_close()
    """
    client = """
        import time, urllib.request, urllib.error
        time.sleep(1)
        for host in ("127.0.0.1", "alpha"):
            with urllib.request.urlopen(f"http://{host}/page") as answer:
                print(answer.status, answer.read())
        try:
            urllib.request.urlopen("http://localhost:81/")
        except urllib.error.URLError as error:
            print(error.reason)
    """
    programs = world.run(server, client)
    assert programs[1].output.splitlines() == [
        "200 b'/page for 127.0.0.1'", "200 b'/page for 10.0.0.1'", "[Errno 111] Connection refused",
    ]  # fmt: skip


@pytest.mark.parametrize("selector", ["SelectSelector", "PollSelector", "EpollSelector", "DefaultSelector"])
def test_selectors(world, selector):
    assert world.output(f"""
        import selectors, socket, time
        a, b = socket.socketpair()
        with selectors.{selector}() as chosen:
            chosen.register(a, selectors.EVENT_READ, "data")
            print(chosen.select(0), chosen.select(-1), chosen.select(2.5), time.monotonic())
            b.send(b"x")
            print([(key.data, events) for key, events in chosen.select()])
            chosen.modify(a, selectors.EVENT_READ | selectors.EVENT_WRITE)
            print([events for _, events in chosen.select()])
            chosen.unregister(a)
            print(chosen.select(1), time.monotonic())
    """) == "[] [] [] 2.5\n[('data', 1)]\n[3]\n[] 3.5\n"


def test_queues_executors_timers_and_conditions(world):
    assert world.output("""
        import concurrent.futures, queue, threading, time
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            print(list(pool.map(lambda n: (time.sleep(n), n)[1], [3, 1, 2])), time.monotonic())
            futures = [pool.submit(time.sleep, n) for n in (1, 5)]
            done, rest = concurrent.futures.wait(futures, timeout=2)
            print(len(done), len(rest), time.monotonic())
        q = queue.Queue(1)
        def produce():
            for n in range(3):
                q.put(n)
        threading.Thread(target=produce).start()
        time.sleep(1)
        print([q.get() for _ in range(3)])
        try:
            q.get(timeout=0.5)
        except queue.Empty:
            print("empty", time.monotonic())
        timer = threading.Timer(2, lambda: print("timer", time.monotonic()))
        timer.start()
        timer.join()
        barrier = threading.Barrier(3)
        order = []
        def meet(n):
            time.sleep(n)
            barrier.wait()
            order.append(n)
        threads = [threading.Thread(target=meet, args=(n,)) for n in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(sorted(order), time.monotonic())
        semaphore = threading.BoundedSemaphore(2)
        def use():
            with semaphore:
                time.sleep(1)
        threads = [threading.Thread(target=use) for n in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(time.monotonic())
    """).splitlines() == [
        "[3, 1, 2] 3.0", "1 1 5.0", "[0, 1, 2]", "empty 9.5", "timer 11.5", "[0, 1, 2] 13.5", "15.5",
    ]  # fmt: skip


def test_an_executor_that_is_not_shut_down_does_not_hold_the_program(world):
    source = """
        import concurrent.futures, time
        pool = concurrent.futures.ThreadPoolExecutor(1)
        print(pool.submit(lambda: 5).result())
    """
    first, second = world.run(source, source.replace("print", "time.sleep(3); print"))
    assert (first.output, second.output) == ("5\n", "5\n")


def test_scheduling_takes_its_default_clock_from_the_world(world):
    assert world.output("""
        import sched, time
        s = sched.scheduler()
        s.enter(5, 1, lambda: print("five", time.monotonic()))
        s.enter(2, 1, lambda: print("two", time.monotonic()))
        s.run()
    """) == "two 2.0\nfive 5.0\n"


def test_clocks_agree(world):
    assert world.output("""
        import datetime, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        time.sleep(86400.25)
        print(time.time_ns() % 10**9, time.monotonic_ns(), time.perf_counter(), time.clock_gettime(time.CLOCK_BOOTTIME))
        now = datetime.datetime(2020, 1, 2, 0, 0, 0, 250000)
        print(datetime.datetime.utcnow() == now, datetime.datetime.now().timestamp() == time.time_ns() / 10**9)
        print(datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) == now, datetime.date.today())
        print(time.gmtime()[:6], time.strftime("%H:%M:%S", time.gmtime()), time.ctime() == time.asctime())
        class Later(datetime.datetime): pass
        print(type(Later.now()).__name__)
    """).splitlines() == [
        "250000000 86400250000000 86400.25 86400.25", "True True", "True 2020-01-02",
        "(2020, 1, 2, 0, 0, 0) 00:00:00 True", "Later",
    ]  # fmt: skip


def test_a_program_that_only_reads_the_clock_or_polls_goes_on(world):
    assert world.output("""
        import select, socket, time
        turns = 0
        def going_on():
            global turns
            turns += 1
            assert turns < 200_000, "time stands still"
            return True
        end = time.monotonic() + 0.01
        while time.monotonic() < end and going_on():
            pass
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setblocking(False)
        end = time.time() + 0.01
        tries = 0
        while going_on():
            try:
                s.recv(1)
            except BlockingIOError:
                tries += 1
                if tries % 1000 == 0 and time.time() > end:
                    break
        while time.time() < end + 0.01 and going_on():
            select.select([s], [], [], 0)
        print("done", time.monotonic() < 1)
    """) == "done True\n"


@pytest.mark.parametrize(
    "send", ["s.sendto(b'x', there)", "s.connect(there); s.send(b'x')", "s.sendmsg([b'x'], [], 0, there)"]
)
def test_a_thread_sends_datagrams_until_another_stops_it(world, send):
    assert world.output(f"""
        import socket, threading, time
        stop = threading.Event()
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("127.0.0.1", 0))
        there = receiver.getsockname()
        def flood():
            sent = 0
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                while not stop.is_set() and sent < 1_000_000:
                    {send}
                    sent += 1
            print(10_000 < sent < 1_000_000)
        thread = threading.Thread(target=flood)
        thread.start()
        time.sleep(0.0001)
        stop.set()
        while thread.is_alive():
            pass
        receiver.close()
    """) == "True\n"


def test_a_program_replaces_the_class_of_sockets(same):
    assert same("""
        import socket
        class Counted(socket.socket):
            def recv(self, *arguments):
                return b"counted " + super().recv(*arguments)
        plain, socket.socket = socket.socket, Counted
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        socket.socket = plain
        other = socket.create_connection(server.getsockname())
        plain_one, _ = server.accept()
        for s in server, client, accepted, plain_one:
            print(type(s).__name__)
        client.send(b"x")
        print(accepted.recv(1))
        for s in server, client, accepted, other, plain_one:
            s.close()
    """).splitlines() == ["Counted", "Counted", "Counted", "socket", "b'counted x'"]


@pytest.mark.parametrize("connect", ["c.connect(there)", "assert not c.connect_ex(there)"])
@pytest.mark.parametrize("timeout", [None, 1])
def test_a_client_that_tries_until_somebody_listens_gets_its_answer(world, connect, timeout):
    assert world.output(f"""
        import socket, threading, time
        there = "127.0.0.1", 7
        def serve():
            time.sleep(0.01)
            with socket.create_server(there) as server, server.accept()[0] as s:
                s.send(b"hello")
        threading.Thread(target=serve).start()
        for tries in range(100_000):
            with socket.socket() as c:
                c.settimeout({timeout})
                try:
                    {connect}
                except (OSError, AssertionError):
                    continue
                print(c.recv(10), time.monotonic() < 1)
                break
    """) == "b'hello' True\n"


def test_threads_have_locals_identifiers_and_names_of_their_own(world):
    source = """
        import threading, time
        class Local(threading.local):
            def __init__(self, start=0):
                self.number = start
        plain, made = threading.local(), Local(5)
        def work(n):
            plain.x = n
            made.number += n
            time.sleep(1)
            print(threading.current_thread().name, plain.x, made.number, threading.get_ident() == threading.current_thread().ident)
        threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(hasattr(plain, "x"), made.number, made.__dict__, threading.main_thread() is threading.current_thread())
        print(threading.current_thread(), threads[0].is_alive(), threading.get_native_id() > 0)
    """
    first, second = world.run(source, source)
    lines = ["Thread-1 (work) 1 6 True", "Thread-2 (work) 2 7 True", "False 5 {'number': 5} True"]
    assert first.output.splitlines()[:3] == second.output.splitlines()[:3] == lines


def test_locks_made_outside_serve_inside(world):
    import queue
    import threading
    import time

    lock, rlock, channel, plain = threading.Lock(), threading.RLock(), queue.Queue(), queue.SimpleQueue()
    log = []

    def one():
        with lock, rlock, rlock:
            time.sleep(2)
            log.append(("one", time.monotonic()))
        channel.put(1)
        time.sleep(1)
        plain.put(2)

    def two():
        time.sleep(1)
        assert not lock.acquire(blocking=False)
        assert not lock.acquire(timeout=0.5)
        with rlock:
            log.append(("two", time.monotonic()))
        log.append((channel.get(), plain.get(), time.monotonic()))

    world.run(one, two)
    assert log == [("one", 2.0), ("two", 2.0), (1, 2, 3.0)]
    assert lock.acquire(blocking=False)
    assert rlock.acquire(blocking=False)


def test_the_standard_input_is_empty(world):
    program = world.run("try:\n    input('? ')\nexcept EOFError as e:\n    print(e)\nimport sys\nprint(repr(sys.stdin.read()))")[0]
    assert program.output == "? EOF when reading a line\n''\n"


def test_a_program_sets_its_time_zone(same, world):
    import time

    before = time.tzname
    same("""
        import datetime, os, time
        moment = datetime.datetime.fromtimestamp(2000000000, datetime.timezone.utc)
        for zone in ("STD-1DST,M3.2.0,M11.1.0", "EST5", "UTC"):
            os.environ["TZ"] = zone
            time.tzset()
            print(time.timezone, time.altzone, time.tzname, time.ctime(2000000000), moment.astimezone())
        os.environ["TZ"] = "EST5"
        time.tzset()
    """)
    assert time.tzname == before


def test_whoever_looks_at_the_packets_changes_nothing(world):
    """Bulk over loopback takes no time, and the same packets leave whether somebody records them or not."""
    import io

    def run(record):
        network = Network(seed=3)
        host = network.host("alpha", "10.0.0.1/24")
        program = host.spawn(
            code=(
                "import socket, threading, time\n"
                "listener = socket.create_server(('127.0.0.1', 0))\n"
                "def read():\n"
                "    with socket.create_connection(listener.getsockname()) as s, s.makefile('rb') as stream:\n"
                "        print(len(stream.read()), time.monotonic())\n"
                "thread = threading.Thread(target=read)\n"
                "thread.start()\n"
                "connection, _ = listener.accept()\n"
                "connection.sendall(bytes(4_000_000))\n"
                "connection.close()\n"
                "thread.join()\n"
            )
        )
        if record:
            file = io.BytesIO()
            network.trace.observe(Capture(file, network.world.epoch))
        with network:
            network.run()
        return program.output

    assert run(False) == run(True) == "4000000 0.0\n"
