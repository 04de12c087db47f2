"""What the host waits for, against what it must wait for at least, and against the same without packing."""

import statistics
import subprocess
import tempfile
from pathlib import Path

from common import FULL, HERE, MIB, Measured, job, layout, line

import jobs
from trio import ROOT, Trio

#: Trips and syncs in each round.
COUNT = 4000
#: Between two trips, in µs: the cores sleep for about so long while the disk is waited for.
PAUSE_US = 200


def durable_latency():
    """A durable write at depth 1, against one round trip and one fdatasync; as it is, and polling."""
    for name, timing in (("", []), (", polling", ['busy_poll = "200us"'])):
        durable(f"durable write, depth 1{name}", timing)


def durable(name, timing):
    """The same, with those lines of `[timing]`."""
    seconds, rounds = (5, 5) if FULL else (3, 3)
    found = {"ours": [], "sync": [], "trip": [], "busy": []}
    shape = layout(256, durability="write", timing=timing)
    with tempfile.TemporaryDirectory(dir=ROOT) as work, Trio(shape) as trio:
        floor = Path(work, "floor")
        subprocess.run(["cc", "-O2", "-o", floor, HERE.parent / "floor.c"], check=True)
        trio.run("a", "b")
        trio.until_serving("a")
        trio.until_paired("a", "b")
        system = Measured(trio, "ab", 256 * MIB)
        for _ in range(rounds):
            found["trip"].append(median_us(floor, "trip", PAUSE_US))
            found["busy"].append(median_us(floor, "trip", 0))
            found["sync"].append(median_us(floor, "sync", Path(work, "appended")))
            found["ours"].append(jobs.run(job("ds-w4k-q1"), system, seconds)["p50"])
    us = {kind: statistics.median(all) for kind, all in found.items()}
    once, twice = (us["ours"] / (us["trip"] * trips + us["sync"]) for trips in (1, 2))
    figures = (
        f"p50 {us['ours']:.0f} µs; round trip {us['trip']:.0f} µs ({us['busy']:.0f} µs where the cores "
        f"hardly sleep), fdatasync {us['sync']:.0f} µs: {once:.2f} × (goal 1.3); {twice:.2f} × where the "
        f"host's own trip to A counts as well"
    )
    line(name, figures, once <= 1.3)


def median_us(program, *words):
    """A median of `floor.c`, in µs."""
    what, last = words
    done = subprocess.run([program, what, str(COUNT), str(last)], capture_output=True, check=True)
    return float(done.stdout)


def packing_one():
    """One write at a time while what C gets is packed."""
    packing(1)


def packing_many():
    """Sixteen at a time."""
    packing(16)


def packing(depth):
    """The host's median at A while what C gets is packed, against the same without.

    Three sites and one link throughout, on which the packing changes: of sites started anew the
    medians differ by more. Twice without, to see what a difference says.
    """
    seconds, rounds = (3, 9) if FULL else (0.8, 6)
    kinds = ("none", "lz4", "again", "zstd")
    found, sent = {kind: [] for kind in kinds}, dict.fromkeys(kinds, (0, 0))
    with Trio(layout(256, links={"ac": far("none")})) as trio:
        trio.start()
        for _ in range(rounds):
            for kind in kinds:
                pack(trio, "none" if kind == "again" else kind)
                before = sent_to_c(trio)
                found[kind].append(run_at(trio, depth, seconds))
                moved = zip(sent[kind], before, sent_to_c(trio))
                sent[kind] = tuple(was + now - then for was, then, now in moved)
    middle = {
        kind: {key: statistics.median(one[key] for one in all) for key in ("p50", "iops")}
        for kind, all in found.items()
    }
    plain, noise = middle["none"], abs(middle["again"]["p50"] / middle["none"]["p50"] - 1)
    for kind in ("lz4", "zstd"):
        one, (payload, wire) = middle[kind], sent[kind]
        ratio = one["p50"] / plain["p50"]
        figures = (
            f"p50 {one['p50']:.0f} µs, {plain['p50']:.0f} µs without: {ratio:.2f} × (the same twice "
            f"without: {middle['again']['p50'] / plain['p50']:.2f} ×); {one['iops']:.0f} and "
            f"{plain['iops']:.0f} writes/s; {wire / payload:.2f} of the bytes on the wire"
        )
        name = f"what C gets is packed by {kind}, depth {depth}"
        # What the same twice differs by is too much to decide anything finer.
        line(name, figures, ratio <= 1.05 if noise <= 0.05 else None)


def pack(trio, kind):
    """Packs so from now on."""
    trio.layout.links["ac"] = far(kind)
    trio.write_config()
    trio.answer("reload", "--at", "a")


def sent_to_c(trio):
    """Bytes sent to C so far, before they were packed and after."""
    leg = trio.status("a")["legs"]["c"]
    return leg["payload_bytes"], leg["wire_bytes"]


def far(kind):
    """A link of 1 Gbit/s and 10 ms there and back, on which that is packed so."""
    return ['delay = "5ms"', 'rate = "119MiB/s"', f'compression = "{kind}"']


def run_at(trio, depth, seconds):
    """Random writes at A of data of which half packs well; C is level afterwards."""
    random = jobs.random_write(depth, "--refill_buffers", "--buffer_compress_percentage=50")
    system = Measured(trio, "abc", 256 * MIB)
    found = jobs.run(jobs.Job("packed", random, (), ()), system, seconds)
    trio.quiet("a", "c")
    return found
