//! The place of an update in its group's order.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The place of an update in its group's order: dense, assigned once by the primary.
///
/// [`UpdateNumber::ZERO`] is "before the first update"; the first update is number 1.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UpdateNumber(u64);

impl UpdateNumber {
    /// Before the first update.
    pub const ZERO: Self = Self(0);
    /// The highest number; none is assigned beyond it.
    pub const MAX: Self = Self(u64::MAX);

    /// The number with this value.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The plain value, for storage and display.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The number after this one.
    ///
    /// Saturates at [`UpdateNumber::MAX`]: at a million updates a second that is 584,000 years
    /// away.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number before this one; [`UpdateNumber::ZERO`] stays.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The number `count` places on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// How many updates lie in `(earlier, self]`; 0 where `earlier` is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UpdateNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
