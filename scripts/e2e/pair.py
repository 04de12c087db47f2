"""Two volumes with one order: every image of the pair is a prefix of what the host did."""

import struct
import threading
import time

import nbd

from claims import ClaimFailed, until
from layout import Layout
from trio import Trio
from writer import BLOCK, connect

VOLUMES = ("one", "two")
#: Blocks of each volume in which the counter goes round: the newest `SLOTS` values are to be seen.
SLOTS = 1024
COUNT = struct.Struct("<Q")


class Alternating(threading.Thread):
    """Writes k to `one`, waits for the answer, writes k to `two`, waits, and so on.

    A write in doubt is repeated with the same content, as a journaling host would.
    """

    def __init__(self, trio, sites):
        super().__init__(name="alternating", daemon=True)
        self.trio, self.sites = trio, sites
        self.counter = 0
        self.crashed = None
        self.connections = 0
        self._stopping = threading.Event()

    def run(self):
        """Connects to whoever takes writes, and goes on where it was."""
        try:
            turn = 0
            while not self._stopping.is_set():
                handles = self._open(self.sites[turn % len(self.sites)])
                turn += 1
                if handles is None:
                    time.sleep(0.02)
                    continue
                self.connections += 1
                self._drive(handles)
        except BaseException as error:  # a broken writer must not look like a happy one
            self.crashed = error

    def stop(self):
        """Ends after the pair under way."""
        self._stopping.set()
        self.join(60)
        if self.is_alive() or self.crashed:
            raise AssertionError(f"the alternating writer does not end: {self.crashed}")

    def _open(self, site):
        try:
            handles = [connect(self.trio.uri(site, volume)) for volume in VOLUMES]
        except nbd.Error:
            return None
        return None if any(handle.is_read_only() for handle in handles) else handles

    def _drive(self, handles):
        try:
            while not self._stopping.is_set():
                value = self.counter + 1
                block = COUNT.pack(value) * (BLOCK // COUNT.size)
                for handle in handles:
                    handle.pwrite(block, value % SLOTS * BLOCK)
                self.counter = value
        except nbd.Error:
            pass


def read_counters(path):
    """The newest counter of an image; fails where an older one is missing."""
    with open(path, "rb") as image:
        data = image.read(SLOTS * BLOCK)
    found = []
    for slot in range(SLOTS):
        block = data[slot * BLOCK : (slot + 1) * BLOCK]
        value = COUNT.unpack_from(block)[0]
        if block != COUNT.pack(value) * (BLOCK // COUNT.size):
            raise ClaimFailed(f"{path}: the block of slot {slot} is torn")
        found.append(value)
    newest = max(found)
    for slot, value in enumerate(found):
        wanted = newest - (newest - slot) % SLOTS
        if value != max(wanted, 0):
            raise ClaimFailed(f"{path}: newest is {newest}, but slot {slot} holds {value}")
    return newest


def read_pair(directory):
    """The counters of an exported pair; fails unless it is a state that the host went through."""
    one, two = (read_counters(directory / f"{volume}.img") for volume in VOLUMES)
    if one - two not in (0, 1):
        raise ClaimFailed(f"{directory}: one is at {one}, two at {two}: no state of the host")
    return one, two


def every_export_is_a_prefix(report, short):
    """Exports at C during load, across the takeover, and as of numbers in between."""
    exports = 4 if short else 12
    layout = Layout(
        volumes={volume: "16MiB" for volume in VOLUMES}, links={"ac": ['delay = "100ms"']}
    )
    with Trio(layout) as trio:
        trio.start()
        writer = Alternating(trio, ("a", "b"))
        writer.start()
        until("the host writes", lambda: writer.counter > 200)
        seen = [exported(trio, f"load-{index}") for index in range(exports)]
        # What C restores gathers for a while: a handful of exports can be of one state.
        until(
            "an export is newer",
            lambda: seen.append(exported(trio, f"load-{len(seen)}")) or seen[-1] > seen[0],
        )
        report.claim(
            seen == sorted(seen) and seen[-1] > seen[0],
            "two volumes: every export at C under load is a prefix state of the pair",
            f"{len(seen)} exports, counters {seen[0]} to {seen[-1]}",
        )
        asked = exported_between(trio, exports)
        if asked:
            report.claim(
                True,
                "two volumes: an export as of an update between restored and received is one, too",
                f"{len(asked)} exports, as of update {asked[0]} to {asked[-1]}",
            )
        else:
            report.skip("two volumes: an export ahead of restored", "C restored too fast to ask")
        trio.kill("a")
        before = writer.counter
        trio.takeover("b", "--primary-is-fenced")
        across = [exported(trio, f"across-{index}") for index in range(exports)]
        until("the host goes on at b", lambda: writer.counter > before + 200)
        across.append(exported(trio, "after"))
        writer.stop()
        number = trio.quiet("b", "c")
        last = exported(trio, "last", number)
        report.claim(
            last == (writer.counter, writer.counter),
            "two volumes: every export at C after the takeover is one, the last has everything",
            f"{len(across) + 1} exports, host at {writer.counter}, image at {last[0]}",
        )
        trio.stop("b", "c")


def exported(trio, name, update=None):
    """Exports at C and reads the pair."""
    trio.export("c", name, update)
    return read_pair(trio.dir / name)


def exported_between(trio, wanted):
    """Exports as of updates that C has received and not restored; their numbers.

    The gap is some milliseconds wide, so the number is aimed at where C will be by then; most shots
    miss, and are refused in words.
    """
    hits = []
    for shot in range(120):
        status = trio.status("c")
        number = status["newest"]["number"] + shot % 40 * 10
        name = f"between-{shot}"
        words = ("export", "--at", "c", "--update", str(number), str(trio.dir / name))
        done = trio.trefoil(*words)
        if done.returncode == 0:
            read_pair(trio.dir / name)
            hits.append(number)
        elif "restored" not in done.stderr and "received" not in done.stderr:
            raise ClaimFailed(f"export --update {number}: {done.returncode}: {done.stderr}")
        if len(hits) == wanted:
            break
    return sorted(hits)
