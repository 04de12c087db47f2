"""The host is far faster than C: memory stays within the budgets, the host is not held back."""

import signal
import threading
import time

from claims import mib
from layout import SITES, Layout
from tools import flood
from trio import Trio

MIB = 1 << 20
#: Budgets of one group, in MiB: host writes in flight, overlay, tail, what followers may be sent.
WINDOW, OVERLAY, TAIL, CREDIT = 16, 64, 64, 16
#: What a daemon takes besides: code, stacks, allocator, buffers of sockets.
BASE = 96
#: The least part of the earlier speed that the host must keep while C is paused.
KEPT = 0.5


class Watch(threading.Thread):
    """Looks at the memory of the daemons ten times a second."""

    def __init__(self, trio):
        super().__init__(name="watch", daemon=True)
        self.trio = trio
        self.most = {site: 0 for site in SITES}
        self._stopping = threading.Event()

    def run(self):
        """Until it is stopped."""
        while not self._stopping.wait(0.1):
            for site in SITES:
                self.most[site] = max(self.most[site], self.trio.rss(site)[0])

    def stop(self):
        """Ends it."""
        self._stopping.set()
        self.join()


def third_site_is_paused(report, short):
    """C is stopped for a while, in the middle of a flood of host writes."""
    pause = 20 if short else 60
    layout = Layout(
        volumes={"scratch": "512MiB"},
        journal={"a": "24GiB", "b": "24GiB", "c": "24GiB"},
        limits=[
            f'window = "{WINDOW}MiB"',
            f'overlay = "{OVERLAY}MiB"',
            f'tail = "{TAIL}MiB"',
            f'credit = "{CREDIT}MiB"',
        ],
    )
    budget = (WINDOW + OVERLAY + TAIL + 2 * CREDIT + BASE) * MIB
    with Trio(layout) as trio:
        trio.start()
        uri = trio.uri("a", "scratch")
        watch = Watch(trio)
        watch.start()
        _, before, slowest_before = flood(uri, 8, 512 * MIB)
        trio.signal("c", signal.SIGSTOP)
        try:
            written, during, slowest = flood(uri, pause, 512 * MIB)
            status = trio.status("a")
        finally:
            trio.signal("c", signal.SIGCONT)
        used, capacity = status["journal_used_bytes"], status["journal_capacity_bytes"]
        report.claim(
            used < capacity * 0.9,
            "flood: the journal has room for all that C lacks",
            f"{mib(used)} of {mib(capacity)}, C paused for {pause} s, {mib(written)} written",
        )
        report.claim(
            during >= KEPT * before,
            "flood: the host is not held back by C",
            f"{mib(before)}/s before, {mib(during)}/s while C is paused; slowest answer "
            f"{slowest_before:.2f} s before, {slowest:.2f} s while paused",
        )
        started = time.monotonic()
        trio.until_paired("a", "c", patience=300)
        number = trio.wait("c", timeout=300)
        watch.stop()
        report.claim(
            status["newest"]["number"] <= number,
            "flood: C catches up",
            f"{status['newest']['number'] - status['legs']['c']['marks']['received']} updates in "
            f"{time.monotonic() - started:.1f} s, copied "
            f"{trio.status('c')['follows']['fetched']['copied_bytes']} bytes",
        )
        for site in SITES:
            report.claim(
                watch.most[site] <= budget,
                f"flood: memory of {site.upper()} is within its budgets",
                f"most {mib(watch.most[site])} of {mib(budget)}: window {WINDOW}, overlay "
                f"{OVERLAY}, tail {TAIL}, credit 2 x {CREDIT}, base {BASE} MiB",
            )
        documents = [trio.export(site, f"images-{site}") for site in SITES]
        hashes = {document["images"][0]["blake3"] for document in documents}
        report.claim(len(hashes) == 1, "flood: the images are equal", ", ".join(hashes))
        trio.stop(*SITES)
