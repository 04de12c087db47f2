//! The list of reigns that a site's history went through.

use super::{Generation, UpdateNumber};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// One reign in a [`Lineage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reign {
    /// The generation.
    pub generation: Generation,
    /// The number of its first record, its Generation record.
    pub first: UpdateNumber,
}

/// The list of reigns that a site's history went through, oldest first.
///
/// Generations and first numbers both increase strictly; a list from elsewhere that does not is
/// refused when it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Reign>")]
pub struct Lineage(Vec<Reign>);

impl TryFrom<Vec<Reign>> for Lineage {
    type Error = Error;

    fn try_from(reigns: Vec<Reign>) -> Result<Self> {
        let mut lineage = Self::new();
        for Reign { generation, first } in reigns {
            lineage.begin(generation, first)?;
        }
        Ok(lineage)
    }
}

impl Lineage {
    /// The history that has no reign yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The reigns, oldest first.
    pub fn reigns(&self) -> &[Reign] {
        &self.0
    }

    /// The newest reign.
    pub fn last(&self) -> Option<Reign> {
        self.0.last().copied()
    }

    /// Adds the reign that begins at `first`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it is not newer than the last one in
    /// both generation and number.
    pub fn begin(&mut self, generation: Generation, first: UpdateNumber) -> Result<()> {
        if let Some(last) = self.last()
            && (generation <= last.generation || first <= last.first)
        {
            return Err(Error::invalid(format!(
                "begin generation {generation} at {first}: the lineage is already at generation \
                 {} from {}",
                last.generation, last.first
            )));
        }
        self.0.push(Reign { generation, first });
        Ok(())
    }

    /// The generation that made update `number`; [`Generation::NONE`] before the first reign.
    pub fn generation_at(&self, number: UpdateNumber) -> Generation {
        let after = self.0.partition_point(|reign| reign.first <= number);
        match after.checked_sub(1).and_then(|index| self.0.get(index)) {
            Some(reign) => reign.generation,
            None => Generation::NONE,
        }
    }

    /// The lineage of the history cut after `newest`.
    #[must_use]
    pub fn up_to(&self, newest: UpdateNumber) -> Self {
        Self(self.0.iter().copied().take_while(|reign| reign.first <= newest).collect())
    }

    /// The highest number up to which two histories are the same, by their lineages: `mine` ends
    /// at `my_newest`, `theirs` at `their_newest`.
    ///
    /// Within a generation a number names the same update everywhere (rule
    /// `same_number_same_update`), so the histories agree to the end of the shorter one in the
    /// last generation that they share.
    pub fn fork(
        &self,
        my_newest: UpdateNumber,
        theirs: &Self,
        their_newest: UpdateNumber,
    ) -> UpdateNumber {
        let shared = self.0.iter().zip(&theirs.0).take_while(|(a, b)| a == b).count();
        if shared == 0 {
            return UpdateNumber::ZERO;
        }
        let end = |lineage: &Self, newest: UpdateNumber| match lineage.0.get(shared) {
            Some(next) => next.first.previous().min(newest),
            None => newest,
        };
        end(self, my_newest).min(end(theirs, their_newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(reigns: &[(u64, u64, u64)]) -> Lineage {
        let mut lineage = Lineage::new();
        for (count, id, first) in reigns {
            lineage
                .begin(Generation { count: *count, id: *id }, UpdateNumber::new(*first))
                .unwrap();
        }
        lineage
    }

    #[test]
    fn a_reign_must_be_newer_than_the_last() {
        let mut l = lineage(&[(1, 7, 1)]);
        assert!(l.begin(Generation { count: 1, id: 7 }, UpdateNumber::new(5)).is_err());
        assert!(l.begin(Generation { count: 2, id: 1 }, UpdateNumber::new(1)).is_err());
        assert!(l.begin(Generation { count: 2, id: 1 }, UpdateNumber::new(2)).is_ok());
    }

    #[test]
    fn the_generation_of_a_number_is_that_of_the_reign_it_lies_in() {
        let l = lineage(&[(1, 7, 1), (2, 8, 5)]);
        assert_eq!(l.generation_at(UpdateNumber::ZERO), Generation::NONE);
        assert_eq!(l.generation_at(UpdateNumber::new(4)).count, 1);
        assert_eq!(l.generation_at(UpdateNumber::new(5)).count, 2);
    }

    #[test]
    fn histories_fork_where_one_of_them_left_the_shared_generation() {
        let n = UpdateNumber::new;
        let old = lineage(&[(1, 7, 1)]);
        let new = lineage(&[(1, 7, 1), (2, 8, 5)]);
        assert_eq!(new.fork(n(9), &old, n(3)), n(3), "behind, no tail");
        assert_eq!(new.fork(n(9), &old, n(4)), n(4), "exactly at the fork");
        assert_eq!(new.fork(n(9), &old, n(8)), n(4), "a tail of four");
        let rival = lineage(&[(1, 7, 1), (2, 9, 5)]);
        assert_eq!(new.fork(n(9), &rival, n(9)), n(4), "same count, other reign");
        assert_eq!(new.fork(n(9), &Lineage::new(), n(0)), n(0), "blank");
    }
}
