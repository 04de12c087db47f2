"""A site's disk is full: the group goes on or says what is wrong, nothing answered is lost."""

import subprocess
import time

from claims import ClaimFailed, Skip, until
from layout import SITES, Layout
from trio import Trio
from writer import Writer

MIB = 1 << 20


def small_disk(trio, site, size):
    """Mounts a tmpfs of `size` MiB as the directory of a site; it goes with the trio."""
    path = trio.dir / site
    path.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "trefoil-e2e", str(path)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    except FileNotFoundError:
        raise Skip("no mount command") from None
    if done.returncode != 0:
        raise Skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    trio.ends.append(lambda: subprocess.run(["umount", "-l", str(path)], check=False))
    return path


def grow(path, size):
    """Gives the small disk more room."""
    words = ["mount", "-o", f"remount,size={size}m", str(path)]
    subprocess.run(words, check=True, capture_output=True)


def fill(path):
    """Takes all the room that is left; the file that does."""
    ballast = path / "ballast"
    with open(ballast, "wb") as file:
        try:
            while True:
                file.write(b"x" * 65536)
                file.flush()
        except OSError:
            pass
    return ballast


def full(site):
    """The scenario for one site."""

    def scenario(report, short):
        layout = Layout(
            volumes={"db0": "48MiB"},
            journal={each: "64MiB" for each in SITES},
            timing=['leg_grace = "1s"'],
        )
        with Trio(layout) as trio:
            path = small_disk(trio, site, 40)
            trio.start()
            uris = [trio.uri("a", "db0")]
            writer = Writer(uris, (0, 48 * MIB), depth=16)
            writer.start()
            until("the host writes", lambda: writer.answer_count() > 500)
            fill(path)
            story(report, trio, site, writer, path, short)

    scenario.__doc__ = f"The disk of {site} is full under load, and has room again later."
    return scenario


def story(report, trio, site, writer, path, short):
    """What must hold while the disk is full, and after."""
    name = site.upper()
    told = trio.until_status(
        f"{site} says that its disk is full",
        site,
        lambda s: s["trouble"],
        patience=40,
    )["trouble"]
    report.claim(
        any(word in told for word in ("full", "space", "room")),
        f"disk full at {name}: status says so, with the remedy",
        told,
    )
    if site != "a":
        before = writer.answer_count()
        rest = 8 if short else 15
        time.sleep(rest)
        went_on = writer.answer_count() - before
        report.claim(
            went_on > 500 * rest / 2 and writer.silence() < 6,
            f"disk full at {name}: the host goes on without it",
            f"{went_on} writes in {rest} s, no answer for {writer.silence():.2f} s at the most",
        )
    else:
        time.sleep(1)
        report.claim(
            trio.alive("a"),
            "disk full at A: writes wait or fail, the daemon lives",
            f"{len(writer.errors)} errors, {writer.in_doubt} in doubt",
        )
    (path / "ballast").unlink()
    grow(path, 400)
    restarted = heal(trio, site)
    trio.until_paired("a", "b", "c", patience=60)
    before = writer.answer_count()
    until("the host writes", lambda: writer.answer_count() > before + 500, patience=40)
    writer.stop()
    trio.quiet("a", "b", "c")
    wrong = [problem for each in SITES for problem in writer.lost(trio.uri(each, "db0"))]
    report.claim(
        not wrong,
        f"disk full at {name}: with room again everything is paired, nothing answered is lost",
        "; ".join(wrong[:3])
        or f"{writer.answers} answered, {writer.in_doubt} in doubt, {restarted}",
    )
    trio.stop(*SITES)


def heal(trio, site):
    """With room again the site recovers by itself, or after the restart that it asks for."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        status = trio.status(site)
        if status and not status["trouble"]:
            return "without a restart"
        time.sleep(0.2)
    trouble = (trio.status(site) or {}).get("trouble") or ""
    if "restart" not in trouble:
        raise ClaimFailed(f"{site} has room again, and does not recover nor say how: {trouble}")
    trio.kill(site)
    trio.run(site)
    return "after the restart that it asked for"
