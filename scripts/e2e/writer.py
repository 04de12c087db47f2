"""A host that checks itself: writes many blocks at a time and knows what each may hold.

A write that was answered must be there afterwards. A write whose connection broke, or that was
answered with an error, is *in doubt*: it may have happened or not. Every block names the write that
it came from, so a reader can tell which of them it sees, and whether it sees it whole.
"""

import random
import struct
import threading
import time

import nbd

BLOCK = 4096
HEAD = struct.Struct("<8sQQ")
MAGIC = b"TRFWRITE"
#: How long a host waits before it tries the next address.
RETRY = 0.02


def payload(stamp, block):
    """The bytes of write number `stamp` to block `block`."""
    body = random.Random((stamp << 24) ^ block).randbytes(BLOCK - HEAD.size)
    return HEAD.pack(MAGIC, stamp, block) + body


def connect(uri):
    """A connection of an NBD client that has been told nothing but the address."""
    handle = nbd.NBD()
    handle.connect_uri(uri)
    return handle


class Writer(threading.Thread):
    """Writes to `region` (offset, length) of an export until it is stopped.

    `uris` are the addresses where the volume may be found; read-only ones are passed over, as a
    host's multipath layer would.
    """

    def __init__(self, uris, region, depth=16, seed=1, flush_every=200):
        super().__init__(name="writer", daemon=True)
        self.uris = uris
        self.offset, length = region
        self.blocks = length // BLOCK
        self.depth = depth
        self.flush_every = flush_every
        self.random = random.Random(seed)
        self.stamp = seed << 32
        #: Block -> the stamp of the newest answered write.
        self.answered = {}
        #: Block -> stamps that may have happened since.
        self.doubts = {}
        self.answers = 0
        self.in_doubt = 0
        self.errors = []
        self.connections = 0
        self.longest_gap = 0.0
        self._last_answer = None
        self._stopping = threading.Event()
        self.crashed = None

    def run(self):
        """Connects, writes, and connects again when the connection is lost."""
        try:
            turn = 0
            while not self._stopping.is_set():
                uri = self.uris[turn % len(self.uris)]
                turn += 1
                handle = self._open(uri)
                if handle is None:
                    time.sleep(RETRY)
                    continue
                self.connections += 1
                self._drive(handle)
        except BaseException as error:  # a broken writer must not look like a happy one
            self.crashed = error

    def stop(self):
        """Waits for what is in flight, and ends."""
        self._stopping.set()
        self.join(60)
        if self.is_alive():
            raise AssertionError("the writer does not end: a request is never answered")
        if self.crashed is not None:
            raise self.crashed

    def stop_in_doubt(self):
        """Ends where nobody answers any more: what is in flight is in doubt."""
        self._stopping.set()
        self.join(20)
        if self.is_alive():
            raise AssertionError("the writer does not see that its connection is gone")

    def answer_count(self):
        """Answered writes so far."""
        if self.crashed is not None:
            raise self.crashed
        return self.answers

    def silence(self):
        """The longest time without an answer, the one that lasts now included, in seconds."""
        if self._last_answer is None:
            return 0.0
        return max(self.longest_gap, time.monotonic() - self._last_answer)

    def _open(self, uri):
        try:
            handle = connect(uri)
            if handle.is_read_only():
                handle.shutdown()
                return None
        except nbd.Error:
            return None
        return handle

    def _drive(self, handle):
        """Keeps `depth` requests in flight until the connection fails or the writer is stopped."""
        flight = {}
        try:
            while flight or not self._stopping.is_set():
                while len(flight) < self.depth and not self._stopping.is_set():
                    self._send(handle, flight)
                handle.poll(200)
                self._reap(handle, flight)
        except nbd.Error as error:
            self.errors.append(str(error))
        for write, _ in flight.values():
            self._doubt(write)

    def _send(self, handle, flight):
        busy = {write[0] for write, _ in flight.values() if write}
        block = self.random.randrange(self.blocks)
        while block in busy:
            block = (block + 1) % self.blocks
        self.stamp += 1
        if self.stamp % self.flush_every == 0:
            flight[handle.aio_flush()] = (None, None)
        bytes_ = nbd.Buffer.from_bytearray(bytearray(payload(self.stamp, block)))
        # The write is in doubt from before it is sent: sending may fail half way.
        write = (block, self.stamp)
        try:
            cookie = handle.aio_pwrite(bytes_, self.offset + block * BLOCK)
        except nbd.Error:
            self._doubt(write)
            raise
        flight[cookie] = (write, bytes_)

    def _reap(self, handle, flight):
        for cookie in list(flight):
            try:
                done = handle.aio_command_completed(cookie)
            except nbd.Error:
                write, _ = flight.pop(cookie)
                self._doubt(write)
                raise
            if done:
                write, _ = flight.pop(cookie)
                self._answer(write)

    def _answer(self, write):
        if write is None:
            return
        block, stamp = write
        self.answered[block] = stamp
        self.doubts.pop(block, None)
        self.answers += 1
        now = time.monotonic()
        if self._last_answer is not None:
            self.longest_gap = max(self.longest_gap, now - self._last_answer)
        self._last_answer = now

    def _doubt(self, write):
        if write is None:
            return
        block, stamp = write
        self.doubts.setdefault(block, set()).add(stamp)
        self.in_doubt += 1

    def lost(self, uri):
        """Reads everything back; what is not as answered, in words (empty: nothing lost)."""
        handle = connect(uri)
        wrong = []
        step = 256
        for first in range(0, self.blocks, step):
            count = min(step, self.blocks - first)
            data = handle.pread(count * BLOCK, self.offset + first * BLOCK)
            for index in range(count):
                block = first + index
                problem = self._wrong(block, data[index * BLOCK : (index + 1) * BLOCK])
                if problem:
                    wrong.append(f"block {block}: {problem}")
        handle.shutdown()
        return wrong

    def lost_in_file(self, path):
        """The same of an image that was exported."""
        wrong = []
        with open(path, "rb") as image:
            image.seek(self.offset)
            for block in range(self.blocks):
                problem = self._wrong(block, image.read(BLOCK))
                if problem:
                    wrong.append(f"block {block}: {problem}")
        return wrong

    def _wrong(self, block, data):
        answered = self.answered.get(block)
        allowed = self.doubts.get(block, set()) | ({answered} if answered else set())
        if not any(data):
            return None if answered is None else f"zeroes, write {answered} was answered"
        magic, stamp, named = HEAD.unpack_from(data)
        if magic != MAGIC or named != block:
            return "not written by this host"
        if stamp not in allowed:
            return f"holds write {stamp}, answered was {answered}, in doubt {allowed - {answered}}"
        if bytes(data) != payload(stamp, block):
            return f"write {stamp} is torn"
        return None
