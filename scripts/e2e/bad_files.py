"""Journals and volumes that are not what they should be: refused by name, or mended, never lost."""

import os
import shutil
import struct

from bad_config import first_line
from claims import ClaimFailed
from journal import HEADER_BYTES, records
from layout import Layout
from trio import Trio
from writer import Writer

MIB = 1 << 20
REGION = (0, 8 * MIB)


def layout():
    """A small group, so that a case takes a second."""
    return Layout(volumes={"db0": "16MiB"}, journal={site: "32MiB" for site in "abc"})


def written(trio):
    """Starts all three, writes for a while; the writer, and all three killed."""
    trio.start()
    writer = Writer([trio.uri("a", "db0")], REGION)
    writer.start()
    while writer.answer_count() < 2000:
        if not trio.alive("a"):
            raise ClaimFailed(trio.log_tail("a"))
    writer.stop()
    trio.quiet("a", "b", "c")
    trio.kill("a", "b", "c")
    return writer


def refuses(report, trio, site, claim, code, words):
    """`run` ends with `code` and says all of `words`."""
    done = trio.trefoil("run", "--site", site, timeout=30)
    missing = [word for word in words if word not in done.stderr]
    report.claim(
        done.returncode == code and not missing,
        claim,
        f"exit {done.returncode}, not said: {missing}: {done.stderr[-500:]}"
        if missing or done.returncode != code
        else first_line(done.stderr.split("error: ")[-1]),
    )


def another_group(report, _short):
    """The journal directory of another group, and of another site."""
    with Trio(layout()) as trio:
        written(trio)
        [segment, *_] = trio.journal_files("c")
        directory = segment.parent
        other = directory.with_name("payroll")
        shutil.copytree(directory, other)
        text = trio.config.read_text()
        trio.config.write_text(text.replace("group.orders", "group.payroll"))
        refuses(
            report, trio, "c", "journal of another group: refused, both named", 3,
            ["orders", "payroll", "segment"],
        )
        trio.config.write_text(text)
        shutil.rmtree(directory)
        shutil.copytree(trio.journal_files("b")[0].parent, directory)
        refuses(
            report, trio, "c", "journal of another site: refused, both named", 3, ["b", "c"],
        )


def another_version(report, _short):
    """A segment of a later format version."""
    with Trio(layout()) as trio:
        written(trio)
        with open(trio.journal_files("b")[0], "r+b") as segment:
            segment.seek(4)
            segment.write(struct.pack("<I", 7))
        refuses(
            report, trio, "b", "journal of another format version: refused, both named", 3,
            ["format version 7", "reads 1", "segment"],
        )


def tail(report, _short):
    """The end of the journal is torn, or damaged: it is cut, and fetched again."""
    for what, harm in [("truncated", truncate), ("bit-flipped", flip_last)]:
        with Trio(layout()) as trio:
            writer = written(trio)
            segment, number = newest_record(trio, "b")
            harm(segment, list(records(segment))[-1])
            trio.run("a", "b", "c")
            trio.until_serving("a")
            trio.until_paired("a", "b", "c")
            trio.quiet("a", "b", "c")
            wrong = [problem for site in "abc" for problem in writer.lost(trio.uri(site, "db0"))]
            report.claim(
                not wrong and trio.status("b")["newest"]["number"] >= number,
                f"tail {what} at B: cut, fetched again, nothing lost",
                "; ".join(wrong[:3]) or f"{writer.answers} answered; update {number} was harmed",
            )
            trio.stop("a", "b", "c")


def middle(report, _short):
    """Damage with good records behind it: fetched again from A; refused where nobody else has it."""
    with Trio(layout()) as trio:
        writer = written(trio)
        segment, number = newest_record(trio, "b")
        held = list(records(segment))
        bad, size, at = held[len(held) // 2]
        flip(segment, at + HEADER_BYTES + (size - HEADER_BYTES) // 2)
        before = segment.read_bytes()
        trio.run("a", "b", "c")
        trio.until_serving("a")
        trio.until_paired("a", "b", "c")
        trio.quiet("a", "b", "c")
        wrong = [problem for site in "abc" for problem in writer.lost(trio.uri(site, "db0"))]
        report.claim(
            not wrong and trio.status("b")["newest"]["number"] >= number,
            "middle bit-flipped at B: fetched again from A, nothing lost",
            "; ".join(wrong[:3]) or f"update {bad} of {held[0][0]} to {held[-1][0]} was harmed",
        )
        kept = segment.parent / "damaged" / str(bad) / segment.name
        report.claim(
            kept.is_file() and kept.read_bytes() == before,
            "middle bit-flipped at B: the damaged file is kept as it was", str(kept),
        )
        plan = trio.status("b")["follows"]["plan"]
        report.claim(
            plan["kind"] in ("compare", "delta", "in_sync"),
            "middle bit-flipped at B: nothing is copied that is there already", plan["why"],
        )
        trio.kill("b")
        trio.until_status(
            "B is out", "a",
            lambda s: [member["site"] for member in s["charter"]["in_sync"]] == ["a"],
        )
        trio.kill("a", "c")
        segment, _ = newest_record(trio, "a")
        held = list(records(segment))
        _, size, at = held[len(held) // 2]
        flip(segment, at + HEADER_BYTES + (size - HEADER_BYTES) // 2)
        before = segment.read_bytes()
        refuses(
            report, trio, "a",
            "middle bit-flipped at A, which alone is in sync: refused, file and offset named", 1,
            [str(segment.name), str(at)],
        )
        report.claim(segment.read_bytes() == before, "and the file is left as it is")


def small_volume(report, _short):
    """A volume file that is smaller than configured."""
    with Trio(layout()) as trio:
        written(trio)
        files = (trio.dir / "a" / "volumes").rglob("*")
        [volume] = [path for path in files if path.stat().st_size == 16 * MIB]
        os.truncate(volume, 8 * MIB)
        refuses(
            report, trio, "a", "volume smaller than configured: refused, file and sizes named", 1,
            [str(volume), str(16 * MIB), str(8 * MIB)],
        )


def newest_record(trio, site):
    """(segment, number) of the newest record in the journal of a site."""
    last = None
    for segment in trio.journal_files(site):
        for number, _, _ in records(segment):
            if last is None or number > last[1]:
                last = (segment, number)
    return last


def truncate(segment, record):
    """The file ends in the middle of the record."""
    _, size, at = record
    os.truncate(segment, at + size // 2)


def flip_last(segment, record):
    """One bit of the record's payload is another."""
    _, size, at = record
    flip(segment, at + size - 1)


def flip(path, at):
    """Changes one bit of a file."""
    with open(path, "r+b") as file:
        file.seek(at)
        [byte] = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))
