//! What one other site lacks of the records that were trimmed here.

use super::{ExtentSet, UpdateNumber};
use serde::{Deserialize, Serialize};

/// The most ranges of a map or a debt: two maps and a debt fit into a saved state with room to
/// spare. One with more is bridged ([`ExtentSet::bridge`]): it names more bytes than it must.
pub const RANGES_MAX: usize = 8192;

/// What one other site lacks, kept because the journal no longer holds it: the extents of the
/// records that were trimmed since the map was begun.
///
/// It shrinks only by being dropped, when the site has everything (rule `map_monotone`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedMap {
    /// The map covers a follower at this number or later.
    pub from: UpdateNumber,
    /// What the records after that changed.
    pub changed: Changed,
}

/// Which blocks may differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Changed {
    /// These.
    Extents(ExtentSet),
    /// All of every volume.
    Everything,
}

impl Changed {
    /// Nothing yet.
    pub const NOTHING: Self = Self::Extents(ExtentSet::new());

    /// Adds what else may differ.
    pub fn add(&mut self, more: &Self) {
        match (&mut *self, more) {
            (Self::Extents(extents), Self::Extents(more)) => {
                extents.add_all(more);
                extents.bridge(RANGES_MAX);
            }
            _ => *self = Self::Everything,
        }
    }
}
