"""What a site that lacks something is sent, and how long that takes."""

import http.client
import json
import re
import shutil
import socket
import statistics
import subprocess
import threading
import time
from datetime import datetime

from common import FULL, MIB, Measured, job, layout, line, totals

import jobs
from claims import until
from trio import GROUP, Trio

#: The link between B and C, in MiB a second.
RATE = 100
#: Between two looks at C's journal, in seconds.
LOOK = 0.002


def resync():
    """What a site that was away is sent, against what it lacks and against a full copy."""
    for size in (256, 2048) if not FULL else (10240, 1048576):
        with Trio(layout(size)) as trio:
            trio.start()
            system = Measured(trio, "ab", 64 * MIB)
            trio.quiet("a", "b", "c")
            trio.kill("c")
            before = totals(trio)
            wrote = jobs.run(job("w4k-q16"), system, 2)
            missing = totals(trio)["appended_bytes"] - before["appended_bytes"]
            shipped = totals(trio)
            begun = time.monotonic()
            trio.run("c")
            trio.until_paired("a", "c")
            trio.wait("c", trio.wait("a"))
            delta = time.monotonic() - begun
            moved = sent(totals(trio), shipped)
            figures = (
                f"volume of {size} MiB: {missing / MIB:.1f} MiB missing, {moved / MIB:.1f} MiB moved "
                f"({moved / max(1, missing):.3f} ×, goal 1.02), {delta:.2f} s from the start of C's "
                f"process ({wrote['iops']:.0f} writes/s were made)"
            )
            line("delta resync", figures, moved <= 1.02 * missing + 4096)
            if size > 4096:
                continue
            trio.kill("c")
            shutil.rmtree(trio.dir / "c")
            before, begun = totals(trio), time.monotonic()
            trio.run("c")
            trio.until_paired("a", "c")
            trio.wait("c", trio.wait("a"))
            moved = sent(totals(trio), before)
            line("full copy", f"the same: {moved / MIB:.1f} MiB moved, {time.monotonic() - begun:.2f} s")


def sent(now, then):
    """Bytes that a site moved to others between two looks at its totals."""
    return sum(now[k] - then[k] for k in ("shipped_bytes", "copied_bytes"))


def delta_amounts():
    """A is lost, B leads, C lacks so much: the time is that of the link, and a constant."""
    found = [over_link(lacks) for lacks in (0, 8, 32) for _ in range(3)]
    tell_constant("delta after a takeover", found)
    rate, constant = fitted(found)
    line("delta after a takeover", f"fitted: {rate:.1f} MiB/s and {constant * 1000:.1f} ms")


def delta_volumes():
    """The same 8 MiB, however large the volume is."""
    for size in (256, 10240, 1048576):
        found = [over_link(8, size=size) for _ in range(3)]
        tell_constant(f"delta after a takeover, volume of {size} MiB", found)


def delta_journals():
    """The same 8 MiB, however much the journals hold."""
    for held in (0, 1536):
        found = [over_link(8, size=2048, held=held) for _ in range(3)]
        tell_constant(f"delta after a takeover, {found[0].journal / MIB:.0f} MiB in B's journal", found)


def delta_or_copy():
    """What a full copy of a volume of 256 MiB takes by the same link, against 8 MiB that lack."""
    delta = statistics.median(over_link(8).level for _ in range(3))
    whole = full_copy(256)
    figures = f"8 MiB {delta * 1000:.0f} ms, all of 256 MiB {whole:.2f} s: {whole / delta:.0f} ×"
    line("delta against full copy", figures)


def tell_constant(name, found):
    """One line: each run, and the worst that is left when the link's own time is taken off."""
    runs = ", ".join(f"{one.bytes / MIB:.1f} MiB {one.level * 1000:.0f} ms" for one in found)
    over = [one.over * 1000 for one in found]
    plans = "/".join(sorted({one.plan for one in found}))
    figures = (
        f"{runs}; beyond the time of the link of {RATE} MiB/s {statistics.median(over):.1f} ms "
        f"(at most {max(over):.1f}, goal 50); durable at C "
        f"{statistics.median(one.durable - one.level for one in found) * 1000:.0f} ms later; B judged "
        f"C {statistics.median(one.asked for one in found) * 1000:.0f} ms after it was asked to lead "
        f"({plans})"
    )
    line(name, figures, statistics.median(over) <= 50)


def fitted(found):
    """MiB a second and seconds of the line through the runs, by least squares."""
    slope, constant = statistics.linear_regression(
        [one.bytes / MIB for one in found], [one.level for one in found]
    )
    return 1 / slope, constant


class Delta:
    """One resync after a takeover, as it was seen; times in seconds."""

    def __init__(self, trio, seen, last, journal):
        asked = told(trio, "b", "takeover asked for", 0)[0]
        judged = told(trio, "b", "judged site=b follower=c", asked)
        # The newest plan is the one by which C is served.
        self.begun, self.asked = judged[-1], judged[-1] - asked
        self.level = next(at for at, journal in seen if journal["newest"] >= last) - self.begun
        self.durable = next(at for at, journal in seen if journal["durable"] >= last) - self.begun
        follows = trio.status("c")["follows"]
        self.bytes, self.plan = follows["fetched"]["delta_bytes"], follows["plan"]["kind"]
        self.over = self.level - self.bytes / MIB / RATE
        self.journal = journal


def over_link(lacks, size=256, held=0):
    """A is lost while C lacks `lacks` MiB, B leads and brings it that by a link of `RATE`.

    Begins when B judges C and ends when C's journal has what B's has: C is asked for that every two
    milliseconds. `held` MiB were written before, and are still in the journals.
    """
    with Trio(layout(size, "2GiB", links={"bc": [f'rate = "{RATE}MiB/s"']})) as trio:
        trio.start()
        for bs, amount in (("1m", held), ("4k", lacks)):
            if bs == "4k":
                trio.quiet("a", "b", "c")
                trio.answer("pair", "suspend", "--site", "a", "--to", "c")
            write(trio, bs, amount)
        trio.quiet("a", "b")
        journal = trio.status("b")["journal_used_bytes"]
        trio.kill("a")
        with Watch(trio.dir / "c.sock") as watch:
            certificate = trio.takeover("b", "--primary-is-fenced")["certificate"]
            # B's reign begins with a record of its own.
            last = certificate["newest"]["number"] + 1
            watch.until(lambda now: now["durable"] >= last)
        trio.until_paired("b", "c")
        return Delta(trio, watch.seen, last, journal)


def full_copy(size):
    """Seconds in which B brings C, which has nothing, a volume of `size` MiB that is all written."""
    with Trio(layout(size, "2GiB", links={"bc": [f'rate = "{RATE}MiB/s"']})) as trio:
        trio.start()
        write(trio, "1m", size)
        trio.quiet("a", "b", "c")
        trio.kill("a")
        trio.takeover("b", "--primary-is-fenced")
        trio.until_paired("b", "c")
        trio.kill("c")
        shutil.rmtree(trio.dir / "c")
        since = time.time()
        trio.run("c")
        ended = until("the copy is complete", lambda: told(trio, "c", "copy is complete", since))
        return ended[0] - told(trio, "b", "judged site=b follower=c", since)[-1]


def told(trio, site, words, since):
    """When a site logged something with these words, since then."""
    return [at for at, said in stamped(trio.log(site)) if words in said and at >= since]


def write(trio, bs, amount):
    """`amount` MiB of host writes at A: small ones at random places, large ones in order."""
    if not amount:
        return
    how, region = ("randwrite", 64) if bs == "4k" else ("write", amount)
    fio = ["fio", "--name=w", "--ioengine=nbd", f"--uri={trio.uri('a', 'disk')}", f"--bs={bs}"]
    fio += [f"--rw={how}", "--iodepth=16", f"--size={region}m", f"--io_size={amount}m"]
    subprocess.run(fio, check=True, capture_output=True, timeout=120)


def stamped(log):
    """The lines of a log: seconds since 1970, and the rest."""
    lines = (re.match(r"(\d{4}-\S+Z)\s+(.*)", text) for text in log.splitlines())
    return [(datetime.fromisoformat(one[1]).timestamp(), one[2]) for one in lines if one]


class Watch:
    """Looks at a site's journal all the time: status is too seldom renewed to tell milliseconds."""

    def __init__(self, control):
        self.control, self.seen, self.ended = control, [], threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def look(self):
        """Until it is ended."""
        link = http.client.HTTPConnection("localhost")
        link.sock = socket.socket(socket.AF_UNIX)
        link.sock.connect(str(self.control))
        while not self.ended.wait(LOOK):
            link.request("GET", f"/v1/groups/{GROUP}/journal?limit=0")
            said = json.loads(link.getresponse().read())
            marks = {"newest": said["newest"]["number"], "durable": said["marks"]["durable"]}
            self.seen.append((time.time(), marks))

    def until(self, holds, patience=60):
        """Waits until what was seen last is as wanted."""
        end = time.monotonic() + patience
        while not (self.seen and holds(self.seen[-1][1])):
            if time.monotonic() > end:
                raise RuntimeError(f"C does not get it: {self.seen[-1:]}")
            time.sleep(0.01)
