//! What a store still holds after it was closed, lost its power, or failed.

use super::{BlockStoreBench, SIZE, data, expect, pattern};
use crate::conformance::break_claim;
use crate::port::{BlockWrite, Content};
use crate::{ErrorKind, Result};

pub(super) async fn process(bench: &mut dyn BlockStoreBench) -> Result<()> {
    let store = bench.fresh(SIZE).await?;
    let bytes = pattern(3, 10_000);
    store.write(vec![data(777, bytes.clone())]).await?;
    drop(store);
    match bench.reopen().await? {
        Some(store) => expect(&*store, 777, &bytes, "after reopening").await,
        None => Ok(()),
    }
}

pub(super) async fn power(bench: &mut dyn BlockStoreBench) -> Result<()> {
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

pub(super) async fn zeroed(bench: &mut dyn BlockStoreBench) -> Result<()> {
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

/// Every byte of an unsynced write is the one before or the one written; others are untouched.
pub(super) async fn unsynced(bench: &mut dyn BlockStoreBench) -> Result<()> {
    for round in 0..8 {
        let store = bench.fresh(SIZE).await?;
        let (old, new) = (pattern(round, 30_000), pattern(round + 3, 10_000));
        store.write(vec![data(0, old.clone())]).await?;
        store.sync().await?;
        store.write(vec![data(10_000, new.clone())]).await?;
        drop(store);
        let Some(store) = bench.lose_power().await? else { return Ok(()) };
        let found = store.read(0, old.len()).await?;
        for (at, (byte, before)) in found.iter().zip(&old).enumerate() {
            let written = at.checked_sub(10_000).and_then(|at| new.get(at));
            if byte != before && Some(byte) != written {
                return break_claim(format!("byte {at} is {byte}, neither old nor new"));
            }
        }
    }
    Ok(())
}

pub(super) async fn full(bench: &mut dyn BlockStoreBench) -> Result<()> {
    let store = bench.fresh(SIZE).await?;
    let bytes = pattern(4, 5000);
    store.write(vec![data(100, bytes.clone())]).await?;
    store.sync().await?;
    if !bench.fill_device() {
        return Ok(());
    }
    match store.write(vec![data(500_000, pattern(5, 200_000))]).await {
        Err(error) if error.kind() == ErrorKind::Full => {}
        other => return break_claim(format!("writing to a full device gives {other:?}")),
    }
    expect(&*store, 100, &bytes, "on a full device").await
}

pub(super) async fn failed_sync(bench: &mut dyn BlockStoreBench) -> Result<()> {
    let store = bench.fresh(SIZE).await?;
    store.write(vec![data(100, pattern(4, 5000))]).await?;
    if !bench.fail_next_sync() {
        return Ok(());
    }
    if store.sync().await.is_ok() {
        return break_claim("the sync that failed was answered as done");
    }
    for _ in 0..3 {
        if store.sync().await.is_ok() {
            return break_claim("a sync after a failed one was answered as done");
        }
    }
    Ok(())
}
