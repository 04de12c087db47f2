"""Other layouts with real processes: two sites, and three in a line that is bent while a host writes."""

import time

from claims import until
from layout import SITES, Layout
from reload import GAP_SECONDS_MAX, takes_over
from trio import Trio
from writer import Writer

MIB = 1 << 20


def reads_from(trio, site, source):
    """Waits until `site` streams from `source`; its status."""
    return trio.until_status(
        f"{site} reads from {source}",
        site,
        lambda s: s["follows"] and s["follows"]["source"] == source and s["follows"]["state"] == "paired",
    )


def lost(trio, writer, *sites):
    """Nothing that was answered is missing at these sites."""
    return [problem for site in sites for problem in writer.lost(trio.uri(site, "db0"))]


def cascade(report, short):
    """Three in a line: pointed elsewhere by reload under load, and the loss of each end."""
    layout = Layout(volumes={"db0": "64MiB"}, topology="cascade")
    with Trio(layout) as trio:
        trio.start(paired=False)
        trio.until_paired("a", "b")
        reads_from(trio, "c", "b")
        trio.until_paired("a", "c")
        writer = Writer([trio.uri("a", "db0")], (0, 32 * MIB))
        writer.start()
        until("the writer writes", lambda: writer.answer_count() > 200)
        sent = trio.status("a")["legs"]["c"]["payload_bytes"]
        time.sleep(2)
        status = trio.until_status("C keeps up", "a", lambda s: s["legs"]["c"]["state"] == "paired")
        status = status["legs"]["c"]
        report.claim(
            status["payload_bytes"] == sent and status["via"] == "b",
            "cascade: the third site is fed by the second, the first sends it nothing",
            f"via {status['via']}, {status['payload_bytes'] - sent} bytes from A",
        )
        before = copied(trio)
        for turn in range(2 if short else 6):
            word, source = [("three_site", "a"), ("cascade", "b")][turn % 2]
            layout.topology = word
            takes_over(report, trio, SITES, word, f"cascade: {word}")
            kind = reads_from(trio, "c", source)["follows"]["plan"]["kind"]
            report.claim(
                kind in ("delta", "in_sync"), f"cascade: C goes on from {source.upper()} by {kind}"
            )
        report.claim(
            copied(trio) == before and writer.connections == 1 and writer.longest_gap < GAP_SECONDS_MAX,
            "cascade: nothing is copied, and the host is answered all the time",
            f"{before} bytes before and after, longest gap {writer.longest_gap * 1000:.0f} ms",
        )
        writer.stop()
        trio.quiet("a", "b", "c")
        wrong = lost(trio, writer, *SITES)
        report.claim(not wrong, "cascade: all three hold what was answered", "; ".join(wrong[:3]))
        losses(report, trio, writer)
        trio.stop(*SITES)


def losses(report, trio, writer):
    """The second site goes and comes back; then the first."""
    trio.kill("b")
    reads_from(trio, "c", "a")
    report.claim(True, "cascade: without B, C reads from A")
    trio.run("b")
    trio.until_paired("a", "b")
    reads_from(trio, "c", "b")
    report.claim(True, "cascade: with B back, C reads from B again")
    before = copied(trio)
    trio.kill("a")
    verdict = trio.takeover("b")["certificate"]["verdict"]
    trio.until_serving("b")
    trio.run("a")
    trio.until_paired("b", "a", "c")
    trio.quiet("b", "a", "c")
    wrong = lost(trio, writer, *SITES)
    report.claim(
        verdict == "zero" and not wrong and copied(trio) <= before,
        "cascade: A is lost, B leads with zero loss, A comes back by delta",
        f"{verdict}; {'; '.join(wrong[:3])}",
    )


def copied(trio):
    """Bytes copied by all sites that run, since they were started."""
    return sum(trio.status(site)["totals"]["copied_bytes"] for site in trio.running)


def two_sites(mode):
    """The scenario with that mode of the leg."""

    def run(report, _short):
        layout = Layout(
            volumes={"db0": "32MiB"}, topology="two_site", roles={"primary": "a", mode: "b"}
        )
        with Trio(layout) as trio:
            trio.run("a", "b")
            trio.until_serving("a")
            trio.until_paired("a", "b")
            pair(report, trio, mode)
            trio.stop("a", "b")

    return run


def pair(report, trio, mode):
    """The mirror goes and comes back; then the primary, for good and all."""
    name = f"two sites, {mode}"
    writer = Writer([trio.uri("a", "db0")], (0, 16 * MIB))
    writer.start()
    until("the writer writes", lambda: writer.answer_count() > 200)
    trio.kill("b")
    at = writer.answer_count()
    until("the writer goes on", lambda: writer.answer_count() > at + 200)
    report.claim(not writer.errors, f"{name}: A serves on without B", f"{writer.silence():.2f} s silent")
    trio.run("b")
    trio.until_paired("a", "b")
    # B's own word of it may come a moment after A's.
    kind = reads_from(trio, "b", "a")["follows"]["plan"]["kind"]
    report.claim(kind in ("delta", "in_sync"), f"{name}: B comes back by {kind}")
    writer.stop()
    trio.quiet("a", "b")
    wrong = lost(trio, writer, "a", "b")
    report.claim(not wrong, f"{name}: both hold what was answered", "; ".join(wrong[:3]))
    trio.kill("a")
    refused = [trio.trefoil("takeover", "--at", "b", *words) for words in ([], ["--accept-loss"])]
    report.claim(
        all(done.returncode == 5 for done in refused),
        f"{name}: without A's word B leads only by both words of the operator",
        refused[0].stderr.strip()[-160:],
    )
    trio.takeover("b", "--accept-loss", "--primary-is-fenced")
    trio.until_serving("b")
    again = Writer([trio.uri("b", "db0")], (16 * MIB, 16 * MIB), seed=2)
    again.start()
    until("B is written to", lambda: again.answer_count() > 200)
    again.stop()
    wrong = lost(trio, writer, "b")
    report.claim(not wrong, f"{name}: B serves all that was answered", "; ".join(wrong[:3]))
    trio.run("a")
    trio.until_paired("b", "a")
    trio.quiet("b", "a")
    wrong = lost(trio, writer, "a", "b") + lost(trio, again, "a", "b")
    report.claim(
        not wrong and not trio.status("a")["serving"],
        f"{name}: A comes back as the follower, and lacks nothing",
        "; ".join(wrong[:3]),
    )
