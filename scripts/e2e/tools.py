"""Other people's tools: mke2fs, e2fsck, qemu-img, fio."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from claims import ClaimFailed

REPOSITORY = Path(__file__).resolve().parents[2]
#: Where real files are taken from; the first ones that are there.
SOURCES = [REPOSITORY, Path("/usr/share/doc"), Path("/usr/share"), Path("/usr/lib/python3")]
#: Not taken: build output and history.
LEFT_OUT = {"target", ".git"}


def call(*words, timeout=300):
    """Runs a tool that must succeed; its standard output."""
    words = [str(word) for word in words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-2000:]
        raise ClaimFailed(f"{' '.join(words)}: exit {done.returncode}: {said}")
    return done.stdout


def collect_files(to, budget):
    """Copies real files of together at most `budget` bytes; how many, and how many bytes."""
    count, total = 0, 0
    for source in SOURCES:
        for folder, folders, names in os.walk(source):
            folders[:] = sorted(set(folders) - LEFT_OUT)
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_symlink() or not path.is_file():
                    continue
                size = path.stat().st_size
                if size > budget // 8 or total + size > budget:
                    continue
                target = to / str(path).lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                count, total = count + 1, total + size
        if total > budget * 3 // 4:
            break
    return count, total


def ext4_image(path, size, files):
    """Makes an ext4 file system of `size` bytes with the files of the directory `files`."""
    call("mke2fs", "-q", "-t", "ext4", "-d", files, "-F", path, f"{size >> 10}k")


def e2fsck(path):
    """Checks a file system without writing to it: what it says of its contents."""
    return call("e2fsck", "-f", "-n", path).strip().splitlines()[-1]


def convert(image, uri):
    """Writes an image to an export, with qemu-img."""
    call("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, uri)


def job_of(output):
    """What fio says of its only job; remarks may come before the JSON."""
    start = output.find("{")
    if start < 0:
        raise ClaimFailed(f"fio said no JSON: {output[:500]}")
    return json.loads(output[start:])["jobs"][0]


class Fio:
    """One fio job over NBD: run to write, and again, elsewhere, to verify."""

    def __init__(self, name, offset, size, block="4k", depth=16):
        self.name = name
        self.words = [
            "fio",
            f"--name={name}",
            "--ioengine=nbd",
            "--rw=randwrite",
            f"--bs={block}",
            f"--offset={offset}",
            f"--size={size}",
            f"--iodepth={depth}",
            "--verify=crc32c",
            "--verify_fatal=1",
            "--randseed=4711",
            "--output-format=json",
        ]

    def write(self, uri):
        """Writes every block of the region once, in random order; bytes and bytes per second."""
        done = self._run(uri, "--do_verify=0")["write"]
        return done["io_bytes"], done["bw_bytes"]

    def verify(self, uri):
        """Reads all of it and checks every block's checksum; the bytes read."""
        read = self._run(uri, "--verify_only=1")["read"]
        return read["io_bytes"]

    def _run(self, uri, *more):
        # fio leaves verify state files in its working directory.
        words = [*self.words, f"--uri={uri}", "--verify_state_save=0", *more]
        job = job_of(call(*words))
        if job["error"]:
            raise ClaimFailed(f"fio job {self.name} at {uri}: error {job['error']}")
        return job


def flood(uri, seconds, size, block="4k", depth=64):
    """fio writes as fast as it can for a time: bytes, bytes per second, slowest answer in s."""
    words = [
        "fio",
        "--name=flood",
        "--ioengine=nbd",
        "--rw=randwrite",
        f"--bs={block}",
        f"--size={size}",
        f"--iodepth={depth}",
        "--time_based",
        f"--runtime={seconds}",
        f"--uri={uri}",
        "--output-format=json",
    ]
    job = job_of(call(*words, timeout=seconds + 120))
    if job["error"]:
        raise ClaimFailed(f"fio flood at {uri}: error {job['error']}")
    write = job["write"]
    return write["io_bytes"], write["bw_bytes"], write["clat_ns"]["max"] / 1e9
