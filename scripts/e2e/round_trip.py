"""The whole life of a group: every site is lost once, two at once, and all come home by delta."""

import shutil
import time

from claims import until
from layout import Layout
from trio import Trio
from writer import Writer

#: The part of the volume that the writer writes to.
REGION = (0, 8 << 20)


class Life:
    """A group under a writer that never stops for long, and what it lost, copied or waited for."""

    def __init__(self, report, trio):
        self.report = report
        self.trio = trio
        self.uris = [trio.uri(site, "db0") for site in "abc"]
        self.writer = Writer(self.uris, REGION)

    def claim(self, holds, what, figures=""):
        """Claims something of this life."""
        self.report.claim(holds, what, figures)

    def starts_again(self):
        """The host writes again after it had stopped, and still knows what it was answered."""
        before = self.writer
        self.writer = Writer(self.uris, REGION, seed=2)
        self.writer.answered = dict(before.answered)
        self.writer.doubts = dict(before.doubts)
        self.writer.start()

    def goes_on(self, where):
        """The host is answered at some site."""
        before = self.writer.answer_count()
        until(f"the host goes on at {where}", lambda: self.writer.answer_count() > before + 300)

    def comes_back(self, site, leader):
        """A site that was lost follows again: nothing of it is copied but what a tail changed."""
        self.trio.run(site)
        self.trio.until_paired(leader, site)
        status = self.trio.until_status(
            f"{site} tells its plan", site, lambda s: (s["follows"] or {}).get("plan")
        )
        follows = status["follows"]
        tail = follows["set_aside"]
        allowed = 0
        if tail:
            updates = self.trio.answer("tail", "show", tail)
            allowed = sum(update["length"] or 0 for update in updates)
        copied = follows["fetched"]["copied_bytes"]
        self.claim(
            copied <= allowed and status["debt_bytes"] == 0,
            f"{site.upper()} comes back under {leader.upper()} without a copy",
            f"{follows['plan']['kind']}, {copied} bytes copied, its tail changed {allowed}",
        )

    def in_sync(self, leader, *sites):
        """Waits until the charter names these."""
        want = {leader, *sites}
        self.trio.until_status(
            f"{leader}'s charter names {', '.join(sites)}",
            leader,
            lambda s: want <= {member["site"] for member in s["charter"]["in_sync"]},
        )

    def takes_over(self, site, *words):
        """A takeover that must prove that nothing is lost."""
        certificate = self.trio.takeover(site, *words)["certificate"]
        self.claim(
            certificate["verdict"] == "zero",
            f"takeover at {site.upper()} proves that nothing is lost",
            f"generation {certificate['generation']['count']}",
        )
        self.goes_on(site)

    def goes_home(self):
        """The home site leads again, and the host waited only for the exchange."""
        done = self.trio.trefoil("failback", "--site", "a")
        deadline = time.monotonic() + 10
        while "does not count yet" in done.stderr and time.monotonic() < deadline:
            # A began with nothing: it is vouched for when it has listened for a lease's length.
            time.sleep(0.5)
            done = self.trio.trefoil("failback", "--site", "a")
        self.claim(done.returncode == 0, "failback to A", (done.stdout + done.stderr).strip())
        self.goes_on("a")

    def nothing_is_lost(self):
        """All three sites hold everything that was answered, and are equal."""
        self.writer.stop()
        leader = next(site for site in "abc" if self.trio.status(site)["serving"])
        others = [site for site in "abc" if site != leader]
        number = self.trio.quiet(leader, *others)
        lost = [wrong for site in "abc" for wrong in self.writer.lost(self.trio.uri(site, "db0"))]
        self.claim(
            not lost,
            "of all answered writes none is lost, at any site",
            f"{self.writer.answer_count()} answered; {'; '.join(lost[:3])}",
        )
        images = [self.trio.export(site, f"end-{site}")["images"][0] for site in "abc"]
        hashes = {image["blake3"] for image in images}
        self.claim(len(hashes) == 1, "the three volumes are equal", f"at update {number}")


def home(report, _short):
    """A lost, B serves, A back, failback; B lost and back; A and B lost, C serves; all home."""
    layout = Layout(volumes={"db0": "16MiB"}, journal={site: "256MiB" for site in "abc"})
    with Trio(layout) as trio:
        trio.start()
        life = Life(report, trio)
        life.in_sync("a", "b")
        life.writer.start()
        life.goes_on("a")

        trio.kill("a")
        life.takes_over("b", "--primary-is-fenced")
        life.comes_back("a", "b")
        life.in_sync("b", "a")
        life.goes_home()
        life.in_sync("a", "b")

        trio.kill("b")
        life.goes_on("a")
        life.comes_back("b", "a")
        life.in_sync("a", "b")
        life.goes_on("a")

        # C lags; what it lacks when both are lost it finds in B's journal, once B is back.
        life.writer.stop()
        trio.kill("a", "b")
        refused = trio.trefoil("takeover", "--at", "c", "--primary-is-fenced")
        life.claim(refused.returncode == 5, "C alone stands for nothing", refused.stderr.strip())
        trio.run("b")
        trio.until_status("c sees b", "c", lambda s: s["legs"]["b"]["link_up"])
        life.starts_again()
        life.takes_over("c", "--primary-is-fenced")
        trio.until_paired("c", "b")
        life.comes_back("a", "c")
        life.goes_home()
        life.in_sync("a", "b")
        trio.until_paired("a", "b", "c")
        life.goes_on("a")
        life.nothing_is_lost()
        trio.stop("a", "b", "c")


def two_sites_burn(report, _short):
    """A and B are lost with all they had: C alone serves what it has, and fills both (E15, E34)."""
    layout = Layout(volumes={"db0": "16MiB"}, journal={site: "256MiB" for site in "abc"})
    with Trio(layout) as trio:
        trio.start()
        life = Life(report, trio)
        life.in_sync("a", "b")
        life.writer.start()
        life.goes_on("a")
        life.writer.stop()
        trio.quiet("a", "b", "c")
        trio.kill("a", "b")
        for site in "ab":
            shutil.rmtree(trio.dir / trio.dirs[site])
        refused = trio.trefoil("takeover", "--at", "c", "--primary-is-fenced")
        life.claim(
            refused.returncode == 5 and "--accept-loss" in refused.stderr,
            "C says that it cannot prove what it has, and how to go on",
            refused.stderr.strip(),
        )
        done = trio.takeover("c", "--primary-is-fenced", "--accept-loss")
        life.claim("unknown" in done["certificate"]["verdict"], "C leads by consent, alone")
        life.starts_again()
        life.goes_on("c")
        trio.run("a", "b")
        trio.until_paired("c", "a", "b")
        life.goes_home()
        life.in_sync("a", "b")
        trio.until_paired("a", "b", "c")
        life.nothing_is_lost()
        trio.stop("a", "b", "c")
