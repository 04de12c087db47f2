//! Sites that were replaced for good: what was born as they were never comes back.

use super::{Incarnation, SiteName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many predecessors of a site are remembered; beyond that the oldest is forgotten.
pub const PREDECESSORS_MAX: usize = 32;

/// For each site that was ever replaced for good what its predecessors were born as, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced(BTreeMap<SiteName, Vec<Incarnation>>);

impl Replaced {
    /// Whether a site that was born so was replaced.
    pub fn has(&self, site: &SiteName, born: Incarnation) -> bool {
        self.0.get(site).is_some_and(|born_as| born_as.contains(&born))
    }

    /// Notes that a site that was born so is replaced; false if that was known.
    pub fn note(&mut self, site: &SiteName, born: Incarnation) -> bool {
        if self.has(site, born) {
            return false;
        }
        let born_as = self.0.entry(site.clone()).or_default();
        if born_as.len() >= PREDECESSORS_MAX {
            born_as.remove(0);
        }
        born_as.push(born);
        true
    }

    /// Each site with what one of its predecessors was born as.
    pub fn each(&self) -> impl Iterator<Item = (&SiteName, Incarnation)> {
        self.0.iter().flat_map(|(site, all)| all.iter().map(move |born| (site, *born)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_predecessors_of_a_site_are_remembered_once_each() {
        let (c, b) = (SiteName::new("c").unwrap(), SiteName::new("b").unwrap());
        let mut replaced = Replaced::default();
        assert!(!replaced.has(&c, Incarnation(1)));
        assert!(replaced.note(&c, Incarnation(1)));
        assert!(!replaced.note(&c, Incarnation(1)), "known");
        assert!(replaced.has(&c, Incarnation(1)));
        assert!(!replaced.has(&b, Incarnation(1)), "of another site");
        assert_eq!(replaced.each().collect::<Vec<_>>(), [(&c, Incarnation(1))]);
        for born in 2..=PREDECESSORS_MAX as u64 + 1 {
            assert!(replaced.note(&c, Incarnation(born)));
        }
        assert_eq!(replaced.each().count(), PREDECESSORS_MAX);
        assert!(!replaced.has(&c, Incarnation(1)), "the oldest goes");
    }
}
