//! How much the source may send ahead of what this site acknowledges.

use super::FollowerActor;

impl FollowerActor {
    /// Bytes that this site takes at once.
    pub(super) fn room(&self) -> u64 {
        let limits = &self.crew.shared.config.limits;
        let filled = self.crew.shared.overlay.read().bytes();
        let overlay = limits.overlay_of_follower().saturating_sub(filled);
        let copies = self.crew.marks.copies_waiting.get();
        let (room, journal) = (limits.credit_bytes, self.crew.marks.journal_room());
        if self.crew.image().is_some() {
            // They wait for the last of them, not for the stores.
            return room.min(overlay.saturating_sub(copies)).min(journal);
        }
        room.min(overlay).min(journal).saturating_sub(copies)
    }
}
