"""The word for a link's transport is changed while a host writes: nobody notices, nothing is copied."""

import signal

from claims import ClaimFailed, until
from layout import Layout
from trio import Trio, sleep
from writer import Writer

MIB = 1 << 20
#: The longest that a host may wait for an answer meanwhile, in seconds: far less than a link that
#: is lost and made again costs, and more than a busy machine makes of nothing.
GAP_SECONDS_MAX = 2.0


def total(trio, site, metric):
    """The sum of a metric over its labels."""
    lines = trio.metrics(site).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(metric + "{"))


def reconnects(trio, site):
    """How often links of a site were made again."""
    return total(trio, site, "trefoil_link_reconnects_total")


def taken(trio, site):
    """Whether the last reload was good: 1 or 0."""
    return total(trio, site, "trefoil_config_last_reload_successful")


def takes_over(report, trio, sites, word, what):
    """The file as it is now is read again at these sites, one after the other: the word goes live."""
    trio.write_config()
    answers = [trio.answer("reload", "--at", site) for site in sites]
    report.claim(
        all(f"-> {word}" in " ".join(answer["live"]) for answer in answers)
        and not any(answer["restart"] for answer in answers),
        f"{what} is taken over without a restart",
        "; ".join(answers[0]["live"]),
    )


def another_transport(report, short):
    """tcp to quic and back, by reload at both ends, in either order."""
    layout = Layout(transport="tcp+tls", volumes={"db0": "96MiB"})
    with Trio(layout) as trio:
        trio.start()
        writer = Writer([trio.uri("a", "db0")], (0, 64 * MIB))
        writer.start()
        until("the writer writes", lambda: writer.answer_count() > 100)
        plan, copied = fetched(trio)
        before = reconnects(trio, "a")
        for word, order in [("quic", "ac"), ("tcp", "ca"), ("quic", "ca")]:
            layout.words["ac"] = word
            where = f"{word} at {order[0].upper()} first"
            takes_over(report, trio, order, word, f"reload: {where}")
            status = trio.until_status(
                f"the way from a to c is {word}",
                "a",
                lambda s, word=word: s["legs"]["c"]["transport"].startswith(word)
                and s["legs"]["c"]["way_wanted"] is None,
                patience=20,
            )
            report.claim(
                status["legs"]["c"]["state"] == "paired" and status["legs"]["b"]["state"] == "paired",
                f"reload: the leg goes on over {word}",
            )
            sleep(0.5 if short else 3.0)
        bad(report, trio)
        same_plan, same_copied = fetched(trio)
        report.claim(
            (same_plan, same_copied) == (plan, copied) and reconnects(trio, "a") == before,
            "reload: the session went on: no other plan, nothing copied, no link lost",
            f"{plan['kind']}, {copied} bytes copied before and after",
        )
        writer.stop()
        report.claim(
            writer.connections == 1 and writer.longest_gap < GAP_SECONDS_MAX,
            "reload: the host was answered all the time",
            f"{writer.answers} answers, longest gap {writer.longest_gap * 1000:.0f} ms",
        )
        trio.quiet("a", "c")
        for site in ("a", "c"):
            wrong = writer.lost(trio.uri(site, "db0"))
            report.claim(not wrong, f"reload: nothing is lost at {site.upper()}", "; ".join(wrong[:3]))
        trio.stop("a", "b", "c")


def fetched(trio):
    """What C follows by: its plan, and the bytes copied in this session."""
    follows = trio.status("c")["follows"]
    if not follows or not follows["plan"]:
        raise ClaimFailed("C follows nobody")
    return follows["plan"], follows["fetched"]["copied_bytes"]


def bad(report, trio):
    """A file with a mistake is refused as a whole, by the verb and by the signal."""
    good = trio.config.read_text()
    trio.config.write_text(good.replace('transport = "quic"', 'transport = "pigeon"'))
    done = trio.trefoil("reload", "--at", "a")
    report.claim(
        done.returncode == 78 and "pigeon" in done.stderr,
        "reload: a configuration with a mistake is refused, and the running one stays",
        f"exit {done.returncode}",
    )
    trio.signal("a", signal.SIGHUP)
    until(
        "the refused reload is counted",
        lambda: taken(trio, "a") == 0,
    )
    trio.config.write_text(good)
    trio.signal("a", signal.SIGHUP)
    until(
        "the next one is taken",
        lambda: taken(trio, "a") == 1,
    )
    report.claim(trio.status("a")["serving"], "reload: A serves on, and SIGHUP reads a good file")
