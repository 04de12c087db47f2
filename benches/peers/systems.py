"""What is measured: this project's two sites and its peers, each as processes with one NBD port."""

import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path

#: Ends a child when this program ends, however it ends.
TIE = ["setpriv", "--pdeathsig", "KILL"]
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    """A port that nobody listens on, and no outgoing connection is given."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first_outgoing = int(file.read().split()[0])
    while True:
        port = random.randrange(10240, max(first_outgoing, 20480))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def cpu(pid):
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def settle(ticks, idle, patience):
    """Waits until two looks in a row find at most `idle` seconds of CPU used since the one before."""
    end, quiet, last = time.monotonic() + patience, 0, sum(ticks())
    while time.monotonic() < end and quiet < 2:
        time.sleep(0.2)
        now = sum(ticks())
        quiet, last = (quiet + 1 if now - last <= idle else 0), now


class System:
    """Processes that serve a volume of `size` bytes at `uri`, with their files below `root`."""

    def __init__(self, name, root, size):
        self.name = name
        self.dir = Path(root, name)
        self.dir.mkdir(parents=True)
        self.size = size
        self.children = []
        self.uri = None

    def spawn(self, *words, log="log"):
        """Starts a process; its output goes to a file."""
        with open(self.dir / log, "ab") as out:
            child = subprocess.Popen(
                [*TIE, *map(str, words)], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.children.append(child)
        return child

    def image(self, name):
        """A file of the volume's size, with all of its blocks."""
        path = self.dir / name
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.size)
        return path

    def await_port(self, port, patience=60):
        """Waits until somebody listens there."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if any(child.poll() is not None for child in self.children):
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        said = "".join(path.read_text(errors="replace")[-800:] for path in self.dir.glob("*log"))
        raise RuntimeError(f"{self.name} does not listen on {port}: {said}")

    def ticks(self):
        """CPU time of each process so far, in seconds."""
        return [cpu(child.pid) for child in self.children]

    def settle(self, patience=15):
        """Waits until what was begun behind the answers is done: two looks without CPU used."""
        settle(self.ticks, 0.02, patience)

    def stop(self):
        """Ends the processes and removes the files."""
        for child in self.children:
            child.kill()
            child.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def qemu_nbd(system, image, cache):
    """One qemu-nbd on a file; its port."""
    port = free_port()
    words = ["qemu-nbd", "--persistent", "--shared=4", "--format=raw", f"--cache={cache}"]
    system.spawn(*words, "--bind=127.0.0.1", f"--port={port}", "--export-name=disk", image)
    system.await_port(port)
    return port


def qemu(name, root, size, cache="writeback"):
    """qemu-nbd on a file: one site, no copy."""
    system = System(name, root, size)
    port = qemu_nbd(system, system.image("disk.raw"), cache)
    system.uri = f"nbd://127.0.0.1:{port}/disk"
    return system


def quorum(name, root, size, durable=False):
    """qemu-storage-daemon: a quorum of a local file and the NBD export of a second qemu-nbd."""
    system = System(name, root, size)
    far = qemu_nbd(system, system.image("far.raw"), "directsync" if durable else "writeback")
    near, port = system.image("near.raw"), free_port()
    direct = ",cache.direct=on" if durable else ""
    through = ",writethrough=on" if durable else ""
    far = f"server.type=inet,server.host=127.0.0.1,server.port={far},export=disk"
    system.spawn(
        "qemu-storage-daemon",
        f"--blockdev=driver=file,node-name=nearfile,filename={near}{direct}",
        "--blockdev=driver=raw,node-name=near,file=nearfile",
        f"--blockdev=driver=nbd,node-name=far,{far}",
        "--blockdev=driver=quorum,node-name=both,vote-threshold=2,children.0=near,children.1=far",
        f"--nbd-server=addr.type=inet,addr.host=127.0.0.1,addr.port={port}",
        f"--export=type=nbd,id=disk,node-name=both,name=disk,writable=on{through}",
    )
    system.await_port(port)
    system.uri = f"nbd://127.0.0.1:{port}/disk"
    return system


def nbdkit(name, root, size):
    """nbdkit's file plug-in: one site, no copy."""
    system, port = System(name, root, size), free_port()
    image = system.image("disk.raw")
    system.spawn("nbdkit", "--foreground", "--ipaddr=127.0.0.1", f"--port={port}", "file", image)
    system.await_port(port)
    system.uri = f"nbd://127.0.0.1:{port}/"
    return system


def limit(name, root, size, program=None, durable=False):
    """The program of `limit.c`: two journals over TCP and nothing else."""
    system, word = System(name, root, size), "durable" if durable else "memory"
    far, port = free_port(), free_port()
    system.spawn(program, "second", far, system.dir / "far", word)
    system.spawn(program, "first", port, system.dir / "near", word, far, size)
    system.await_port(port)
    system.uri = f"nbd://127.0.0.1:{port}/"
    return system


def trefoil(name, root, size, program=None, durable=False, sites=("a", "b"), more=""):
    """This project: host on site a, mirrored to b, and to c if it is one of the sites."""
    system = System(name, root, size)
    nbd = {site: free_port() for site in sites}
    layout = ['topology = "two_site"', 'primary = "a"', 'sync = "b"']
    if "c" in sites:
        layout = ['topology = "three_site"', *layout[1:], 'async = "c"']
    lines = [
        'site = "a"',
        # The peers leave as much and more in the page cache.
        "[limits]",
        'overlay = "1GiB"',
        "[group.bench]",
        *layout,
        f'durability = "{"write" if durable else "flush"}"',
        "[group.bench.volume.disk]",
        f"size = {size}",
    ]
    for site in sites:
        lines += [
            f"[sites.{site}]",
            f'address = "127.0.0.1:{free_port()}"',
            f'nbd = "127.0.0.1:{nbd[site]}"',
            f'dir = "{site}"',
            f'control = "{site}.sock"',
            'backend = "file"',
            'journal_capacity = "1GiB"',
        ]
    config = system.dir / "trefoil.toml"
    config.write_text("\n".join(lines) + "\n" + more)
    for site in sites:
        words = [program, "--config", config, "run", "--site", site]
        system.spawn(*words, log=f"{site}.log")
    system.uri = f"nbd://127.0.0.1:{nbd['a']}/bench/disk"
    system.config, system.program = config, program
    await_mirror(system, len(sites))
    return system


def status(system, site="a"):
    """What `trefoil status` says of the group, or `None`."""
    import json

    words = [system.program, "--config", system.config, "status", "--at", site, "-o", "json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout)["groups"][0] if done.returncode == 0 else None


def await_mirror(system, count, patience=120):
    """Waits until the host is served and `count - 1` legs are paired."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        now = status(system)
        if now and now["serving"]:
            paired = [leg for leg in now["legs"].values() if leg["state"] == "paired"]
            if len(paired) == count - 1:
                return
        time.sleep(0.2)
    raise RuntimeError(f"{system.name} did not pair: {now}")


#: For one write at a time; both sites read it.
POLL = '[timing]\nbusy_poll = "200us"\n'

#: Every system by name: how it is started, and what else that takes.
ALL = {
    "trefoil": (trefoil, {"program": "trefoil"}),
    "trefoil-ds": (trefoil, {"program": "trefoil", "durable": True}),
    "trefoil-poll": (trefoil, {"program": "trefoil", "more": POLL}),
    "trefoil-ds-poll": (trefoil, {"program": "trefoil", "durable": True, "more": POLL}),
    "quorum": (quorum, {}),
    "quorum-ds": (quorum, {"durable": True}),
    "qemu": (qemu, {}),
    "qemu-ds": (qemu, {"cache": "directsync"}),
    "nbdkit-file": (nbdkit, {}),
    "limit": (limit, {"program": "limit"}),
    "limit-ds": (limit, {"program": "limit", "durable": True}),
}


def start(name, root, size, programs):
    """Starts a system by its name."""
    make, more = ALL[name]
    more = {key: programs[value] if key == "program" else value for key, value in more.items()}
    return make(name, root, size, **more)
