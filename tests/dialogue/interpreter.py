"""Carry out a dialogue: a list of socket calls, told back as a list of what each of them answered.

This is an ordinary program. It knows nothing of where it runs: the real kernel and a simulated host get the
same function. A call is one line of words, `bind a 127.0.0.1 8080`; the answer is one line too: `ok`, a value,
or the name of the errno. Sockets are called by the names that the dialogue gives them.

Sockets are non-blocking unless the dialogue says otherwise, and no call can wait for ever. Names in answers stand
between angle brackets with their port and the kind of socket, `<127.0.0.1 40001 t>`, so that whoever compares can
replace ports that were left to chance.
"""

import errno
import os
import select
import socket
import struct
import time

SOCKETS = {
    "tcp4": (socket.AF_INET, socket.SOCK_STREAM),
    "tcp6": (socket.AF_INET6, socket.SOCK_STREAM),
    "udp4": (socket.AF_INET, socket.SOCK_DGRAM),
    "udp6": (socket.AF_INET6, socket.SOCK_DGRAM),
}

# name -> level, number, how its value is written
OPTIONS = {
    "SO_DEBUG": (1, 1, "int"),
    "SO_REUSEADDR": (1, 2, "int"),
    "SO_TYPE": (1, 3, "int"),
    "SO_ERROR": (1, 4, "errno"),
    "SO_DONTROUTE": (1, 5, "int"),
    "SO_BROADCAST": (1, 6, "int"),
    "SO_SNDBUF": (1, 7, "int"),
    "SO_RCVBUF": (1, 8, "int"),
    "SO_KEEPALIVE": (1, 9, "int"),
    "SO_OOBINLINE": (1, 10, "int"),
    "SO_PRIORITY": (1, 12, "int"),
    "SO_LINGER": (1, 13, "pair"),
    "SO_REUSEPORT": (1, 15, "int"),
    "SO_RCVLOWAT": (1, 18, "int"),
    "SO_SNDLOWAT": (1, 19, "int"),
    "SO_RCVTIMEO": (1, 20, "time"),
    "SO_SNDTIMEO": (1, 21, "time"),
    "SO_BINDTODEVICE": (1, 25, "device"),
    "SO_ACCEPTCONN": (1, 30, "int"),
    "SO_SNDBUFFORCE": (1, 32, "int"),
    "SO_RCVBUFFORCE": (1, 33, "int"),
    "SO_PROTOCOL": (1, 38, "int"),
    "SO_DOMAIN": (1, 39, "int"),
    "SO_BINDTOIFINDEX": (1, 62, "int"),
    "IP_TOS": (0, 1, "int"),
    "IP_TTL": (0, 2, "int"),
    "IP_RECVERR": (0, 11, "int"),
    "IP_FREEBIND": (0, 15, "int"),
    "IP_TRANSPARENT": (0, 19, "int"),
    "IP_BIND_ADDRESS_NO_PORT": (0, 24, "int"),
    "IP_MULTICAST_TTL": (0, 33, "int"),
    "IP_MULTICAST_LOOP": (0, 34, "int"),
    "IP_MTU_DISCOVER": (0, 10, "int"),
    "IP_MTU": (0, 14, "int"),
    "IP_LOCAL_PORT_RANGE": (0, 51, "range"),
    "IPV6_UNICAST_HOPS": (41, 16, "int"),
    "IPV6_V6ONLY": (41, 26, "int"),
    "IPV6_RECVERR": (41, 25, "int"),
    "IPV6_TRANSPARENT": (41, 75, "int"),
    "IPV6_FREEBIND": (41, 78, "int"),
    "TCP_NODELAY": (6, 1, "int"),
    "TCP_MAXSEG": (6, 2, "int"),
    "TCP_CORK": (6, 3, "int"),
    "TCP_KEEPIDLE": (6, 4, "int"),
    "TCP_KEEPINTVL": (6, 5, "int"),
    "TCP_KEEPCNT": (6, 6, "int"),
    "TCP_SYNCNT": (6, 7, "int"),
    "TCP_LINGER2": (6, 8, "int"),
    "TCP_DEFER_ACCEPT": (6, 9, "int"),
    "TCP_WINDOW_CLAMP": (6, 10, "int"),
    "TCP_QUICKACK": (6, 12, "int"),
    "TCP_CONGESTION": (6, 13, "text"),
    "TCP_USER_TIMEOUT": (6, 18, "int"),
    "TCP_FASTOPEN": (6, 23, "int"),
    "TCP_NOTSENT_LOWAT": (6, 25, "int"),
    "UDP_CORK": (17, 1, "int"),
}

FLAGS = {
    "PEEK": socket.MSG_PEEK,
    "TRUNC": socket.MSG_TRUNC,
    "WAITALL": socket.MSG_WAITALL,
    "DONTWAIT": socket.MSG_DONTWAIT,
    "NOSIGNAL": socket.MSG_NOSIGNAL,
    "MORE": socket.MSG_MORE,
    "OOB": socket.MSG_OOB,
    "CONFIRM": 0x800,
    "CTRUNC": socket.MSG_CTRUNC,
    "ERRQUEUE": 0x2000,
    "EOR": 0x80,
}

EVENTS = {
    "IN": 0x1,
    "PRI": 0x2,
    "OUT": 0x4,
    "ERR": 0x8,
    "HUP": 0x10,
    "NVAL": 0x20,
    "RDNORM": 0x40,
    "RDBAND": 0x80,
    "WRNORM": 0x100,
    "WRBAND": 0x200,
    "RDHUP": 0x2000,
}
EPOLL_EVENTS = {**EVENTS, "ET": 1 << 31, "ONESHOT": 1 << 30, "EXCLUSIVE": 1 << 28}
EVERY_EVENT = 0x1 | 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x2000

SHUTDOWN = {"RD": socket.SHUT_RD, "WR": socket.SHUT_WR, "RDWR": socket.SHUT_RDWR}

STATES = (
    "?", "ESTABLISHED", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSE", "CLOSE-WAIT",
    "LAST-ACK", "LISTEN", "CLOSING", "NEW-SYN-RECV",
)  # fmt: skip
# What a delayed acknowledgement of at most 40 ms will change.
PASSING_STATES = ("FIN-WAIT-1", "LAST-ACK", "CLOSING")


class Interpreter:
    """The sockets of one dialogue, and a method for each call that a dialogue may make."""

    def __init__(self, disconnect):
        self.sockets = {}
        self.epolls = {}
        self.streams = set()
        self.disconnect_call = disconnect

    # -- words ------------------------------------------------------------------------------------------------

    def port(self, word):
        """A port: a number, `@a` for the port that `a` has, `@>a` for its peer's."""
        if isinstance(word, int):
            return word
        if word.startswith("@>"):
            return self.sockets[word[2:]].getpeername()[1]
        if word.startswith("@"):
            return self.sockets[word[1:]].getsockname()[1]
        return int(word)

    def address(self, name, words):
        """The address tuple that Python wants for the family of socket `name`."""
        host = "" if words[0] == "-" else words[0]
        numbers = [self.port(word) for word in words[1:]]
        return (host, *numbers)

    def told(self, name, address):
        """An address as the answers show it."""
        kind = "t" if name in self.streams else "u"
        if not address:
            return str(address)
        rest = "" if len(address) == 2 else f" flow {address[2]} scope {address[3]}"
        return f"<{address[0]} {address[1]} {kind}{rest}>"

    def own_name(self, name):
        try:
            return self.told(name, self.sockets[name].getsockname())
        except OSError as error:
            return told_error(error)

    # -- calls ------------------------------------------------------------------------------------------------

    def do_socket(self, name, kind, proto=0):
        family, type_ = SOCKETS[kind]
        made = socket.socket(family, type_, proto)
        made.setblocking(False)
        self.keep(name, made)

    def keep(self, name, made):
        self.sockets[name] = made
        if made.type == socket.SOCK_STREAM:
            self.streams.add(name)
        else:
            self.streams.discard(name)

    def do_bind(self, name, *words):
        self.sockets[name].bind(self.address(name, words))

    def do_listen(self, name, backlog=128):
        self.sockets[name].listen(backlog)

    def do_connect(self, name, *words):
        self.sockets[name].connect(self.address(name, words))

    def do_disconnect(self, name):
        self.disconnect_call(self.sockets[name].fileno())

    def do_accept(self, name, new):
        made, peer = self.sockets[name].accept()
        made.setblocking(False)
        self.keep(new, made)
        return f"{self.own_name(new)} from {self.told(new, peer)}"

    def do_accept_any(self, names, new):
        """Accept from whichever of a group has a connection; which one it was is not told."""
        for name in names.split(","):
            try:
                made, peer = self.sockets[name].accept()
            except BlockingIOError:
                continue
            made.setblocking(False)
            self.keep(new, made)
            return f"one of the group: {self.own_name(new)} from {self.told(new, peer)}"
        raise BlockingIOError(errno.EAGAIN, "")

    def do_recv_any(self, names, length):
        """Receive from whichever of a group has a datagram; which one it was is not told."""
        for name in names.split(","):
            try:
                data, peer = self.sockets[name].recvfrom(length)
            except BlockingIOError:
                continue
            return f"one of the group: {told_data(data)} from {self.told(name, peer)}"
        raise BlockingIOError(errno.EAGAIN, "")

    def do_send(self, name, data, flags="0"):
        return self.sockets[name].send(spelled(data), flag_bits(flags))

    def do_sendto(self, name, data, flags, *words):
        return self.sockets[name].sendto(spelled(data), flag_bits(flags), self.address(name, words))

    def do_sendmsg(self, name, data, flags="0", *words):
        address = self.address(name, words) if words else None
        parts = [spelled(part) for part in data.split(",")]
        return self.sockets[name].sendmsg(parts, [], flag_bits(flags), address)

    def do_recv(self, name, length, flags="0"):
        bits = flag_bits(flags)
        if bits & socket.MSG_TRUNC:  # the length told may exceed the buffer
            buffer = bytearray(length)
            got = self.sockets[name].recv_into(buffer, length, bits)
            if name in self.streams:  # discarded, not copied
                return f"{got} of {length}"
            return f"{got}: {told_data(bytes(buffer[: min(got, length)]))}"
        return told_data(self.sockets[name].recv(length, bits))

    def told_received(self, name, data, length, flags):
        """Data of a call that may have had MSG_TRUNC.

        A stream discards the data then, and a datagram's whole length is returned: CPython makes a bytes object of that
        size, of which only so much has been written to.
        """
        discarded = name in self.streams and flag_bits(flags) & socket.MSG_TRUNC
        return f"{len(data)} bytes" if discarded else told_data(data[:length])

    def do_recvfrom(self, name, length, flags="0"):
        data, sender = self.sockets[name].recvfrom(length, flag_bits(flags))
        return f"{self.told_received(name, data, length, flags)} from {self.told(name, sender)}"

    def do_recvmsg(self, name, length, flags="0", room=0):
        data, controls, answer, sender = self.sockets[name].recvmsg(length, room, flag_bits(flags))
        told = self.told_received(name, data, length, flags)
        told += f" flags {told_bits(answer, FLAGS)} from {self.told(name, sender)}"
        return told + "".join(f" control {level}/{kind} {value.hex()}" for level, kind, value in controls)

    def do_write(self, name, data):
        return os.write(self.sockets[name].fileno(), spelled(data))

    def do_read(self, name, length):
        return told_data(os.read(self.sockets[name].fileno(), length))

    def do_fill(self, name, size=4096, limit=100_000_000):
        """Send until the kernel takes no more; the number of bytes taken."""
        taken = 0
        data = b"f" * size
        try:
            while taken < limit:
                taken += self.sockets[name].send(data)
        except BlockingIOError:
            pass
        return taken

    def do_drain(self, name, size=65536, limit=100_000_000):
        """Receive until there is nothing more; the number of bytes and how it ended."""
        taken = 0
        try:
            while taken < limit:
                data = self.sockets[name].recv(size)
                if not data and name in self.streams:
                    return f"{taken} bytes, then the end"
                taken += len(data)
        except OSError as error:
            return f"{taken} bytes, then {told_error(error)}"

    def do_shutdown(self, name, how):
        self.sockets[name].shutdown(SHUTDOWN[how])

    def do_close(self, name):
        self.sockets[name].close()
        del self.sockets[name]

    def do_dup(self, name, new):
        made = self.sockets[name].dup()
        made.setblocking(False)
        self.keep(new, made)

    def do_getsockname(self, name):
        return self.told(name, self.sockets[name].getsockname())

    def do_getpeername(self, name):
        return self.told(name, self.sockets[name].getpeername())

    def do_setsockopt(self, name, option, value):
        level, number, kind = option_of(option)
        self.sockets[name].setsockopt(level, number, option_value(kind, value))

    def do_getsockopt(self, name, option, length=None):
        level, number, kind = option_of(option)
        sock = self.sockets[name]
        if length is not None:
            return sock.getsockopt(level, number, length).hex()
        if kind == "errno":
            error = sock.getsockopt(level, number)
            return errno.errorcode.get(error, str(error)) if error else 0
        if kind == "int":
            return sock.getsockopt(level, number)
        raw = sock.getsockopt(level, number, 16)
        if kind == "pair":
            return ",".join(map(str, struct.unpack("ii", raw)))
        if kind == "time":
            seconds, microseconds = struct.unpack("ll", raw)
            return f"{seconds}.{microseconds:06} s"
        if kind == "range":
            return f"{int.from_bytes(raw[:2], 'little')}-{int.from_bytes(raw[2:4], 'little')}"
        return raw.rstrip(b"\0").decode()

    def do_block(self, name, milliseconds):
        """Let calls wait, for so long at most: SO_RCVTIMEO and SO_SNDTIMEO on a blocking socket."""
        for option in (20, 21):
            self.sockets[name].setsockopt(1, option, timeval(milliseconds))
        self.sockets[name].setblocking(True)

    def do_unblock(self, name):
        self.sockets[name].setblocking(False)

    def do_timeout(self, name, milliseconds):
        self.sockets[name].settimeout(milliseconds / 1000)

    def do_poll(self, *names):
        poller = select.poll()
        asked = {}
        for name in names or sorted(self.sockets):
            descriptor = self.sockets[name].fileno()
            poller.register(descriptor, EVERY_EVENT)
            asked[descriptor] = name
        answers = {asked[descriptor]: bits for descriptor, bits in poller.poll(0)}
        return " ".join(f"{name}:{told_bits(answers.get(name, 0), EVENTS)}" for name in asked.values())

    def do_wait(self, name, events, milliseconds=200):
        """Wait for an event, not longer than so: for what another timer of the kernel brings about."""
        poller = select.poll()
        poller.register(self.sockets[name].fileno(), bits_of(events, EVENTS))
        return told_bits(dict(poller.poll(milliseconds)).get(self.sockets[name].fileno(), 0), EVENTS)

    def do_select(self, *names):
        files = {name: self.sockets[name] for name in names or sorted(self.sockets)}
        lists = [list(files.values()) for _ in range(3)]
        ready = select.select(*lists, 0)
        told = []
        for name, sock in files.items():
            letters = "".join(letter for letter, some in zip("rwx", ready, strict=True) if sock in some)
            told.append(f"{name}:{letters or '-'}")
        return " ".join(told)

    def do_epoll(self, name):
        self.epolls[name] = select.epoll()

    def watched(self, name):
        return (self.epolls if name in self.epolls else self.sockets)[name].fileno()

    def do_epoll_add(self, epoll, name, events):
        self.epolls[epoll].register(self.watched(name), bits_of(events, EPOLL_EVENTS))

    def do_epoll_mod(self, epoll, name, events):
        self.epolls[epoll].modify(self.watched(name), bits_of(events, EPOLL_EVENTS))

    def do_epoll_del(self, epoll, name):
        self.epolls[epoll].unregister(self.watched(name))

    def do_epoll_wait(self, epoll, most=-1):
        names = {file.fileno(): name for name, file in {**self.sockets, **self.epolls}.items()}
        ready = self.epolls[epoll].poll(0, most)
        return " ".join("{}:{}".format(names.get(fd, "?"), told_bits(bits, EVENTS)) for fd, bits in ready) or "-"

    def do_seteuid(self, uid):
        os.seteuid(uid)

    def do_sysctl(self, path, value):
        with open("/proc/sys/net/" + path, "w") as file:
            file.write(value.replace(",", " ") if isinstance(value, str) else str(value))

    def do_getsysctl(self, path):
        with open("/proc/sys/net/" + path) as file:
            return " ".join(file.read().split())

    def do_states(self):
        """The socket tables as they are now. An acknowledgement may be delayed by 40 ms: see `settle`."""
        return "".join("\n" + told for told, _, _ in table_rows())

    def do_settle(self):
        """Wait until no acknowledgement is under way, or 110 ms."""
        # Neither once nor twice is near the 200 ms after which Linux sends what MSG_MORE holds back, or the 40 ms more
        # after which that is acknowledged.
        end = time.monotonic() + 0.11
        while any(passing(row) for row in table_rows()) and time.monotonic() < end:
            time.sleep(0.005)

    def do_everything(self):
        """What can be asked about every socket without changing it, and then its pending error."""
        answers = []
        for name in sorted(self.sockets):
            for call in ("poll", "getsockname", "getpeername", "recv_peek", "error"):
                answers.append(f"\n{name} {call}: {self.asked(call, name)}")
        return "".join(answers)

    def asked(self, call, name):
        try:
            if call == "recv_peek":
                return self.do_recv(name, 64, "PEEK")
            if call == "error":
                return self.do_getsockopt(name, "SO_ERROR")
            return getattr(self, "do_" + call)(name)
        except OSError as error:
            return told_error(error)

    # Calls that may name a socket tell its name too, so that ports get their symbols in a fixed order.
    NAMING = frozenset({"bind", "listen", "connect", "disconnect", "sendto", "sendmsg"})

    def call(self, words):
        """Carry out one call; its answer as one line, or several for tables."""
        operation, *arguments = words
        try:
            answer = getattr(self, "do_" + operation)(*arguments)
            told = "ok" if answer is None else str(answer)
        except OSError as error:
            told = told_error(error)
        except (OverflowError, ValueError, TypeError) as error:
            told = type(error).__name__
        except KeyError:
            return "no such socket"
        if operation in self.NAMING and arguments[0] in self.sockets:
            told += " " + self.own_name(arguments[0])
        return told

    def end(self):
        for file in (*self.sockets.values(), *self.epolls.values()):
            file.close()
        if os.geteuid() != 0 and os.getuid() == 0:
            os.seteuid(0)


def told_error(error):
    if error.errno is None:
        return type(error).__name__
    return errno.errorcode.get(error.errno, str(error.errno))


def told_data(data):
    """Data in few words: runs of one byte are counted."""
    parts = []
    position = 0
    while position < len(data):
        byte = data[position : position + 1]
        run = len(data) - position - len(data[position:].lstrip(byte))
        letter = byte.decode("latin-1")
        parts.append(letter * run if run < 6 else f" {letter}*{run} ")
        position += run
    return "'{}'".format("".join(parts))


def spelled(word):
    """The data that a word stands for: itself, `x*1000`, or nothing (`-`)."""
    word = str(word)
    if word == "-":
        return b""
    if "*" in word:
        text, count = word.split("*")
        return text.encode("latin-1") * int(count)
    return word.encode("latin-1")


def bits_of(word, table):
    bits = 0
    for part in str(word).split("|"):
        bits |= int(part) if part.isdigit() else table[part]
    return bits


def flag_bits(word):
    return bits_of(word, FLAGS)


def told_bits(bits, table):
    names = [name for name, bit in table.items() if bits & bit]
    left = bits & ~sum(table[name] for name in names)
    return "|".join(names + ([hex(left)] if left else [])) or "-"


def option_of(word):
    if word in OPTIONS:
        return OPTIONS[word]
    level, number = word.split("/")  # an option that has no name here: level/number
    return int(level), int(number), "int"


def timeval(milliseconds):
    return struct.pack("ll", milliseconds // 1000, milliseconds % 1000 * 1000)


def option_value(kind, value):
    if isinstance(value, str) and value.startswith("x"):
        return bytes.fromhex(value[1:])
    if kind == "pair":
        return struct.pack("ii", *(int(number) for number in value.split(",")))
    if kind == "time":
        return timeval(value)
    if kind == "device":
        return b"" if value == "-" else str(value).encode() + b"\0"
    if kind == "range":
        low, high = (int(number) for number in value.split("-"))
        return struct.pack("I", high << 16 | low)
    return value.encode() if isinstance(value, str) else value


# -- /proc/net ------------------------------------------------------------------------------------------------


def passing(row):
    _, state, unsent = row
    return state in PASSING_STATES or (unsent and state in ("ESTABLISHED", "CLOSE-WAIT"))


def table_rows():
    """Each row of /proc/net/{tcp,tcp6,udp,udp6}: its text, its state, its send queue."""
    for table in ("tcp", "tcp6", "udp", "udp6"):
        with open("/proc/net/" + table) as file:
            lines = file.read().splitlines()[1:]
        for line in lines:
            fields = line.split()
            local, remote = (table_address(field, table[0]) for field in fields[1:3])
            state = STATES[int(fields[3], 16)]
            sent, received = (int(number, 16) for number in fields[4].split(":"))
            told = f"{table} {local} {remote} {state} send {sent} recv {received} uid {fields[7]}"
            yield told, state, sent


def table_address(field, kind):
    address, port = field.split(":")
    words = [struct.pack("=I", int(address[i : i + 8], 16)) for i in range(0, len(address), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return f"<{socket.inet_ntop(family, b''.join(words))} {int(port, 16)} {kind}>"


def run(calls, disconnect):
    """Carry out the calls in order; the list of answers.

    `disconnect` is connect(2) with AF_UNSPEC on a file descriptor, the one call that Python's socket module
    has no way to make.
    """
    interpreter = Interpreter(disconnect)
    try:
        return [interpreter.call(words) for words in calls]
    finally:
        interpreter.end()
