//! Checkpoints: what was restored becomes durable, and the state says how far that is.
//!
//! Only those volumes are synced that were written since the last checkpoint, or were compared and
//! found to hold already what they should, perhaps in no more than the page cache. A volume without
//! a write waits for the disk as long as one with many, and a group may have a thousand.
//!
//! The fewer checkpoints there are, the more of what is written again is written to the disk once;
//! but the journal keeps whatever came after the last one, and a site that was killed restores it
//! again.

use super::{Checkpointed, RestorerActor, Settle};
use crate::crew::CrewRef;
use crate::parts::micros;
use actix::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_core::Result;
use trefoil_core::engine::copy::CopyFollower;
use trefoil_core::engine::restorer::Batch;
use trefoil_core::model::{Debt, UpdateNumber, VolumeId};

/// The most content between two checkpoints, in bytes, and the part of the journal that it may be.
const BYTES_MAX: u64 = 256 << 20;
const JOURNAL_SHARE: u64 = 4;
/// A batch that is on its way to the stores of a site that stops may take so long.
const STILL_WITHIN: Duration = Duration::from_secs(5);
/// The pause between checkpoints, in milliseconds, where something waits for them.
const HURRIED_MS: u64 = 500;

/// How much content is restored between two checkpoints, in bytes, with a journal of `capacity`.
pub(super) fn bytes(capacity: u64) -> u64 {
    (capacity / JOURNAL_SHARE).clamp(1, BYTES_MAX)
}

/// Make a last checkpoint, once the stores are still; nothing is restored after it.
#[derive(Message)]
#[rtype(result = "()")]
struct Last(oneshot::Sender<Result<()>>);

#[derive(Message)]
#[rtype(result = "()")]
struct Saved {
    number: UpdateNumber,
    result: Result<()>,
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

    /// What this batch wrote, or found, is for the next checkpoint to sync.
    pub(super) fn note_unsynced(&mut self, batch: &Batch) {
        self.unsynced.extend(batch.writes.keys());
        self.unsynced.extend(batch.compared.iter().map(|block| block.extent.volume));
    }

    /// Syncs the stores, then saves how far they are, and the debt that is left.
    pub(super) fn checkpoint_if_due(&mut self, ctx: &mut Context<Self>) {
        let now_ms = self.crew.shared.clock.now_us() / 1000;
        let due = self.engine.checkpoint_due(now_ms, self.checkpoint_after_ms());
        if self.ending_debt || self.settled || self.changing || !due {
            return;
        }
        self.checkpointing = true;
        let number = self.engine.checkpoint_begin();
        let debt = self.copies.as_mut().map(CopyFollower::checkpoint_begin);
        let written = std::mem::take(&mut self.unsynced);
        let (crew, address) = (self.crew.clone(), ctx.address());
        actix::spawn(async move {
            let result = checkpoint(&crew, number, (written, debt)).await;
            crate::crew::post(&address, Saved { number, result });
        });
    }
}

/// The last checkpoint of a site that stops: it restores nothing again when it is started. What
/// has only gathered stays in the journal.
pub(crate) async fn last_checkpoint(crew: &CrewRef) -> Result<()> {
    if crew.state.borrow().debt.is_some() {
        // Copies are paid by the restorer's own checkpoints.
        return crew.save().await;
    }
    let (reply, still) = oneshot::channel();
    crew.to(&crew.restorer, Settle(reply));
    if tokio::time::timeout(STILL_WITHIN, still).await.is_err() {
        return crew.save().await;
    }
    let (reply, made) = oneshot::channel();
    crew.to(&crew.restorer, Last(reply));
    match made.await {
        Ok(made) => made,
        Err(_) => crew.save().await,
    }
}

impl Handler<Last> for RestorerActor {
    type Result = ();

    fn handle(&mut self, Last(reply): Last, _: &mut Context<Self>) {
        let (crew, number) = (self.crew.clone(), self.engine.restored());
        let written = std::mem::take(&mut self.unsynced);
        actix::spawn(async move {
            let _ = reply.send(checkpoint(&crew, number, (written, None)).await);
        });
    }
}

async fn checkpoint(
    crew: &CrewRef,
    number: UpdateNumber,
    (written, debt): (BTreeSet<VolumeId>, Option<Debt>),
) -> Result<()> {
    crew.shared.volumes().sync(written).await?;
    {
        let mut state = crew.state.borrow_mut();
        // A reset of the journal meanwhile has set both anew.
        if state.intent.is_none() && number <= crew.marks.restored.get() {
            state.checkpoint = state.checkpoint.max(number);
            if let (Some(current), Some(debt)) = (&mut state.debt, debt) {
                *current = Debt { image: current.image, ..debt };
            }
        }
    }
    crew.save().await
}

impl Handler<Saved> for RestorerActor {
    type Result = ();

    fn handle(&mut self, Saved { number, result }: Saved, ctx: &mut Context<Self>) {
        self.checkpointing = false;
        if let Err(error) = result {
            self.crew.fail(&error);
            return;
        }
        let now_ms = self.crew.shared.clock.now_us() / 1000;
        self.engine.checkpointed(number, now_ms);
        if let Some(copies) = &mut self.copies {
            copies.checkpointed();
        }
        self.crew.marks.checkpointed.set(self.engine.checkpoint());
        if !self.settled {
            self.publish_debt();
        }
        self.crew.to(&self.crew.journal, Checkpointed);
        self.end_debt_if_paid(ctx);
        self.pump(ctx);
    }
}
