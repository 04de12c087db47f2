//! What is to go wrong, and how long things take.

use rand::Rng;
use rand::rngs::StdRng;
use std::ops::RangeInclusive;
use std::time::Duration;
use trefoil_core::{Error, ErrorKind, Result};

/// How long each operation takes: a uniform range of virtual milliseconds. `0..=0` does not wait
/// at all, not even for a turn of the scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// A journal append.
    pub append: RangeInclusive<u64>,
    /// A sync of the journal or of a volume, and a save of the state.
    pub sync: RangeInclusive<u64>,
    /// A read of the journal or of a volume.
    pub read: RangeInclusive<u64>,
    /// A write to a volume.
    pub write: RangeInclusive<u64>,
}

impl Latency {
    /// Everything at once.
    pub const NONE: Self = Self { append: 0..=0, sync: 0..=0, read: 0..=0, write: 0..=0 };
}

impl Default for Latency {
    fn default() -> Self {
        Self::NONE
    }
}

/// The faults that are switched on.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) latency: Latency,
    /// Syncs that are still to fail.
    pub(super) syncs_to_fail: u32,
    /// The kind with which the next append fails.
    pub(super) append_to_fail: Option<ErrorKind>,
    /// Whether there is no room for anything new.
    pub(super) full: bool,
    /// Volumes cannot grow: there is room for what they are.
    pub(super) no_growth: bool,
    /// Whether syncs are answered without being done.
    pub(super) lying: bool,
}

impl Faults {
    /// Refuses `what` while the disk is full.
    pub(super) fn check_room(&self, what: &str) -> Result<()> {
        if self.full {
            return Err(Error::new(ErrorKind::Full, format!("{what}: the simulated disk is full")));
        }
        Ok(())
    }

    /// Refuses to grow a volume where there is no room for that.
    pub(super) fn check_growth(&self) -> Result<()> {
        self.check_room("grow")?;
        if self.no_growth {
            let what = "grow: the simulated disk has no room for more";
            return Err(Error::new(ErrorKind::Full, what));
        }
        Ok(())
    }

    /// Whether the sync that is being done now is to fail.
    pub(super) fn take_sync_failure(&mut self) -> bool {
        let fails = self.syncs_to_fail > 0;
        self.syncs_to_fail = self.syncs_to_fail.saturating_sub(1);
        fails
    }
}

/// Draws one wait from `range`.
pub(super) fn draw(rng: &mut StdRng, range: &RangeInclusive<u64>) -> Duration {
    if range.end() == &0 || range.is_empty() {
        return Duration::ZERO;
    }
    Duration::from_millis(rng.random_range(range.clone()))
}

/// Waits in virtual time; returns at once if there is nothing to wait for.
pub(super) async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
