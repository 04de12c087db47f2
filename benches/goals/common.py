"""What the measures share: sites as the jobs of the peers' bench see them, and how a result is told."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2] / "scripts" / "e2e"), str(HERE.parents[1] / "peers")]

import jobs  # noqa: E402
import systems  # noqa: E402
from layout import Layout  # noqa: E402

#: The sizes of the goals instead of small ones.
FULL = bool(os.environ.get("FULL"))
MIB = 1 << 20


def line(name, figures, met=None):
    """One result."""
    word = {None: "", True: "**met**: ", False: "**not met**: "}[met]
    print(f"- {name}: {word}{figures}", flush=True)


class Measured:
    """A site's trio as the jobs of the peers' bench see a system."""

    def __init__(self, trio, sites, size, volume="disk", at="a"):
        self.name, self.size, self.trio, self.sites = "trefoil", size, trio, sites
        self.uri = trio.uri(at, volume)

    def ticks(self):
        """CPU seconds of each site so far."""
        return [systems.cpu(self.trio.running[site].pid) for site in self.sites]

    def settle(self, patience=15):
        """Waits until nothing is done any more."""
        systems.settle(self.ticks, 0.03, patience)


def job(name):
    """A job of the peers' bench."""
    return next(j for j in jobs.JOBS if j.name == name)


def layout(size, journal="1GiB", **more):
    """One volume `disk` of `size` MiB at each site."""
    journals = {site: journal for site in "abc"}
    return Layout(volumes={"disk": f"{size}MiB"}, journal=journals, **more)


def totals(trio, site="a"):
    """The counters of a site."""
    return trio.status(site)["totals"]
