//! What a leading site knows of one leg.

use crate::model::{Incarnation, Marks};

/// What the leading site sees of one leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegReport {
    /// Whether the follower is in a session of this reign.
    pub connected: bool,
    /// The follower's incarnation.
    pub incarnation: Incarnation,
    /// How far it has come.
    pub marks: Marks,
    /// Bytes that it owes.
    pub debt_bytes: u64,
    /// Whether it holds durably what was assigned before it was waited for.
    pub may_include: bool,
    /// Whether its plan leaves it in debt: it must be out of the charter first (rule R6).
    pub must_leave: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Leg {
    pub report: LegReport,
    /// Since when it is silent; `None` while connected.
    pub lost_at: Option<u64>,
    /// Whether the primary waits for it.
    pub acking: bool,
    /// Whether a charter that names it was proposed in this reign: then only a newer charter may
    /// let the primary go on without it.
    pub proposed: bool,
    /// Another incarnation asks to follow.
    pub replaced: bool,
    /// It is back in another session, in which what it must hold is noted anew (rule R5).
    pub back: bool,
    /// Nobody waits for it any more, and it has not said yet that it knows: what it says of being
    /// included is about that wait, and it is not waited for again before (rule R5).
    pub left: bool,
    /// When it last came further, or had nothing left to come further to.
    pub moved_at: u64,
}

impl Leg {
    /// From now on nobody waits for it.
    pub fn leave(&mut self) {
        self.acking = false;
        self.left = true;
    }

    /// Whether the host has waited for it too long: it is silent, or it answers and does not come
    /// further (its disk is full, or does not answer).
    pub fn overdue(&self, now: u64, grace_us: u64) -> bool {
        let standing_since = self.report.connected.then_some(self.moved_at);
        let since = self.lost_at.or(standing_since);
        since.is_some_and(|since| now >= since.saturating_add(grace_us))
    }
}
