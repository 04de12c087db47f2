//! The suite for block stores: every claim of [`BlockStore`]'s "To be correct" list that can be
//! seen from outside.

use super::{Broken, Claim, break_claim, run_claims};
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
}

/// The size of the volumes that the suite makes, in bytes.
const SIZE: u64 = 1 << 20;

/// Tries every claim, each on a fresh store.
///
/// # Errors
/// The first claim that does not hold, and what was seen.
pub async fn check_all(bench: &mut (dyn BlockStoreBench + 'static)) -> Result<(), Broken> {
    let claims: [Claim<'_, dyn BlockStoreBench>; 8] = [
        ("what was never written reads as zeroes", |bench| Box::pin(zeroes(bench))),
        ("a read returns what was written last", |bench| Box::pin(last_write(bench))),
        ("a range outside is invalid, and nothing is written", |bench| Box::pin(outside(bench))),
        ("what may be other than zero is listed", |bench| Box::pin(allocated(bench))),
        ("an empty batch and an empty read are allowed", |bench| Box::pin(empty(bench))),
        ("what was written survives the process", |bench| Box::pin(survives_process(bench))),
        ("what was synced survives a power loss", |bench| Box::pin(survives_power(bench))),
        ("zeroes survive the process and a power loss too", |bench| Box::pin(zeroed(bench))),
    ];
    run_claims(bench, &claims).await
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

async fn survives_process(bench: &mut dyn BlockStoreBench) -> Result<()> {
    let store = bench.fresh(SIZE).await?;
    let bytes = pattern(3, 10_000);
    store.write(vec![data(777, bytes.clone())]).await?;
    drop(store);
    match bench.reopen().await? {
        Some(store) => expect(&*store, 777, &bytes, "after reopening").await,
        None => Ok(()),
    }
}

async fn survives_power(bench: &mut dyn BlockStoreBench) -> Result<()> {
    for round in 0..8 {
        let store = bench.fresh(SIZE).await?;
        let bytes = pattern(round, 10_000);
        store.write(vec![data(777, bytes.clone())]).await?;
        store.sync().await?;
        store.write(vec![data(50_000, pattern(round + 1, 9_000))]).await?;
        drop(store);
        match bench.lose_power().await? {
            Some(store) => expect(&*store, 777, &bytes, "after a power loss").await?,
            None => return Ok(()),
        }
    }
    Ok(())
}

async fn zeroed(bench: &mut dyn BlockStoreBench) -> Result<()> {
    let store = bench.fresh(SIZE).await?;
    store.write(vec![data(0, pattern(1, 300_000))]).await?;
    store.sync().await?;
    store.write(vec![BlockWrite { offset: 100, content: Content::Zero(250_000) }]).await?;
    store.sync().await?;
    expect(&*store, 100, &vec![0; 250_000], "after zeroing").await?;
    drop(store);
    if let Some(store) = bench.reopen().await? {
        expect(&*store, 100, &vec![0; 250_000], "after reopening").await?;
    }
    if let Some(store) = bench.lose_power().await? {
        expect(&*store, 100, &vec![0; 250_000], "after a power loss").await?;
    }
    Ok(())
}
