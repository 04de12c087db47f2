"""What the host does, whom that is compared with, and what is to be reached."""

import json
import os
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A fio job, the systems it is run on (ours first), and the goals of the ratios of `figure`."""

    name: str
    words: tuple
    systems: tuple
    #: (peer, ratio, at most or at least): ours / peer.
    goals: tuple
    figure: str = "iops"


def random_write(depth, *more):
    """4 KiB writes at random offsets."""
    return ("--rw=randwrite", "--bs=4k", f"--iodepth={depth}", *more)


PLAIN = ("trefoil", "quorum", "qemu", "nbdkit-file", "limit")
DURABLE = ("trefoil-ds", "quorum-ds", "qemu-ds", "limit-ds")
FLUSHED = ("trefoil", "quorum", "qemu", "nbdkit-file", "limit")

ONE_AT_A_TIME = (("quorum", 0.35, "<="),)

JOBS = [
    Job("w4k-q1", random_write(1), PLAIN, ONE_AT_A_TIME, "p50"),
    Job("poll-w4k-q1", random_write(1), ("trefoil-poll", "quorum", "limit"), ONE_AT_A_TIME, "p50"),
    Job("w4k-q16", random_write(16), PLAIN, (("quorum", 3.8, ">="), ("limit", 0.85, ">="))),
    Job("w4k-q64", random_write(64), PLAIN, (("quorum", 4.7, ">="), ("limit", 0.85, ">="))),
    Job("ds-w4k-q1", random_write(1), DURABLE, (), "p50"),
    Job("poll-ds-w4k-q1", random_write(1), ("trefoil-ds-poll", "quorum-ds", "limit-ds"), (), "p50"),
    Job(
        "ds-w4k-q16",
        random_write(16),
        DURABLE,
        (("quorum-ds", 6.0, ">="), ("limit-ds", 0.85, ">=")),
    ),
    Job(
        "ds-w4k-q64",
        random_write(64),
        DURABLE,
        (("quorum-ds", 16.0, ">="), ("limit-ds", 0.85, ">="), ("qemu-ds", 2.0, ">=")),
    ),
    Job("ds-w4k-q16-p99", random_write(16), DURABLE, (("quorum-ds", 0.2, "<="),), "p99"),
    Job("wf4k-q1", random_write(1, "--fsync=1"), FLUSHED, (("quorum", 2.2, ">="),)),
    Job(
        "poll-wf4k-q1",
        random_write(1, "--fsync=1"),
        ("trefoil-poll", "quorum", "limit"),
        (("quorum", 2.2, ">="),),
    ),
    Job("wf4k-q16", random_write(16, "--fsync=1"), FLUSHED, (("quorum", 8.0, ">="),)),
    Job("wf4k-q64", random_write(64, "--fsync=1"), FLUSHED, (("quorum", 9.0, ">="),)),
    Job(
        "sw64k-q16",
        ("--rw=write", "--bs=64k", "--iodepth=16"),
        PLAIN,
        (("quorum", 1.2, ">="),),
    ),
    Job("sw1m-q16", ("--rw=write", "--bs=1m", "--iodepth=16"), PLAIN, (("quorum", 1.3, ">="),)),
    Job(
        "r4k-q16",
        ("--rw=randread", "--bs=4k", "--iodepth=16"),
        PLAIN,
        (("nbdkit-file", 1.2, ">="),),
    ),
    Job("cpu-w4k-q16", random_write(16), PLAIN, (("quorum", 0.5, "<="),), "cpu"),
]


#: Rows that are another figure of a job that is run anyway.
SAME_RUN = {"ds-w4k-q16-p99": "ds-w4k-q16", "cpu-w4k-q16": "w4k-q16"}


def run(job, system, seconds):
    """Runs the job once; iops, p50 and p99 in µs, CPU seconds of the servers per 1,000 requests, and
    of each of them. What the systems before left in the page cache goes to the disk first: else
    that is paid by whoever comes next."""
    system.settle()
    os.sync()
    before = system.ticks()
    words = [
        "fio",
        "--name=job",
        "--ioengine=nbd",
        f"--uri={system.uri}",
        *job.words,
        f"--size={system.size}",
        "--time_based",
        f"--runtime={int(seconds * 1000)}ms",
        "--ramp_time=300ms",
        "--randrepeat=0",
        "--output-format=json",
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds + 120)
    if done.returncode != 0:
        raise RuntimeError(f"{job.name} on {system.name}: {done.stdout[-500:]} {done.stderr[-500:]}")
    said = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    if said["error"]:
        raise RuntimeError(f"{job.name} on {system.name}: fio says error {said['error']}")
    system.settle()
    side = said["read"] if "randread" in job.words[0] else said["write"]
    # The start is in the CPU time and not in the counts of fio: corrected by the times.
    share = said["job_runtime"] / 1000 / (said["job_runtime"] / 1000 + 0.3)
    per_1000 = share * 1000 / max(1, side["total_ios"])
    spent = [(now - then) * per_1000 for then, now in zip(before, system.ticks())]
    percent = side["clat_ns"]["percentile"]
    return {
        "iops": side["iops"],
        "p50": percent["50.000000"] / 1000,
        "p99": percent["99.000000"] / 1000,
        "cpu": sum(spent),
        "cpu_each": spent,
    }


def fill(system):
    """Writes every block once, so that reads find data and writes find blocks."""
    words = [
        "fio",
        "--name=fill",
        "--ioengine=nbd",
        f"--uri={system.uri}",
        "--rw=write",
        "--bs=1m",
        "--iodepth=8",
        f"--size={system.size}",
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"fill {system.name}: {done.stdout[-500:]} {done.stderr[-500:]}")
    system.settle(60)
