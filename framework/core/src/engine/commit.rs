//! What all of the acking set holds: the commit, and what it holds durably: the horizon.

use crate::model::{Incarnation, Marks, SiteName, UpdateNumber};
use std::collections::BTreeMap;

/// One site that the primary waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acker {
    /// The incarnation that is waited for.
    pub incarnation: Incarnation,
    /// How far it has come, as it last said.
    pub marks: Marks,
    /// The newest number assigned when the primary began to wait for it: it may be included in
    /// the charter once it holds this durably (rule R5).
    pub mark: UpdateNumber,
}

/// The acking set of a primary, and what follows from it.
///
/// Commit and horizon never go back in a reign (rule R3), even when a site joins that is behind.
#[derive(Clone, Debug)]
pub struct Acking {
    own: Marks,
    others: BTreeMap<SiteName, Acker>,
    commit: UpdateNumber,
    horizon: UpdateNumber,
}

impl Acking {
    /// The set of the primary alone, which has come to `own`.
    pub fn new(own: Marks) -> Self {
        let (commit, horizon) = (own.received, own.durable);
        Self { own, others: BTreeMap::new(), commit, horizon }
    }

    /// Highest number that all of the set holds: hosts are answered up to it.
    pub fn commit(&self) -> UpdateNumber {
        self.commit
    }

    /// Highest number that all of the set holds durably: an async leg may read up to it.
    pub fn horizon(&self) -> UpdateNumber {
        self.horizon
    }

    /// The primary's own marks.
    pub fn own(&self) -> Marks {
        self.own
    }

    /// The other sites that are waited for.
    pub fn others(&self) -> &BTreeMap<SiteName, Acker> {
        &self.others
    }

    /// Whether `site` is waited for.
    pub fn contains(&self, site: &SiteName) -> bool {
        self.others.contains_key(site)
    }

    /// The primary itself has come to `own`.
    pub fn advance_own(&mut self, own: Marks) {
        self.own = own;
        self.recompute();
    }

    /// `site` has come to `marks`; ignored if it is another incarnation than the one waited for.
    pub fn advance(&mut self, site: &SiteName, incarnation: Incarnation, marks: Marks) {
        if let Some(acker) = self.others.get_mut(site)
            && acker.incarnation == incarnation
        {
            acker.marks = marks;
            self.recompute();
        }
    }

    /// From now on the primary waits for `site`.
    pub fn join(
        &mut self,
        site: SiteName,
        incarnation: Incarnation,
        marks: Marks,
        assigned: UpdateNumber,
    ) {
        self.others.insert(site, Acker { incarnation, marks, mark: assigned });
        self.recompute();
    }

    /// From now on the primary does not wait for `site`.
    pub fn leave(&mut self, site: &SiteName) {
        self.others.remove(site);
        self.recompute();
    }

    /// Whether `site` may be included in the charter: it holds durably what had been assigned
    /// when the primary began to wait for it.
    pub fn may_include(&self, site: &SiteName) -> bool {
        self.others.get(site).is_some_and(|acker| acker.marks.durable >= acker.mark)
    }

    fn recompute(&mut self) {
        let everyone = || self.others.values().map(|acker| acker.marks);
        let received = everyone().map(|m| m.received).fold(self.own.received, Ord::min);
        let durable = everyone().map(|m| m.durable).fold(self.own.durable, Ord::min);
        self.commit = self.commit.max(received);
        self.horizon = self.horizon.max(durable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(received: u64, durable: u64) -> Marks {
        Marks {
            received: UpdateNumber::new(received),
            durable: UpdateNumber::new(durable),
            ..Marks::default()
        }
    }

    fn b() -> SiteName {
        SiteName::new("b").unwrap()
    }

    #[test]
    fn the_commit_waits_for_every_acking_site() {
        let mut acking = Acking::new(marks(5, 5));
        acking.join(b(), Incarnation(1), marks(5, 5), UpdateNumber::new(5));
        acking.advance_own(marks(9, 7));
        assert_eq!(acking.commit().value(), 5);
        acking.advance(&b(), Incarnation(1), marks(8, 6));
        assert_eq!((acking.commit().value(), acking.horizon().value()), (8, 6));
    }

    #[test]
    fn a_joiner_that_is_behind_takes_nothing_back() {
        let mut acking = Acking::new(marks(9, 9));
        acking.join(b(), Incarnation(1), marks(3, 3), UpdateNumber::new(9));
        assert_eq!((acking.commit().value(), acking.horizon().value()), (9, 9));
        assert!(!acking.may_include(&b()), "it does not hold what was assigned before it joined");
        acking.advance(&b(), Incarnation(1), marks(9, 8));
        assert!(!acking.may_include(&b()), "received is not durable");
        acking.advance(&b(), Incarnation(1), marks(9, 9));
        assert!(acking.may_include(&b()));
    }

    #[test]
    fn another_incarnation_does_not_count() {
        let mut acking = Acking::new(marks(1, 1));
        acking.join(b(), Incarnation(1), marks(1, 1), UpdateNumber::new(1));
        acking.advance_own(marks(2, 2));
        acking.advance(&b(), Incarnation(2), marks(2, 2));
        assert_eq!(acking.commit().value(), 1);
    }

    #[test]
    fn leaving_lets_the_commit_go_on() {
        let mut acking = Acking::new(marks(1, 1));
        acking.join(b(), Incarnation(1), marks(1, 1), UpdateNumber::new(1));
        acking.advance_own(marks(4, 3));
        acking.leave(&b());
        assert_eq!((acking.commit().value(), acking.horizon().value()), (4, 3));
    }
}
