//! Checkpoints: the block stores are synced, and the state says up to where. The fewer there are,
//! the more of what is written again is written to the disk once; but the journal keeps whatever
//! came after the last one, and a site that was killed restores it again.

use super::{Hold, RestorerActor};
use crate::crew::CrewRef;
use crate::parts::micros;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_core::Result;
use trefoil_core::model::{Debt, UpdateNumber};

/// The most content between two checkpoints, in bytes, and the part of the journal that it may be.
const BYTES_MAX: u64 = 256 << 20;
const JOURNAL_SHARE: u64 = 8;
/// A batch that is on its way to the stores of a site that stops may take so long.
const STILL_WITHIN: Duration = Duration::from_secs(5);
/// The pause between checkpoints, in milliseconds, where something waits for them.
const HURRIED_MS: u64 = 500;

/// How much content is restored between two checkpoints, in bytes, with a journal of `capacity`.
pub(super) fn bytes(capacity: u64) -> u64 {
    (capacity / JOURNAL_SHARE).clamp(1, BYTES_MAX)
}

/// The last checkpoint of a site that stops: it restores nothing again when it is started. What
/// has only gathered stays in the journal.
pub(crate) async fn last_checkpoint(crew: &CrewRef) -> Result<()> {
    if crew.state.borrow().debt.is_some() {
        // Copies are paid by the restorer's own checkpoints.
        return crew.save().await;
    }
    let (reply, still) = oneshot::channel();
    crew.to(&crew.restorer, Hold(reply));
    match tokio::time::timeout(STILL_WITHIN, still).await {
        Ok(Ok(restored)) => make(crew, restored, None).await,
        _ => crew.save().await,
    }
}

impl RestorerActor {
    /// How long after the last checkpoint the next one is made. A copy is paid with checkpoints,
    /// and a journal that fills up is trimmed by them.
    pub(super) fn checkpoint_after_ms(&self) -> u64 {
        let marks = &self.crew.marks;
        let fills = marks.journal_room() < marks.journal_capacity.get() / 4;
        let every_ms = micros(self.crew.shared.config.timing.checkpoint) / 1000;
        if self.copies.is_some() || fills { every_ms.min(HURRIED_MS) } else { every_ms }
    }
}

/// Syncs the stores; then the state says so, durably, and what is still owed.
pub(super) async fn make(crew: &CrewRef, number: UpdateNumber, debt: Option<Debt>) -> Result<()> {
    for store in crew.shared.volumes().stores() {
        store.sync().await?;
    }
    {
        let mut state = crew.state.borrow_mut();
        // A reset of the journal meanwhile has set both anew.
        if state.intent.is_none() && number <= crew.marks.restored.get() {
            state.checkpoint = state.checkpoint.max(number);
            if state.debt.is_some() && debt.is_some() {
                state.debt = debt;
            }
        }
    }
    crew.save().await
}
