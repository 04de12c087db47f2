"""A is killed under load, B takes over, C is brought under B: a real file system, real tools."""

import time

from claims import mib, until
from journal import between
from layout import SITES, Layout
from tools import Fio, collect_files, convert, e2fsck, ext4_image
from trio import Trio
from writer import Writer

MIB = 1 << 20


class Size:
    """How much is written."""

    def __init__(self, short):
        #: The file system, the fio region, the writer's region: in MiB.
        self.image, self.fio, self.writer = (64, 24, 16) if short else (128, 96, 64)
        #: How long the writer writes before the kill, and after the takeover, in seconds.
        self.before, self.after = (2.0, 1.5) if short else (6.0, 4.0)
        #: A link to C so slow that something is under way when A dies.
        self.delay = "150ms" if short else "300ms"

    def volumes(self):
        """The group's volumes."""
        scratch = self.fio * 2 + self.writer
        return {"db0": f"{self.image}MiB", "scratch": f"{scratch}MiB"}


class Story:
    """The state of one run, told step by step."""

    def __init__(self, report, trio, size, tag):
        self.report, self.trio, self.size, self.tag = report, trio, size, tag
        self.image = trio.dir / "original.img"
        uris = [trio.uri("a", "scratch"), trio.uri("b", "scratch")]
        region = (2 * size.fio * MIB, size.writer * MIB)
        self.writer = Writer(uris, region)
        self.fio = Fio("before", 0, size.fio * MIB)
        self.certificate = None

    def claim(self, holds, claim, figures=""):
        """A claim of this variant of the story."""
        self.report.claim(holds, f"{self.tag}: {claim}", figures)

    def fill(self):
        """A real ext4 image and a completed fio job go in at A."""
        files = self.trio.dir / "files"
        files.mkdir()
        count, total = collect_files(files, self.size.image * MIB // 2)
        ext4_image(self.image, self.size.image * MIB, files)
        convert(self.image, self.trio.uri("a", "db0"))
        self.claim(
            count > 50 and total > MIB,
            "an ext4 image of real files goes in by qemu-img convert",
            f"{count} files, {mib(total)}",
        )
        written, speed = self.fio.write(self.trio.uri("a", "scratch"))
        self.claim(
            written == self.size.fio * MIB,
            "a fio job over NBD completes at A",
            f"{mib(written)}, {mib(speed)}/s",
        )

    def kill_and_take_over(self, *words):
        """The writer writes, A dies in the middle, B takes over, the writer goes on at B."""
        self.writer.start()
        until("the writer writes", lambda: self.writer.answer_count() > 100)
        time.sleep(self.size.before)
        before = self.writer.answer_count()
        self.trio.kill("a")
        killed = time.monotonic()
        document = self.trio.takeover("b", *words)
        took = time.monotonic() - killed
        self.certificate = document["certificate"]
        verdict, generation = self.certificate["verdict"], self.certificate["generation"]
        self.claim(
            verdict == "zero" and self.certificate["primary"] == "b",
            "takeover at B proves that nothing is lost",
            f"{took:.2f} s after SIGKILL of A, generation {generation['count']}",
        )
        self.claim(
            {e["uri"] for e in document["exports"]}
            == {self.trio.uri("b", "db0"), self.trio.uri("b", "scratch")},
            "takeover names the NBD addresses to use now",
        )
        until("the writer goes on at b", lambda: self.writer.answer_count() > before + 200)
        time.sleep(self.size.after)
        self.claim(
            self.writer.connections >= 2,
            "the writer reconnected to B by itself",
            f"no answer for {self.writer.longest_gap:.2f} s",
        )

    def lacked_by_c(self):
        """What C lacked of B's history when A was lost: the numbers (after, upto]."""
        evidence, newest = self.certificate["evidence"], self.certificate["newest"]
        return evidence["c"]["number"], newest["number"]

    def fetched_what_it_lacked(self, follows):
        """C's own count against B's journal, read from outside."""
        after, upto = self.lacked_by_c()
        files = self.trio.journal_files("b")
        lacked, lacked_bytes = between(files, after, upto)
        # The session was planned up to here: B's own Generation record lies behind what C lacked,
        # and whatever the host wrote at B before C asked.
        target = follows["plan"]["target"]
        count, total = between(files, after, target)
        fetched = follows["fetched"]
        self.claim(
            (fetched["delta_updates"], fetched["delta_bytes"]) == (count, total)
            and count == target - after >= lacked + 1,
            "C fetched exactly what it lacked",
            f"lacked {lacked} updates ({lacked_bytes} bytes, counted in B's journal) when A died, "
            f"and {count - lacked} made by B since; fetched {fetched['delta_updates']} updates, "
            f"{fetched['delta_bytes']} bytes",
        )

    def ends_equal(self):
        """Nothing lost, file systems clean, B and C byte-equal."""
        writer, trio = self.writer, self.trio
        writer.stop()
        number = trio.quiet("b", "c", patience=120)
        for site in ("b", "c"):
            wrong = writer.lost(trio.uri(site, "scratch"))
            self.claim(
                not wrong,
                f"every answered write is readable at {site.upper()}",
                "; ".join(wrong[:3])
                or f"{writer.answers} answered, 0 lost, {writer.in_doubt} in doubt",
            )
            read = self.fio.verify(trio.uri(site, "scratch"))
            self.claim(
                read == self.size.fio * MIB,
                f"fio verifies at {site.upper()} what it had written at A",
                mib(read),
            )
        hashes = {}
        for site in ("b", "c"):
            document = trio.export(site, f"images-{site}")
            hashes[site] = {i["volume"]: i["blake3"] for i in document["images"]}
            said = e2fsck(trio.dir / f"images-{site}" / "db0.img")
            self.claim(True, f"e2fsck -fn is clean at {site.upper()}", said.split(": ", 1)[-1])
        same = all(
            same_bytes(trio.dir / "images-b" / f"{v}.img", trio.dir / "images-c" / f"{v}.img")
            for v in trio.layout.volumes
        )
        self.claim(
            same and hashes["b"] == hashes["c"],
            "B and C are equal, byte for byte",
            f"quiet at update {number}, blake3 {hashes['b']['scratch'][:16]}",
        )
        self.claim(
            same_bytes(self.image, trio.dir / "images-c" / "db0.img"),
            "C's image of the file system is what qemu-img wrote at A",
        )


def same_bytes(one, other):
    """Whether two files are equal."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with open(one, "rb") as left, open(other, "rb") as right:
        while True:
            a, b = left.read(MIB), right.read(MIB)
            if a != b:
                return False
            if not a:
                return True


def delta(report, short, durability="flush", words=("--primary-is-fenced",), chosen=None):
    """C follows B by exactly what it lacked."""
    size = Size(short)
    layout = Layout(
        **(chosen or {}),
        volumes=size.volumes(),
        durability=durability,
        links={"ac": [f'delay = "{size.delay}"']},
        # So large that nothing is let go: what C lacked is counted in B's files afterwards.
        journal={site: "4GiB" for site in SITES},
    )
    with Trio(layout) as trio:
        tag = f"failover, durability {durability}"
        if chosen:
            tag = f"failover over {layout.transport} on {layout.backend}"
        story = Story(report, trio, size, tag)
        trio.start()
        story.fill()
        story.kill_and_take_over(*words)
        after, upto = story.lacked_by_c()
        story.claim(upto > after, "C lacked updates when A died", f"{upto - after} updates")
        follows = trio.until_status(
            "c has what it lacked",
            "c",
            lambda s: s["follows"]
            and s["follows"]["source"] == "b"
            and s["follows"]["plan"]
            and s["newest"]["number"] >= s["follows"]["plan"]["target"],
        )["follows"]
        story.claim(
            follows["plan"]["kind"] == "delta" and follows["fetched"]["copied_bytes"] == 0,
            "C follows B by a delta, nothing is copied",
            follows["plan"]["why"],
        )
        if layout.backend != "memory":
            story.fetched_what_it_lacked(follows)
        more = Fio("after", size.fio * MIB, size.fio * MIB // 2)
        more.write(trio.uri("b", "scratch"))
        story.ends_equal()
        read = more.verify(trio.uri("c", "scratch"))
        story.claim(True, "fio verifies at C what it wrote at B", mib(read))
        trio.stop("b", "c")


def over(transport, backend):
    """The same story, changed by two words of the configuration."""
    chosen = {"transport": transport, "backend": backend}
    return lambda report, _short: delta(report, True, chosen=chosen)


def short_journal(report, short, durability="flush"):
    """B's journal no longer reaches back to C: by its map only what was trimmed is copied (E10)."""
    size = Size(short)
    layout = Layout(
        volumes=size.volumes(),
        durability=durability,
        # So slow that B, with its small journal, has to let go of what C lacks.
        links={"ac": ['rate = "2MiB/s"']},
    )
    layout.journal["b"] = "16MiB"
    with Trio(layout) as trio:
        story = Story(report, trio, size, f"short journal at B, durability {durability}")
        trio.start()
        story.fill()
        story.kill_and_take_over("--primary-is-fenced")
        follows = trio.until_status(
            "c has a plan of b",
            "c",
            lambda s: s["follows"] and s["follows"]["source"] == "b" and s["follows"]["plan"],
            patience=60,
        )["follows"]
        plan = follows["plan"]
        story.claim(
            plan["kind"] in ("map", "copy") and "journal of b begins at" in plan["why"],
            "the plan is a map (or the rest of one), and says why",
            plan["why"],
        )
        trio.until_paired("b", "c", patience=180)
        status = trio.status("c")
        copied = status["follows"]["fetched"]["copied_bytes"]
        owed = sum(extent["length"] for extent in plan["debt"]["extents"])
        story.claim(
            0 < copied <= owed and status["debt_bytes"] == 0,
            "only what the map names is copied",
            f"{mib(copied)} copied, the map names {mib(owed)}",
        )
        story.ends_equal()
        trio.stop("b", "c")


def delta_durable(report, short):
    """The same, every write durable at A and B before it is answered, and the lease waited out."""
    delta(report, short, "write", ())


def short_journal_durable(report, short):
    """The same, every write durable at A and B before it is answered."""
    short_journal(report, short, "write")
