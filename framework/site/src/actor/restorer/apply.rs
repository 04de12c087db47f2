//! A batch goes to the block stores, and leaves the overlay.
//!
//! Tens of thousands of updates may be in it, and the host's writes share the thread: whatever is
//! done for each of them is done for some at a time.

use super::{Applied, RestorerActor, compare};
use crate::shared::Shared;
use crate::volumes::OpenVolumes;
use actix::prelude::*;
use std::sync::Arc;
use tokio::task::yield_now;
use trefoil_core::engine::restorer::{Batch, Making};
use trefoil_core::port::BlockWrite;
use trefoil_core::{Error, Result};

/// So much of a batch is done in one go.
const AT_ONCE: usize = 256;

/// So many writes are handed to a store at once: it does them one after the other on a thread of
/// its own, and waking that costs as much as some of them.
const WRITTEN_AT_ONCE: usize = 1024;

impl RestorerActor {
    /// Makes a batch, step by step, then applies it.
    pub(super) fn begin(&mut self, making: Making, ctx: &mut Context<Self>) {
        let (shared, address) = (self.crew.shared.clone(), ctx.address());
        debug_assert!(
            making.last() <= self.crew.marks.durable.get(),
            "rule write_ahead: {} is not durable",
            making.last()
        );
        actix::spawn(async move {
            // Without a batch the site is stopping: what waits stays in the journal.
            if let Ok(batch) = make(&shared, making).await {
                apply(shared, batch, address).await;
            }
        });
    }
}

/// Makes a batch: on another thread where there are some, else step by step, for a large one takes
/// milliseconds.
async fn make(shared: &Shared, mut making: Making) -> Result<Batch> {
    if shared.threads && making.left() > AT_ONCE {
        return shared.aside(move || making.finish()).await;
    }
    while making.step(AT_ONCE) {
        yield_now().await;
    }
    Ok(making.finish())
}

/// Applies a batch, and takes out of the overlay what the stores have then.
pub(super) async fn apply(shared: Arc<Shared>, mut batch: Batch, then: Addr<RestorerActor>) {
    let whole = shared.restoring.write().await;
    let result = write_batch(&shared.volumes(), &batch).await;
    drop(whole);
    let result = match result {
        Ok(()) => compare::compare(&shared, &batch.compared).await,
        Err(error) => Err(error),
    };
    if result.is_ok() {
        take_out(&shared, &mut batch).await;
    }
    crate::crew::post(&then, Applied { batch, result });
}

/// Takes out of the overlay what a batch has written, and lets go of that, from the end: of the
/// writes only the names of their volumes are left in it.
async fn take_out(shared: &Shared, batch: &mut Batch) {
    for extents in batch.extents.rchunks(AT_ONCE) {
        shared.overlay.write().remove_restored(extents.iter().copied(), batch.last);
        // Overlay and batch count whom a payload has in the same place: it is at hand now.
        for extent in extents.iter().rev() {
            if let Some(writes) = batch.writes.get_mut(&extent.volume) {
                let_go_from(writes, extent.offset);
            }
        }
        yield_now().await;
    }
}

/// Drops the last writes, those that begin at `start` or later.
fn let_go_from(writes: &mut Vec<BlockWrite>, start: u64) {
    while writes.pop_if(|write| write.offset >= start).is_some() {}
}

/// Writes what a batch brings to each volume.
///
/// # Errors
/// What the stores say. A part may be written then, and all of it is to be written again.
pub(crate) async fn write_batch(volumes: &OpenVolumes, batch: &Batch) -> Result<()> {
    for (volume, writes) in &batch.writes {
        if volumes.is_removed(volume.0) {
            // Replayed up to its removal, which was carried out before.
            continue;
        }
        let store = volumes.stores.get(volume.0 as usize).and_then(Option::as_ref);
        if store.is_none() && batch.copied.iter().any(|extent| extent.volume == *volume) {
            // Owed by a tail that had it: with the tail the volume is gone, too.
            continue;
        }
        let store = store.ok_or_else(|| {
            Error::corrupt(format!("restore updates of volume {volume}: there is no such volume"))
        })?;
        for writes in writes.chunks(WRITTEN_AT_ONCE) {
            // A copy: where there is no room the same batch is tried again.
            store.write(writes.to_vec()).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_backends::memory::MemoryStore;
    use trefoil_core::engine::restorer::{RestorerEngine, RestorerLimits};
    use trefoil_core::model::{
        Generation, Position, UpdateNumber, VolumeId, VolumeName, VolumeSpec,
    };
    use trefoil_core::port::BlockStore;
    use trefoil_core::record::Record;

    /// Single bytes with a gap behind each, so that no two are one extent.
    const COUNT: usize = 2 * WRITTEN_AT_ONCE + 7;

    fn batch() -> Batch {
        let generation = Generation { count: 1, id: 9 };
        let mut at = Position { generation, ..Position::START };
        let mut engine = RestorerEngine::new(RestorerLimits::default(), UpdateNumber::ZERO, 0);
        for n in 0..COUNT as u64 {
            let byte = vec![n as u8 | 1].into();
            let record = Record::write(&at, 0, VolumeId(0), 2 * n, byte).unwrap();
            at = record.position();
            engine.push(record).unwrap();
        }
        engine.durable(at.number);
        engine.next_batch().unwrap()
    }

    #[tokio::test]
    async fn a_batch_of_more_writes_than_are_handed_over_at_once_is_written_whole() {
        let store = Arc::new(MemoryStore::new(2 * COUNT as u64));
        let spec = VolumeSpec { name: VolumeName::new("db").unwrap(), size: store.size() };
        let volumes = OpenVolumes::given(vec![spec], vec![store.clone()]);
        write_batch(&volumes, &batch()).await.unwrap();
        let bytes = store.read(0, 2 * COUNT).await.unwrap();
        let expected = (0..COUNT).flat_map(|n| [n as u8 | 1, 0]);
        assert!(bytes.iter().copied().eq(expected));
    }

    #[test]
    fn what_begins_behind_a_start_is_let_go_and_nothing_else() {
        let mut writes = batch().writes.into_values().next().unwrap();
        let_go_from(&mut writes, 21);
        assert_eq!(writes.last().unwrap().offset, 20);
        let_go_from(&mut writes, 20);
        assert_eq!(writes.len(), 10);
        let_go_from(&mut writes, 0);
        assert_eq!(writes.len(), 0);
    }
}
