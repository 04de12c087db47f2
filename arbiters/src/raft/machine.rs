//! What the log makes of the record, command by command, and the leases as this site counts them.

use super::words::{Command, Kept, Verdict};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use trefoil_core::model::{Generation, SiteName};

/// By how much a lease counts as longer than granted: its holder's clock may be this much slower,
/// one part in so many.
const DRIFT_PARTS: u32 = 20;

/// A lease, as it is asked for and granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    pub holder: SiteName,
    pub generation: Generation,
    pub duration: Duration,
}

/// What is the same at all sites, since it follows from the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub kept: Option<Kept>,
    /// The longest lease that the recorded primary was granted in its generation.
    current: Option<Lease>,
    /// The longest that anybody was granted in an older one.
    older: Duration,
}

/// The record, and until when leases last by this site's own clock.
///
/// A lease counts from when its grant is *applied* here. That is after the holder asked, so it
/// lasts here for no less than it does there. After a restart, or where a snapshot came, all of
/// them count anew, so they last longer still.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    record: Record,
    current_until: Option<Instant>,
    older_until: Option<Instant>,
}

fn covered(duration: Duration) -> Duration {
    duration.saturating_add(duration / DRIFT_PARTS)
}

impl Machine {
    /// A record that came whole, at `now`.
    pub(super) fn of(record: Record, now: Instant) -> Self {
        let current_until = record.current.as_ref().map(|lease| now + covered(lease.duration));
        let older = record.older;
        let older_until = (!older.is_zero()).then(|| now + covered(older));
        Self { record, current_until, older_until }
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// The next command of the log.
    pub(super) fn apply(&mut self, command: Command, now: Instant) -> Verdict {
        match command {
            Command::Change { expected, charter } => {
                let held = self.record.kept.as_ref();
                let version = held.map_or(0, |held| held.version);
                if version != expected {
                    return Verdict::Lost(held.cloned());
                }
                if let Some(held) = held.filter(|held| charter.rank() <= held.charter.rank()) {
                    return Verdict::Refused(format!(
                        "record charter {:?}: {:?} is recorded; read it and go on from there",
                        charter.rank(),
                        held.charter.rank()
                    ));
                }
                let leads = |lease: &Lease| {
                    lease.holder == charter.primary && lease.generation == charter.generation
                };
                if let Some(ended) = self.record.current.take_if(|lease| !leads(lease)) {
                    self.record.older = self.record.older.max(ended.duration);
                    self.older_until = self.older_until.max(self.current_until.take());
                }
                self.record.kept = Some(Kept { version: version + 1, charter });
                Verdict::Won(version + 1)
            }
            Command::Grant(lease) => self.grant(lease, now),
        }
    }

    fn grant(&mut self, lease: Lease, now: Instant) -> Verdict {
        let leads = self.record.kept.as_ref().is_some_and(|Kept { charter, .. }| {
            charter.primary == lease.holder && charter.generation == lease.generation
        });
        if !leads {
            return Verdict::Fenced(format!(
                "renew lease: {} does not lead generation {} by the charter; read it",
                lease.holder, lease.generation
            ));
        }
        let duration = lease.duration;
        self.current_until = self.current_until.max(Some(now + covered(duration)));
        // A grant that was longer is not cut short by this one.
        let before = self.record.current.as_ref().map_or(Duration::ZERO, |held| held.duration);
        self.record.current = Some(Lease { duration: duration.max(before), ..lease });
        Verdict::Granted(duration)
    }

    /// For how long a lease of an older reign may still be in use.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.older_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_core::model::{Charter, Fence};

    const LEASE: Duration = Duration::from_secs(2);

    fn generation(count: u64) -> Generation {
        Generation { count, id: count }
    }

    fn change(expected: u64, count: u64, primary: &str) -> Command {
        let charter = Charter {
            generation: generation(count),
            version: 1,
            primary: SiteName::new(primary).unwrap(),
            active: true,
            settled: Generation::NONE,
            in_sync: Vec::new(),
            fence: Fence::Status,
            voters: Vec::new(),
            voters_before: Vec::new(),
            untold: None,
            consented: Generation::NONE,
        };
        Command::Change { expected, charter }
    }

    fn grant(count: u64, holder: &str, duration: Duration) -> Command {
        let holder = SiteName::new(holder).unwrap();
        Command::Grant(Lease { holder, generation: generation(count), duration })
    }

    #[test]
    fn a_lease_ends_by_the_clock_of_whoever_applied_it_and_a_margin_later() {
        let now = Instant::now();
        let mut machine = Machine::default();
        assert_eq!(machine.apply(change(0, 1, "a"), now), Verdict::Won(1));
        assert_eq!(machine.apply(grant(1, "a", LEASE), now), Verdict::Granted(LEASE));
        assert_eq!(machine.wait(now), Duration::ZERO, "the primary's own is not waited for");
        assert_eq!(machine.apply(change(1, 2, "b"), now), Verdict::Won(2));
        assert_eq!(machine.wait(now + LEASE), LEASE / 20);
        assert_eq!(machine.wait(now + 2 * LEASE), Duration::ZERO);
        assert!(matches!(machine.apply(grant(1, "a", LEASE), now), Verdict::Fenced(_)));
    }

    #[test]
    fn a_shorter_renewal_cuts_no_lease_short_and_a_second_takeover_none_either() {
        let now = Instant::now();
        let mut machine = Machine::default();
        machine.apply(change(0, 1, "a"), now);
        machine.apply(grant(1, "a", 3 * LEASE), now);
        machine.apply(grant(1, "a", LEASE), now);
        machine.apply(change(1, 2, "b"), now);
        machine.apply(grant(2, "b", LEASE), now);
        machine.apply(change(2, 3, "a"), now);
        assert!(machine.wait(now) >= 3 * LEASE);
    }

    #[test]
    fn a_record_that_comes_whole_counts_every_lease_anew() {
        let now = Instant::now();
        let mut machine = Machine::default();
        machine.apply(change(0, 1, "a"), now);
        machine.apply(grant(1, "a", LEASE), now);
        machine.apply(change(1, 2, "b"), now);
        machine.apply(grant(2, "b", LEASE), now);
        let later = now + 10 * LEASE;
        let mut restored = Machine::of(machine.record().clone(), later);
        assert!(restored.wait(later) >= LEASE);
        restored.apply(change(2, 3, "c"), later);
        assert!(restored.wait(later + LEASE) > Duration::ZERO, "that of b counts anew as well");
        assert_eq!(restored.wait(later + 2 * LEASE), Duration::ZERO);
    }
}
