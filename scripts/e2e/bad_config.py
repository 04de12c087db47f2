"""Configurations and surroundings that are wrong: a clear message, the right exit code."""

import os
import shutil
import socket
import subprocess

import trio as trio_module
from claims import ClaimFailed
from layout import Layout
from trio import Trio

CONFIG, FAILED, REFUSED = 78, 1, 3

#: What is wrong -> (text to replace, its replacement, what the message must say).
WRONG = {
    "an unknown key": ('fence = "status"', 'fence = "status"\nfenze = "data"', ["fenze", "fence"]),
    "an unknown table": ('site = "a"', 'site = "a"\n[grop.orders]', ["grop", "group"]),
    "a wrong type": ('size = "16MiB"', "size = [16]", ["group.orders.volume.db0.size"]),
    "a size without a unit": ('size = "16MiB"', 'size = "16 potatoes"', ["size", "potatoes"]),
    "an unknown transport": ('"tcp"', '"carrier_pigeon"', ["carrier_pigeon", "tcp", "memory"]),
    "an unknown backend": ('"file"', '"tape"', ["tape", "file", "memory"]),
    "an unknown topology": ('"three_site"', '"ring"', ["ring", "three_site"]),
    "an unknown durability": ('"flush"', '"maybe"', ["maybe", "flush", "write"]),
    "one site in two roles": ('async = "c"', 'async = "b"', ["b", "sync", "async"]),
    "a role of a site that is not there": ('async = "c"', 'async = "d"', ["d", "async"]),
}


def refused(done, code, words):
    """What is wrong with how a verb ended; empty when it is as wanted."""
    if done.returncode != code:
        return f"exit {done.returncode}, not {code}: {done.stderr[:400]}"
    missing = [word for word in words if word not in done.stderr]
    return f"does not say {missing}: {done.stderr[:400]}" if missing else ""


def configurations(report, _short):
    """Every wrong configuration is refused by `check` and by `run`, before anything is made."""
    with Trio(Layout(volumes={"db0": "16MiB"})) as trio:
        good = trio.config.read_text()
        for what, (old, new, words) in WRONG.items():
            if old not in good:
                raise ClaimFailed(f"the configuration has no {old}")
            trio.config.write_text(good.replace(old, new, 1))
            problem = ""
            for verb in (["check"], ["run", "--site", "a"]):
                done = trio.trefoil(*verb, timeout=20)
                problem = problem or refused(done, CONFIG, [*words, str(trio.config)])
            made = [name for name in ("a", "b", "c") if (trio.dir / name).exists()]
            report.claim(
                not problem and not made,
                f"configuration with {what}: exit 78, named with its remedy",
                problem or first_line(done.stderr),
            )
        both = good.replace('fence = "status"', 'fenze = "x"').replace('"tape"', '"x"')
        both = both.replace('async = "c"', 'asink = "c"')
        trio.config.write_text(both)
        problem = refused(trio.trefoil("check"), CONFIG, ["fenze", "asink"])
        report.claim(not problem, "two mistakes in a configuration are told at once", problem)


def first_line(text):
    """The first line of a message."""
    return text.strip().splitlines()[0] if text.strip() else ""


def surroundings(report, _short):
    """Ports in use, a second process, a directory that cannot be written."""
    with Trio(Layout(volumes={"db0": "16MiB"})) as trio:
        for what, site in [("nbd", "a"), ("address", "b"), ("metrics", "c")]:
            with socket.socket() as held:
                held.bind(("127.0.0.1", trio.ports[site][what]))
                held.listen()
                done = trio.trefoil("run", "--site", site, timeout=20)
                port = str(trio.ports[site][what])
                key = {"nbd": "NBD", "address": "", "metrics": "metrics"}[what]
                problem = refused(done, FAILED, [port, key])
                report.claim(
                    not problem,
                    f"port in use ({what}): exit 1, names the port",
                    problem or first_line(done.stderr),
                )
        trio.start()
        second_process(report, trio)
        unwritable(report, trio)


def second_process(report, trio):
    """Another daemon of the same site, and one that differs only in where it listens."""
    done = trio.trefoil("run", "--site", "a", timeout=20)
    problem = refused(done, FAILED, ["listens there already"])
    report.claim(
        not problem,
        "a second daemon of a site: exit 1, the first goes on",
        problem or first_line(done.stderr),
    )
    other = Layout(volumes={"db0": "16MiB"})
    with Trio(other, dirs={"a": trio.dir / "a"}) as stranger:
        done = stranger.trefoil("run", "--site", "a", timeout=20)
        problem = refused(done, REFUSED, ["open in another process"])
        report.claim(
            not problem and trio.status("a")["serving"],
            "a second process on the same files: exit 3, names the file, the first goes on",
            problem or first_line(done.stderr),
        )


def unwritable(report, trio):
    """A directory that the daemon's user may not write to."""
    claim = "directory not writable: exit 1, names the directory"
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        report.skip(claim, "needs root and setpriv, to become another user")
        return
    other = Layout(volumes={"db0": "16MiB"})
    with Trio(other) as stranger:
        stranger.dir.chmod(0o755)
        (stranger.dir / "a").mkdir(mode=0o755)
        sockets = stranger.dir / "sockets"
        sockets.mkdir()
        sockets.chmod(0o777)
        text = stranger.config.read_text().replace('"a.sock"', f'"{sockets}/a.sock"')
        stranger.config.write_text(text)
        # The binary may lie where that user may not go.
        binary = stranger.dir / "trefoil"
        shutil.copy(trio_module.BINARY, binary)
        binary.chmod(0o755)
        words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        done = subprocess.run(
            [*words, str(binary), "--config", str(stranger.config), "run", "--site", "a"],
            capture_output=True,
            text=True,
            timeout=20,
        )
        problem = refused(done, FAILED, [str(stranger.dir / "a")])
        report.claim(not problem, claim, problem or first_line(done.stderr))
