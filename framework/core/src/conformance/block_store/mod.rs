//! The suite for block stores: every claim of [`BlockStore`]'s "To be correct" list that can be
//! seen from outside.
//!
//! ```ignore
//! #[async_trait]
//! impl BlockStoreBench for Mine {
//!     async fn fresh(&mut self, size: u64) -> Result<Arc<dyn BlockStore>> {
//!         Ok(Arc::new(MyStore::create(self.next_path(), size)?))
//!     }
//! }
//! block_store::prove_all(&mut Mine::default()).await.unwrap();
//! ```

mod survive;

use super::together::join;
use super::{Claim, Violation, break_claim, names, prove_claim, prove_claims};
use crate::port::{BlockStore, BlockWrite, Content};
use crate::{ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

/// Makes the stores that the suite tries.
#[async_trait]
pub trait BlockStoreBench: Send {
    /// A new store of `size` bytes at a new place. Handles of earlier ones were dropped.
    async fn fresh(&mut self, size: u64) -> Result<Arc<dyn BlockStore>>;

    /// Opens the newest store again, as a new process would; its handles were dropped. `None` if
    /// it cannot outlive its handle: the claims about that are passed over.
    async fn reopen(&mut self) -> Result<Option<Arc<dyn BlockStore>>> {
        Ok(None)
    }

    /// Takes the power from the newest store, and opens it again. `None` if that cannot be tried.
    async fn lose_power(&mut self) -> Result<Option<Arc<dyn BlockStore>>> {
        Ok(None)
    }

    /// Leaves the newest store no room for anything new. False if that cannot be tried.
    fn fill_device(&mut self) -> bool {
        false
    }

    /// Lets the next sync of the newest store fail. False if that cannot be tried.
    fn fail_next_sync(&mut self) -> bool {
        false
    }
}

/// The size of the volumes that the suite makes, in bytes.
pub const SIZE: u64 = 1 << 20;

/// A bench, whoever made it.
type Bench = dyn BlockStoreBench + 'static;

/// A claim by name, and its trial.
macro_rules! claim {
    ($name:literal, $trial:path) => {
        Claim { name: $name, trial: |bench: &mut Bench| Box::pin($trial(bench)) }
    };
}

const TABLE: [Claim<Bench>; 13] = [
    claim!("what_was_never_written_reads_as_zeroes", zeroes),
    claim!("a_read_returns_the_last_write", last_write),
    claim!("the_edges_of_a_write_are_exact", edges),
    claim!("a_range_outside_is_invalid_and_writes_nothing", outside),
    claim!("what_may_be_other_than_zero_is_listed", allocated),
    claim!("an_empty_batch_and_an_empty_read_are_allowed", empty),
    claim!("calls_at_the_same_time_do_not_mix", at_once),
    claim!("a_full_device_is_full_and_still_reads", survive::full),
    claim!("what_was_written_survives_the_process", survive::process),
    claim!("what_was_synced_survives_a_power_loss", survive::power),
    claim!("a_power_loss_leaves_old_or_new_bytes", survive::unsynced),
    claim!("zeroes_survive_too", survive::zeroed),
    claim!("after_a_failed_sync_none_succeeds", survive::failed_sync),
];

/// What is proved, by name and in this order.
pub const CLAIMS: [&str; TABLE.len()] = names(&TABLE);

/// Proves every claim, each on a fresh store.
///
/// # Errors
/// The first claim that does not hold, and what was seen.
pub async fn prove_all(bench: &mut (dyn BlockStoreBench + 'static)) -> Result<(), Violation> {
    prove_claims(bench, &TABLE).await
}

/// Proves the claim of that name, one of [`CLAIMS`].
///
/// # Errors
/// That it does not hold, or that there is no such claim.
pub async fn prove(
    bench: &mut (dyn BlockStoreBench + 'static),
    claim: &str,
) -> Result<(), Violation> {
    prove_claim(bench, &TABLE, claim).await
}

fn data(offset: u64, bytes: Vec<u8>) -> BlockWrite {
    BlockWrite { offset, content: Content::Data(bytes.into()) }
}

/// Bytes that tell where they belong.
fn pattern(seed: u64, length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|i| (seed.wrapping_mul(31).wrapping_add(i * 7) % 255) as u8 + 1)
        .collect()
}

async fn expect(store: &dyn BlockStore, offset: u64, bytes: &[u8], when: &str) -> Result<()> {
    let found = store.read(offset, bytes.len()).await?;
    match found.iter().zip(bytes).position(|(a, b)| a != b) {
        None if found.len() == bytes.len() => Ok(()),
        None => break_claim(format!("{when}: {} bytes came, not {}", found.len(), bytes.len())),
        Some(at) => break_claim(format!("{when}: byte {} differs", offset + at as u64)),
    }
}

async fn zeroes(bench: &mut dyn BlockStoreBench) -> Result<()> {
    let store = bench.fresh(SIZE).await?;
    if store.size() != SIZE {
        return break_claim(format!("size is {}, not {SIZE}", store.size()));
    }
    expect(&*store, 0, &vec![0; SIZE as usize], "fresh").await?;
    store.write(vec![data(5000, pattern(1, 100))]).await?;
    expect(&*store, 4000, &[0; 1000], "before what was written").await?;
    expect(&*store, 5100, &[0; 1000], "after what was written").await
}

async fn last_write(bench: &mut dyn BlockStoreBench) -> Result<()> {
    let store = bench.fresh(SIZE).await?;
    let mut model = vec![0; SIZE as usize];
    for round in 0..40_u64 {
        let batch = some_batch(round);
        for write in &batch {
            let start = write.offset as usize;
            let range = start..start + write.content.length() as usize;
            let target = model.get_mut(range).unwrap_or_default();
            match &write.content {
                Content::Data(bytes) => target.copy_from_slice(bytes),
                Content::Zero(_) => target.fill(0),
            }
        }
        store.write(batch).await?;
        expect(&*store, 0, &model, &format!("after batch {round}")).await?;
    }
    Ok(())
}

/// A sorted batch without overlaps, of odd offsets and lengths; some neighbours touch.
fn some_batch(round: u64) -> Vec<BlockWrite> {
    let mut offset = round * 977 % 9000;
    let mut batch = Vec::new();
    for i in 0..12_u64 {
        let length = 1 + (round * 131 + i * 4099) % 20_000;
        if offset + length > SIZE {
            break;
        }
        batch.push(if (round + i) % 4 == 3 {
            BlockWrite { offset, content: Content::Zero(length) }
        } else {
            data(offset, pattern(round * 100 + i, length as usize))
        });
        offset += length + if i % 3 == 0 { 0 } else { (round + i) * 613 % 70_000 };
    }
    batch
}

async fn outside(bench: &mut dyn BlockStoreBench) -> Result<()> {
    let store = bench.fresh(SIZE).await?;
    for (offset, length) in [(SIZE, 1), (SIZE - 10, 11), (u64::MAX, 1), (u64::MAX - 4, 100)] {
        match store.read(offset, length).await {
            Err(error) if error.kind() == ErrorKind::Invalid => {}
            other => return break_claim(format!("read {length} at {offset} gave {other:?}")),
        }
        let writes = [
            data(offset, pattern(1, length)),
            BlockWrite { offset, content: Content::Zero(length as u64) },
        ];
        for write in writes {
            let batch = vec![data(0, pattern(9, 600)), write];
            match store.write(batch).await {
                Err(error) if error.kind() == ErrorKind::Invalid => {}
                other => return break_claim(format!("write {length} at {offset} gave {other:?}")),
            }
        }
    }
    expect(&*store, 0, &[0; 600], "after refused batches").await
}

async fn allocated(bench: &mut dyn BlockStoreBench) -> Result<()> {
    let store = bench.fresh(SIZE).await?;
    store.write(vec![data(70_000, pattern(1, 3)), data(SIZE - 1, vec![9])]).await?;
    let mut covered = vec![false; SIZE as usize];
    let mut from = 0;
    while let Some(extent) = store.allocated_from(from).await? {
        if extent.offset < from || extent.length == 0 || extent.end() > SIZE {
            return break_claim(format!("from {from} it lists {extent:?}"));
        }
        let range = extent.offset as usize..extent.end() as usize;
        covered.get_mut(range).unwrap_or_default().fill(true);
        from = extent.end();
    }
    for at in [70_000, 70_001, 70_002, SIZE as usize - 1] {
        if covered.get(at) != Some(&true) {
            return break_claim(format!("byte {at} was written and is not listed"));
        }
    }
    if store.allocated_from(SIZE).await?.is_some() {
        return break_claim("it lists something behind its end");
    }
    Ok(())
}

async fn empty(bench: &mut dyn BlockStoreBench) -> Result<()> {
    let store = bench.fresh(SIZE).await?;
    store.write(Vec::new()).await?;
    store.write(vec![data(SIZE, Vec::new())]).await?;
    store.sync().await?;
    if store.read(SIZE, 0).await? != Bytes::new() {
        return break_claim("reading nothing gave something");
    }
    Ok(())
}

async fn edges(bench: &mut dyn BlockStoreBench) -> Result<()> {
    for (at, length) in [(0, 1), (511, 2), (4095, 4098), (65_535, 3), (SIZE - 1, 1), (3, 512)] {
        let store = bench.fresh(SIZE).await?;
        let mut model = pattern(7, SIZE as usize);
        store.write(vec![data(0, model.clone())]).await?;
        let inner = pattern(8, length);
        store.write(vec![data(at, inner.clone())]).await?;
        let range = at as usize..at as usize + length;
        model.get_mut(range.clone()).unwrap_or_default().copy_from_slice(&inner);
        expect(&*store, 0, &model, &format!("{length} bytes written at {at}")).await?;
        store.write(vec![BlockWrite { offset: at, content: Content::Zero(length as u64) }]).await?;
        model.get_mut(range).unwrap_or_default().fill(0);
        expect(&*store, 0, &model, &format!("{length} bytes zeroed at {at}")).await?;
    }
    Ok(())
}

/// Two write every other piece, one reads what neither touches.
async fn at_once(bench: &mut dyn BlockStoreBench) -> Result<()> {
    const PIECE: u64 = 3000;
    const PIECES: u64 = 40;
    let store = bench.fresh(SIZE).await?;
    let apart = PIECE * PIECES;
    let still = pattern(5, 10_000);
    store.write(vec![data(apart, still.clone())]).await?;
    let write = async |first: u64| {
        for i in (first..PIECES).step_by(2) {
            store.write(vec![data(i * PIECE, pattern(i, PIECE as usize))]).await?;
        }
        store.sync().await
    };
    let read = async {
        for _ in 0..PIECES {
            expect(&*store, apart, &still, "read while others write").await?;
        }
        Ok(())
    };
    let (written, done) = join(join(write(0), write(1)), read).await;
    let ((), ()) = (written.0?, written.1?);
    done?;
    for i in 0..PIECES {
        let when = "after two wrote at the same time";
        expect(&*store, i * PIECE, &pattern(i, PIECE as usize), when).await?;
    }
    Ok(())
}
