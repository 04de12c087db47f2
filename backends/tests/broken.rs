//! The public suites find what is broken: each fake breaks one promise on purpose.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

#[path = "benches/simulated.rs"]
mod bench;

use async_trait::async_trait;
use bench::{Simulated, volume};
use std::sync::Arc;
use trefoil_backends::memory::{MemoryDisk, MemoryJournal, MemoryStore};
use trefoil_backends::simulated::SimulatedDisk;
use trefoil_core::conformance::block_store::{self, BlockStoreBench};
use trefoil_core::conformance::journal_store::{self, CAPACITY_BYTES, JournalStoreBench};
use trefoil_core::model::{Extent, Position, UpdateNumber};
use trefoil_core::port::{BlockStore, BlockWrite, JournalStore, Recovery, SyncFuture};
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind, Result};

/// Which promise a journal breaks.
#[derive(Clone, Copy, PartialEq)]
enum Breaks {
    /// Accepts records that do not follow, and forgets the ones between.
    AcceptsAGap,
    /// Writes the part of a batch that fits.
    TearsABatchOnFull,
    /// Trims a record more than asked.
    TrimsTooMuch,
    /// Returns records from the one after the one asked for.
    ReadsTheNext,
    /// Saves half of a state.
    SavesHalfAState,
    /// Keeps what it is to drop.
    TruncatesNothing,
    /// Drops what it only is to copy.
    DropsWhatItSetsAside,
    /// Refuses every generation but the first.
    KnowsOneGeneration,
}

struct BrokenJournal {
    inner: MemoryJournal,
    breaks: Breaks,
}

#[async_trait]
impl JournalStore for BrokenJournal {
    async fn recover(&mut self) -> Result<Recovery> {
        self.inner.recover().await
    }

    async fn append(&mut self, records: Vec<Record>) -> Result<()> {
        let later = |record: &Record| record.generation().count > 3;
        if self.breaks == Breaks::KnowsOneGeneration && records.iter().any(later) {
            return Err(Error::invalid("append: another generation"));
        }
        match (self.inner.append(records.clone()).await, self.breaks) {
            (Err(error), Breaks::AcceptsAGap) if error.kind() == ErrorKind::Invalid => Ok(()),
            (Err(error), Breaks::TearsABatchOnFull) if error.kind() == ErrorKind::Full => {
                for record in records {
                    if self.inner.append(vec![record]).await.is_err() {
                        break;
                    }
                }
                Err(error)
            }
            (result, _) => result,
        }
    }

    fn sync(&mut self) -> SyncFuture {
        self.inner.sync()
    }

    async fn read(&mut self, from: UpdateNumber, bytes_max: usize) -> Result<Vec<Record>> {
        let mut records = self.inner.read(from, bytes_max).await?;
        if self.breaks == Breaks::ReadsTheNext && records.len() > 1 {
            records.remove(0);
        }
        Ok(records)
    }

    async fn trim(&mut self, up_to: UpdateNumber) -> Result<Position> {
        let more = u64::from(self.breaks == Breaks::TrimsTooMuch);
        self.inner.trim(up_to.plus(more)).await
    }

    async fn reset(&mut self, base: Position) -> Result<()> {
        self.inner.reset(base).await
    }

    async fn set_aside(&mut self, after: UpdateNumber) -> Result<String> {
        let place = self.inner.set_aside(after).await?;
        if self.breaks == Breaks::DropsWhatItSetsAside {
            self.inner.truncate(after).await?;
        }
        Ok(place)
    }

    async fn truncate(&mut self, after: UpdateNumber) -> Result<()> {
        if self.breaks == Breaks::TruncatesNothing {
            return Ok(());
        }
        self.inner.truncate(after).await
    }

    async fn load_state(&mut self) -> Result<Option<Vec<u8>>> {
        self.inner.load_state().await
    }

    async fn save_state(&mut self, mut state: Vec<u8>) -> Result<()> {
        if self.breaks == Breaks::SavesHalfAState {
            state.truncate(state.len() / 2);
        }
        self.inner.save_state(state).await
    }

    fn usage(&self) -> (u64, u64) {
        self.inner.usage()
    }

    fn describe(&self) -> String {
        "broken".to_owned()
    }
}

struct BrokenJournals(Option<MemoryDisk>, Breaks);

#[async_trait]
impl JournalStoreBench for BrokenJournals {
    async fn fresh(&mut self) -> Result<Box<dyn JournalStore>> {
        let inner = self.0.insert(MemoryDisk::new(CAPACITY_BYTES)).journal()?;
        Ok(Box::new(BrokenJournal { inner, breaks: self.1 }))
    }
}

async fn broken_claim(breaks: Breaks) -> &'static str {
    journal_store::prove_all(&mut BrokenJournals(None, breaks)).await.unwrap_err().claim
}

#[tokio::test]
async fn a_journal_that_accepts_a_gap_is_caught() {
    let claim = broken_claim(Breaks::AcceptsAGap).await;
    assert_eq!(claim, "records_that_do_not_follow_are_invalid");
}

#[tokio::test]
async fn a_journal_that_tears_a_batch_when_full_is_caught() {
    let claim = broken_claim(Breaks::TearsABatchOnFull).await;
    assert_eq!(claim, "a_batch_that_does_not_fit_is_refused_whole");
}

#[tokio::test]
async fn a_journal_that_trims_too_much_is_caught() {
    let claim = broken_claim(Breaks::TrimsTooMuch).await;
    assert_eq!(claim, "trimming_lets_go_of_no_more_than_asked");
}

#[tokio::test]
async fn a_journal_that_reads_the_next_record_is_caught() {
    let claim = broken_claim(Breaks::ReadsTheNext).await;
    assert_eq!(claim, "what_was_appended_is_read_byte_for_byte");
}

#[tokio::test]
async fn a_journal_that_saves_half_a_state_is_caught() {
    assert_eq!(broken_claim(Breaks::SavesHalfAState).await, "a_state_is_replaced_whole");
}

#[tokio::test]
async fn a_journal_that_knows_one_generation_is_caught() {
    let claim = broken_claim(Breaks::KnowsOneGeneration).await;
    assert_eq!(claim, "a_new_generation_follows_and_the_old_one_ends");
}

#[tokio::test]
async fn a_journal_that_keeps_what_it_is_to_drop_is_caught() {
    let claim = broken_claim(Breaks::TruncatesNothing).await;
    assert_eq!(claim, "truncating_drops_exactly_what_is_behind");
}

#[tokio::test]
async fn a_journal_that_drops_what_it_sets_aside_is_caught() {
    let claim = broken_claim(Breaks::DropsWhatItSetsAside).await;
    assert_eq!(claim, "what_is_set_aside_stays_in_the_journal");
}

/// A disk that answers syncs without doing them.
#[derive(Default)]
struct Lying(Simulated);

impl Lying {
    fn lie(&self) {
        if let Some(disk) = &self.0.disk {
            SimulatedDisk::set_lying(disk, true);
        }
    }
}

#[async_trait]
impl JournalStoreBench for Lying {
    async fn fresh(&mut self) -> Result<Box<dyn JournalStore>> {
        let journal = JournalStoreBench::fresh(&mut self.0).await?;
        self.lie();
        Ok(journal)
    }

    async fn lose_power(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        JournalStoreBench::lose_power(&mut self.0).await
    }
}

#[async_trait]
impl BlockStoreBench for Lying {
    async fn fresh(&mut self, size: u64) -> Result<Arc<dyn BlockStore>> {
        let store = BlockStoreBench::fresh(&mut self.0, size).await?;
        self.lie();
        Ok(store)
    }

    async fn lose_power(&mut self) -> Result<Option<Arc<dyn BlockStore>>> {
        BlockStoreBench::lose_power(&mut self.0).await
    }
}

#[tokio::test]
async fn a_journal_that_forgets_after_a_sync_is_caught() {
    let broken = journal_store::prove_all(&mut Lying::default()).await.unwrap_err();
    assert_eq!(broken.claim, "what_was_synced_survives_a_power_loss");
}

#[tokio::test]
async fn a_store_that_forgets_after_a_sync_is_caught() {
    let broken = block_store::prove_all(&mut Lying::default()).await.unwrap_err();
    assert_eq!(broken.claim, "what_was_synced_survives_a_power_loss");
    assert_eq!(volume().as_str(), "suite");
}

/// A store that writes what lies inside of a batch before it refuses the rest.
struct WritesBeforeItChecks(MemoryStore);

#[async_trait]
impl BlockStore for WritesBeforeItChecks {
    fn size(&self) -> u64 {
        self.0.size()
    }

    async fn read(&self, offset: u64, length: usize) -> Result<bytes::Bytes> {
        self.0.read(offset, length).await
    }

    async fn write(&self, batch: Vec<BlockWrite>) -> Result<()> {
        for write in batch {
            self.0.write(vec![write]).await?;
        }
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        Err(Error::closed("not reached"))
    }

    async fn allocated_from(&self, offset: u64) -> Result<Option<Extent>> {
        self.0.allocated_from(offset).await
    }

    fn describe(&self) -> String {
        "broken".to_owned()
    }
}

struct Careless;

#[async_trait]
impl BlockStoreBench for Careless {
    async fn fresh(&mut self, size: u64) -> Result<Arc<dyn BlockStore>> {
        Ok(Arc::new(WritesBeforeItChecks(MemoryStore::new(size))))
    }
}

#[tokio::test]
async fn a_store_that_writes_part_of_a_refused_batch_is_caught() {
    let broken = block_store::prove_all(&mut Careless).await.unwrap_err();
    assert_eq!(broken.claim, "a_range_outside_is_invalid_and_writes_nothing");
}
