//! One reign of one primary.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One reign of one primary: a count, and a random id that tells apart two sites which both
/// began a reign with the same count.
///
/// Ordered by count, then by id, so that any two generations compare; two different ids at one
/// count never both hold promises of two of three sites.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Generation {
    /// How many reigns there have been, this one included. 0 is "none yet".
    pub count: u64,
    /// Drawn at random when the reign is begun; never 0 but in [`Generation::NONE`].
    pub id: u64,
}

impl Generation {
    /// Before the first reign.
    pub const NONE: Self = Self { count: 0, id: 0 };

    /// The generation after this one, with the random `id`.
    #[must_use]
    pub const fn succeed(self, id: u64) -> Self {
        Self { count: self.count.saturating_add(1), id }
    }

    /// Whether this is [`Generation::NONE`].
    pub const fn is_none(self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count)
    }
}
