"""Strangers at the QUIC port: garbage datagrams, forged beginnings, half-open handshakes."""

import random
import socket
import time

import quic
from claims import mib
from layout import SITES, Layout
from strangers import DESCRIPTORS_MAX, Besieged
from trio import Trio

MIB = 1 << 20
#: Datagrams without sense, in a short run and in a long one.
GARBAGE = (5_000, 40_000)
#: Handshakes that are begun and left, for each kind of stranger.
HALF_OPEN = (1_000, 10_000)
#: What the port may make the daemon hold beyond what it held before: 64 handshakes under way, and for
#: some round trips those that were closed to make room; and what the last of a crowd may add, once
#: there were enough of them to have come that far.
GROWTH_MAX, AGAIN_MAX = 128 * MIB, 16 * MIB
#: At most so many sockets of our own are open at once.
AT_ONCE = 200


def garbage(port, count, look):
    """Noise of every length, with first bytes that look like packets of every kind."""
    noise = random.Random(port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        for number in range(count):
            length = noise.choice([0, 1, 21, 200, 1199, 1200, 1452, 4000, 20_000])
            data = bytearray(noise.randbytes(length))
            if length > 6 and number % 2:
                data[0] = noise.choice([0xC0, 0xC3, 0xD0, 0xE0, 0xF0, 0x40, 0x00])
                data[1:5] = noise.choice([b"\0\0\0\1", b"\0\0\0\0", b"\xff\0\0\x1d"])
                data[5] = noise.choice([0, 8, 20, 21, 255])
            send(sender, bytes(data))
            if number % 500 == 0:
                look()
    return count


def damaged(port, count, look):
    """Beginnings that are well formed up to one wrong byte, or hold no greeting."""
    noise = random.Random(port + 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        for number in range(count):
            hello = [None, b"", noise.randbytes(300), quic.client_hello(b"")[:90]][number % 4]
            data = bytearray(quic.initial(hello=hello))
            if hello is None:
                data[noise.randrange(len(data))] ^= 1 << noise.randrange(8)
            send(sender, bytes(data))
            if number % 250 == 0:
                look()
    return count


def half_open(port, count, look, prove):
    """Begins handshakes and leaves them; with `prove`, addresses are proved when asked for. How
    many the site answered with a handshake of its own, and how many it asked for a proof."""
    answered = asked = 0
    crowd = []
    try:
        for number in range(count):
            stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            stranger.settimeout(0.2)
            stranger.connect(("127.0.0.1", port))
            send(stranger, quic.initial())
            first = receive(stranger)
            proof = quic.retry(first)
            if proof is not None:
                asked += 1
                if prove:
                    server, token = proof
                    send(stranger, quic.initial(token, server))
                    first = receive(stranger)
            answered += quic.is_handshake_begun(first)
            crowd.append(stranger)
            if len(crowd) > AT_ONCE:
                crowd.pop(0).close()
            if number % 100 == 0:
                look()
        time.sleep(1)
        look()
        return answered, asked
    finally:
        for stranger in crowd:
            stranger.close()


def send(sender, data):
    """Sends a datagram; that the port was unreachable a moment ago is not this one's matter."""
    try:
        sender.send(data)
    except ConnectionRefusedError:
        pass


def receive(stranger):
    """The next datagram; empty if none comes."""
    try:
        return stranger.recv(65536)
    except (TimeoutError, ConnectionRefusedError):
        return b""


def at_the_port(report, short):
    """All of it at site a, while a host writes there and both legs go over QUIC."""
    with Trio(Layout(volumes={"db0": "32MiB"}, transport="quic")) as trio:
        trio.start()
        port = trio.ports["a"]["address"]
        siege = Besieged(report, trio, "quic")
        look = siege.look
        size = 0 if short else 1
        sent = garbage(port, GARBAGE[size], look) + damaged(port, HALF_OPEN[size], look)
        forged, retried = half_open(port, HALF_OPEN[size], look, prove=False)
        before = half_open(port, HALF_OPEN[size] // 2, look, prove=True)
        reached = siege.grown
        after = half_open(port, HALF_OPEN[size] // 2, look, prove=True)
        proved, asked = before[0] + after[0], before[1] + after[1]
        attacked = siege.speed()
        again = siege.grown - reached
        siege.claim(
            siege.grown < GROWTH_MAX and (short or again < AGAIN_MAX) and siege.opened < DESCRIPTORS_MAX,
            "memory and descriptors stay bounded",
            f"{sent} datagrams of garbage, {2 * HALF_OPEN[size]} half-open, +{mib(siege.grown)}, "
            f"the last {HALF_OPEN[size] // 2} of them +{mib(again)}, "
            f"+{siege.opened} descriptors at the worst",
        )
        siege.claim(
            retried > HALF_OPEN[size] // 2 and forged + retried > 0.99 * HALF_OPEN[size] and proved > 0,
            "under load an address is asked to prove itself before it costs",
            f"{forged} answered and {retried} asked of those who prove nothing, {proved} answered "
            f"and {asked} asked of the others",
        )
        siege.host_sees_no_error(attacked)
        siege.no_leg_notices()
        # Who is real gets in while the crowd is there: C is stopped and comes back.
        trio.stop("c")
        half_open(port, 200, look, prove=True)
        trio.run("c")
        trio.until_paired("a", "c")
        siege.claim(True, "a site that comes back is let in meanwhile")
        siege.nothing_is_lost()
        trio.stop(*SITES)
