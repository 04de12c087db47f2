"""The old primary returns after the takeover: by delta, without its tail, or by choice."""

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


def answered_by_nobody(trio):
    """A has updates that nobody else has, and that were answered to nobody; B leads."""
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
    return first, document["certificate"]["newest"]["number"]


def goes_on_at_b(trio, first):
    """The host goes on at B; its writer."""
    second = Writer([trio.uri("b", "db0")], REGION, seed=2)
    second.answered, second.doubts = dict(first.answered), dict(first.doubts)
    second.start()
    until("the host goes on at b", lambda: second.answer_count() > 500)
    return second


def with_a_tail(report, _short):
    """A has updates that nobody else has: they are set aside, and only they are undone (E3)."""
    with Trio(layout()) as trio:
        trio.start()
        first, newest = answered_by_nobody(trio)
        own = max(number for path in trio.journal_files("a") for number, _, _ in records(path))
        report.claim(own > newest, "A's journal has a tail beyond the fork", f"{own} > {newest}")
        second = goes_on_at_b(trio, first)
        trio.run("a")
        trio.until_paired("b", "a", "c")
        status = trio.until_status("a tells its tail", "a", lambda s: s["follows"]["set_aside"])
        tail = status["follows"]["set_aside"]
        listed = trio.trefoil("tail", "list", "--site", "a").stdout.split()
        report.claim(tail in listed, "the tail is in a file that `trefoil tail list` names", tail)
        updates = trio.answer("tail", "show", tail)
        numbers = [update["number"] for update in updates]
        report.claim(
            numbers == list(range(newest + 1, own + 1)),
            "`trefoil tail show` lists exactly the updates that only A had",
            f"{numbers[0]} to {numbers[-1]}",
        )
        changed = sum(update["length"] or 0 for update in updates)
        copied = status["follows"]["fetched"]["copied_bytes"]
        report.claim(
            copied <= changed, "only what they changed is copied", f"{copied} of {changed} bytes"
        )
        until("the host goes on", lambda: second.answer_count() > 1000)
        second.stop()
        trio.quiet("b", "a", "c")
        wrong = [problem for site in "abc" for problem in second.lost(trio.uri(site, "db0"))]
        report.claim(not wrong, "A, B and C have what was answered", "; ".join(wrong[:3]))
        trio.stop("a", "b", "c")


def with_answered_updates(report, _short):
    """B was out, and took over by consent: what only A has is kept until `rejoin` (E8)."""
    with Trio(layout()) as trio:
        trio.start()
        trio.stop("b")
        trio.until_status(
            "b is out", "a", lambda s: [m["site"] for m in s["charter"]["in_sync"]] == ["a"]
        )
        first = Writer([trio.uri("a", "db0")], REGION)
        first.start()
        until("the writer writes", lambda: first.answer_count() > 500)
        trio.signal("c", signal.SIGSTOP)
        until("A answers alone", lambda: first.answer_count() > 1500)
        trio.kill("a", "c")
        first.stop_in_doubt()
        trio.run("b", "c")
        trio.until_status("b and c see each other", "b", lambda s: s["legs"]["c"]["link_up"])
        refused = trio.trefoil("takeover", "--at", "b", "--primary-is-fenced")
        report.claim(
            refused.returncode == 3 and "--accept-loss" in refused.stderr,
            "without consent B does not lead",
            refused.stderr.strip(),
        )
        certificate = trio.takeover("b", "--primary-is-fenced", "--accept-loss")["certificate"]
        report.claim("unknown" in certificate["verdict"], "B leads by consent")
        more = Writer([trio.uri("b", "db0")], REGION, seed=2)
        more.start()
        until("the host goes on at b", lambda: more.answer_count() > 500)
        trio.run("a")
        status = trio.until_status("a is held", "a", lambda s: "rejoin" in str(s["trouble"]))
        report.claim(not status["serving"], "A keeps what it has", status["trouble"])
        done = trio.trefoil("rejoin", "--at", "a")
        report.claim(done.returncode == 0, "`trefoil rejoin` brings A under B", done.stdout.strip())
        trio.until_paired("b", "a", "c")
        more.stop()
        trio.quiet("b", "a", "c")
        images = {site: trio.export(site, f"at-{site}")["images"][0] for site in "abc"}
        hashes = {image["blake3"] for image in images.values()}
        report.claim(len(hashes) == 1, "the volumes of A, B and C are equal", ", ".join(hashes))
        lost = [wrong for wrong in more.lost(trio.uri("b", "db0")) if "was None" not in wrong]
        report.claim(not lost, "what B answered is there", "; ".join(lost[:3]))
        trio.stop("a", "b", "c")
