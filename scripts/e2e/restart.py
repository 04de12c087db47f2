"""All three are killed under load and started again: nothing answered is lost, roles resume."""

import itertools
import time

from claims import ClaimFailed, until
from layout import SITES, Layout
from trio import Trio
from writer import Writer

MIB = 1 << 20


def all_three_are_killed(report, short):
    """Several rounds, the sites started again in every order; the writer reconnects by itself."""
    killed(report, short, "manual")


def all_three_are_killed_with_raft(report, short):
    """The same where the charter is kept in Raft, whose parts are killed with them."""
    killed(report, short, "raft")


def killed(report, short, arbiter):
    """What both do."""
    rounds = 2 if short else 6
    load = 1.5 if short else 4.0
    layout = Layout(volumes={"scratch": "64MiB"}, arbiter=[f'kind = "{arbiter}"'])
    orders = itertools.cycle(itertools.permutations(SITES))
    with Trio(layout) as trio:
        trio.start()
        writer = Writer([trio.uri("a", "scratch")], (0, 64 * MIB), depth=32)
        writer.start()
        waits, pairings, generations = [], [], [trio.status("a")["generation"]["count"]]
        for _ in range(rounds):
            before = writer.answer_count()
            until("the writer writes", lambda: writer.answer_count() > before + 100)
            time.sleep(load)
            trio.kill(*SITES)
            started = time.monotonic()
            trio.run(*next(orders))
            status = trio.until_serving("a", patience=30)
            waits.append(time.monotonic() - started)
            generations.append(status["generation"]["count"])
            trio.until_paired("a", "b", "c", patience=20)
            pairings.append(time.monotonic() - started)
            for site, role in [("a", "primary"), ("b", "secondary"), ("c", "secondary")]:
                found = trio.status(site)["role"]
                if found != role:
                    raise ClaimFailed(f"after the restart {site} is {found}, not {role}")
        report.claim(
            True,
            "restart of all three: roles resume by themselves",
            f"{rounds} rounds under load, A serves after {min(waits):.2f} to {max(waits):.2f} s, "
            f"both legs are paired after {min(pairings):.2f} to {max(pairings):.2f} s",
        )
        report.claim(
            generations == sorted(set(generations)),
            "restart of all three: every start of serving begins a new generation",
            ", ".join(str(count) for count in generations),
        )
        writer.stop()
        trio.quiet("a", "b", "c")
        for site in SITES:
            wrong = writer.lost(trio.uri(site, "scratch"))
            report.claim(
                not wrong,
                f"restart of all three: nothing answered is lost at {site.upper()}",
                "; ".join(wrong[:3])
                or f"{writer.answers} answered, 0 lost, {writer.in_doubt} in doubt",
            )
        documents = [trio.export(site, f"images-{site}") for site in SITES]
        hashes = {document["images"][0]["blake3"] for document in documents}
        report.claim(len(hashes) == 1, "restart of all three: the images are equal", hashes.pop())
        trio.stop(*SITES)
