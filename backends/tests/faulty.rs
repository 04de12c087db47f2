//! The faulty wrappers behave until they are told not to, and then as they are told.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use trefoil_backends::faulty::{Faults, FaultyJournal, FaultyStore, Operation};
use trefoil_backends::memory::{MemoryJournal, MemoryStore};
use trefoil_core::ErrorKind::{Full, Io};
use trefoil_core::Result;
use trefoil_core::conformance::block_store::{self, BlockStoreBench};
use trefoil_core::conformance::journal_store::{self, CAPACITY_BYTES, JournalStoreBench};
use trefoil_core::model::{Position, VolumeId};
use trefoil_core::port::{BlockStore, BlockWrite, Content, JournalStore};
use trefoil_core::record::Record;

/// Wrappers that were told nothing.
struct Behaving;

#[async_trait]
impl BlockStoreBench for Behaving {
    async fn fresh(&mut self, size: u64) -> Result<Arc<dyn BlockStore>> {
        Ok(Arc::new(FaultyStore::new(Arc::new(MemoryStore::new(size)), Faults::default())))
    }
}

#[async_trait]
impl JournalStoreBench for Behaving {
    async fn fresh(&mut self) -> Result<Box<dyn JournalStore>> {
        let inner = Box::new(MemoryJournal::new(CAPACITY_BYTES));
        Ok(Box::new(FaultyJournal::new(inner, Faults::default())))
    }

    async fn reopen(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        Ok(None)
    }
}

fn store() -> (Faults, FaultyStore) {
    let faults = Faults::default();
    (faults.clone(), FaultyStore::new(Arc::new(MemoryStore::new(4096)), faults))
}

async fn journal() -> (Faults, FaultyJournal) {
    let faults = Faults::default();
    let mut journal = FaultyJournal::new(Box::new(MemoryJournal::new(1 << 20)), faults.clone());
    journal.recover().await.unwrap();
    (faults, journal)
}

fn one(byte: u8) -> Vec<BlockWrite> {
    vec![BlockWrite { offset: 0, content: Content::Data(vec![byte].into()) }]
}

fn first() -> Vec<Record> {
    let payload = Bytes::from_static(&[1; 512]);
    vec![Record::write(&Position::START, 0, VolumeId(0), 0, payload).unwrap()]
}

#[tokio::test]
async fn wrappers_that_were_told_nothing_keep_every_claim() {
    block_store::prove_all(&mut Behaving).await.unwrap();
    journal_store::prove_all(&mut Behaving).await.unwrap();
}

#[tokio::test]
async fn as_many_writes_as_ordered_fail_and_do_not_reach_the_store() {
    let (faults, store) = store();
    faults.fail_next(Operation::Write, 2, Full);
    for _ in 0..2 {
        assert_eq!(store.write(one(1)).await.unwrap_err().kind(), Full);
    }
    assert_eq!((store.read(0, 1).await.unwrap()[0], faults.count(Operation::Write)), (0, 0));
    store.write(one(2)).await.unwrap();
    assert_eq!((store.read(0, 1).await.unwrap()[0], faults.count(Operation::Write)), (2, 1));
    faults.fail_next(Operation::Read, 1, Io);
    assert_eq!(store.read(0, 1).await.unwrap_err().kind(), Io);
    store.read(0, 1).await.unwrap();
}

#[tokio::test]
async fn a_store_whose_sync_failed_stays_failed_unless_it_forgets() {
    let (faults, store) = store();
    faults.fail_next(Operation::Sync, 1, Io);
    for _ in 0..3 {
        assert_eq!(store.sync().await.unwrap_err().kind(), Io);
    }
    assert_eq!(store.write(one(1)).await.unwrap_err().kind(), Io);
    assert_eq!(faults.count(Operation::Sync), 0);
    faults.forget_failures(true);
    store.sync().await.unwrap();
    assert_eq!(faults.count(Operation::Sync), 1);
}

#[tokio::test]
async fn a_full_append_may_be_tried_again_and_a_failed_one_ends_the_journal() {
    let (faults, mut journal) = journal().await;
    faults.fail_next(Operation::Append, 1, Full);
    assert_eq!(journal.append(first()).await.unwrap_err().kind(), Full);
    faults.fail_next(Operation::Append, 1, Io);
    for _ in 0..2 {
        assert_eq!(journal.append(first()).await.unwrap_err().kind(), Io);
    }
    assert_eq!(journal.sync().await.unwrap_err().kind(), Io);
    assert_eq!(journal.save_state(vec![1]).await.unwrap_err().kind(), Io);
    assert_eq!(faults.count(Operation::Append), 0);
}

#[tokio::test]
async fn a_journal_whose_sync_failed_stays_failed_unless_it_forgets() {
    let (faults, mut journal) = journal().await;
    journal.append(first()).await.unwrap();
    faults.fail_next(Operation::Sync, 1, Io);
    for _ in 0..2 {
        assert_eq!(journal.sync().await.unwrap_err().kind(), Io);
    }
    assert_eq!(journal.append(first()).await.unwrap_err().kind(), Io);
    faults.forget_failures(true);
    journal.sync().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_is_begun_behind_a_failing_one_fails_too_and_one_before_it_does_not() {
    let (faults, mut journal) = journal().await;
    journal.append(first()).await.unwrap();
    faults.delay(Operation::Sync, Duration::from_secs(2));
    let before = journal.sync();
    faults.fail_next(Operation::Sync, 1, Io);
    let (failing, behind) = (journal.sync(), journal.sync());
    let (before, failed, too) = tokio::join!(before, failing, behind);
    before.unwrap();
    assert_eq!(failed.unwrap_err().kind(), Io);
    assert_eq!(too.unwrap_err().kind(), Io);
}

#[tokio::test(start_paused = true)]
async fn operations_take_as_long_as_ordered() {
    let (faults, store) = store();
    faults.delay(Operation::Write, Duration::from_secs(3));
    let begun = Instant::now();
    store.write(one(1)).await.unwrap();
    store.sync().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    faults.delay(Operation::Write, Duration::ZERO);
    store.write(one(1)).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}
