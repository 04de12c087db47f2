"""The same fio jobs on this project's two sites and on its peers, in interleaved rounds.

Environment: ROUNDS (3), SECONDS_EACH (3) of each job, JOBS and PEERS (words that their names must
contain, separated by spaces; all by default but those that poll, whose sites would take page cache
from the others; ours are always run), SIZE in MiB of the volume (512),
OUT, where table.md, samples.csv and peers.svg go (target/bench-peers), TREFOIL and LIMIT, the
programs, BENCH_DIR, where the files lie.
"""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import jobs
import report
import systems


def words(name):
    """The words of an environment variable."""
    return os.environ.get(name, "").split()


def chosen():
    """The jobs to run, each with its systems."""
    wanted, peers = words("JOBS"), words("PEERS")
    default = [j.name for j in jobs.JOBS if not j.name.startswith("poll-")]
    asked = [j.name for j in jobs.JOBS if any(word in j.name for word in wanted)]
    names = asked if wanted else default
    run = {jobs.SAME_RUN.get(name, name) for name in names}
    for job in jobs.JOBS:
        if job.name in run:
            of_it = [s for s in job.systems if not peers or s in peers or s.startswith("trefoil")]
            yield job, of_it


def measure(plan, running, rounds, seconds):
    """All samples: in each round every job, and in each job every system."""
    samples = []
    for number in range(rounds):
        for job, names in plan:
            # Another order in every round, so that nobody always comes after the same one.
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                load = os.getloadavg()[0]
                sample = jobs.run(job, running[name], seconds)
                samples.append({"round": number, "job": job.name, "system": name, **sample})
                samples[-1]["load"] = load
                print(
                    f"{number} {job.name:<12} {name:<12} {sample['iops']:>9.0f}/s  "
                    f"p50 {sample['p50']:>7.0f} µs  p99 {sample['p99']:>8.0f} µs  "
                    f"cpu {sample['cpu']:.4f} s/1k  load {load:.1f}",
                    file=sys.stderr,
                    flush=True,
                )
    return samples


def main():
    rounds, seconds = int(os.environ.get("ROUNDS", 3)), float(os.environ.get("SECONDS_EACH", 3))
    out = Path(os.environ.get("OUT", "target/bench-peers"))
    out.mkdir(parents=True, exist_ok=True)
    programs = {"trefoil": os.environ["TREFOIL"], "limit": os.environ["LIMIT"]}
    size = int(os.environ.get("SIZE", 512)) << 20
    plan = list(chosen())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    running = {}
    with tempfile.TemporaryDirectory(prefix="bench-peers-", dir=os.environ.get("BENCH_DIR")) as root:
        try:
            for name in sorted({name for _, names in plan for name in names}):
                running[name] = systems.start(name, root, size, programs)
                jobs.fill(running[name])
            samples = measure(plan, running, rounds, seconds)
        finally:
            for system in running.values():
                system.stop()
    loads = sorted(sample["load"] for sample in samples)
    lines = report.table(jobs.JOBS, jobs.SAME_RUN, samples)
    lines += [
        "",
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {rounds} interleaved rounds of "
        f"{seconds:g} s, medians; load average while measuring {loads[0]:.1f} to {loads[-1]:.1f}.",
    ]
    text = "\n".join(lines) + "\n"
    (out / "table.md").write_text(text, encoding="utf-8")
    report.write_csv(out / "samples.csv", samples)
    report.plot(out / "peers.svg", jobs.JOBS, jobs.SAME_RUN, samples)
    print(text)


main()
