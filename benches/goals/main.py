"""The goals that are no comparison with peers: one small measure each, one line of figures each.

usage: main.py [WORD...]: the measures whose names contain a word; all of them without.

Environment: TREFOIL, the program; FULL=1 for the sizes of the goals (a journal of 4 GiB, ten minutes of
flood, 10,000 volumes) instead of small ones. Works with real processes, as scripts/e2e does.
"""

import statistics
import subprocess
import sys
import threading
import time

# First: it says where the others are.
from common import FULL, MIB, Measured, job, layout, line
import jobs
import nbd
import systems
from layout import Layout
from latency import durable_latency, packing_many, packing_one
from resync import delta_amounts, delta_journals, delta_or_copy, delta_volumes, resync
from trio import Trio


def third_site():
    """Host writes with C attached and streaming, against the same without C; and with C away."""
    seconds, rounds = (5, 3) if FULL else (2, 3)
    with Trio(layout(256)) as pair, Trio(layout(256)) as three:
        pair.run("a", "b")
        pair.until_serving("a")
        pair.until_paired("a", "b")
        three.start()
        two = Measured(pair, "ab", 256 * MIB)
        all3 = Measured(three, "abc", 256 * MIB)
        found = {"without": [], "with": []}
        for _ in range(rounds):
            found["without"].append(jobs.run(job("w4k-q16"), two, seconds))
            found["with"].append(jobs.run(job("w4k-q16"), all3, seconds))
        rate = {k: statistics.median(s["iops"] for s in v) for k, v in found.items()}
        spent = {k: statistics.median(s["cpu"] for s in v) for k, v in found.items()}
        sites = zip("abc", zip(*(s["cpu_each"] for s in found["with"])))
        each = ", ".join(f"{site} {statistics.median(s):.4f}" for site, s in sites)
        ratio = rate["with"] / rate["without"]
        figures = (
            f"{rate['with']:.0f}/s with C, {rate['without']:.0f}/s without: {ratio:.2f} (goal 0.7); "
            f"CPU for 1,000 writes {spent['with']:.4f} s ({each}), without {spent['without']:.4f} s"
        )
        line("third site", figures, ratio >= 0.7)
        away(three, all3, 60 if FULL else 5)


def away(trio, system, pause):
    """C is killed for a while under load, and comes back."""
    system.sites = "ab"
    before = jobs.run(job("w4k-q1"), system, 2)["p99"]
    trio.kill("c")
    during = jobs.run(job("w4k-q1"), system, pause)["p99"]
    trio.run("c")
    back = time.monotonic()
    after = jobs.run(job("w4k-q1"), system, 2)["p99"]
    trio.until_paired("a", "c")
    number = trio.wait("a")
    trio.wait("c", number)
    caught = time.monotonic() - back
    worst = max(during, after) / before
    figures = (
        f"p99 of the host {before:.0f} µs with C, {during:.0f} µs without, {after:.0f} µs while it "
        f"catches up ({worst:.2f} ×, goal 1.2); away {pause} s, level {caught:.1f} s after its start"
    )
    line("third site comes back", figures, worst <= 1.2 and caught <= 2 * pause)


def lag():
    """How far C is behind while it is loaded, and how soon it is level after."""
    seconds = 20 if FULL else 5
    with Trio(layout(256)) as trio:
        trio.start()
        system = Measured(trio, "abc", 256 * MIB)
        most, stop = [0.0], threading.Event()

        def look():
            while not stop.wait(0.3):
                for text in trio.metrics("a").splitlines():
                    if text.startswith("trefoil_replication_lag_seconds") and 'peer="c"' in text:
                        most[0] = max(most[0], float(text.rsplit(" ", 1)[1]))

        watch = threading.Thread(target=look)
        watch.start()
        rate = jobs.run(job("w4k-q16"), system, seconds)["iops"]
        stop.set()
        watch.join()
        begun = time.monotonic()
        trio.wait("c", trio.wait("a"))
        level = time.monotonic() - begun
        figures = f"C at most {most[0]:.2f} s behind at {rate:.0f} writes/s, level {level:.2f} s after"
        line("lag", figures, most[0] <= 1.0)


def takeover():
    """From the verb to the first answered host write: many volumes, and an overlay that is full."""
    count, times, verbs, held, created = 1000 if FULL else 300, [], [], [], []
    for _ in range(10 if FULL else 3):
        volumes = {"disk": "256MiB"} | {f"v{n}": "4MiB" for n in range(count - 1)}
        with Trio(Layout(volumes=volumes, journal={site: "1GiB" for site in "abc"})) as trio:
            begun = time.monotonic()
            trio.run("a", "b", "c")
            trio.until_serving("a", patience=120)
            created.append(time.monotonic() - begun)
            trio.until_paired("a", "b", "c", patience=120)
            trio.quiet("a", "b", "c")
            held.append(fill_overlay(trio, "b"))
            trio.kill("a")
            total, verb = first_write(trio, "b", "v7")
            times.append(total)
            verbs.append(verb)
    shown = ", ".join(f"{t:.0f}" for t in sorted(times))
    figures = (
        f"{count} volumes, {min(held) / MIB:.0f} MiB or more in the overlay: {shown} ms (goal 100), "
        f"the verb's process in it, which ended after {statistics.median(verbs):.0f} ms; sites with "
        f"such volumes are new, start and serve within {statistics.median(created):.1f} s"
    )
    line("takeover", figures, max(times) <= 100)


def fill_overlay(trio, site):
    """Host writes that `site` journals and cannot restore; bytes in its overlay then.

    A volume is added for which it finds a file of another size: until that is moved away, which is
    looked for once a second, it journals and restores nothing.
    """
    (strange,) = (trio.dir / site).glob("**/orders.disk.img")
    strange = strange.with_name("orders.more.img")
    strange.write_bytes(b"x" * 512)
    done = trio.trefoil("volume", "add", "more", "--size", "1MiB", "--group", "orders")
    if done.returncode != 0:
        raise RuntimeError(f"volume add: {done.stderr}")
    # As much as a follower takes into an overlay of 256 MiB.
    words = ("--name=fill", "--rw=randwrite", "--bs=4k", "--iodepth=64", "--io_size=200M")
    fio = ["fio", "--ioengine=nbd", f"--uri={trio.uri('a', 'disk')}", "--size=240M", *words]
    subprocess.run(fio, check=True, capture_output=True, timeout=120)
    held = trio.status(site)["overlay_bytes"]
    strange.unlink()
    return held


def first_write(trio, site, volume):
    """Milliseconds from the start of the verb to the first answered write, and to the verb's end."""
    host = nbd.NBD()
    host.connect_uri(trio.uri(site, volume))
    ended, begun = [], time.monotonic()

    def operator():
        trio.takeover(site, "--primary-is-fenced")
        ended.append((time.monotonic() - begun) * 1000)

    verb = threading.Thread(target=operator, daemon=True)
    verb.start()
    while True:
        try:
            host.pwrite(b"x" * 4096, 0)
            break
        except nbd.Error:
            # A refusal may end the connection; the next one is to the leading site.
            time.sleep(0.002)
            host = nbd.NBD()
            host.connect_uri(trio.uri(site, volume))
    total = (time.monotonic() - begun) * 1000
    verb.join()
    return total, ended[0]


def restart():
    """Start of a site after a kill and after a clean stop, with a large journal."""
    gib = 4 if FULL else 1
    shape = layout(512, journal=f"{gib * 2}GiB")
    with Trio(shape) as trio:
        trio.start()
        # C is away: the journals keep everything for it.
        trio.kill("c")
        system = Measured(trio, "ab", 512 * MIB)
        while trio.status("a")["journal_used_bytes"] < gib << 30:
            jobs.run(job("sw1m-q16"), system, 5)
        used = trio.status("a")["journal_used_bytes"]
        for how, end in (("killed", trio.kill), ("stopped", trio.stop)):
            end("b")
            begun = time.monotonic()
            trio.run("b")
            while trio.status("b") is None:
                time.sleep(0.02)
            took = time.monotonic() - begun
            figures = f"{how}: {used / 2**30:.2f} GiB, {took:.2f} s, {used / took / 1e9:.2f} GB/s"
            met = used / took >= 1e9 if how == "killed" else None
            line("restart of a journal", f"{figures} (goal 4 GiB in 4 s)", met)


def scale():
    """Idle volumes in one site, in groups of a thousand: start, memory, CPU; and idle groups."""
    for count in (1, 10, 100, 1000) + ((10000,) if FULL else ()):
        names = [f"v{n}" for n in range(count)]
        first, rest = names[:1000], [names[at : at + 1000] for at in range(1000, count, 1000)]
        more = "".join(group(f"g{n}", volumes) for n, volumes in enumerate(rest))
        journals = {site: "64MiB" for site in "abc"}
        shape = Layout(volumes=dict.fromkeys(first, "1MiB"), journal=journals, more=more)
        idle("volumes", count, shape)
    for count in (1, 10, 100) + ((1000,) if FULL else ()):
        more = "".join(group(f"g{n}", ["v"]) for n in range(count - 1))
        journals = {s: "8MiB" for s in "abc"}
        shape = Layout(volumes={"disk": "1MiB"}, journal=journals, backend="memory", more=more)
        idle("groups", count, shape)


def group(name, volumes):
    """Configuration of one more group."""
    return f"[group.{name}]\nprimary = \"a\"\nsync = \"b\"\nasync = \"c\"\n" + "".join(
        f"[group.{name}.volume.{volume}]\nsize = \"1MiB\"\n" for volume in volumes
    )


def idle(what, count, shape):
    """Sites a and b, doing nothing."""
    with Trio(shape) as trio:
        begun = time.monotonic()
        trio.run("a", "b")
        trio.until_serving("a", patience=300)
        start = time.monotonic() - begun
        time.sleep(3)
        before, since = systems.cpu(trio.running["a"].pid), time.monotonic()
        time.sleep(5)
        share = (systems.cpu(trio.running["a"].pid) - before) / (time.monotonic() - since) * 100
        rss = trio.rss("a")[0]
        base = idle.base.setdefault(what, rss)
        each = (rss - base) / max(1, count - 1) / 1024
        figures = (
            f"{count} {what}: served after {start:.1f} s, RSS {rss / MIB:.1f} MiB"
            f"{f' ({each:.0f} KiB each)' if count > 1 else ''}, idle CPU {share:.1f} %"
        )
        met = (each <= 64 and share <= 2 and start <= 5) if count == 10000 else None
        line("scale", figures, met)


idle.base = {}


def flood():
    """Memory under a flood that C cannot follow."""
    seconds = 600 if FULL else 20
    budget = (16 + 64 + 32 + 2 * 32) * MIB
    with Trio(layout(512, journal="2GiB")) as trio:
        trio.start()
        system, most, stop = Measured(trio, "abc", 512 * MIB), [0], threading.Event()

        def look():
            while not stop.wait(0.2):
                most[0] = max(most[0], trio.rss("a")[0])

        watch = threading.Thread(target=look)
        watch.start()
        rate = jobs.run(job("w4k-q64"), system, seconds)["iops"]
        stop.set()
        watch.join()
        figures = (
            f"{seconds} s at {rate:.0f} writes/s: RSS of A at most {most[0] / MIB:.0f} MiB, budgets "
            f"{budget / MIB:.0f} MiB"
        )
        line("memory under flood", figures, most[0] <= budget + 64 * MIB)


MEASURES = (
    third_site,
    lag,
    resync,
    delta_amounts,
    delta_volumes,
    delta_journals,
    delta_or_copy,
    durable_latency,
    packing_one,
    packing_many,
    takeover,
    restart,
    scale,
    flood,
)


def main():
    found = {word: {m for m in MEASURES if word in m.__name__} for word in sys.argv[1:]}
    for word, measures in found.items():
        if not measures:
            names = ", ".join(measure.__name__ for measure in MEASURES)
            sys.exit(f"no goal is called {word}; there are: {names}")
    wanted = set().union(*found.values()) or MEASURES
    for measure in MEASURES:
        if measure in wanted:
            try:
                measure()
            except Exception as error:  # noqa: BLE001: the other measures are still wanted
                line(measure.__name__, f"failed: {error!r}"[:600])


main()
