//! What the block stores hold is compared with the hashes that the source told.
//!
//! It happens where a copy would be written: between two batches, when all that came before in the
//! stream is in the stores and nothing of what came after. What is read here is what the stores
//! return, synced or not; it counts as paid only with the checkpoint that syncs them, as what was
//! copied does.

use super::RestorerActor;
use crate::actor::Differing;
use crate::shared::Shared;
use actix::prelude::*;
use bytes::Bytes;
use std::collections::BTreeMap;
use trefoil_core::Result;
use trefoil_core::engine::restorer::Batch;
use trefoil_core::model::{Extent, SessionId, UpdateNumber};
use trefoil_core::wire::CompareBlock;

/// The hashes of a range came, right after everything received so far.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CompareIn {
    pub block: CompareBlock,
    /// The newest number received before it.
    pub received: UpdateNumber,
}

/// Where the stores hold something else than the source, of each of `blocks`.
///
/// # Errors
/// What the stores say.
pub(super) async fn compare(shared: &Shared, blocks: &[CompareBlock]) -> Result<Vec<Vec<Extent>>> {
    let mut differing = Vec::with_capacity(blocks.len());
    for block in blocks {
        differing.push(differs(shared, block).await?);
        tokio::task::yield_now().await;
    }
    Ok(differing)
}

async fn differs(shared: &Shared, block: &CompareBlock) -> Result<Vec<Extent>> {
    let Extent { volume, offset, length } = block.extent;
    let store = shared.volumes().stores.get(volume.0 as usize).cloned().flatten();
    // Removed, or owed by a tail that had it: as with a copy, there is nothing to pay.
    let Some(store) = store else { return Ok(Vec::new()) };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let content: Bytes = store.read(offset, length).await?;
    let block = block.clone();
    shared.aside(move || block.differing(&content)).await
}

impl RestorerActor {
    /// Settles what was compared in a batch, and asks for what differs.
    pub(super) fn compared(&mut self, batch: &Batch, differing: Vec<Vec<Extent>>) {
        let mut asked: BTreeMap<SessionId, Vec<Extent>> = BTreeMap::new();
        for (block, differing) in batch.compared.iter().zip(differing) {
            if let Some(copies) = &mut self.copies {
                copies.compared(block.extent, &differing);
            }
            asked.entry(block.session).or_default().extend(differing);
        }
        for (session, extents) in asked.into_iter().filter(|(_, extents)| !extents.is_empty()) {
            self.crew.to(&self.crew.follower, Differing { session, extents });
        }
    }
}

impl Handler<CompareIn> for RestorerActor {
    type Result = ();

    fn handle(&mut self, CompareIn { block, received }: CompareIn, ctx: &mut Context<Self>) {
        let Some(copies) = &mut self.copies else { return };
        if copies.arrived(block.extent, block.low, block.high, received) {
            self.engine.push_compared(block);
            self.pump(ctx);
        }
    }
}
