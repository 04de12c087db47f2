"""End-to-end runs: three real processes, killed and taken over, with real NBD clients.

usage: main.py [--short] [--only WORD] [--list]

One line per claim, with its figures; one line with the sums at the end. Exit status 0 if nothing
failed.
"""

import argparse
import signal
import subprocess
import sys
import time
import traceback

import automatic
import bad_config
import bad_files
import bad_frames
import certificates
import deltas
import disk_full
import failover
import fence
import flood
import forgotten
import layouts
import memory
import old_primary
import pair
import quic_strangers
import reload
import renewal
import replaced
import restart
import round_trip
import strangers
import trio
from claims import ClaimFailed, Report, Skip, note


IN_SHORT, LONG = True, False

#: What the failover is run over besides tcp and files; those marked are in the short run too.
WORDS = {
    ("tcp", "memory"): LONG,
    ("tcp", "mmap"): LONG,
    ("tcp+tls", "memory"): LONG,
    ("tcp+tls", "file"): IN_SHORT,
    ("tcp+tls", "mmap"): LONG,
    ("quic", "memory"): LONG,
    ("quic", "file"): LONG,
    ("quic", "mmap"): IN_SHORT,
}


def scenarios(short):
    """(name, function of a report and of whether the run is short) in the order they run."""
    run = [
        ("failover", failover.delta, IN_SHORT),
        ("failover-write", failover.delta_durable, LONG),
        ("short-journal", failover.short_journal, LONG),
        ("short-journal-write", failover.short_journal_durable, LONG),
        ("restart", restart.all_three_are_killed, IN_SHORT),
        ("restart-raft", restart.all_three_are_killed_with_raft, IN_SHORT),
        ("round-trip", round_trip.home, IN_SHORT),
        ("two-sites-burn", round_trip.two_sites_burn, LONG),
        ("fence-data", fence.data, IN_SHORT),
        ("fence-never", fence.never, LONG),
        ("pair", pair.every_export_is_a_prefix, IN_SHORT),
        ("reload", reload.another_transport, IN_SHORT),
        ("cascade", layouts.cascade, IN_SHORT),
        ("two-site-sync", layouts.two_sites("sync"), IN_SHORT),
        ("two-site-async", layouts.two_sites("async"), LONG),
        ("automatic", automatic.rounds, IN_SHORT),
        ("automatic-etcd", automatic.rounds_with_etcd, IN_SHORT),
        ("automatic-raft", automatic.rounds_with_raft, IN_SHORT),
        ("forgotten-file", forgotten.by("file"), IN_SHORT),
        ("forgotten-mmap", forgotten.by("mmap"), LONG),
        ("flood", flood.third_site_is_paused, LONG),
        ("bad-configurations", bad_config.configurations, IN_SHORT),
        ("bad-surroundings", bad_config.surroundings, IN_SHORT),
        ("bad-journal-group", bad_files.another_group, IN_SHORT),
        ("bad-journal-version", bad_files.another_version, IN_SHORT),
        ("bad-journal-tail", bad_files.tail, LONG),
        ("bad-journal-middle", bad_files.middle, IN_SHORT),
        ("bad-volume-size", bad_files.small_volume, IN_SHORT),
        ("bad-frames", bad_frames.every_port, LONG),
        ("certificates", certificates.every_refusal, IN_SHORT),
        ("strangers-tcp", strangers.at_every_port("tcp"), LONG),
        ("strangers-tls", strangers.at_every_port("tcp+tls"), LONG),
        ("strangers-quic", quic_strangers.at_the_port, LONG),
        ("renewal-tls", renewal.while_a_host_writes("tcp+tls"), LONG),
        ("renewal-quic", renewal.while_a_host_writes("quic"), IN_SHORT),
        ("disk-full-a", disk_full.full("a"), LONG),
        ("disk-full-b", disk_full.full("b"), LONG),
        ("disk-full-c", disk_full.full("c"), LONG),
        ("old-backup", memory.restored_from_backup, IN_SHORT),
        ("witness-replaced", memory.witness_replaced, IN_SHORT),
        ("old-backup-raft", memory.restored_from_backup_with_raft, LONG),
        ("site-replaced", replaced.for_good, IN_SHORT),
        ("source-dies", deltas.source_dies, LONG),
        ("idle-pair", deltas.idle, IN_SHORT),
        ("stale-mirror", deltas.stale_mirror, IN_SHORT),
        ("old-primary-delta", old_primary.without_a_tail, IN_SHORT),
        ("old-primary-tail", old_primary.with_a_tail, IN_SHORT),
        ("old-primary-consent", old_primary.with_answered_updates, LONG),
    ]
    for (transport, backend), in_short in WORDS.items():
        run.append((f"words-{transport}-{backend}", failover.over(transport, backend), in_short))
    return [(name, each) for name, each, in_short in run if in_short or not short]


def stopped(number, _frame):
    """A signal ends the run as an exception, so that every process is ended on the way."""
    raise SystemExit(128 + number)


def run_one(report, name, run, short):
    """Runs a scenario; whatever goes wrong in it is a failure of that one."""
    started = time.monotonic()
    print(f"--- {name}", flush=True)
    try:
        run(report, short)
    except Skip as why:
        report.skip(name, str(why))
    except ClaimFailed as failed:
        if str(failed) not in report.failed:
            report.fail(name, str(failed))
    except (Exception, subprocess.TimeoutExpired) as error:
        traceback.print_exc(file=sys.stdout)
        report.fail(name, f"{type(error).__name__}: {error}")
    note(f"{time.monotonic() - started:.1f} s")


def main():
    """Runs what is asked for; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="the part that takes a minute or two")
    parser.add_argument("--only", default="", help="only scenarios with this in their name")
    parser.add_argument("--list", action="store_true", help="only print the names of scenarios")
    parser.add_argument("--binary", default=trio.BINARY, help="the daemon to test")
    args = parser.parse_args()
    trio.BINARY = args.binary
    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGINT, stopped)
    everything = scenarios(args.short and not args.only)
    chosen = [(name, run) for name, run in everything if args.only in name]
    if args.list:
        print("\n".join(name for name, _ in chosen))
        return 0
    report = Report()
    for name, run in chosen:
        run_one(report, name, run, args.short)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
