"""Random experiments for the kernel and for the model."""

from __future__ import annotations

from random import Random

V4 = ["127.0.0.1", "127.0.0.1", "127.0.0.2", "0.0.0.0", "0.0.0.0", "10.0.0.1"]
V4_RARE = ["127.0.0.6", "10.0.0.9", "224.0.0.5", "10.0.0.255", "255.255.255.255", "127.255.255.255", "0.1.2.3"]
V6 = ["::", "::", "::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::ffff:10.0.0.1"]
V6_RARE = ["fe80::1", "fd00::99", "ff02::1", "ff05::2", "::ffff:10.0.0.9", "::ffff:224.0.0.5", "ff12::5"]
UIDS = [0, 0, 1000, 1001]


class Maker:
    """Makes experiments from a stream of chance."""

    def __init__(self, random: Random, uids: bool = True) -> None:
        self.random = random
        self.uids = uids

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def address(self, family: int) -> str:
        rare = self.chance(0.06)
        return self.random.choice((V4_RARE if rare else V4) if family == 4 else (V6_RARE if rare else V6))

    def scope(self, address: str) -> list[int]:
        return [self.random.choice([0, 1, 2, 2, 7])] if address.startswith(("fe80", "ff")) else []

    def new(self, number: int, kind: str) -> tuple[list, int]:
        """A socket with its options."""
        family = self.random.choice([4, 4, 6, 6])
        steps: list = [["socket", number, family, kind, self.random.choice(UIDS) if self.uids else 0]]
        if self.chance(0.5):
            steps.append(["opt", number, "reuseaddr", 1])
        if self.chance(0.5):
            steps.append(["opt", number, "reuseport", 1])
        if family == 6 and self.chance(0.4):
            steps.append(["opt", number, "v6only", 1])
        if self.chance(0.12):
            steps.append(["opt", number, "device", self.random.choice(["lo", "eth0"])])
        if self.chance(0.04):
            steps.append(["opt", number, self.random.choice(["freebind", "transparent"]), 1])
        if self.chance(0.05):
            steps.append(["opt", number, "bind_address_no_port", 1])
        return steps, family

    def bind(self, number: int, family: int) -> list:
        address = self.address(family)
        port = self.random.choices([-1, -2, 0], [20, 2, 1])[0]
        return ["bind", number, address, port, *(self.scope(address) if family == 6 else [])]

    def two_or_three(self) -> list:
        """Sockets that bind, and perhaps listen, one after the other."""
        kind = self.random.choice(["tcp", "tcp", "udp"])
        count = self.random.choice([2, 2, 3, 3, 4])
        steps: list = []
        families: dict[int, int] = {}
        for number in range(count):
            more, families[number] = self.new(number, kind)
            steps += more
            steps.append(self.bind(number, families[number]))
            if kind == "tcp" and self.chance(0.4):
                steps.append(["listen", number])
            if self.chance(0.1):
                steps.append(["getopt", number, "v6only"] if families[number] == 6 else ["name", number])
            self.meddle(steps, number, families)
        if kind == "tcp" and self.chance(0.5):
            steps.append(["listen", self.random.randrange(count)])
        return steps

    def meddle(self, steps: list, number: int, families: dict[int, int]) -> None:
        """Now and then, a change to a socket that is there already."""
        if self.chance(0.2):
            steps.append(
                [
                    "opt",
                    self.random.randint(0, number),
                    self.random.choice(["reuseaddr", "reuseport"]),
                    self.random.randint(0, 1),
                ]
            )
        if self.chance(0.06):
            which = self.random.randint(0, number)
            steps.append(self.bind(which, families[which]))
        if self.chance(0.04):
            steps.append(["opt", self.random.randint(0, number), "device", self.random.choice(["lo", "eth0", ""])])

    def privileged(self) -> list:
        """A bind below 1024 with and without the capability."""
        kind = self.random.choice(["tcp", "udp"])
        steps, family = self.new(0, kind)
        address = self.address(family)
        if address.startswith("fe80"):
            address = "::1"
        steps.append(["bind_as", self.random.choice([0, 1000]), 0, address, self.random.choice([-9, -1])])
        steps.append(["bind", 0, "127.0.0.1" if family == 4 else "::1", -9])
        steps.append(["name", 0])
        return steps

    def connections(self) -> list:
        """Listeners, connections from bound and unbound sockets, their end, and binds in between."""
        steps: list = []
        live: dict[int, int] = {}
        connected: set[int] = set()
        number = 0
        v6 = self.chance(0.5)
        here = "::1" if v6 else "127.0.0.1"
        for _ in range(self.random.randint(1, 2)):
            more, family = self.new(number, "tcp")
            steps += [step for step in more if step[0] != "opt" or step[2] in ("reuseaddr", "reuseport", "v6only")]
            pool = V6[:3] if v6 else (V4[:4] if family == 4 else ["::", "::ffff:127.0.0.1"])
            if v6 and family == 4:
                steps[-1:] = steps[-1:]
                pool = V4[:4]
            steps.append(["bind", number, self.random.choice(pool), -1])
            steps.append(["listen", number])
            live[number] = family
            number += 1
        servers = list(live)
        for _ in range(self.random.randint(2, 9)):
            what = self.random.choice(
                ["client", "client", "accept", "close", "bind", "bind", "disconnect", "opt", "name"]
            )
            which = self.random.choice(list(live)) if live else 0
            if what == "client":
                family = 6 if v6 or self.chance(0.3) else 4
                steps.append(["socket", number, family, "tcp"])
                for option in ("reuseaddr", "reuseport"):
                    if self.chance(0.4):
                        steps.append(["opt", number, option, 1])
                if self.chance(0.6):
                    local = self.random.choice(
                        (["::", "::1"] if v6 else ["::", "::ffff:127.0.0.1", "::ffff:0.0.0.0"])
                        if family == 6
                        else V4[:4]
                    )
                    steps.append(["bind", number, local, self.random.choice([-1, -2, -2, -2, 0])])
                steps.append(
                    [
                        self.random.choice(["connect", "connect", "connect_later"]),
                        number,
                        here if family == 4 or v6 else "::ffff:127.0.0.1",
                        -1,
                    ]
                )
                steps.append(["name", number])
                live[number] = family
                connected.add(number)
                number += 1
            elif what == "accept" and servers:
                steps.append(["accepted_by", list(servers), number])
                steps.append(["name", number])
                live[number] = 4
                number += 1
            elif what == "close" and live:
                steps.append(["close", which])
                del live[which]
                if which in servers:
                    servers.remove(which)
            elif what == "bind" and connected and self.chance(0.5):
                more, family = self.new(number, "tcp")
                steps += [*more, ["bind_to", number, self.address(family), self.random.choice(sorted(connected))]]
                live[number] = family
                number += 1
            elif what == "bind":
                more, family = self.new(number, "tcp")
                steps += more
                steps.append(
                    ["bind", number, self.address(family), self.random.choice([-1, -2]), 2][: 5 if family == 6 else 4]
                )
                if self.chance(0.5):
                    steps.append(["listen", number])
                number += 1
            elif what == "disconnect" and live:
                steps += [["disconnect", which], ["name", which]]
                if which in servers:
                    servers.remove(which)
            elif what == "opt" and live:
                steps.append(["opt", which, self.random.choice(["reuseaddr", "reuseport"]), self.random.randint(0, 1)])
            elif what == "name" and live:
                steps.append(["name", which])
        return steps

    def crowded(self) -> list:
        """UDP sockets on a port that many other addresses have too."""
        steps: list = []
        number = 0
        for _ in range(self.random.randint(8, 13)):
            steps.append(["socket", number, 4, "udp", 0])
            steps.append(["opt", number, "reuseaddr", self.random.randint(0, 1)])
            steps.append(["opt", number, "reuseport", self.random.randint(0, 1)])
            steps.append(["bind", number, f"127.0.{self.random.choice([0, 1, 1])}.{number + 1}", -1])
            number += 1
        for _ in range(self.random.randint(2, 4)):
            more, family = self.new(number, "udp")
            steps += [*more, self.bind(number, family)]
            number += 1
        return steps

    def listeners(self) -> list:
        """Several listeners on a port, and connections to each address: who gets them?"""
        steps: list = []
        count = self.random.randint(2, 5)
        share = self.chance(0.5)
        for number in range(count):
            family = self.random.choice([4, 6])
            steps.append(["socket", number, family, "tcp", self.random.choice([0, 0, 0, 1000]) if self.uids else 0])
            if share and self.chance(0.8):
                steps.append(["opt", number, "reuseport", 1])
            if family == 6 and self.chance(0.4):
                steps.append(["opt", number, "v6only", 1])
            if self.chance(0.5):
                steps.append(["opt", number, "device", self.random.choice(["lo", "eth0"])])
            steps.append(["bind", number, self.random.choice(V4 if family == 4 else V6), -1])
            steps.append(["listen", number])
            if not share and self.chance(0.1):
                steps.append(["opt", number, "device", self.random.choice(["lo", "eth0", ""])])
            if self.chance(0.1):
                steps.append(["opt", number, "reuseport", self.random.randint(0, 1)])
        for client in range(50, 50 + 2 * self.random.randint(1, 4), 2):
            address = self.random.choice(["127.0.0.1", "127.0.0.2", "10.0.0.1", "::1", "fd00::1", "fd00::2"])
            steps.append(["socket", client, 6 if ":" in address else 4, "tcp"])
            steps.append(["connect", client, address, -1])
            steps.append(["accepted_by", list(range(count)), client + 1])
            steps += [["close", client], ["close", client + 1]]
            if self.chance(0.2):
                steps.append(["close", self.random.randrange(count)])
        return steps

    def datagrams(self) -> list:
        """UDP sockets that bind, connect, disconnect; and who gets what is sent."""
        steps: list = []
        families: dict[int, int] = {}
        on_device: set[int] = set()  # not connected: routes are not the subject here
        count = self.random.randint(2, 4)
        for number in range(count):
            more, families[number] = self.new(number, "udp")
            steps += [
                step for step in more if step[0] != "opt" or step[2] in ("reuseaddr", "reuseport", "v6only", "device")
            ]
            on_device.update(step[1] for step in more if step[0] == "opt" and step[2] == "device")
            if self.chance(0.9):
                address = self.random.choice(V4 if families[number] == 4 else V6)
                steps.append(["bind", number, address, -1])
        steps.append(["socket", 90, 4, "udp"])
        steps.append(["bind", 90, "127.0.0.1", -3])
        steps.append(["socket", 91, 6, "udp"])
        steps.append(["opt", 91, "v6only", 1])
        steps.append(["bind", 91, "::1", -3])
        steps.append(["socket", 92, 4, "udp"])
        steps.append(["opt", 92, "broadcast", 1])
        steps.append(["socket", 93, 6, "udp"])
        everyone = list(range(count))
        for _ in range(self.random.randint(1, 6)):
            which = self.random.randrange(count)
            what = self.random.choice(
                ["connect", "connect", "disconnect", "send", "send", "send", "name", "opt", "device", "close"]
            )
            if what == "connect" and which not in on_device:
                target = "127.0.0.1" if families[which] == 4 else self.random.choice(["::1", "::ffff:127.0.0.1"])
                steps.append(["connect", which, target, self.random.choice([-3, -3, 9])])
            elif what == "disconnect":
                steps += [["disconnect", which], ["name", which]]
            elif what == "send":
                sender, target = self.random.choice(
                    [
                        (90, "127.0.0.1"),
                        (90, "127.0.0.1"),
                        (90, "127.0.0.2"),
                        (91, "::1"),
                        (91, "::1"),
                        (92, "10.0.0.1"),
                        (92, "127.255.255.255"),
                        (93, "fd00::1"),
                    ]
                )
                steps += [["send", sender, target, -1], ["received_by", everyone]]
            elif what == "name":
                steps.append(["name", which])
            elif what == "opt":
                steps.append(["opt", which, self.random.choice(["reuseaddr", "reuseport"]), self.random.randint(0, 1)])
            elif what == "device" and self.chance(0.3):
                on_device.add(which)
                steps.append(["opt", which, "device", self.random.choice(["lo", "eth0", ""])])
        return steps
