"""The old primary returns after the takeover: refused by generation, and its data is kept."""

import signal
import time

from bad_files import REGION
from claims import until
from journal import records
from layout import Layout
from trio import Trio
from writer import Writer


def layout():
    """A small group; to C there is some way."""
    return Layout(volumes={"db0": "16MiB"}, journal={site: "64MiB" for site in "abc"})


def without_a_tail(report, _short):
    """A has nothing that B lacks: it follows by delta, and serves nobody."""
    with Trio(layout()) as trio:
        trio.start()
        writer = Writer([trio.uri("a", "db0"), trio.uri("b", "db0")], REGION)
        writer.start()
        until("the writer writes", lambda: writer.answer_count() > 1000)
        writer.stop()
        trio.quiet("a", "b", "c")
        trio.kill("a")
        trio.takeover("b", "--primary-is-fenced")
        more = Writer([trio.uri("b", "db0")], REGION, seed=2)
        more.answered = dict(writer.answered)
        more.start()
        until("the host goes on at b", lambda: more.answer_count() > 1000)
        trio.run("a")
        trio.until_paired("b", "a", "c")
        # A's own word of it may come a moment after B's.
        trio.until_status(
            "a names its plan", "a", lambda status: (status["follows"] or {}).get("plan")
        )
        status = trio.status("a")
        report.claim(
            status["role"] == "secondary" and status["follows"]["plan"]["kind"] == "delta",
            "the old primary without a tail follows by delta",
            status["follows"]["plan"]["why"],
        )
        until("the host goes on", lambda: more.answer_count() > 2000)
        more.stop()
        trio.quiet("b", "a", "c")
        for site in "abc":
            wrong = more.lost(trio.uri(site, "db0"))
            report.claim(
                not wrong, f"after A's return {site.upper()} has everything", "; ".join(wrong[:3])
            )
        trio.stop("a", "b", "c")


def with_a_tail(report, _short):
    """A has updates that nobody else has: it is refused, and keeps them."""
    with Trio(layout()) as trio:
        trio.start()
        first = Writer([trio.uri("a", "db0")], REGION)
        first.start()
        until("the writer writes", lambda: first.answer_count() > 500)
        # B and C stand still: what A appends now is answered to nobody. They are killed while they
        # stand, so that what lies in their sockets is lost with them.
        for site in "bc":
            trio.signal(site, signal.SIGSTOP)
        time.sleep(0.3)
        trio.kill("a", "b", "c")
        trio.run("b", "c")
        trio.until_status("b and c see each other", "b", lambda s: s["legs"]["c"]["link_up"])
        first.stop_in_doubt()
        document = trio.takeover("b", "--primary-is-fenced")
        newest = document["certificate"]["newest"]["number"]
        files = trio.journal_files("a")
        own = max(number for path in files for number, _, _ in records(path))
        report.claim(own > newest, "A's journal has a tail beyond the fork", f"{own} > {newest}")
        second = Writer([trio.uri("b", "db0")], REGION, seed=2)
        second.answered, second.doubts = dict(first.answered), dict(first.doubts)
        second.start()
        until("the host goes on at b", lambda: second.answer_count() > 500)
        kept = {path: path.read_bytes() for path in files}
        trio.run("a")
        status = trio.until_status(
            "a is refused", "a", lambda s: s["trouble"] or "suspended" in str(s["follows"])
        )
        told = status["trouble"] or str(status["follows"]["state"])
        report.claim(
            "rewind" in told and not status["serving"],
            "the old primary with a tail is refused, and the later feature is named",
            told,
        )
        until("the host goes on", lambda: second.answer_count() > 1000)
        second.stop()
        trio.quiet("b", "c")
        trio.stop("a")
        held = max(number for path in files for number, _, _ in records(path))
        same = all(path.read_bytes()[8192:] == before[8192:] for path, before in kept.items())
        report.claim(
            held == own and same,
            "its journal is kept as it was",
            f"up to update {held}, {len(kept)} files",
        )
        wrong = [problem for site in "bc" for problem in second.lost(trio.uri(site, "db0"))]
        report.claim(not wrong, "B and C have everything that was answered", "; ".join(wrong[:3]))
        trio.stop("b", "c")
