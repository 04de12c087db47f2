"""What a run claims: one line per claim with its figures, and the sum at the end."""

import sys
import time


class ClaimFailed(Exception):
    """A claim is false; the rest of its scenario is not run."""


class Skip(Exception):
    """A scenario cannot be run here; the message says what is missing."""


class Report:
    """Collects the claims of a run and prints each as it is decided."""

    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def claim(self, holds, claim, figures=""):
        """States `claim`; a false one ends the scenario."""
        if not holds:
            self.fail(claim, figures)
            raise ClaimFailed(claim)
        self.passed += 1
        _say("ok", claim, figures)

    def fail(self, claim, figures=""):
        """States that `claim` is false."""
        self.failed.append(claim)
        _say("FAIL", claim, figures)

    def skip(self, claim, why):
        """States that `claim` was not looked at, and why."""
        self.skipped.append(claim)
        _say("skip", claim, why)

    def close(self):
        """Prints the sum; the exit status of the run."""
        for claim in self.failed:
            print(f"failed: {claim}")
        print(
            f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped",
            flush=True,
        )
        return 1 if self.failed else 0


def _say(word, claim, figures):
    tail = f"  ({figures})" if figures else ""
    print(f"{word:<5} {claim}{tail}", flush=True)


def until(what, holds, patience=30.0, pause=0.05):
    """Waits until `holds()` is true, and returns what it said; fails after `patience` seconds.

    Where `what` is a function, it is asked at the end, so that it can tell how things stand.
    """
    deadline = time.monotonic() + patience
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise ClaimFailed(f"not within {patience:.0f} s: {text}")
        time.sleep(pause)


def mib(count):
    """`count` bytes for people."""
    return f"{count / (1 << 20):.1f} MiB"


def note(text):
    """A line that is no claim, for whoever watches the run."""
    print(f"      {text}", file=sys.stdout, flush=True)
