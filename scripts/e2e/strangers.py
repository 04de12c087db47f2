"""Strangers at the ports: a scan with garbage, slow senders, ten thousand half-open connections."""

import random
import resource
import socket
import time
from pathlib import Path

from bad_frames import nbd_attacks, replication_attacks, speed
from claims import mib
from layout import SITES, Layout
from trio import Trio
from writer import Writer

MIB = 1 << 20
#: Half-open connections at each port, if the system lets this program have so many.
CROWD = 10_000
#: Connections that send a byte a second, at each port.
SLOW = 20
#: How long the daemon may keep one of those: its deadline for a handshake, and some more.
SLOW_SECONDS = 16
#: What a port may make the daemon hold, beyond what it held before.
GROWTH_MAX, DESCRIPTORS_MAX = 64 * MIB, 300


def descriptors(trio, site):
    """How many files and sockets the daemon has open."""
    return len(list(Path(f"/proc/{trio.running[site].pid}/fd").iterdir()))


def room():
    """How many connections this program may have: its limit is raised as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(CROWD, hard - 1000)


def half_open(port, count, look):
    """Connects `count` times and says nothing; `look` is called now and then."""
    crowd = []
    try:
        for number in range(count):
            stream = socket.socket()
            stream.settimeout(5)
            stream.connect(("127.0.0.1", port))
            crowd.append(stream)
            if number % 250 == 0:
                look()
        time.sleep(1)
        look()
        return len(crowd)
    finally:
        for stream in crowd:
            stream.close()


def slow_senders(ports, first_bytes, look):
    """Sends a byte a second on each; how many were still open at the end."""
    streams = []
    for port, data in zip(ports, first_bytes):
        streams += [(socket.create_connection(("127.0.0.1", port)), data) for _ in range(SLOW)]
    left = streams
    for second in range(SLOW_SECONDS):
        still = []
        for stream, data in left:
            try:
                stream.setblocking(False)
                while stream.recv(4096):
                    pass
                continue  # the daemon hung up
            except BlockingIOError:
                pass
            except ConnectionError:
                continue
            try:
                stream.send(data[second : second + 1])
                still.append((stream, data))
            except ConnectionError:
                continue
        left = still
        look()
        time.sleep(1)
    for stream, _ in streams:
        stream.close()
    return len(left)


def scan(ports):
    """Garbage and half-true beginnings at each port; how many."""
    count = 0
    for port, attacks in zip(ports, (replication_attacks, nbd_attacks)):
        for _, data in attacks(random.Random(port)):
            with socket.create_connection(("127.0.0.1", port), timeout=2) as stream:
                stream.settimeout(0.2)
                try:
                    stream.sendall(data)
                    while stream.recv(65536):
                        pass
                except (TimeoutError, ConnectionError):
                    pass
            count += 1
    return count


def at_every_port(transport):
    """The scenario over one transport."""

    def run(report, short):
        with Trio(Layout(volumes={"db0": "32MiB"}, transport=transport)) as trio:
            trio.start()
            strangers(report, trio, transport, 2000 if short else room())

    return run


class Besieged:
    """Site a among strangers while a host writes there, and what may not come of it."""

    def __init__(self, report, trio, over):
        self.report, self.trio, self.over = report, trio, over
        self.writer = Writer([trio.uri("a", "db0")], (0, 16 * MIB))
        self.writer.start()
        time.sleep(1)
        self.calm = speed(self.writer, 2.0)
        self.memory, self.files = trio.rss("a")[0], descriptors(trio, "a")
        #: The most that the daemon held beyond what it held before, in bytes.
        self.grown = 0
        #: The most files and sockets that it had open beyond those before.
        self.opened = 0
        self.started, self.answers = time.monotonic(), self.writer.answers

    def claim(self, holds, what, figures=""):
        """Claims something of these strangers."""
        self.report.claim(holds, f"strangers over {self.over}: {what}", figures)

    def look(self):
        """Notes what the daemon holds now."""
        self.grown = max(self.grown, self.trio.rss("a")[0] - self.memory)
        self.opened = max(self.opened, descriptors(self.trio, "a") - self.files)

    def speed(self):
        """Writes a second since it began."""
        return (self.writer.answers - self.answers) / (time.monotonic() - self.started)

    def host_sees_no_error(self, attacked):
        """The host was answered, at that speed."""
        writer = self.writer
        self.claim(
            not writer.errors and writer.connections == 1 and attacked > self.calm / 4,
            "the host at work sees no error",
            f"{self.calm:.0f} writes/s before, {attacked:.0f} meanwhile, "
            f"longest silence {writer.silence():.2f} s",
        )

    def no_leg_notices(self):
        """Every leg is paired, and no link was lost."""
        legs = self.trio.status("a")["legs"]
        downs = sum(self.trio.log(site).count("link down") for site in SITES)
        self.claim(
            all(leg["state"] == "paired" for leg in legs.values()) and downs == 0,
            "no leg notices",
            ", ".join(f"{name} {leg['state']}" for name, leg in legs.items())
            + f", {downs} links down",
        )

    def nothing_is_lost(self):
        """Every site holds all that was answered."""
        self.writer.stop()
        self.trio.quiet("a", "b", "c")
        wrong = [p for site in SITES for p in self.writer.lost(self.trio.uri(site, "db0"))]
        panics = [site for site in SITES if "panicked" in self.trio.log(site)]
        self.claim(not wrong and not panics, "nothing is lost, nobody panicked")


def strangers(report, trio, transport, count):
    """All of it at site a, while a host writes there."""
    ports = (trio.ports["a"]["address"], trio.ports["a"]["nbd"])
    siege = Besieged(report, trio, transport)
    scanned = scan(ports)
    crowds = [half_open(port, count, siege.look) for port in ports]
    hello = bytes.fromhex("16030100a5010000a10303") + bytes(160)
    first = hello if transport == "tcp+tls" else b"TREFOIL\n" + bytes(160)
    kept = slow_senders(ports, (first, b"\0\0\0\3IHAVEOPT" + bytes(160)), siege.look)
    attacked = siege.speed()
    siege.claim(
        siege.grown < GROWTH_MAX and siege.opened < DESCRIPTORS_MAX,
        "memory and descriptors stay bounded",
        f"{crowds} half-open, +{mib(siege.grown)}, +{siege.opened} descriptors at the worst",
    )
    siege.claim(
        kept == 0,
        f"who sends a byte a second is closed in {SLOW_SECONDS} s",
        f"{kept} of {2 * SLOW} left; {scanned} scans before",
    )
    siege.host_sees_no_error(attacked)
    siege.no_leg_notices()
    settled = descriptors(trio, "a") - siege.files
    siege.claim(settled < 100, "descriptors come back", f"+{settled} after")
    siege.nothing_is_lost()
    trio.stop(*SITES)
