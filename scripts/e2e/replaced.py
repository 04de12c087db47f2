"""A site whose machine is gone for good is replaced by a new one of its name (E34)."""

import shutil

from claims import until
from memory import goes_on, host_at_a, in_sync, layout, nothing_is_lost, whole
from trio import Trio, sleep

REPLACE = ("site", "replace", "c", "--at", "a")
WORDS = "was replaced for good"


def refused_everywhere(trio, tag):
    """The old C runs, and A and B do not let it in."""
    lines = len(trio.log("c"))
    trio.run("c")
    until(f"{tag}: C is told why", lambda: WORDS in trio.log("c")[lines:])
    until(
        f"{tag}: A and B say why",
        lambda: all(WORDS in str(trio.status(site)["legs"]["c"]["state"]) for site in "ab"),
    )
    linked = [site for site in "ab" if trio.status(site)["legs"]["c"]["link_up"]]
    trio.kill("c")
    return not linked


def for_good(report, _short):
    """C burns down: refused while it is up, said beforehand, done, refused for ever, filled anew."""
    with Trio(layout()) as trio:
        writer = host_at_a(trio)
        whole(trio)
        up = trio.trefoil(*REPLACE)
        report.claim(
            up.returncode == 3 and "site c is up" in up.stderr,
            "a site that is up is not replaced", up.stderr.strip(),
        )
        here, old = trio.dir / "c", trio.dir / "old"
        trio.kill("c")
        trio.until_status("c is gone", "b", lambda s: not s["legs"]["c"]["link_up"])
        trio.until_status("c is gone", "a", lambda s: not s["legs"]["c"]["link_up"])
        goes_on(writer)
        elsewhere = trio.trefoil("site", "replace", "c", "--at", "b")
        report.claim(
            elsewhere.returncode == 3 and "`trefoil site replace c --at a" in elsewhere.stderr,
            "B, which does not lead, names the site that does", elsewhere.stderr.strip(),
        )
        # A hears of a B that was filled a moment ago with the next heartbeat.
        ready = ("plan", "site-replace", "c", "--at", "a")
        until("A knows that B is filled", lambda: trio.trefoil(*ready).returncode == 0, 5.0)
        plan = trio.answer(*ready)
        report.claim(
            plan["outcome"] == "ready"
            and plan["next"] == ["trefoil site replace c --at a --group orders"],
            "the plan says what would be done", plan["why"],
        )
        trio.answer("pair", "suspend", "--site", "a", "--to", "c")
        done = trio.answer(*plan["next"][0].split()[1:])
        journals = {site: trio.answer("journal", "--at", site) for site in "ab"}
        report.claim(
            all(
                journal["floors"]["c"]["number"] == 0 and journal["maps"]["c"]["bytes"] is None
                for journal in journals.values()
            ),
            "it is done: neither A nor B keeps anything for it",
            f"born as {done['born']}, {done['lacked']} updates behind",
        )
        again = trio.answer("plan", "site-replace", "c", "--at", "a")
        report.claim(again["outcome"] == "nothing_to_do", "once is enough", again["why"])
        report.claim(refused_everywhere(trio, "old C"), "the old C is refused, by A and by B")
        writer.stop()
        trio.kill("a", "b")
        trio.run("a", "b")
        trio.until_serving("a")
        in_sync(trio, "a", "b")
        report.claim(
            refused_everywhere(trio, "old C, later"), "also once A and B were started anew"
        )
        here.rename(old)
        trio.run("c")
        whole(trio)
        nothing_is_lost(report, trio, writer, "new C")
        # A vouches for it once it has listened for as long as a lease may last.
        sleep(3)
        trio.kill("a")
        done = trio.takeover("b", "--primary-is-fenced")
        report.claim(
            done["certificate"]["verdict"] == "zero",
            "with the word of the new C B takes over, and proves that nothing is lost",
        )
        trio.stop("b", "c")
        shutil.rmtree(old)
