"""Sites that do not know what they promised: on empty disks, or on those of an earlier day."""

import shutil

from bad_files import REGION
from claims import until
from layout import Layout
from trio import Trio
from writer import Writer


def layout(arbiter="manual"):
    """A small group."""
    journal = {site: "64MiB" for site in "abc"}
    return Layout(volumes={"db0": "16MiB"}, journal=journal, arbiter=[f'kind = "{arbiter}"'])


def host_at_a(trio):
    """A started group with A and B in sync, and a host that writes at A."""
    trio.start()
    writer = Writer([trio.uri("a", "db0")], REGION)
    writer.start()
    goes_on(writer)
    in_sync(trio, "a", "b")
    return writer


def goes_on(writer):
    """The host is answered."""
    before = writer.answer_count()
    until("the host is answered", lambda: writer.answer_count() > before + 500)


def in_sync(trio, *sites):
    """The charter of A names exactly these."""
    trio.until_status(
        f"a's charter names {', '.join(sites)}",
        "a",
        lambda s: set(sites) == {member["site"] for member in s["charter"]["in_sync"]},
    )


def whole(trio):
    """All three sites are paired, and B counts."""
    trio.until_paired("a", "b", "c")
    in_sync(trio, "a", "b")


def asks_b_to_lead_with_c(trio):
    """A takeover at B with nobody but C; what became of it."""
    trio.until_status(
        "b and c see each other", "b", lambda s: s["legs"].get("c", {}).get("link_up")
    )
    return trio.trefoil("takeover", "--at", "b", "--primary-is-fenced")


def nothing_is_lost(report, trio, writer, tag):
    """Every site has what was answered."""
    trio.quiet("a", "b", "c")
    wrong = [each for site in "abc" for each in writer.lost(trio.uri(site, "db0"))]
    report.claim(
        not wrong, f"{tag}: nothing answered is lost, at any site",
        "; ".join(wrong[:3]) or f"{writer.answers} answered",
    )


def restored_from_backup(report, _short):
    """B's machine comes back with the disks of an earlier day, and A is dead (E13)."""
    an_old_copy_of_b(report, "manual")


def restored_from_backup_with_raft(report, _short):
    """The same where the old disks hold an older part of Raft as well."""
    an_old_copy_of_b(report, "raft")


def an_old_copy_of_b(report, arbiter):
    """What both do."""
    with Trio(layout(arbiter)) as trio:
        writer = host_at_a(trio)
        trio.kill("b")
        here, backup = trio.dir / "b", trio.dir / "backup"
        shutil.copytree(here, backup)
        trio.run("b")
        whole(trio)
        goes_on(writer)
        # C hears how far B is, and is then kept from getting that far itself.
        trio.answer("pair", "suspend", "--site", "a", "--to", "c")
        goes_on(writer)
        writer.stop()
        trio.quiet("a", "b")
        trio.until_status(
            "c hears how far b is", "c",
            lambda s: s["legs"].get("b", {}).get("link_up"),
        )
        number = trio.status("a")["newest"]["number"]
        trio.kill("a", "b")
        shutil.rmtree(here)
        backup.rename(here)
        trio.run("b")
        until("b is told that it was set back", lambda: "was set back" in trio.log("b"))
        refused = asks_b_to_lead_with_c(trio)
        report.claim(
            refused.returncode in (3, 5) and trio.status("b")["newest"]["number"] < number,
            "an old copy of B proves nothing: refused, nothing is answered there",
            refused.stderr.strip(),
        )
        trio.run("a")
        trio.until_serving("a")
        trio.answer("pair", "resume", "--site", "a", "--to", "c")
        whole(trio)
        fetched = trio.status("b")["follows"]["fetched"]
        report.claim(
            fetched["copied_bytes"] == 0,
            "under A the old copy of B is brought up by a delta",
            f"{fetched['delta_updates']} updates, {fetched['delta_bytes']} bytes",
        )
        nothing_is_lost(report, trio, writer, "old copy of B")
        trio.stop("a", "b", "c")


def witness_replaced(report, _short):
    """C, which had recorded that B is out, is replaced; A dies: the new C proves nothing (E34)."""
    with Trio(layout()) as trio:
        writer = host_at_a(trio)
        trio.kill("b")
        in_sync(trio, "a")
        goes_on(writer)
        writer.stop()
        trio.kill("a", "c")
        shutil.rmtree(trio.dir / "c")
        trio.run("b", "c")
        refused = asks_b_to_lead_with_c(trio)
        report.claim(
            refused.returncode == 5 and "the word of {c} does not count" in refused.stderr,
            "a site on empty disks is no witness that B was not excluded",
            refused.stderr.strip(),
        )
        trio.run("a")
        trio.until_serving("a")
        whole(trio)
        nothing_is_lost(report, trio, writer, "C replaced")
        # A vouched for C, so its word counts again.
        trio.kill("a")
        done = trio.takeover("b", "--primary-is-fenced")
        report.claim(
            done["certificate"]["verdict"] == "zero",
            "once A has vouched for the new C, B takes over with its word",
        )
        trio.stop("b", "c")
