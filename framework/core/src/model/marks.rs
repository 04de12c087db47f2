//! How far a site has come.

use super::UpdateNumber;
use serde::{Deserialize, Serialize};

/// How far a site has come in the group's order.
///
/// Rule `watermark_order`: checkpointed ≤ restored ≤ durable ≤ received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Newest update appended to its journal (in the page cache: survives a killed process).
    pub received: UpdateNumber,
    /// Newest update durable in its journal.
    pub durable: UpdateNumber,
    /// Newest update in its block store.
    pub restored: UpdateNumber,
    /// Newest update known to be durable in its block store.
    pub checkpointed: UpdateNumber,
}

impl Marks {
    /// All four at `number`: a site that starts with everything restored.
    pub const fn at(number: UpdateNumber) -> Self {
        Self { received: number, durable: number, restored: number, checkpointed: number }
    }

    /// Whether rule `watermark_order` holds.
    pub fn in_order(&self) -> bool {
        self.checkpointed <= self.restored
            && self.restored <= self.durable
            && self.durable <= self.received
    }
}
