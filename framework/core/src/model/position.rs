//! A point in a history.

use super::{Chain, Generation, UpdateNumber};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A point in a history: the generation of the update there, its number, and the chain after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The generation in which the update was made.
    pub generation: Generation,
    /// Its number.
    pub number: UpdateNumber,
    /// The chain hash after it.
    pub chain: Chain,
}

impl Position {
    /// Before the first update.
    pub const START: Self =
        Self { generation: Generation::NONE, number: UpdateNumber::ZERO, chain: Chain::START };

    /// The order by which candidates give way: generation of the last record, then number.
    pub fn rank(&self) -> (Generation, UpdateNumber) {
        (self.generation, self.number)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.number)
    }
}
