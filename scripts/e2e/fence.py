"""What host writes do when the sync site is lost: they wait and fail (`data`), or go on (`never`)."""

import time

from claims import until
from layout import Layout
from trio import Trio
from writer import Writer

REGION = (0, 8 << 20)


def layout(level, *timing):
    """A small group under that fence level."""
    journal = {site: "64MiB" for site in "abc"}
    return Layout(volumes={"db0": "16MiB"}, journal=journal, fence=level, timing=list(timing))


def starts(trio):
    """A group with a host that writes to whichever site takes it."""
    trio.start()
    writer = Writer([trio.uri(site, "db0") for site in "abc"], REGION)
    writer.start()
    until("the host writes", lambda: writer.answer_count() > 500)
    return writer


def goes_on(writer, where):
    """The host is answered again."""
    before = writer.answer_count()
    until(f"the host goes on {where}", lambda: writer.answer_count() > before + 300)


def nothing_is_lost(report, trio, writer, *sites):
    """The sites hold everything that was answered."""
    writer.stop()
    trio.quiet(*sites)
    for site in sites:
        wrong = writer.lost(trio.uri(site, "db0"))
        figures = f"{writer.answer_count()} answered; {'; '.join(wrong[:3])}"
        report.claim(not wrong, f"{site.upper()} holds all that was answered", figures)


def data(report, _short):
    """Without its mirror A answers no write; with C lost too, B alone proves zero loss (E20, E35)."""
    with Trio(layout("data", 'write_timeout = "2s"')) as trio:
        writer = starts(trio)
        trio.kill("b")
        time.sleep(1.0)
        before, failed = writer.answer_count(), len(writer.errors)
        until("host writes fail", lambda: len(writer.errors) > failed, patience=10)
        report.claim(
            writer.answer_count() == before,
            "without the mirror no host write is answered, and in the end it fails",
            writer.errors[-1],
        )
        status = trio.until_status("a says why", "a", lambda s: s["trouble"])
        report.claim(
            "only by its own word" in status["trouble"],
            "A says whose word is missing, and the way out",
            status["trouble"],
        )
        trio.run("b")
        goes_on(writer, "with its mirror")
        trio.kill("a", "c")
        done = trio.takeover("b")
        report.claim(
            done["certificate"]["verdict"] == "zero",
            "alone B proves that nothing is lost, and leads",
            f"after {done['certificate']['total_us'] / 1e6:.2f} s, its lease waited out",
        )
        until("the host finds b", lambda: not writer.errors or writer.answer_count() > before)
        goes_on(writer, "at b")
        trio.run("a", "c")
        trio.until_paired("b", "a", "c")
        nothing_is_lost(report, trio, writer, "b", "a", "c")
        trio.stop("a", "b", "c")


def never(report, _short):
    """A goes on at once without its mirror; the mirror cannot prove that nothing is lost (H8)."""
    with Trio(layout("never")) as trio:
        writer = starts(trio)
        trio.kill("b")
        goes_on(writer, "at once")
        report.claim(
            writer.silence() < 1.0,
            "the host hardly waited for the lost mirror",
            f"{writer.silence() * 1000:.0f} ms",
        )
        trio.run("b")
        trio.until_paired("a", "b")
        goes_on(writer, "with its mirror")
        writer.stop()
        trio.quiet("a", "b", "c")
        trio.kill("a")
        refused = trio.trefoil("takeover", "--at", "b", "--primary-is-fenced")
        report.claim(
            refused.returncode == 3 and "--accept-loss" in refused.stderr,
            "B may hold all there is, and cannot prove it",
            refused.stderr.strip(),
        )
        done = trio.takeover("b", "--primary-is-fenced", "--accept-loss")
        report.claim("unknown" in done["certificate"]["verdict"], "B leads by consent")
        trio.run("a")
        trio.until_paired("b", "a", "c")
        trio.stop("a", "b", "c")
