"""Takeovers that nobody starts: rounds of killing, pausing and cutting, drawn from a seed.

ROUNDS=100 makes a hundred rounds, SEED=7 begins with another seed. In every round two hosts write
all the time, one at A and one at B, whoever of them answers. Checked are: no answered write is
lost, never two sites answer at a time, and the mirror answers soon enough where it must. The same
with an etcd as arbiter, which is lost too, and with the one that lives in the sites.
"""

import os
import random
import shutil
import signal
import time

from claims import ClaimFailed, note, until
from cutter import Cutter
from layout import SITES, Layout
from trio import Trio
from witness import Witness
from writer import Writer

MIB = 1 << 20
LEASE, DELAY, MORE = 1.0, 2.0, 1.0
#: A half of the volume for the host at each site.
REGIONS = {"a": (0, 4 * MIB), "b": (4 * MIB, 4 * MIB)}
#: Requests that a host has in flight.
DEPTH = 4
ROUNDS, ROUNDS_SHORT = 6, 3


class Host(Writer):
    """A writer that notes when it was answered."""

    def __init__(self, trio, site, before, seed):
        super().__init__([trio.uri(site, "db0")], REGIONS[site], depth=DEPTH, seed=seed)
        self.times = []
        if before is not None:
            self.answered, self.doubts = before.answered, before.doubts

    def _answer(self, write):
        super()._answer(write)
        if write is not None:
            self.times.append(time.monotonic())


class Field:
    """Three daemons with a proxy in each of their links."""

    def __init__(self, trio, witness=None):
        self.trio = trio
        self.witness = witness
        ports = {site: trio.ports[site]["address"] for site in SITES}
        # The site whose name comes first dials.
        self.links = {pair: Cutter(ports[pair[1]]) for pair in ("ab", "ac", "bc")}

    def run(self, site):
        """Starts a daemon, whose way to others passes the proxies."""
        env = self.witness.env(site) if self.witness else {}
        for pair, cutter in self.links.items():
            name = f"TREFOIL__SITES__{pair[1].upper()}"
            env[f"{name}__LISTEN"] = f"127.0.0.1:{cutter.target}"
            if pair[0] == site:
                env[f"{name}__ADDRESS"] = f"127.0.0.1:{cutter.port}"
        self.trio.run(site, env=env)

    def cut(self, *pairs):
        """Cuts links, each named by its ends in any order."""
        for pair in pairs:
            self.links["".join(sorted(pair))].cut()

    def heal(self):
        """Nothing is cut any more."""
        for cutter in self.links.values():
            cutter.heal()
        if self.witness:
            self.witness.heal()

    def leader(self):
        """The site that answers hosts, if one says so."""
        for site in "ab":
            status = self.trio.status(site) if site in self.trio.running else None
            if status and status["serving"]:
                return site
        return None

    def refused(self, site):
        """Whether a site that came back is refused for its tail."""
        status = self.trio.status(site)
        return bool(status) and "rewind" in str(status["follows"]) + str(status["trouble"])


def lose(field, kind, leader, mirror, dice):
    """Makes the leader go, or seem to; returns how to bring it back."""
    trio = field.trio
    if kind == "kill":
        trio.kill(leader)
        return lambda: field.run(leader)
    if kind == "pause":
        trio.signal(leader, signal.SIGSTOP)
        return lambda: trio.signal(leader, signal.SIGCONT)
    if kind == "isolate":
        field.cut(leader + mirror, leader + "c")
        if field.witness:
            field.witness.cut(leader)
        return field.heal
    if kind == "alone-with-witness":
        field.cut(leader + mirror, leader + "c")
        return field.heal
    if kind == "witness-away":
        field.witness.cut(*SITES)
        return field.heal
    if kind == "witness-half-away":
        field.witness.cut(dice.choice([leader, mirror]))
        return field.heal
    if kind == "witness-killed":
        field.witness.kill()
        return field.witness.start
    if kind == "pair":
        field.cut(leader + mirror)
        return field.heal
    if kind == "third":
        field.cut(dice.choice([leader, mirror]) + "c")
        return field.heal
    trio.kill("c")
    return lambda: field.run("c")


#: Kinds of loss: whether the mirror must take over, if the loss lasts; `None` if it may.
KINDS = {
    "kill": True,
    "pause": True,
    "isolate": True,
    "pair": False,
    "third": False,
    "kill-c": False,
}

#: The same of an arbiter.
WITNESS_KINDS = {
    "alone-with-witness": None,
    "witness-away": False,
    "witness-half-away": False,
    "witness-killed": False,
}


def whole(field, patience=60.0):
    """Waits until the group is whole again; (leader, mirror, whether a site had to be emptied)."""
    trio, emptied = field.trio, []

    def is_whole():
        leader = field.leader()
        if leader is None:
            return None
        mirror = "b" if leader == "a" else "a"
        status = trio.status(leader)
        legs = status["legs"] if status else {}
        named = [m["site"] for m in status["charter"]["in_sync"]] if status else []
        if all(legs[x]["state"] == "paired" for x in (mirror, "c")) and mirror in named:
            ready = (trio.status(mirror) or {}).get("automatic_takeover", "")
            return (leader, mirror) if ready.startswith("ready") else None
        for site in (mirror, "c"):
            if field.refused(site):
                # Its tail was answered to nobody; what undoes only that is not available here.
                trio.kill(site)
                shutil.rmtree(trio.dir / trio.dirs[site])
                field.run(site)
                emptied.append(site)
        return None

    def told():
        return "the group is whole; " + "; ".join(
            f"{site}: {trio.status(site)}" for site in SITES if site in trio.running
        )

    leader, mirror = until(told, is_whole, patience, pause=0.2)
    return leader, mirror, len(emptied)


def let_stale_replies_pass(host, awake):
    """Takes out what a paused site sent the moment it went on; how many replies that were.

    A process that is stopped between its last look at the lease and the sending of a reply sends it
    when it goes on: no lease can prevent that. It is an answer to what was asked before the pause,
    so there are never more of them than a host has requests in flight.
    """
    stale = [at for at in host.times if awake <= at < awake + 0.1]
    if not 0 < len(stale) <= DEPTH or host.times[-1] > stale[-1]:
        return 0
    host.times = [at for at in host.times if at < awake]
    return len(stale)


def longest_pause(host, begun, ended):
    """The longest time between two answers of a host, in seconds."""
    times = [begun, *(at for at in host.times if begun <= at <= ended), ended]
    return max(after - before for before, after in zip(times, times[1:]))


def tenures(hosts):
    """Who answered one after the other: (site, first, last)."""
    answers = sorted((at, site) for site, host in hosts.items() for at in host.times)
    found = []
    for at, site in answers:
        if found and found[-1][0] == site:
            found[-1][2] = at
        else:
            found.append([site, at, at])
    return found


def one_round(field, dice, kind, hosts, turn):
    """One loss and return; what came of it.

    Seconds until the mirror answered or None, emptied sites, stale replies, the hosts.
    """
    trio = field.trio
    leader, mirror, emptied = whole(field)
    hosts = {
        site: Host(trio, site, hosts.get(site), seed=2 * turn + (site == "b")) for site in "ab"
    }
    for host in hosts.values():
        host.start()
    until("the hosts write", lambda: hosts[leader].answer_count() > 50)
    time.sleep(dice.uniform(0, 0.5))
    lasts = dice.uniform(0.2, 2 * (DELAY + LEASE))
    begun = time.monotonic()
    back = lose(field, kind, leader, mirror, dice)
    took = None
    while time.monotonic() < begun + lasts:
        time.sleep(0.02)
        if took is None and hosts[mirror].times:
            took = hosts[mirror].times[0] - begun
    awake = time.monotonic()
    back()
    at_end = whole(field)
    new_leader, emptied = at_end[0], emptied + at_end[2]
    until("the hosts go on", lambda: hosts[new_leader].answer_count() > 0)
    for host in hosts.values():
        host.stop()
    wanted = (KINDS | WITNESS_KINDS)[kind]
    must = wanted and lasts > DELAY + LEASE + MORE
    bound = DELAY + LEASE + MORE
    if must and (took is None or took > bound):
        raise ClaimFailed(f"{kind} {lasts:.1f} s: the mirror answered after {took}, not {bound} s")
    if wanted is False and new_leader != leader:
        raise ClaimFailed(f"{kind}: {new_leader} leads in the place of {leader}, which was well")
    if kind in WITNESS_KINDS and wanted is False:
        pause = longest_pause(hosts[leader], begun, awake)
        if pause > LEASE:
            raise ClaimFailed(f"{kind}: the pair stood still for {pause:.2f} s")
    stale = 0
    if kind == "pause" and new_leader == mirror:
        stale = let_stale_replies_pass(hosts[leader], awake)
    found = tenures(hosts)
    for before, after in zip(found, found[1:]):
        if after[1] - before[2] < LEASE / 2 and len(found) > 2:
            raise ClaimFailed(f"{kind}: two sites answer at a time: {found}")
    for site, host in hosts.items():
        wrong = host.lost(trio.uri(new_leader, "db0"))
        if wrong:
            raise ClaimFailed(f"{kind}: of the host at {site} is lost: {'; '.join(wrong[:3])}")
    note(f"round {turn}: {kind} {leader} {lasts:.1f} s, answered by {[t[0] for t in found]}")
    return took if must else None, emptied, stale, hosts


def rounds(report, short):
    """Losses one after the other, on the same three sites."""
    all_rounds(report, short, None, KINDS, [])


def rounds_with_etcd(report, short):
    """The same where an etcd keeps the charter, and is lost as well."""
    with Witness() as witness:
        # The first rounds are all that a short run has.
        first = ["pair", "witness-away", "kill"]
        all_rounds(report, short, witness, KINDS | WITNESS_KINDS, first)


def rounds_with_raft(report, short):
    """The same where the sites keep the charter in Raft: what is lost of them, it loses too."""
    first = ["kill-c", "pair", "kill"]
    all_rounds(report, short, None, KINDS, first, ['kind = "raft"'])


def all_rounds(report, short, witness, drawn, kinds, lines=()):
    """As many rounds as asked for: first of `kinds` (the last one first), then drawn ones."""
    count = int(os.environ.get("ROUNDS", ROUNDS_SHORT if short else ROUNDS))
    dice = random.Random(int(os.environ.get("SEED", "1")))
    layout = Layout(
        volumes={"db0": "8MiB"},
        journal={site: "64MiB" for site in SITES},
        arbiter=[
            f'lease = "{LEASE:.0f}s"',
            'takeover = "automatic"',
            f'takeover_delay = "{DELAY:.0f}s"',
            *(witness.lines() if witness else lines),
        ],
    )
    with Trio(layout) as trio:
        field = Field(trio, witness)
        for site in SITES:
            field.run(site)
        hosts, took, emptied, stale = {}, [], 0, 0
        for turn in range(1, count + 1):
            # Every kind comes up before one comes up again.
            kinds = kinds or dice.sample(sorted(drawn), len(drawn))
            after, more, late, hosts = one_round(field, dice, kinds.pop(), hosts, turn)
            took += [after] if after is not None else []
            emptied += more
            stale += late
        answered = sum(len(host.answered) for host in hosts.values())
        report.claim(True, "no answered write is lost", f"{count} rounds, {answered} blocks")
        report.claim(
            True,
            "never two sites answered at a time",
            f"{count} rounds; {stale} replies of before a pause came after it",
        )
        report.claim(
            True,
            "the mirror answered within delay, lease and a second wherever the primary was gone",
            f"{len(took)} takeovers, {max(took, default=0):.2f} s at most; {emptied} sites emptied",
        )
        trio.stop(*SITES)
