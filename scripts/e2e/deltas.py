"""Deltas that are interrupted, and pairs that nobody ever wrote to."""

import time

from bad_files import REGION
from claims import until
from layout import Layout
from memory import goes_on, host_at_a, in_sync
from trio import Trio
from writer import Writer

MIB = 1 << 20


def source_dies(report, _short):
    """B, which took over, dies while it brings C what it lacks; it goes on when it is back (E14)."""
    layout = Layout(
        volumes={"db0": "32MiB"},
        journal={site: "256MiB" for site in "abc"},
        # So slow that there is a middle of the delta.
        links={"bc": ['rate = "2MiB/s"']},
    )
    with Trio(layout) as trio:
        writer = host_at_a(trio)
        trio.answer("pair", "suspend", "--site", "a", "--to", "c")
        before = writer.answer_count()
        until("C lacks much", lambda: writer.answer_count() > before + 3000, patience=60)
        writer.stop()
        number = trio.quiet("a", "b")
        trio.kill("a")
        trio.takeover("b", "--primary-is-fenced")
        began = trio.until_status(
            "c is brought what it lacks", "c",
            lambda s: s["follows"] and s["follows"]["fetched"]["delta_updates"] > 200,
        )
        trio.kill("b")
        at = trio.status("c")["newest"]["number"]
        report.claim(at < number, "B dies in the middle of C's delta", f"C is at {at} of {number}")
        trio.run("b")
        trio.until_serving("b")
        trio.until_paired("b", "c")
        follows = trio.status("c")["follows"]
        report.claim(
            follows["plan"]["kind"] in ("delta", "in_sync")
            and follows["fetched"]["copied_bytes"] == 0,
            "C gets the rest by a delta, nothing is copied",
            f"{follows['fetched']['delta_updates']} updates; before it died: "
            f"{began['follows']['plan']['kind']}",
        )
        trio.quiet("b", "c")
        for site in "bc":
            wrong = writer.lost(trio.uri(site, "db0"))
            report.claim(
                not wrong, f"{site.upper()} has all that was answered", "; ".join(wrong[:3])
            )
        trio.run("a")
        trio.until_paired("b", "a", "c")
        trio.stop("b", "a", "c")


def stale_mirror(report, _short):
    """B was away while A and C went on; A is lost. B is refused, and leads with what C has (E5, E4)."""
    layout = Layout(volumes={"db0": "32MiB"}, journal={site: "256MiB" for site in "abc"})
    with Trio(layout) as trio:
        writer = host_at_a(trio)
        trio.kill("b")
        in_sync(trio, "a")
        at = writer.answer_count()
        until("the host goes on at A", lambda: writer.answer_count() > at + 1000, patience=60)
        writer.stop()
        number = trio.quiet("a", "c")
        trio.kill("a")
        trio.run("b")
        stands = trio.until_status("B and C see each other", "b", lambda s: s["legs"]["c"]["link_up"])
        stale = stands["newest"]["number"]
        refused = trio.trefoil("takeover", "--at", "b", "--primary-is-fenced")
        report.claim(
            refused.returncode == 3 and stale < number and "generation 1 is held by {a}" in refused.stderr,
            "the stale mirror is refused without A's word: only A knows what it answered",
            f"exit {refused.returncode}: {refused.stderr.strip()[-400:]}",
        )
        trio.until_status("B read from C", "b", lambda s: s["newest"]["number"] == number)
        report.claim(
            f"is at 1.{number}" in refused.stderr,
            "C had more: B read it before it was judged",
            f"{stale} when it started, {number} at A, at C, and at B after it",
        )
        command = "trefoil takeover --at b --accept-loss"
        report.claim(command in refused.stderr, f"the refusal names the next command: {command}")
        trio.takeover("b", "--accept-loss")
        trio.until_serving("b")
        wrong = writer.lost(trio.uri("b", "db0"))
        report.claim(
            not wrong,
            "B leads by the operator's word, and nothing that was answered is lost",
            "; ".join(wrong[:3]),
        )
        trio.run("a")
        trio.until_paired("b", "a", "c")
        trio.quiet("b", "a", "c")
        wrong = [problem for site in "abc" for problem in writer.lost(trio.uri(site, "db0"))]
        copied = {site: trio.status(site)["totals"]["copied_bytes"] for site in "abc"}
        report.claim(
            not wrong and not any(copied.values()),
            "A comes back, all three have everything, and nothing was copied",
            "; ".join(wrong[:3]) or f"copied bytes {copied}",
        )
        trio.stop("b", "a", "c")


def idle(report, _short):
    """Nobody ever wrote; A dies, B takes over, A returns: nothing is copied (E27)."""
    with Trio(Layout(volumes={"db0": "32MiB"})) as trio:
        trio.start()
        in_sync(trio, "a", "b")
        time.sleep(2.5)
        trio.kill("a")
        done = trio.takeover("b", "--primary-is-fenced")
        report.claim(done["certificate"]["verdict"] == "zero", "an idle pair: zero loss is proved")
        trio.until_paired("b", "c")
        trio.run("a")
        trio.until_paired("b", "a", "c")
        for site in "ac":
            follows = trio.until_status(
                f"{site} names its plan", site, lambda s: (s["follows"] or {}).get("plan")
            )["follows"]
            report.claim(
                follows["plan"]["kind"] in ("delta", "in_sync")
                and follows["fetched"]["copied_bytes"] == 0,
                f"an idle pair is ready for a delta: {site.upper()} follows B",
                follows["plan"]["why"],
            )
        writer = Writer([trio.uri("b", "db0")], REGION)
        writer.start()
        goes_on(writer)
        writer.stop()
        trio.quiet("b", "a", "c")
        trio.stop("b", "a", "c")
