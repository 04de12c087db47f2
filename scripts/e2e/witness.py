"""A real etcd that keeps the charters, and a way to it from each site that can be cut."""

import os
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import trio
from claims import Skip, until
from cutter import Cutter
from layout import SITES


def binary():
    """The path of an etcd; nothing is looked at if there is none."""
    script = Path(__file__).parent.parent / "etcd.sh"
    into = Path(shutil.which(trio.BINARY) or trio.BINARY).resolve().parent / "etcd-server"
    done = subprocess.run([script, into], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skip(done.stderr.strip())
    return done.stdout.strip().splitlines()[-1]


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Witness:
    """One etcd; it is ended with the context that it is used as."""

    def __init__(self):
        self.binary = binary()
        self.dir = Path(tempfile.mkdtemp(prefix="trefoil-etcd-", dir=trio.ROOT))
        self.client, self.peer = free_port(), free_port()
        self.child = None
        self.ways = {site: Cutter(self.client) for site in SITES}

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        """Starts it, with what it had recorded."""
        client, peer = (f"http://127.0.0.1:{port}" for port in (self.client, self.peer))
        with open(self.dir / "log", "ab") as log:
            self.child = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", self.binary),
                    *("--data-dir", self.dir / "data"),
                    *("--listen-client-urls", client, "--advertise-client-urls", client),
                    *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                    *("--initial-cluster", f"default={peer}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ,
            )

        def healthy():
            try:
                with urllib.request.urlopen(f"{client}/health", timeout=1) as answer:
                    return b'"true"' in answer.read()
            except OSError:
                return False

        until("etcd is healthy", healthy)

    def kill(self):
        """Ends it as a crash does."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child = None

    def lines(self):
        """The lines of `[arbiter]`, as operators have them."""
        return ['kind = "etcd"', f'endpoints = ["http://127.0.0.1:{self.client}"]']

    def env(self, site):
        """What tells a daemon its own way to it."""
        return {"TREFOIL__ARBITER__ENDPOINTS": f"http://127.0.0.1:{self.ways[site].port}"}

    def cut(self, *sites):
        """These sites do not reach it any more, and are not told."""
        for site in sites:
            self.ways[site].cut()

    def heal(self):
        """Every site reaches it."""
        for way in self.ways.values():
            way.heal()
