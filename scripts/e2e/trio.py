"""Three daemons as processes, and the verbs that an operator would type."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from claims import ClaimFailed, until
from layout import GROUP, SITES, Layout, free_ports

#: The daemon under test; the runner sets it.
BINARY = os.environ.get("TREFOIL", "trefoil")
#: Where the directories of scenarios are made.
ROOT = os.environ.get("TREFOIL_E2E_DIR")


class Trio:
    """A directory with a configuration, and up to three daemons that run from it.

    Used as a context: at its end every process that it started is ended by its id. The directory is
    removed if all went well, and kept, with the logs, if not.
    """

    def __init__(self, layout=None, dirs=None):
        self.dir = Path(tempfile.mkdtemp(prefix="trefoil-e2e-", dir=ROOT))
        self.layout = layout or Layout()
        self.ports = free_ports()
        self.dirs = {site: site for site in SITES} | (dirs or {})
        self.config = self.dir / "trefoil.toml"
        self.write_config()
        if self.layout.tls:
            self.make_certificates()
        self.running = {}
        self.ends = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for child in self.running.values():
            child.kill()
            child.wait()
        for end in self.ends:
            end()
        if kind is None:
            shutil.rmtree(self.dir, ignore_errors=True)
        else:
            print(f"      kept: {self.dir} (logs: {self.dir}/*.log)", flush=True)

    def make_certificates(self):
        """A private authority and a certificate for each site, by the verbs that operators type."""
        directory = str(self.dir / "tls")
        for words in (["init"], ["issue", *SITES]):
            done = self.trefoil("certs", *words, "--dir", directory)
            if done.returncode != 0:
                raise ClaimFailed(f"trefoil certs {' '.join(words)}: {done.stderr}")

    def write_config(self):
        """Writes the configuration of the layout, over what was there."""
        self.config.write_text(self.layout.text(self.ports, self.dirs))

    def run(self, *sites, env=None, wrap=()):
        """Starts the daemons of `sites`; returns without waiting for them."""
        for site in sites:
            words = ["run", "--site", site, "--pid-file", str(self.dir / f"{site}.pid")]
            # A daemon must not outlive this program, not even if that is killed.
            tie = ["setpriv", "--pdeathsig", "KILL", *wrap]
            with open(self.dir / f"{site}.log", "ab") as log:
                self.running[site] = subprocess.Popen(
                    [*tie, BINARY, "--config", self.config, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=os.environ | (env or {}),
                    start_new_session=True,
                )

    def start(self, paired=True):
        """Starts all three, and waits until the host can write and both legs are paired."""
        self.run(*SITES)
        self.until_serving("a")
        if paired:
            self.until_paired("a", "b", "c")

    def trefoil(self, *words, timeout=150):
        """Runs a verb to its end."""
        command = [BINARY, "--config", self.config, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout)

    def answer(self, *words, timeout=150):
        """The JSON answer of a verb that must succeed."""
        done = self.trefoil(*words, "-o", "json", timeout=timeout)
        if done.returncode != 0:
            raise ClaimFailed(f"trefoil {' '.join(words)}: exit {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def uri(self, site, volume):
        """What an NBD client takes."""
        return f"nbd://127.0.0.1:{self.ports[site]['nbd']}/{GROUP}/{volume}"

    def status(self, site):
        """The group as `site` sees it; `None` if its daemon does not answer."""
        done = self.trefoil("status", "--at", site, "-o", "json")
        if done.returncode != 0:
            return None
        return json.loads(done.stdout)["groups"][0]

    def until_status(self, what, site, holds, patience=30.0):
        """Waits until the status of `site` is as wanted."""
        last = [None]

        def look():
            last[0] = self.status(site)
            return last[0] if last[0] is not None and holds(last[0]) else None

        def told():
            return f"{what}; last status of {site}: {json.dumps(last[0])}; {self.log_tail(site)}"

        return until(told, look, patience)

    def until_serving(self, site, patience=30.0):
        """Waits until `site` answers hosts."""
        return self.until_status(f"{site} serves", site, lambda s: s["serving"], patience)

    def until_paired(self, source, *legs, patience=60.0):
        """Waits until the legs of `source` are paired, and those that it waits for are in sync."""

        def paired(status):
            named = {member["site"] for member in status["charter"]["in_sync"]}
            known = {leg: status["legs"][leg] for leg in legs}
            return all(
                leg["state"] == "paired" and (leg["mode"] != "sync" or site in named)
                for site, leg in known.items()
            )

        return self.until_status(f"{', '.join(legs)} paired", source, paired, patience)

    def wait(self, site, update="latest", timeout=60):
        """`trefoil wait` until an update is restored at `site`; its number."""
        words = ("wait", "--at", site, "--update", str(update), "--timeout", f"{timeout}s")
        return self.answer(*words, timeout=timeout + 20)["update"]

    def export(self, site, name, update=None):
        """`trefoil export` at `site` into the directory `name`; the document."""
        more = [] if update is None else ["--update", str(update)]
        words = ("export", "--at", site, "--group", GROUP, *more, str(self.dir / name))
        return self.answer(*words)

    def takeover(self, site, *words):
        """`trefoil takeover` at `site`; the document."""
        return self.answer("takeover", "--at", site, *words)

    def metrics(self, site):
        """What Prometheus would read."""
        url = f"http://127.0.0.1:{self.ports[site]['metrics']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()

    def signal(self, site, number):
        """Sends a signal to the daemon of `site`, by its id."""
        os.kill(self.running[site].pid, number)

    def kill(self, *sites):
        """Ends daemons without warning: all signals first, then the waiting."""
        for site in sites:
            self.signal(site, signal.SIGKILL)
        for site in sites:
            self.running.pop(site).wait()

    def stop(self, *sites, patience=20):
        """Asks daemons to stop, one after the other; each must end well."""
        for site in sites:
            self.signal(site, signal.SIGTERM)
            code = self.ended(site, patience)
            if code != 0:
                raise ClaimFailed(f"{site} ended with {code} on SIGTERM; {self.log_tail(site)}")

    def ended(self, site, patience=20):
        """The exit code of a daemon that is to end by itself."""
        try:
            code = self.running[site].wait(patience)
        except subprocess.TimeoutExpired:
            raise ClaimFailed(f"{site} does not end; {self.log_tail(site)}") from None
        del self.running[site]
        return code

    def alive(self, site):
        """Whether the daemon still runs."""
        return self.running[site].poll() is None

    def log(self, site):
        """Everything that the daemon said."""
        path = self.dir / f"{site}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def log_tail(self, site, lines=8):
        """The end of it, for a failure."""
        return f"log of {site}: " + " | ".join(self.log(site).splitlines()[-lines:])

    def rss(self, site):
        """Bytes of memory that the daemon has resident: (now, most ever)."""
        words = {"VmRSS": 0, "VmHWM": 0}
        for line in Path(f"/proc/{self.running[site].pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in words:
                words[name] = int(value.split()[0]) << 10
        return words["VmRSS"], words["VmHWM"]

    def journal_files(self, site):
        """The journal's segment files, oldest first."""
        found = (self.dir / self.dirs[site]).glob("journal/**/segment.*")
        return sorted(found)

    def quiet(self, source, *others, patience=60):
        """Waits until `others` have restored what `source` has; the number."""
        number = self.wait(source, timeout=patience)
        for other in others:
            self.wait(other, number, timeout=patience)
        return number


def sleep(seconds):
    """A pause in which things happen elsewhere."""
    time.sleep(seconds)
