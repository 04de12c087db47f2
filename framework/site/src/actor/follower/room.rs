//! How much the source may send ahead of what this site acknowledges.

use super::FollowerActor;

impl FollowerActor {
    /// Bytes that this site takes at once.
    pub(super) fn room(&self) -> u64 {
        let limits = &self.crew.shared.config.limits;
        // Some is left free: a site that takes over has room for hosts before it restored anything.
        let overlay = limits.overlay_bytes - limits.overlay_bytes / 16;
        let overlay = overlay.saturating_sub(self.crew.shared.overlay.read().bytes());
        let copies = self.crew.marks.copies_waiting.get();
        let (room, journal) = (limits.credit_bytes, self.crew.marks.journal_room());
        if self.crew.image().is_some() {
            // They wait for the last of them, not for the stores.
            return room.min(overlay.saturating_sub(copies)).min(journal);
        }
        room.min(overlay).min(journal).saturating_sub(copies)
    }
}
