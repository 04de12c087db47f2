//! How long, and how much, gathers before it is restored.

use super::RestorerActor;
use crate::parts::micros;
use std::time::Duration;

/// At a site that nobody waits for updates gather for so long at most before they are restored.
const LINGER_BEHIND_MAX: Duration = Duration::from_millis(50);

/// The most that gathers, in bytes. It stays in memory meanwhile, and memory that comes and goes in
/// large waves is cold whenever it is used again: what a wave of some hundred megabytes saves in
/// writes to the volumes it costs several times over.
const GATHERED_BYTES_MAX: u64 = 4 << 20;

impl RestorerActor {
    /// How long updates gather before they are restored. Where nobody waits for this site it is
    /// behind already, by the way to it and what gathers there; and it has the time.
    pub(super) fn lingers_ms(&self) -> u64 {
        let linger = self.crew.shared.config.timing.linger;
        let awaited = {
            let state = self.crew.state.borrow();
            let charter = state.charter.as_ref();
            charter.is_none_or(|charter| charter.member(self.crew.site()).is_some())
        };
        micros(if awaited { linger } else { linger.min(LINGER_BEHIND_MAX) }) / 1000
    }

    /// How many bytes may gather before they are restored: a part of what bounds them, so that
    /// neither the host nor a source waits for the restorer before it has begun.
    pub(super) fn may_gather(&self) -> u64 {
        let overlay = self.crew.shared.config.limits.overlay_bytes;
        let journal = self.crew.marks.journal_capacity.get();
        GATHERED_BYTES_MAX.min(overlay / 4).min(journal / 4)
    }
}
