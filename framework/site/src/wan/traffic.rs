//! What a configuration says about the data of a link; all of it may be changed while it is up.

use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::wire::RECORD_BATCH_BYTES_MAX;

/// The largest batch of records, in bytes: what surely fits into a frame.
pub const BATCH_BYTES_MAX: u64 = RECORD_BATCH_BYTES_MAX as u64;

/// The smallest limit for a batch, in bytes: below it a batch costs more than what it carries.
pub const BATCH_BYTES_MIN: u64 = 64 << 10;

/// How data is packed on its way. The receiver understands all; the sender decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// LZ4: about 400 MB/s a core, saves least.
    Lz4,
    /// Zstandard at this level, 1 to 19. Level 1 is about 250 MB/s a core; each level more saves a
    /// little and costs a lot.
    Zstd(i32),
}

/// What is sent on a link's data lane, and how fast. Both ends have their own: it is about what
/// this site *sends*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// How it is packed. Default none.
    pub compression: Compression,
    /// The most bytes a second on the wire; `None`, the default, is unlimited.
    pub rate: Option<u64>,
    /// The most bytes a second of copied blocks, before they are packed; `None`, the default, is
    /// whatever updates leave.
    pub copy_rate: Option<u64>,
    /// The most bytes of records in one batch. Default [`BATCH_BYTES_MAX`]; a leg uses less where
    /// that would be more than 100 ms of the link or a sixteenth of the follower's credit, and at
    /// most 256 KiB while hosts write that do not wait for the follower.
    pub batch_bytes: u64,
    /// How long a leg that nobody waits for may gather updates for a batch. Default 0.
    pub batch_delay: Duration,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            compression: Compression::None,
            rate: None,
            copy_rate: None,
            batch_bytes: BATCH_BYTES_MAX,
            batch_delay: Duration::ZERO,
        }
    }
}

/// A cell with the [`Traffic`] of one link. Clones are the same cell: whoever holds one changes
/// what the link does from its next batch on.
#[derive(Clone, Debug, Default)]
pub struct LinkRates(Arc<RwLock<Traffic>>);

impl LinkRates {
    /// A cell that begins with `traffic`.
    pub fn new(traffic: Traffic) -> Self {
        Self(Arc::new(RwLock::new(traffic)))
    }

    /// From the next batch on. A batch that waits for its turn by an old rate goes by the new one.
    pub fn set(&self, traffic: Traffic) {
        *self.0.write() = traffic;
    }

    /// What holds now.
    pub fn now(&self) -> Traffic {
        *self.0.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_cell_are_the_same_cell() {
        let cell = LinkRates::default();
        let other = cell.clone();
        other.set(Traffic { rate: Some(1000), ..Traffic::default() });
        assert_eq!(cell.now().rate, Some(1000));
    }
}
