//! The right to answer the host, and for how long (rule R9).
//!
//! All times are microseconds of the site's own clock that counts suspended time; clocks of two
//! sites are never compared.

use crate::model::{Charter, Generation, SiteName};

/// The clock drift that grants allow for, in parts per thousand.
const DRIFT_PER_MILLE: u64 = 1;

/// The primary's side: answers are allowed until here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    until: u64,
}

impl Lease {
    /// Answers are allowed without end: nobody else can be asked, or can have it.
    pub fn endless() -> Self {
        Self { until: u64::MAX }
    }

    /// A site renewed what was asked for at `asked_at`, for `length` from then.
    pub fn renew(&mut self, asked_at: u64, length: u64) {
        self.until = self.until.max(asked_at.saturating_add(length));
    }

    /// Until when answers are allowed.
    pub fn until(&self) -> u64 {
        self.until
    }

    /// Whether answers are allowed at `now`.
    pub fn valid(&self, now: u64) -> bool {
        now < self.until
    }
}

/// A granter's side: what it granted may be in use until `until`.
#[derive(Clone, Debug)]
pub struct Grants {
    length: u64,
    /// No grant before this: a restarted site forgot what it granted.
    quiet_until: u64,
    until: u64,
    holder: Option<SiteName>,
    /// The generation of the newest grant.
    generation: Generation,
}

impl Grants {
    /// The grants of a site that started at `now`; `fresh` if it never granted any before.
    pub fn new(length: u64, now: u64, fresh: bool) -> Self {
        let quiet_until = if fresh { now } else { now.saturating_add(Self::granted(length)) };
        let (holder, generation) = (None, Generation::NONE);
        Self { length, quiet_until, until: 0, holder, generation }
    }

    /// How long a grant of `length` may be in use by the granter's clock.
    fn granted(length: u64) -> u64 {
        length + length.saturating_mul(2 * DRIFT_PER_MILLE) / 1000
    }

    /// `holder` asks for the lease of `generation` at `now`; whether it gets it, `promised` being
    /// the newest generation promised here.
    pub fn ask(
        &mut self,
        holder: &SiteName,
        generation: Generation,
        promised: Generation,
        now: u64,
    ) -> bool {
        if generation < promised || now < self.quiet_until {
            return false;
        }
        self.note(holder, generation, now);
        true
    }

    /// `holder` may have the lease of `generation` from `now`, be it asked for here or not.
    pub fn note(&mut self, holder: &SiteName, generation: Generation, now: u64) {
        self.until = now.saturating_add(Self::granted(self.length));
        self.holder = Some(holder.clone());
        self.generation = generation;
    }

    /// How long what was granted to others than `candidate` may still be in use. What was
    /// forgotten was granted to whoever led by the newest charter: to `candidate` itself only if
    /// that charter is active and names it, for a fence names a site that did not lead yet.
    pub fn left(&self, candidate: &SiteName, charter: Option<&Charter>, now: u64) -> u64 {
        let own = self.holder.as_ref() == Some(candidate);
        let granted = if own { 0 } else { self.until.saturating_sub(now) };
        let forgotten = match charter {
            Some(charter) if charter.active && charter.primary == *candidate => 0,
            Some(_) => self.quiet_until.saturating_sub(now),
            None => 0,
        };
        granted.max(forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fence;

    fn site(name: &str) -> SiteName {
        SiteName::new(name).unwrap()
    }

    const G1: Generation = Generation { count: 1, id: 7 };
    const G2: Generation = Generation { count: 2, id: 8 };

    #[test]
    fn a_lease_counts_from_when_it_was_asked_for() {
        let mut lease = Lease::default();
        lease.renew(100, 50);
        assert!(lease.valid(149) && !lease.valid(150));
        lease.renew(90, 50);
        assert_eq!(lease.until(), 150, "an older answer takes nothing back");
    }

    #[test]
    fn a_grant_outlives_the_lease_it_gives() {
        let mut grants = Grants::new(1000, 0, true);
        assert!(grants.ask(&site("a"), G1, G1, 10));
        assert_eq!(grants.left(&site("b"), None, 10), 1002);
        assert_eq!(grants.left(&site("a"), None, 10), 0, "its own lease is in nobody's way");
    }

    #[test]
    fn after_a_promise_the_old_generation_gets_no_lease() {
        let mut grants = Grants::new(1000, 0, true);
        assert!(!grants.ask(&site("a"), G1, G2, 10));
    }

    #[test]
    fn a_restarted_granter_waits_before_it_grants_and_before_others_lead() {
        let mut grants = Grants::new(1000, 500, false);
        assert!(!grants.ask(&site("a"), G1, G1, 1400));
        let mut charter = Charter {
            generation: G1,
            version: 1,
            primary: site("a"),
            active: true,
            settled: G1,
            in_sync: Vec::new(),
            fence: Fence::Status,
            voters: Vec::new(),
            voters_before: Vec::new(),
            untold: None,
            consented: Generation::NONE,
        };
        assert!(grants.left(&site("b"), Some(&charter), 600) > 0);
        assert_eq!(grants.left(&site("a"), Some(&charter), 600), 0);
        charter.active = false;
        assert!(grants.left(&site("a"), Some(&charter), 600) > 0, "a fence is no lease");
        assert!(grants.ask(&site("a"), G1, G1, 1600));
    }
}
