"""A site loses its journal and its state, and keeps its volumes: only what differs travels."""

import shutil

from claims import mib, until
from layout import SITES, Layout
from tools import Fio
from trio import Trio
from writer import Writer

MIB = 1 << 20
#: What one hash stands for: the least that is copied.
UNIT = 64 << 10


def by(backend):
    """The scenario with the volumes of that backend."""

    def run(report, short):
        size = 32 if short else 128
        layout = Layout(backend=backend, volumes={"db0": f"{2 * size}MiB"})
        with Trio(layout) as trio:
            trio.start()
            comes_back(report, trio, f"forgotten, {backend}", size)
            trio.stop(*SITES)

    return run


def comes_back(report, trio, name, size):
    """C is full, dies, forgets; A is written to in one small region meanwhile and afterwards."""
    written, _ = Fio("before", 0, size * MIB).write(trio.uri("a", "db0"))
    trio.quiet("a", "b", "c")
    trio.kill("c")
    shutil.rmtree(trio.dir / trio.dirs["c"] / "journal")
    region = 2 * MIB
    writer = Writer([trio.uri("a", "db0")], (size * MIB, region))
    writer.start()
    until("the writer writes", lambda: writer.answer_count() > 500)
    before = trio.status("a")["totals"]["copied_bytes"]
    trio.run("c")
    trio.until_status(
        "C holds everything again",
        "c",
        lambda s: s["follows"] and s["follows"]["state"] == "paired" and s["debt_bytes"] == 0,
        patience=120,
    )
    until("the writer goes on", lambda: writer.answer_count() > 1000)
    writer.stop()
    trio.quiet("a", "b", "c")
    follows = trio.status("c")["follows"]
    plan, fetched = follows["plan"], follows["fetched"]
    copied = trio.status("a")["totals"]["copied_bytes"] - before
    report.claim(
        plan["kind"] == "compare" and "c holds data" in plan["why"],
        f"{name}: C lost journal and state, its volumes are compared",
        f"{plan['kind']}: {plan['why']}",
    )
    # Whatever was written meanwhile may differ, and changes while it is compared.
    most = 2 * region + UNIT
    report.claim(
        fetched["copied_bytes"] == copied <= most and fetched["compared_bytes"] >= written,
        f"{name}: only what differs travels",
        f"{mib(fetched['compared_bytes'])} compared, {mib(copied)} copied of {mib(written)} "
        f"that C held, at most {mib(most)} could differ",
    )
    hashes = {trio.export(site, f"end-{site}")["images"][0]["blake3"] for site in SITES}
    wrong = writer.lost(trio.uri("c", "db0"))
    report.claim(
        not wrong and len(hashes) == 1,
        f"{name}: all three volumes are the same, and hold what was answered",
        "; ".join(wrong[:3]),
    )
