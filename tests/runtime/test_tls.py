# ruff: noqa: E501 - programs stand in here as they are
"""TLS by `ssl.SSLContext.wrap_socket`: the same programs over the real loopback and on a simulated host."""

from __future__ import annotations

import io
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from portside.lab.network import Network
from portside.runtime import openssl_random
from portside.sim.capture import Capture

CERTIFICATES = Path(__file__).parent / "certificates"

PRELUDE = f'''
import os, re, select, socket, ssl, sys, threading, time
CERTIFICATES = {str(CERTIFICATES)!r}
''' + '''
def of(name):
    return os.path.join(CERTIFICATES, name)

def say(*things):
    """Print without what differs from run to run: addresses in memory, ports."""
    text = " ".join(map(str, things))
    print(re.sub(r"at 0x[0-9a-f]+|[(].127[.]0[.]0[.]1., [0-9]+[)]", "*", text))

def tell(call, *args, **kwargs):
    """What a call answers, as text that is the same wherever it runs."""
    try:
        answer = call(*args, **kwargs)
    except BaseException as error:
        more = [getattr(error, name) for name in ("library", "reason", "verify_code", "verify_message") if hasattr(error, name)]
        say(type(error).__name__, error.args, error, more)
    else:
        say(repr(answer))

def server_context(certificate="localhost.pem", **attributes):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(of(certificate))
    context.load_verify_locations(of("ca.pem"))
    for name, value in attributes.items():
        setattr(context, name, value)
    return context

def client_context(**attributes):
    context = ssl.create_default_context(cafile=of("ca.pem"))
    for name, value in attributes.items():
        setattr(context, name, value)
    return context

def tcp_pair(buffers=None):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket()
        for end in client, listener:
            if buffers:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        client.connect(listener.getsockname())
        return client, listener.accept()[0]

def together(one, two):
    """Call both at the same time; what they give or raise."""
    answers = [None, None]
    def run(place, call):
        try:
            answers[place] = call()
        except Exception as error:
            answers[place] = error
    thread = threading.Thread(target=run, args=(1, two))
    thread.start()
    run(0, one)
    thread.join()
    return answers

def handshakes(client, server, options={}, server_options={}, timeout=None, buffers=None):
    """Both ends of a new connection after their handshakes."""
    a, b = tcp_pair(buffers)
    a.settimeout(timeout)
    b.settimeout(timeout)
    return together(
        lambda: client.wrap_socket(a, **{"server_hostname": "localhost", **options}),
        lambda: server.wrap_socket(b, server_side=True, **server_options),
    )

def readable(end):
    """Wait until something has come: data, the end of the stream, a reset."""
    select.select([end], [], [])

def gone(end):
    """Wait until the connection has been reset."""
    waiting = select.poll()
    waiting.register(end, 0)
    waiting.poll()

def tls_pair(**more):
    return handshakes(client_context(), server_context(), **more)

def failure(client, server, **more):
    """What both ends say of a handshake that fails, or of what follows it."""
    for end in handshakes(client, server, **more):
        if isinstance(end, Exception):
            print(type(end).__name__, end.args, getattr(end, "reason", None), getattr(end, "verify_message", None))
        else:
            print(type(end).__name__, end.version())
            end.settimeout(0.2)
            tell(end.recv, 1)
            end.close()
'''


@pytest.fixture
def same_tls(same):
    return lambda program: same(PRELUDE + program)


def test_what_a_connection_tells(same_tls):
    output = same_tls('''
client, server = client_context(), server_context()
for context in client, server:
    context.set_alpn_protocols(["h2", "http/1.1"])
a, b = handshakes(client, server)
for end in a, b:
    print(type(end), isinstance(end, socket.socket), end.version(), end.cipher(), end.selected_alpn_protocol())
    print(end.compression(), end.session_reused, end.server_side, end.server_hostname, end.pending(), end.context is client)
    print(end.getpeercert(), len(end.getpeercert(True) or b""), len(end.shared_ciphers() or []))
    print(type(end.get_channel_binding()), end.gettimeout(), end.family, end.type, type(end._sslobj), end._sslobj.owner is end)
    print(end._sslobj.server_side, end._sslobj.server_hostname, end._sslobj.context is end.context, type(end.session))
    print(sorted(name for name in dir(end._sslobj) if not name.startswith("__")))
    tell(end.get_channel_binding, "tls-exporter")
    tell(end.verify_client_post_handshake)
    tell(end.do_handshake)
a, b = handshakes(client_context(maximum_version=ssl.TLSVersion.TLSv1_2), server)
print(a.version(), a.cipher(), a.get_channel_binding() == b.get_channel_binding(), len(a.get_channel_binding()))
''')
    assert "TLSv1.3" in output


def test_data_of_all_sizes_goes_both_ways(same_tls):
    same_tls('''
a, b = tls_pair()
for size in 1, 100, 16383, 16384, 16385, 100_000, 3_000_000:
    data = os.urandom(1000) * (size // 1000 + 1)
    def receive():
        got = bytearray()
        while len(got) < size:
            got += b.recv(65536)
        b.sendall(got[::-1])
        return bytes(got)
    def send():
        a.sendall(data[:size])
        with a.makefile("rb") as file:
            return file.read(size)
    back, got = together(send, receive)
    print(size, got == data[:size], back == got[::-1])
''')


def test_arguments_and_calls_that_are_refused(same_tls):
    same_tls('''
a, b = tls_pair()
b.sendall(b"abcdefghij" * 10)
tell(a.recv, 0)
tell(a.recv, -1)
tell(a.recv, "x")
tell(a.recv, 5)
tell(a.recv, 5, socket.MSG_PEEK)
tell(a.pending)
tell(a.read, 5)
tell(a.read)
buffer = bytearray(8)
b.sendall(b"0123456789" * 3)
tell(a.recv_into, buffer)
tell(a.recv_into, buffer, 3)
tell(a.recv_into, memoryview(buffer)[2:4])
tell(a.recv_into, bytearray(0))
tell(a.recv_into, b"fixed")
tell(a.read, 4, buffer)
tell(a.read, 100, buffer)
print(buffer)
tell(a.send, b"")
tell(a.send, "text")
tell(a.send, None)
tell(a.send, bytearray(b"12"))
tell(a.send, memoryview(b"345"))
import array
tell(a.send, array.array("H", [1, 2]))
tell(a.sendall, b"x", 1)
tell(a.write, b"yz")
tell(b.recv, 100)
tell(a.sendto, b"x", ("127.0.0.1", 9))
for name in "recvfrom", "recvmsg", "sendmsg", "recvfrom_into", "recvmsg_into":
    tell(getattr(a, name), buffer)
tell(a.dup)
tell(ssl.SSLSocket)
tell(a.connect, ("127.0.0.1", 9))
tell(a._sslobj.write)
tell(a._sslobj.read)
tell(setattr, a._sslobj, "context", 5)
tell(setattr, a._sslobj, "session", 5)
tell(setattr, a, "session", a.session)
context = client_context()
plain, other = tcp_pair()
plain.setblocking(False)
tell(context.wrap_socket, plain, server_hostname="localhost")
print(plain.fileno())
plain, other = tcp_pair()
tell(context.wrap_socket, plain)
tell(context.wrap_socket, plain, server_side=True, server_hostname="localhost")
tell(context.wrap_socket, plain, server_side=True)
plain, other = tcp_pair()
tell(context.wrap_socket, plain, server_hostname=".localhost")
plain, other = tcp_pair()
tell(context.wrap_socket, plain, server_hostname="localhost", session=5)
tell(context.wrap_socket, socket.socket(socket.AF_INET, socket.SOCK_DGRAM), server_hostname="localhost")
tell(context._wrap_socket, 5, False)
tell(context._wrap_socket)
''')


def test_timeouts(same_tls):
    same_tls('''
client, server = client_context(), server_context()
plain, silent = tcp_pair()
plain.settimeout(0.05)
tell(client.wrap_socket, plain, server_hostname="localhost")
plain, silent = tcp_pair()
plain.settimeout(0.05)
tell(server.wrap_socket, plain, server_side=True)
a, b = tls_pair(timeout=5)
a.settimeout(0.05)
tell(a.recv, 10)
tell(a.recv_into, bytearray(10))
tell(a.unwrap)
a, b = tls_pair(timeout=5)
a.settimeout(0.5)
data = bytes(1 << 24)
tell(a.sendall, data)
tell(a.send, b"")
tell(a.send, b"x")
b.settimeout(0.5)
got = 0
try:
    while True:
        got += len(b.recv(1 << 20))
except TimeoutError as error:
    print(error.args, got % 16384)
a, b = tls_pair(timeout=5)
a.settimeout(0.05)
b.send(b"still")
tell(a.recv, 10)
tell(a.recv, 10)
''')


def test_a_socket_that_does_not_block(same_tls):
    same_tls('''
plain, other = tcp_pair()
plain.setblocking(False)
a = client_context().wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False)
tell(a.do_handshake)
tell(a.recv, 5)
tell(a.send, b"early")
tell(a.version)
tell(a.cipher)
tell(a.getpeercert)
tell(a.unwrap)
b = None
def serve():
    return server_context().wrap_socket(other, server_side=True)
def shake():
    while True:
        try:
            return a.do_handshake()
        except ssl.SSLWantReadError:
            select.select([a], [], [])
        except ssl.SSLWantWriteError:
            select.select([], [a], [])
_, b = together(shake, serve)
say(a.version(), b)
tell(a.recv, 5)
tell(a.recv_into, bytearray(5))
tell(a.unwrap)
''')


def test_a_write_that_can_not_go_on_is_continued_by_the_next(same_tls):
    same_tls('''
def stuck(data):
    a, b = tls_pair(buffers=65536)
    a.setblocking(False)
    while True:
        try:
            a.send(data)
        except ssl.SSLWantWriteError as error:
            print(error.args, error.errno, error.reason)
            return a, b

a, b = stuck(b"x" * 1_000_000)
tell(a.send, b"x" * 1_000_000)
tell(a.send, b"y" * 10)
a, b = stuck(b"x" * 3_000_000)
tell(a.recv, 10)
def drain():
    time.sleep(0.1)
    b.settimeout(10)
    got = bytearray()
    while b"end" not in got:
        got += b.recv(1 << 20)
    return got
def send():
    waits = 0
    while True:
        try:
            sent = a.send(b"x" * 3_000_000 + b"longer")
            break
        except ssl.SSLWantWriteError:
            waits += 1
            select.select([], [a], [])
    a.setblocking(True)
    a.sendall(b"end")
    return sent, waits > 0
print(*together(send, lambda: len(drain())))

a, b = stuck(b"x" * 3_000_000)
def loop():
    data = memoryview(b"x" * 3_000_000)
    while data:
        try:
            data = data[a.send(data):]
        except ssl.SSLWantWriteError:
            select.select([], [a], [])
    a.shutdown(socket.SHUT_WR)
    return "sent"
def all_of_it():
    got = 0
    while data := b.recv(1 << 20):
        got += len(data)
    return got
print(*together(loop, all_of_it))
''')


def test_the_end_of_the_stream(same_tls):
    same_tls('''
for ragged in True, False:
    a, b = tls_pair(options={"suppress_ragged_eofs": ragged})
    b.sendall(b"last")
    b.close()
    tell(a.recv, 100)
    tell(a.recv, 100)
    tell(a.recv_into, bytearray(5))
    tell(a.send, b"x")
    gone(a)
    tell(a.send, b"x")
    tell(a.unwrap)
a, b = tls_pair(options={"suppress_ragged_eofs": False})
b.shutdown(socket.SHUT_WR)
tell(a.recv, 100)
tell(a.send, b"still")
tell(a.recv, 100)
tell(a.unwrap)
a, b = tls_pair(options={"suppress_ragged_eofs": False})
raw = socket.socket(fileno=os.dup(b.fileno()))
raw.sendall(bytes([23, 3, 3, 0, 100]) + b"half")
raw.shutdown(socket.SHUT_WR)
tell(a.recv, 100)
plain, other = tcp_pair()
other.close()
readable(plain)
tell(client_context().wrap_socket, plain, server_hostname="localhost")
plain, other = tcp_pair()
other.shutdown(socket.SHUT_WR)
tell(client_context().wrap_socket, plain, server_hostname="localhost")
plain, other = tcp_pair()
other.sendall(b"early data")
other.close()
plain.recv(1, socket.MSG_PEEK)
tell(client_context().wrap_socket, plain, server_hostname="localhost")
''')


def test_connections_that_are_reset(same_tls):
    same_tls('''
import struct
def reset(end, peer):
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
    gone(peer)
for ragged in True, False:
    a, b = tls_pair(options={"suppress_ragged_eofs": ragged})
    reset(b, a)
    tell(a.recv, 100)
    tell(a.recv, 100)
    tell(a.send, b"x")
    tell(a.send, b"xyz")
    a, b = tls_pair(options={"suppress_ragged_eofs": ragged})
    reset(b, a)
    tell(a.send, b"x")
    tell(a.send, b"x")
    tell(a.recv, 1)
    a, b = tls_pair(options={"suppress_ragged_eofs": ragged})
    reset(b, a)
    tell(a.unwrap)
plain, other = tcp_pair()
reset(other, plain)
tell(client_context().wrap_socket, plain, server_hostname="localhost")
plain, other = tcp_pair()
reset(other, plain)
a = None
tell(server_context().wrap_socket, plain, server_side=True)
plain, other = tcp_pair()
a = client_context().wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False)
a.settimeout(0.05)
tell(a.do_handshake)
reset(other, a)
tell(a.do_handshake)
tell(a.do_handshake)
''')


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_transport_that_fails_after_the_end_of_the_stream(same_tls, version):
    output = same_tls(f"version = ssl.TLSVersion.{version}" + '''
import struct
for ended in True, False:
    for calls in "send send short unwrap recv", "unwrap recv send", "recv send", "send short send recv unwrap", "send short recv unwrap send":
        a, b = handshakes(client_context(maximum_version=version), server_context(), options={"suppress_ragged_eofs": False})
        if ended:
            b.settimeout(0.05)
            tell(b.unwrap)
            tell(a.recv, 100)
            tell(a.recv_into, bytearray(5))
        tell(a.recv, 0)
        tell(a.recv_into, bytearray())
        b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        b.close()
        gone(a)
        for call in calls.split():
            say(call)
            tell(*{"send": (a.send, b"xyz"), "short": (a.send, b"x"), "recv": (a.recv, 1), "unwrap": (a.unwrap,)}[call])
''')
    for word in "SSLZeroReturnError", "BAD_LENGTH", "PROTOCOL_IS_SHUTDOWN", "SHUTDOWN_WHILE_IN_INIT":
        assert word in output


def test_unwrap_leaves_what_follows_to_the_socket(same_tls):
    same_tls('''
a, b = tls_pair()
def closing():
    plain = a.unwrap()
    return plain is a, plain.recv(100)
def answering():
    got = b.recv(100)
    plain = b.unwrap()
    plain.sendall(b"plain text")
    return got, plain is b
print(*together(closing, answering))
for end in a, b:
    print(end.version(), end.cipher(), end.pending(), end.session)
    tell(end.unwrap)
    tell(end.read)
    tell(end.write, b"x")
tell(a.sendall, b"as a plain socket")
tell(b.recv, 100)
again = together(lambda: client_context().wrap_socket(a, server_hostname="localhost"),
                 lambda: server_context().wrap_socket(b, server_side=True))
again[0].sendall(b"hello")
print(again[1].recv(100), a.fileno(), b.fileno())
a, b = again
def first():
    a.sendall(b"bye")
    return a.unwrap() is a
def second():
    got = b.recv(100)
    rest = b.recv(100)
    try:
        b.send(b"late")
    except Exception as error:
        print(type(error), error)
    return got, rest, b.unwrap() is b
print(*together(first, second))
a, b = tls_pair()
a.setblocking(False)
tell(a.unwrap)
tell(a.unwrap)
tell(a.send, b"x")
tell(b.recv, 5)
tell(b.recv, 5)
tell(b.unwrap)
a, b = tls_pair()
b.sendall(b"not read")
a.settimeout(0.5)
print(*together(lambda: a.unwrap() is a, lambda: b.recv(10)))
''')


def test_only_one_record_is_taken_from_the_socket(same_tls):
    same_tls('''
a, b = tls_pair()
a.setblocking(False)
tell(a.recv, 1)
b.sendall(b"one")
b.sendall(b"two")
def ready():
    return bool(select.select([a], [], [], 0)[0])
time.sleep(0.05)
print(ready(), a.pending())
print(a.recv(1), ready(), a.pending())
print(a.recv(10), ready(), a.pending())
print(a.recv(10), ready(), a.pending())
tell(a.recv, 10)
b.sendall(b"z" * 40000)
time.sleep(0.05)
print(len(a.recv(100_000)), ready(), len(a.recv(10)), a.pending(), ready())
''')


def test_handshakes_that_fail(same_tls):
    same_tls('''
v = ssl.TLSVersion
failure(client_context(), server_context("other.pem"))
failure(client_context(), server_context(), options={"server_hostname": "127.0.0.2"})
failure(client_context(), server_context(), options={"server_hostname": "127.0.0.1"})
failure(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), server_context())
failure(client_context(maximum_version=v.TLSv1_2), server_context(minimum_version=v.TLSv1_3))
failure(client_context(minimum_version=v.TLSv1_3), server_context(maximum_version=v.TLSv1_2))
failure(client_context(), server_context(verify_mode=ssl.CERT_REQUIRED))
failure(client_context(maximum_version=v.TLSv1_2), server_context(verify_mode=ssl.CERT_REQUIRED))
client = client_context()
client.load_cert_chain(of("client.pem"))
a, b = handshakes(client, server_context(verify_mode=ssl.CERT_REQUIRED))
print(b.getpeercert()["subject"], a.version())
client = client_context(maximum_version=v.TLSv1_2)
client.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
failure(client, server_context())
def against(data, **wrap):
    plain, other = tcp_pair()
    def talk():
        other.settimeout(0.2)
        other.sendall(data)
        return other
    context = server_context() if wrap.get("server_side") else client_context()
    answer = together(lambda: context.wrap_socket(plain, **wrap), talk)[0]
    print(type(answer).__name__, answer.args, getattr(answer, "reason", None))
    try:
        got = other.recv(1000)
        print(got[:3] if wrap.get("server_side") else len(got) > 100, len(got) if wrap.get("server_side") else "")
    except OSError as error:
        print(repr(error))
for data in (b"GET / HTTP/1.0\\r\\n\\r\\n", b"\\x16\\x03\\x01\\xff\\xff" + bytes(70000), b"\\x16\\x03\\x01\\x00\\x05hello", b"CONNECT host:1 HTTP/1.0\\r\\n",
             b"\\x80\\x2e\\x01\\x03\\x01" + bytes(50), b"\\x15\\x03\\x03\\x00\\x02\\x02\\x28", b"\\x17\\x03\\x03\\x00\\x01x", b"\\x18\\x03\\x03\\x00\\x03abc"):
    against(data, server_side=True)
    against(data, server_hostname="localhost")
''')


def test_server_names_choose_contexts(same_tls):
    same_tls('''
server, other = server_context(), server_context("other.pem")
def choose(end, name, context):
    print(type(end).__name__, end.server_side, name, context is server, end._sslobj.owner is end, end.version())
    if name == "other.example":
        end.context = other
    elif name == "alpha":
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    elif name == "localhost":
        time.sleep(0.01)
server.sni_callback = choose
client = client_context()
for name in "localhost", "other.example", "alpha":
    a, b = handshakes(client, server, options={"server_hostname": name})
    print(a if isinstance(a, Exception) else a.getpeercert()["subject"], b if isinstance(b, Exception) else b.context is other)
    if not isinstance(a, Exception):
        a.sendall(b"hello")
        print(b.recv(10), b._sslobj.context is b.context)
sys.unraisablehook = lambda what: print(what.exc_value)
def wrong(end, name, context):
    raise ValueError("of the callback")
server.sni_callback = wrong
failure(client, server)
server.sni_callback = lambda *_: "text"
failure(client, server)
''')


def test_sessions_are_resumed(same_tls):
    same_tls('''
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    client, server = client_context(maximum_version=version), server_context()
    session = None
    for number in range(3):
        a, b = handshakes(client, server, options={"session": session})
        b.sendall(b"x")
        a.recv(1)
        session = a.session
        print(a.version(), a.session_reused, b.session_reused, session.has_ticket, session.timeout, server.session_stats()["hits"])
        together(a.unwrap, b.unwrap)
    failure(client_context(), server, options={"session": session})
    plain, other = tcp_pair()
    late = client.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False)
    late.session = session
    print(late.session is not None, late.session_reused)
''')


def test_authentication_after_the_handshake(same_tls):
    same_tls('''
client, server = client_context(post_handshake_auth=True), server_context(post_handshake_auth=True, verify_mode=ssl.CERT_REQUIRED)
client.load_cert_chain(of("client.pem"))
a, b = handshakes(client, server)
def ask():
    b.sendall(b"before")
    print(b.getpeercert())
    b.verify_client_post_handshake()
    b.sendall(b"asked")
    got = b.recv(100)
    return got, b.getpeercert()["subject"]
def answer():
    got = a.recv(100) + a.recv(100)
    a.sendall(b"answered")
    return got
print(*together(answer, ask))
''')


def test_keys_and_messages_can_be_watched(same_tls):
    same_tls('''
import tempfile
client, server = client_context(), server_context()
path = tempfile.mktemp()
client.keylog_filename = path
seen = []
client._msg_callback = lambda end, direction, version, content, kind, data: seen.append((type(end).__name__, direction, str(version), str(content), str(kind)))
a, b = handshakes(client, server)
b.sendall(b"x")
a.recv(1)
client._msg_callback = None
print(*seen, sep="\\n")
with open(path) as file:
    print([line.split()[0] for line in file if not line.startswith("#")])
os.unlink(path)
''')


def test_files_and_threads(same_tls):
    same_tls('''
import tempfile
a, b = tls_pair()
with tempfile.TemporaryFile() as file:
    file.write(b"0123456789" * 20000)
    file.seek(5)
    def receive():
        with b.makefile("rwb") as stream:
            data = stream.read(199_990)
            stream.write(b"thanks\\n")
        return len(data), data[:3]
    def send():
        return a.sendfile(file, offset=10), a.makefile().readline()
    print(*together(send, receive))
lines = [b"line %d\\n" % number * 3000 for number in range(8)]
threads = [threading.Thread(target=a.sendall, args=(line,)) for line in lines]
def write_all():
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    a.shutdown(socket.SHUT_WR)
def read_all():
    got = b""
    while data := b.recv(1 << 16): got += data
    return got
lock = threading.Lock()
def one_at_a_time(line):
    with lock: a.sendall(line)
threads = [threading.Thread(target=one_at_a_time, args=(line,)) for line in lines]
print(sorted(set(together(write_all, read_all)[1].splitlines())))
''')


def test_what_is_left_of_a_closed_socket(same_tls):
    same_tls('''
import gc
a, b = tls_pair()
tls = a._sslobj
a.close()
for call, args in (("recv", (1,)), ("send", (b"x",)), ("unwrap", ()), ("version", ()), ("pending", ()), ("fileno", ()), ("getpeercert", ()), ("do_handshake", ())):
    tell(getattr(a, call), *args)
print(a)
tell(tls.read, 1)
tell(tls.write, b"x")
tell(tls.shutdown)
tell(tls.version)
del a
gc.collect()
for call, args in ((tls.read, (1,)), (tls.write, (b"x",)), (tls.shutdown, ()), (tls.do_handshake, ())):
    try:
        call(*args)
    except ssl.SSLError as error:
        print(type(error).__name__, error.args[0], error.args[1].partition(" (")[0], error.reason)
a, b = tls_pair()
fd = a.detach()
print(fd >= 0, a.fileno())
tell(a.send, b"by the descriptor")
tell(b.recv, 100)
socket.close(fd)
tell(a.send, b"x")
with socket.create_server(("127.0.0.1", 0)) as listener:
    c = client_context().wrap_socket(socket.socket(), server_hostname="localhost")
    tell(c.getpeercert)
    tell(c.do_handshake)
    tell(c.recv, 1)
    tell(c.send, b"x")
    print(c.version(), c.cipher(), c._sslobj)
    c = client_context().wrap_socket(socket.socket(), server_hostname="localhost")
    address = listener.getsockname()
    def accept():
        with server_context().wrap_socket(listener, server_side=True) as tls_listener:
            end, _ = tls_listener.accept()
            return end.recv(10), type(end)
    def connect():
        c.connect(address)
        c.sendall(b"connected")
        return c.version()
    print(*together(connect, accept))
''')


def test_tls_over_a_pair_of_unix_sockets(same_tls):
    same_tls('''
one, two = socket.socketpair()
a, b = together(lambda: client_context().wrap_socket(one, server_hostname="localhost"),
                lambda: server_context().wrap_socket(two, server_side=True))
a.sendall(b"hello")
print(b.recv(10), a.family.name, a.getpeername())
''')


def test_programs_have_default_certificates_of_their_own(same_tls):
    same_tls('''
def stats(**environment):
    os.environ.update(environment)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_default_verify_paths()
    return context.cert_store_stats()
print(stats(SSL_CERT_FILE=of("ca.pem"), SSL_CERT_DIR="/nowhere"))
print(stats(SSL_CERT_FILE="/nowhere"))
''')


def test_https_by_the_standard_library(world):
    server = PRELUDE + '''
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
with http.server.ThreadingHTTPServer(("", 443), Handler) as server:
    server.socket = server_context().wrap_socket(server.socket, server_side=True)
    for _ in range(2):
        server.handle_request()
'''
    client = PRELUDE + '''
import urllib.request, urllib.error
time.sleep(1)
for host in ("127.0.0.1", "alpha"):
    with urllib.request.urlopen(f"https://{host}/page", context=client_context()) as answer:
        print(answer.status, answer.read())
print(time.monotonic())
'''
    programs = world.run(server, client)
    assert programs[1].output.splitlines()[:2] == [
        "200 b'/page for 127.0.0.1'",
        "200 b'/page for 10.0.0.1'",
    ], [program.output for program in programs]


def test_asyncio_and_blocking_sockets_understand_each_other(same_tls):
    same_tls('''
import asyncio
async def main():
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        done.set()
    done = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context(), limit=1 << 20)
    address = server.sockets[0].getsockname()
    def client():
        with socket.create_connection(address) as plain, client_context().wrap_socket(plain, server_hostname="localhost") as end:
            stream = end.makefile("rwb")
            for size in 1, 1000, 300_000:
                stream.write(b"a" * size + b"\\n")
                stream.flush()
                print(len(stream.readline()))
    await asyncio.to_thread(client)
    await done.wait()
    server.close()
asyncio.run(main())
''')


def test_code_outside_has_real_tls_at_the_same_time(world):
    context, other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")
    context.load_cert_chain(CERTIFICATES / "localhost.pem")
    original = ssl.SSLContext._wrap_socket

    def real_connection() -> tuple[bytes, str]:
        one, two = socket.socketpair()
        ends = []
        thread = threading.Thread(target=lambda: ends.append(context.wrap_socket(two, server_side=True)))
        thread.start()
        with other.wrap_socket(one, server_hostname="localhost") as client:
            thread.join()
            with ends[0] as server:
                server.sendall(b"real")
                return client.recv(10), type(client._sslobj).__name__

    started, answers = threading.Event(), []

    def outside() -> None:
        started.wait(10)
        answers.append(real_connection())

    thread = threading.Thread(target=outside)
    thread.start()

    def inside() -> bytes:
        a, b = socket.socketpair()
        started.set()
        thread_ends = []
        handshake = threading.Thread(target=lambda: thread_ends.append(context.wrap_socket(b, server_side=True)))
        handshake.start()
        client = other.wrap_socket(a, server_hostname="localhost")
        handshake.join()
        thread_ends[0].sendall(b"simulated")
        return client.recv(10)

    assert world.call(inside) == b"simulated"
    thread.join()
    assert answers == [(b"real", "_SSLSocket")]
    assert ssl.SSLContext._wrap_socket is original
    assert real_connection() == answers[0]


CONNECTION = PRELUDE + '''
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    a, b = handshakes(client_context(), server_context(num_tickets=0, maximum_version=version, options=ssl.OP_NO_TICKET))
    a.sendall(b"hello")
    print(b.recv(10), ssl.RAND_bytes(16))
    a.close()
    b.close()
'''


@pytest.mark.skipif(openssl_random._LIBRARY is None, reason="this OpenSSL's random method can't be replaced")
def test_the_seed_replays_every_byte():
    def run(seed: int) -> tuple[bytes, str]:
        with Network(seed=seed) as network:
            capture = io.BytesIO()
            host = network.host("alpha")
            network.trace.observe(Capture(capture, network.world.epoch))
            program = host.spawn(code=CONNECTION)
            network.run()
            return capture.getvalue(), program.output

    first, outside = run(1), ssl.RAND_bytes(16)
    assert b"hello" not in first[0]
    assert run(1) == first
    assert run(2) != first
    assert ssl.RAND_bytes(16) != outside


def test_who_waits_in_a_tls_socket_is_told_by_the_report(world):
    program = PRELUDE + '''
a, b = tls_pair()
a.recv(1)
'''
    with pytest.raises(Exception, match=r"alpha: TLS read on tcp 127"):
        world.run(program)


def test_a_program_may_end_while_its_threads_are_in_tls_calls(world):
    (program,) = world.run(PRELUDE + '''
a, b = tls_pair(buffers=65536)
threading.Thread(target=a.recv, args=(1,), daemon=True).start()
threading.Thread(target=a.sendall, args=(bytes(1 << 24),), daemon=True).start()
threading.Thread(target=a.sendall, args=(b"after",), daemon=True).start()
time.sleep(1)
print("end")
''')
    assert (program.output, program.exit_code) == ("end\n", 0)


def test_writes_of_threads_are_not_mixed(world):
    (program,) = world.run(PRELUDE + '''
a, b = tls_pair(buffers=65536)
threads = [threading.Thread(target=a.send, args=(bytes([65 + number]) * 300_000,)) for number in range(3)]
for thread in threads:
    thread.start()
got = bytearray()
while len(got) < 900_000:
    got += b.recv(1 << 16)
print([(chr(got[at]), len(set(got[at:at + 300_000]))) for at in (0, 300_000, 600_000)])
''')
    assert program.output == "[('A', 1), ('B', 1), ('C', 1)]\n"


def test_the_module_is_loaded_only_by_programs_that_use_it():
    script = """
        import sys
        from portside.lab.network import Network
        def quiet():
            import socket
            return "ssl" in sys.modules
        def tls():
            import ssl
            return type(ssl.__loader__).__name__, "exec_module" in vars(ssl.__loader__), "_wrap_socket" in vars(ssl.SSLContext)
        with Network() as network:
            host = network.host("alpha")
            for function in quiet, tls, tls:
                program = host.spawn(function)
                network.run()
                print(program.result)
        import ssl
        print("_wrap_socket" in vars(ssl.SSLContext), [finder for finder in sys.meta_path if "portside" in type(finder).__module__])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["False", *["('SourceFileLoader', False, True)"] * 2, "False []"], done.stderr
