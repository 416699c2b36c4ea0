# ruff: noqa: E501 - programs stand in here as they are
"""The same program for real and simulated: types and messages of the C layer are CPython's own."""

from __future__ import annotations

from pathlib import Path

import pytest

TELL = '''
import errno, os, select, socket, sys, time, threading

def tell(call, *args, **kwargs):
    """What a call answers, as text that is the same wherever it runs."""
    try:
        answer = call(*args, **kwargs)
    except BaseException as error:
        print(type(error).__name__, error.args)
    else:
        print(repr(answer))
'''

ADDRESSES = [
    "'127.0.0.1'", "('127.0.0.1',)", "('127.0.0.1', 80, 1)", "('127.0.0.1', '80')", "('127.0.0.1', 70000)",
    "('127.0.0.1', -1)", "('127.0.0.1', 1 << 40)", "(b'127.0.0.1', 70000)", "(5, 80)", "('127.0.0.1\\0', 70000)",
    "(None, 70000)", "('', 70000)", "['127.0.0.1', 80]", "None", "('127.0.0.1', 1.5)", "('::1', 80)", "(bytearray(b'127.1'), 99999)",
]  # fmt: skip

V6_ADDRESSES = [
    "'::1'", "('::1',)", "('::1', 70000)", "('::1', 80, 1 << 20)", "('::1', 80, 0, 0, 0)", "('::1', 'x')",
    "('127.0.0.1', 80)", "('::1', 80, 'x')", "('::1', -5, 0)",
]  # fmt: skip


@pytest.mark.parametrize("call", ["bind", "connect", "connect_ex"])
def test_addresses_are_refused_in_the_words_of_cpython(same, call):
    lines = [f"tell(s.{call}, {address})" for address in ADDRESSES]
    lines += [f"tell(s6.{call}, {address})" for address in V6_ADDRESSES]
    lines += [f"tell(u.{call}, {address})" for address in ("5", "None", "'x' * 108", "b'y' * 109", "'\\0' + 'z' * 108")]
    same(TELL + "s = socket.socket()\ns6 = socket.socket(socket.AF_INET6)\nu = socket.socket(socket.AF_UNIX)\n" + "\n".join(lines))


def test_sendto_and_sendmsg_check_their_arguments(same):
    same(TELL + '''
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
tell(s.sendto, b"x")
tell(s.sendto, "x", ("127.0.0.1", 9))
tell(s.sendto, b"x", 0, ("127.0.0.1", 9), 5)
tell(s.sendto, b"x", "0", ("127.0.0.1", 9))
tell(s.sendto, b"x", "127.0.0.1")
tell(s.sendto, b"x", ("127.0.0.1", 70000))
tell(s.sendmsg, 5)
tell(s.sendmsg, [5])
tell(s.sendmsg, [b"x"], 5)
tell(s.sendmsg, [b"x"], [5])
tell(s.sendmsg, [b"x"], [], 0, "a")
tell(s.send, "text")
tell(s.send, b"x", 1 << 40)
tell(s.sendall, None)
tell(s.send, b"x")
tell(s.sendmsg_afalg)
''')


def test_receiving_checks_its_arguments(same):
    same(TELL + '''
a, b = socket.socketpair()
tell(a.recv, -1)
tell(a.recv, "1")
tell(a.recv, 1, "x")
tell(a.recv, 0)
tell(a.recvfrom, -1)
tell(a.recv_into, b"abc")
tell(a.recv_into, bytearray(3), -1)
tell(a.recv_into, bytearray(3), 4)
tell(a.recv_into, bytearray(0))
tell(a.recv_into, 5)
tell(a.recvfrom_into, bytearray(3), -1)
tell(a.recvfrom_into, bytearray(3), 4)
tell(a.recvfrom_into, "x")
tell(a.recvmsg, -1)
tell(a.recvmsg, 1, -1)
tell(a.recvmsg_into, 5)
tell(a.recvmsg_into, [5])
tell(a.recvmsg_into, [b"readonly"])
b.sendall(b"abcdefghij")
buffer = bytearray(4)
tell(a.recv_into, buffer)
print(buffer)
view = memoryview(bytearray(8))
tell(a.recv_into, view[2:5])
print(bytes(view))
one, two = bytearray(1), bytearray(9)
tell(a.recvmsg_into, [one, two])
print(one, two)
b.send(b"tail")
tell(a.recvmsg, 10)
b.send(b"tail")
tell(a.recvfrom, 10)
b.close()
tell(a.recv, 10)
tell(a.recvmsg, 10)
''')


def test_options_check_their_arguments(same):
    same(TELL + '''
s = socket.socket()
tell(s.setsockopt, socket.SOL_SOCKET, socket.SO_REUSEADDR, "x")
tell(s.setsockopt, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1 << 40)
tell(s.setsockopt, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
tell(s.getsockopt, socket.SOL_SOCKET, socket.SO_REUSEADDR)
tell(s.getsockopt, socket.SOL_SOCKET, socket.SO_REUSEADDR, 4)
tell(s.getsockopt, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1025)
tell(s.getsockopt, socket.SOL_SOCKET, socket.SO_REUSEADDR, -1)
tell(s.getsockopt, socket.SOL_SOCKET, 9999)
tell(s.setsockopt, socket.SOL_SOCKET, 9999, 1)
tell(s.getsockopt, socket.SOL_SOCKET, socket.SO_TYPE)
tell(s.setsockopt, socket.SOL_SOCKET, socket.SO_REUSEADDR, None, "x")
tell(s.setsockopt, socket.SOL_SOCKET, socket.SO_REUSEADDR, b"\\1\\0\\0\\0")
tell(s.setsockopt, socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
tell(s.getsockopt, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
''')


def test_timeouts_are_taken_as_cpython_takes_them(same):
    same(TELL + '''
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for value in (None, 0, 0.0, 1, 2.5, True, -1, -0.1, float("nan"), float("inf"), 1e30, 1e7, "1", 1 << 70, 1e-10):
    tell(s.settimeout, value)
    tell(s.gettimeout)
    tell(s.getblocking)
    print(s.timeout)
for value in (True, False, 5, None, "x"):
    tell(s.setblocking, value)
    tell(s.gettimeout)
for value in (None, 3, -1, "x"):
    tell(socket.setdefaulttimeout, value)
    tell(socket.getdefaulttimeout)
with socket.socket() as fresh:
    tell(fresh.gettimeout)
socket.setdefaulttimeout(None)
s.settimeout(0.01)
tell(s.recv, 1)
s.settimeout(0)
tell(s.recv, 1)
s.setblocking(False)
tell(s.recvfrom, 1)
tell(s.send, b"")
''')


@pytest.mark.parametrize("family", ["AF_INET", "AF_UNIX"])
def test_timeouts_and_lingering_of_the_kernel(same, family):
    same(TELL + f"s = socket.socket(socket.{family}, socket.SOCK_DGRAM)" + '''
import struct
if s.family == socket.AF_INET:
    s.bind(("127.0.0.1", 0))
for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
    for seconds, microseconds in ((0, 4000), (2, 500000), (-1, 0), (-1, 500000), (0, -1), (0, 1000000), (1 << 40, 0), (1 << 62, 0), (0, 0)):
        tell(s.setsockopt, socket.SOL_SOCKET, option, struct.pack("=qq", seconds, microseconds))
        print(struct.unpack("=qq", s.getsockopt(socket.SOL_SOCKET, option, 16)))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", -1, 0))
tell(s.recv, 1)
for on, seconds in ((1, -1), (0, 5), (1, 0x7FFFFFFF), (7, 3)):
    tell(s.setsockopt, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", on, seconds))
    print(struct.unpack("=ii", s.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)))
''')


def test_what_af_unix_keeps_of_the_options_of_a_socket(same):
    same(TELL + """
for name in (1, 2, 4, 5, 6, 9, 10, 11, 12, 15, 16, 18, 19, 29, 30, 34, 35, 36, 37, 38, 39, 40, 41, 44, 46, 47, 49, 63, 72, 83, 99):
    s = socket.socket(socket.AF_UNIX)
    tell(s.getsockopt, 1, name)
    for value in (1, 0, 7, -1, 200):
        tell(s.setsockopt, 1, name, value)
        tell(s.getsockopt, 1, name)
    s.close()
""")


def test_a_closed_socket_is_a_bad_file_descriptor(same):
    same(TELL + '''
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.close()
s.close()
print(s, s.fileno())
for call, args in (("recv", (1,)), ("send", (b"x",)), ("sendall", (b"x",)), ("getsockname", ()), ("settimeout", (1,)),
                   ("bind", (("127.0.0.1", 0),)), ("listen", ()), ("accept", ()), ("shutdown", (2,)),
                   ("getsockopt", (1, 2)), ("setsockopt", (1, 2, 1)), ("connect", (("127.0.0.1", 9),)),
                   ("connect_ex", (("127.0.0.1", 9),)), ("sendto", (b"x", ("127.0.0.1", 9))), ("recvmsg", (1,)),
                   ("gettimeout", ()), ("fileno", ()), ("detach", ()), ("dup", ()), ("makefile", ())):
    tell(getattr(s, call), *args)
tell(socket.socket, fileno=9999)
tell(socket.socket, fileno=-1)
tell(socket.socket, fileno=1.5)
tell(socket.socket, fileno="x")
tell(socket.socket, "x")
tell(socket.socket, 2, 99)
tell(socket.socket, 2, 1, 17)
tell(socket.socket, 999)
r, w = os.pipe()
tell(socket.socket, fileno=r)
tell(socket.close, 9999)
tell(socket.dup, 9999)
''')


def test_representation_and_attributes(same):
    same(TELL + '''
import pickle, copy
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print(s, repr(s.family), repr(s.type), s.proto, type(s).__name__, type(s).__module__, isinstance(s, socket.SocketType))
class Mine(socket.socket):
    __slots__ = ("extra",)
    def __init__(self):
        super().__init__(socket.AF_INET6, socket.SOCK_DGRAM)
        self.extra = 5
class Other(socket.socket):
    def __init__(self, *args):
        socket.socket.__init__(self, *args)
        self.note = "n"
m, o = Mine(), Other()
print(m.extra, m.family, isinstance(m, Mine), o.note, o.type, type(m).__name__, o.__class__.__qualname__)
tell(pickle.dumps, s)
tell(setattr, s, "anything", 1)
tell(setattr, s, "timeout", 1)
tell(setattr, s, "family", 1)
t = s.dup()
print(t.family, t.type, t.get_inheritable(), t.fileno() != s.fileno())
u = socket.fromfd(s.fileno(), socket.AF_INET, socket.SOCK_DGRAM)
print(u.type, u.get_inheritable())
u.set_inheritable(True)
print(u.get_inheritable())
fd = t.detach()
print(t.fileno(), t)
v = socket.socket(fileno=fd)
print(v.family, v.type, v.proto)
with v:
    pass
print(v)
print(socket.timeout is TimeoutError, socket.error is OSError)
for x in (s, m, o, u): x.close()
''')


def test_descriptor_calls_check_their_arguments(same):
    same(TELL + '''
r, w = os.pipe()
tell(os.read, r, -1)
tell(os.read, "x", 1)
tell(os.write, w, "text")
tell(os.write, 9999, b"x")
tell(os.read, 9999, 1)
tell(os.close, 9999)
tell(os.close, "x")
tell(os.dup, 9999)
tell(os.dup2, 9999, 5)
if sys.version_info >= (3, 11, 3):  # before, the error was whatever errno held (gh-102179)
    tell(os.dup2, r, -1)
tell(os.fstat, 9999)
tell(os.lseek, r, 0, 0)
tell(os.get_blocking, r)
os.set_blocking(r, False)
tell(os.get_blocking, r)
tell(os.read, r, 1)
tell(os.write, w, memoryview(b"abc"))
tell(os.read, r, 10)
os.close(w)
tell(os.read, r, 10)
os.close(r)
tell(os.open, "/no/such", os.O_RDONLY)
tell(open, "/no/such")
tell(open, "/")
tell(open, "/tmp", "q")
tell(open, 9999)
tell(open, -1)
tell(open, "/dev/null", "rb", encoding="x")
tell(open, "/dev/null", "r", 0)
tell(open, "/dev/null", closefd=False)
tell(os.isatty, 9999)
tell(os.get_inheritable, 9999)
tell(os.fsync, 9999)
''')


def test_select_poll_and_epoll_round_and_bound_their_timeouts(same):
    same(TELL + '''
quiet, other = socket.socketpair()
p, e = select.poll(), select.epoll()
p.register(quiet, select.POLLIN)
e.register(quiet, select.EPOLLIN)
for wait in (1 << 31, 1 << 32, -(1 << 31) - 1, 1 << 70, 1e300, float("nan"), float("inf"), 3e9, -3e9, 0, 0.0, 1e-9, "x"):
    tell(p.poll, wait)
    tell(e.poll, wait)
for wait in (-1, -0.1, -1e-100, -1000):
    threading.Timer(0.05, other.send, (b"x",)).start()
    print([events for _, events in p.poll(wait)], quiet.recv(10))
tell(e.poll, -1e-4)
tell(type(p))
tell(type(p), 5)
class Shorter:
    def fileno(self):
        del things[-1]
        return quiet.fileno()
things = [Shorter() for _ in range(10)]
print([len(found) for found in select.select([], things, [], 0)], len(things))
print([len(found) for found in select.select((), iter([quiet]), {other: 1}, 0)])
''')


def test_interface_numbers_and_the_c_type(same):
    same(TELL + '''
import _socket
for index in (0, -1, 1 << 100, 99999, 1 << 32, 1 << 63, "x", 1.5, None, 1, True, (1 << 32) + 1):
    tell(socket.if_indextoname, index)
tell(setattr, _socket.socket, "foo", 1)
tell(delattr, _socket.socket, "recv")
tell(setattr, _socket.socket, "recv", None)
''')


def test_a_refused_argument_is_not_held(same):
    same("""
import socket, sys
thing = object()
before = sys.getrefcount(thing)
try:
    socket.getnameinfo(thing, 0)
except TypeError as error:
    print(error, sys.getrefcount(thing) - before)
""")


def test_select_poll_and_epoll_check_their_arguments(same):
    same(TELL + '''
a, b = socket.socketpair()
fa = a.fileno()
tell(select.select, 5, [], [])
tell(select.select, [-1], [], [])
tell(select.select, ["x"], [], [])
tell(select.select, [2000], [], [])
tell(select.select, [63], [], [], 0)
tell(select.select, [a], [], [], -1)
tell(select.select, [a], [], [], "x")
tell(select.select, [fa], [fa], [fa], 0)
tell(select.select, [], [], [], 0)
class F:
    def fileno(self): return "x"
tell(select.select, [F()], [], [], 0)
p = select.poll()
tell(p.register, "x")
tell(p.register, -1)
tell(p.register, a, -1)
tell(p.register, a, 1 << 20)
tell(p.modify, 77, 1)
tell(p.unregister, 77)
tell(p.register, a)
tell(p.poll, "x")
print([events for _, events in p.poll(0)])
tell(p.modify, a, select.POLLIN)
tell(p.poll, 0)
tell(p.poll, 1.5)
b.send(b"x")
print([events for _, events in p.poll(-1)])
b.close()
print([events for _, events in p.poll(None)])
p.register(999)
print(sorted(events for _, events in p.poll()))
tell(select.epoll, -2)
tell(select.epoll, 1, 5)
e = select.epoll()
tell(e.register, "x")
tell(e.register, 999)
tell(e.register, -1)
tell(e.register, a, select.EPOLLIN)
tell(e.register, a)
tell(e.modify, 77, 1)
tell(e.unregister, 77)
tell(e.poll, "x")
tell(e.poll, 0, 0)
tell(e.poll, 0, -5)
print([events for _, events in e.poll(0)], e.closed)
with open("/dev/null") as f:
    tell(e.register, f)
e.close()
e.close()
tell(e.fileno)
tell(e.poll)
print(e.closed)
with select.epoll() as e2:
    pass
print(e2.closed)
''')


def test_time_and_locks_check_their_arguments(same):
    same(TELL + '''
import queue, _thread
for value in (-1, "x", float("nan"), None, 1 << 70):
    tell(time.sleep, value)
tell(time.clock_gettime, 9999)
tell(time.clock_gettime, "x")
lock = threading.Lock()
tell(lock.release)
tell(lock.acquire, False, 1)
tell(lock.acquire, True, -5)
tell(lock.acquire, True, 1e30)
tell(lock.acquire, timeout="x")
tell(lock.acquire, False)
tell(lock.acquire, False)
tell(lock.acquire, timeout=0.01)
tell(lock.locked)
r = threading.RLock()
tell(r.release)
tell(r.acquire)
tell(r.acquire)
tell(r._is_owned)
q = queue.SimpleQueue()
tell(q.get, False)
tell(q.get, True, -1)
tell(q.get, timeout=0.01)
tell(q.get_nowait)
q.put(5); q.put_nowait(6)
tell(q.get); tell(q.get); tell(q.empty)
tell(_thread.start_new_thread, 5, ())
tell(_thread.start_new_thread, print, [])
tell(_thread.start_new_thread, print, (), 5)
t = threading.Thread(target=print, args=("in thread",))
tell(t.join)
t.start(); t.join()
tell(t.start)
tell(threading.current_thread().join)
c = threading.Condition()
tell(c.notify)
tell(c.wait)
with c:
    tell(c.wait, 0.01)
local = threading.local()
tell(getattr, local, "x")
local.x = 1
tell(delattr, local, "x")
tell(threading.local, 5)
print(threading.active_count(), threading.current_thread().name, threading.main_thread().name)
''')


def test_names_and_services(same, world):
    world.host.hosts.text = Path("/etc/hosts").read_text()
    same(TELL + '''
g = socket.getaddrinfo
for args in ((None, 80), (None, 80, 0, 0, 0, socket.AI_PASSIVE), ("127.1", 80), ("::1", "http"), ("1.2.3.4", "domain"),
             ("1.2.3.4", 80, socket.AF_INET6), ("1.2.3.4", 80, socket.AF_INET6, 0, 0, socket.AI_V4MAPPED),
             ("1.2.3.4", "nosuchserv"), ("1.2.3.4", 80, 99), ("1.2.3.4", 80, 0, 99), ("1.2.3.4", 80, 0, 1, 17),
             (None, None), ("1.2.3.4", None), ("1.2.3.4", None, 0, 1), ("1.2.3.4", 70000), ("1.2.3.4", -1),
             ("1.2.3.4", b"80"), (b"1.2.3.4", 80), (5, 80), ("1.2.3.4", 1.5), ("fe80::1%lo", 80),
             ("1.2.3.4", 80, 0, 0, 0, socket.AI_CANONNAME), ("1.2.3.4", 80, 0, 0, 0, 1 << 20),
             ("::1", 80, socket.AF_INET), ("nosuch", 80, 0, 0, 0, socket.AI_NUMERICHOST),
             ("1.2.3.4", "http", 0, 0, 0, socket.AI_NUMERICSERV), ("1.2.3.4", 80, 0, 0, 6), ("1.2.3.4", 80, 0, 3),
             ("::ffff:1.2.3.4", 80, 0, 1), ("::ffff:1.2.3.4", 80, socket.AF_INET, 1), ("a..b", 80), ("a" * 80, 80),
             ("1.2.3.4 ", 80), ("", 80), ("localhost", 80, socket.AF_INET)):
    tell(g, *args)
for name in ("127.1", "::1", "255.255.255.255", "", "localhost"):
    tell(socket.gethostbyname, name)
for address, flags in ((("127.0.0.1", 80), 3), (("1.2.3.4", 80), 8), (("x", 80), 0),
                       (("fe80::1", 80, 0, 1), 3), ("x", 0), (("127.0.0.1", 70000), 3), (("127.0.0.1", 80), 0)):
    tell(socket.getnameinfo, address, flags)
tell(socket.getservbyname, "http"); tell(socket.getservbyname, "http", "xdp"); tell(socket.getservbyname, "nosuch")
tell(socket.getservbyport, 80); tell(socket.getservbyport, 70000); tell(socket.getservbyport, 22, "tcp")
tell(socket.getservbyport, 49999)
tell(socket.if_nametoindex, "nope"); tell(socket.if_nametoindex, 5); tell(socket.if_indextoname, 9999)
tell(socket.if_indextoname, 1); tell(socket.if_nametoindex, "lo")
''')


@pytest.mark.parametrize(
    "ending",
    ["pass", "sys.exit()", "sys.exit(3)", "sys.exit('words')", "sys.exit(None)", "raise SystemExit(True)", "sys.exit(300)",
     "1 / 0", "raise SystemExit((1, 2))", "os._exit(5)", "def f(): f2()\ndef f2(): raise KeyError('x')\nf()",
     "try:\n    1 / 0\nexcept Exception as e:\n    raise ValueError('y') from e", "import no_such_module", "compile('x = =', 'name', 'exec')",
     "socket.socket().recv(-1)", "open('/no/such')", "time.sleep(-1)",
     "import atexit\natexit.register(print, 'at exit')\nsys.exit(4)",
     "threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()\nprint('main ends')",
     "threading.Thread(target=time.sleep, args=(100,), daemon=True).start()",
     "t = threading.Thread(target=lambda: 1 / 0, name='t')\nt.start()\nt.join()",
     "print('to stderr', file=sys.stderr)\nsys.stdout.write('no newline')",
     "sys.excepthook = lambda *a: print('hook', a[0].__name__, a[1])\n1 / 0",
     "print(sys.argv, __name__, __file__ if '__file__' in globals() else None)",
     "sys.stdout.buffer.write(b'bytes'); print(sys.stdin.read(), repr(sys.stdout.encoding))",
     ],
)  # fmt: skip
def test_programs_end_as_under_the_interpreter(same, ending):
    same("import os, socket, sys, threading, time\n" + ending, code=None)


def test_a_users_class_may_have_attributes_of_any_name(same):
    same(TELL + '''
NAMES = ("timeout", "fd", "type", "family", "proto", "process", "open", "file", "world", "call", "connected", "make", "adopt", "receive", "plain")
class Mine(socket.socket):
    def __init__(self):
        super().__init__()
        for name in NAMES:
            setattr(self, "_" + name, name)
s = Mine()
s.settimeout(5)
s.bind(("127.0.0.1", 0))
s.listen()
c = Mine()
c.connect(s.getsockname())
a, _ = s.accept()
a.sendall(b"hello")
print(c.recv(10), c.gettimeout(), s.gettimeout(), [getattr(end, "_" + name) == name for end in (s, c) for name in NAMES])
for x in (s, c, a): x.close()
''')
