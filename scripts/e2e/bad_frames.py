"""Garbage, oversized and half frames on every port, while a real client works."""

import random
import socket
import struct
import time

from claims import mib
from layout import SITES, Layout
from trio import Trio
from writer import Writer

MIB = 1 << 20
NBD_MAGIC, OPTION_MAGIC = b"NBDMAGIC", b"IHAVEOPT"
#: How many connections are left half open at each port.
IDLE = 40


def crc32c(data):
    """CRC-32C (Castagnoli), bit by bit: what the frames are checked by."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def preamble(lane, token):
    """The first bytes of a replication connection, well formed."""
    head = b"TREFOIL\n" + struct.pack("<HBB", 1, lane, 0) + token
    return head + struct.pack("<I", crc32c(head))


def frame_header(length, body_crc=0):
    """A well-formed frame header that announces `length` bytes."""
    head = b"TFF1" + struct.pack("<II", length, body_crc)
    return head + struct.pack("<I", crc32c(head))


def replication_attacks(noise):
    """(name, bytes) for the port where other sites connect."""
    token = noise.randbytes(16)
    yield "garbage", noise.randbytes(4096)
    yield "HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "TLS hello", bytes.fromhex("16030100a5010000a10303") + noise.randbytes(160)
    yield "half a preamble", preamble(1, token)[:17]
    yield "a damaged preamble", preamble(1, token)[:-1] + b"\0"
    yield "a preamble, then nothing", preamble(1, token)
    for length in (0, 1 << 26, 1 << 31, (1 << 32) - 1):
        start = preamble(2, token) + frame_header(length)
        yield f"a frame of {length} bytes announced", start
    yield "half a frame", preamble(2, token) + frame_header(4096) + noise.randbytes(1000)
    body = noise.randbytes(512)
    yield "a whole frame of garbage", preamble(1, token) + frame_header(512, crc32c(body)) + body


def nbd_attacks(noise):
    """(name, bytes) for the port where hosts connect; flags 3: fixed newstyle, no zeroes."""
    hello = struct.pack(">I", 3)
    option = OPTION_MAGIC + struct.pack(">I", 1)
    name = b"db0"
    chosen = hello + option + struct.pack(">I", len(name)) + name
    yield "garbage", noise.randbytes(4096)
    yield "HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "unknown client flags", struct.pack(">I", 0xFFFFFFFF)
    yield "half an option", hello + OPTION_MAGIC[:5]
    yield "an option of 4 GiB", hello + option + struct.pack(">I", 0xFFFFFFFF)
    yield "an unknown option", hello + OPTION_MAGIC + struct.pack(">II", 0x4242, 0)
    yield "a missing export", hello + option + struct.pack(">I", 4) + b"nope"
    yield "garbage as a request", chosen + noise.randbytes(28 * 20)
    for length in ((1 << 25) + 1, 0xFFFFFFFF):
        request = struct.pack(">IHHQQI", 0x25609513, 0, 1, 1, 0, length)
        yield f"a write of {length} bytes announced", chosen + request
    beyond = struct.pack(">IHHQQI", 0x25609513, 0, 0, 2, 1 << 62, 4096)
    yield "a read far beyond the end", chosen + beyond
    half = struct.pack(">IHHQQI", 0x25609513, 0, 1, 3, 8 * MIB, 65536)
    yield "half a write, then gone", chosen + half + noise.randbytes(30000)


def metrics_attacks(noise):
    """(name, bytes) for the port where Prometheus connects."""
    yield "garbage", noise.randbytes(4096)
    yield "an endless header", b"GET /metrics HTTP/1.1\r\nx: " + b"a" * (1 << 20)
    yield "half a request", b"GET /metr"
    large = b"POST /metrics HTTP/1.1\r\nContent-Length: 1099511627776\r\n\r\n"
    yield "a body of 1 TiB announced", large


def attack(port, data):
    """Sends `data` and reads until the daemon hangs up, a quarter of a second at the most."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as stream:
        stream.settimeout(0.25)
        try:
            stream.sendall(data)
            while stream.recv(65536):
                pass
        except (TimeoutError, ConnectionError):
            pass


def every_port(report, short):
    """All attacks on all ports of all sites; the host sees nothing of it."""
    rounds = 1 if short else 4
    with Trio(Layout(volumes={"db0": "32MiB"})) as trio:
        trio.start()
        writer = Writer([trio.uri("a", "db0")], (0, 16 * MIB))
        writer.start()
        time.sleep(1)
        calm = speed(writer, 1.0)
        memory = {site: trio.rss(site)[0] for site in SITES}
        started, at, count = time.monotonic(), writer.answers, 0
        idle = []
        for turn in range(rounds):
            noise = random.Random(turn)
            for site in SITES:
                ports = trio.ports[site]
                for port, attacks in [
                    (ports["address"], replication_attacks),
                    (ports["nbd"], nbd_attacks),
                    (ports["metrics"], metrics_attacks),
                ]:
                    for _, data in attacks(noise):
                        attack(port, data)
                        count += 1
                    if turn == 0:
                        each = [socket.create_connection(("127.0.0.1", port)) for _ in range(IDLE)]
                        idle += each
        attacked = (writer.answers - at) / (time.monotonic() - started)
        dead = [site for site in SITES if not trio.alive(site)]
        report.claim(not dead, "bad frames: every daemon lives", f"{count} attacks, dead: {dead}")
        report.claim(
            not writer.errors and writer.connections == 1 and attacked > calm / 4,
            "bad frames: the host at work sees no error",
            f"{calm:.0f} writes/s before, {attacked:.0f} under attack, {len(writer.errors)} errors",
        )
        legs = trio.status("a")["legs"]
        report.claim(
            all(leg["state"] == "paired" for leg in legs.values()),
            "bad frames: both legs stay paired",
            ", ".join(f"{name} {leg['state']}" for name, leg in legs.items()),
        )
        grown = {site: trio.rss(site)[0] - memory[site] for site in SITES}
        report.claim(
            max(grown.values()) < 160 * MIB,
            "bad frames: memory stays bounded",
            ", ".join(f"{site} +{mib(each)}" for site, each in grown.items())
            + f", {len(idle)} idle connections",
        )
        for site in SITES:
            report.claim(
                "trefoil_" in trio.metrics(site), f"bad frames: {site.upper()} still tells metrics"
            )
        for each in idle:
            each.close()
        writer.stop()
        trio.quiet("a", "b", "c")
        wrong = [problem for site in SITES for problem in writer.lost(trio.uri(site, "db0"))]
        report.claim(not wrong, "bad frames: nothing is lost", "; ".join(wrong[:3]))
        panics = [site for site in SITES if "panicked" in trio.log(site)]
        report.claim(not panics, "bad frames: nothing panicked", ", ".join(panics))
        trio.stop(*SITES)


def speed(writer, seconds):
    """Answered writes a second, over some seconds."""
    at = writer.answers
    time.sleep(seconds)
    return (writer.answers - at) / seconds
