//! Journal and volumes of a simulated disk, with the oracle looking on, and with what a sabotaged
//! site does wrong.

use crate::oracle::Oracle;
use crate::sabotage::{Kept, Sabotage};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use trefoil_backends::simulated::{SimulatedJournal, SimulatedStore};
use trefoil_core::Result;
use trefoil_core::model::{Extent, Position, UpdateNumber};
use trefoil_core::port::{BlockStore, BlockWrite, JournalStore, Recovery, SyncFuture};
use trefoil_core::record::Record;

/// The oracle, as every part of a run holds it.
pub type Eye = Arc<Mutex<Oracle>>;

/// A journal that the oracle sees through.
pub struct ObservedJournal {
    pub site: usize,
    pub inner: SimulatedJournal,
    pub eye: Eye,
    pub sabotage: Sabotage,
    /// Appends that a sabotaged site answered and did not make yet.
    pub owed: Vec<Record>,
    /// What a forgetful site still knows.
    pub kept: Option<Kept>,
}

impl ObservedJournal {
    async fn append_now(&mut self, records: Vec<Record>) -> Result<()> {
        self.eye.lock().appending(self.site, &records);
        self.inner.append(records.clone()).await?;
        self.eye.lock().appended(self.site, &records);
        Ok(())
    }

    /// Makes what is owed, at last.
    async fn pay(&mut self) -> Result<()> {
        let owed = std::mem::take(&mut self.owed);
        if owed.is_empty() { Ok(()) } else { self.append_now(owed).await }
    }
}

#[async_trait]
impl JournalStore for ObservedJournal {
    async fn recover(&mut self) -> Result<Recovery> {
        let recovery = self.inner.recover().await?;
        self.eye.lock().recovered(self.site);
        Ok(recovery)
    }

    async fn salvage(&mut self) -> Result<Recovery> {
        let recovery = self.inner.salvage().await?;
        self.eye.lock().recovered(self.site);
        Ok(recovery)
    }

    async fn append(&mut self, mut records: Vec<Record>) -> Result<()> {
        if self.sabotage.stores_other_bytes(self.site) {
            crate::sabotage::falsify(&mut records);
        }
        if self.sabotage.answers_before_append(self.site) {
            self.pay().await?;
            self.owed = records;
            return Ok(());
        }
        self.append_now(records).await
    }

    fn sync(&mut self) -> SyncFuture {
        self.inner.sync()
    }

    async fn read(&mut self, from: UpdateNumber, bytes_max: usize) -> Result<Vec<Record>> {
        self.pay().await?;
        self.inner.read(from, bytes_max).await
    }

    async fn trim(&mut self, up_to: UpdateNumber) -> Result<Position> {
        self.pay().await?;
        self.eye.lock().trimming(self.site, up_to);
        self.inner.trim(up_to).await
    }

    async fn reset(&mut self, base: Position) -> Result<()> {
        self.owed.clear();
        self.inner.reset(base).await?;
        self.eye.lock().reset(self.site, base);
        Ok(())
    }

    async fn set_aside(&mut self, after: UpdateNumber) -> Result<String> {
        self.pay().await?;
        if self.sabotage == Sabotage::SetNothingAside {
            return Ok("nowhere".into());
        }
        self.inner.set_aside(after).await
    }

    async fn truncate(&mut self, after: UpdateNumber) -> Result<()> {
        self.owed.clear();
        self.eye.lock().truncating(self.site, after);
        self.inner.truncate(after).await?;
        self.eye.lock().truncated(self.site, after);
        Ok(())
    }

    async fn load_state(&mut self) -> Result<Option<Vec<u8>>> {
        let state = self.inner.load_state().await?;
        if let Some(state) = &state {
            self.sabotage.forgets(self.site, state.clone(), &mut self.kept);
        }
        Ok(state)
    }

    async fn save_state(&mut self, state: Vec<u8>) -> Result<()> {
        let state = self.sabotage.forgets(self.site, state, &mut self.kept);
        self.inner.save_state(state.clone()).await?;
        self.eye.lock().saved(self.site, &state);
        Ok(())
    }

    fn usage(&self) -> (u64, u64) {
        self.inner.usage()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// A volume that the oracle sees through.
pub struct ObservedStore {
    pub site: usize,
    pub volume: u32,
    pub inner: SimulatedStore,
    pub eye: Eye,
    pub sabotage: Sabotage,
}

#[async_trait]
impl BlockStore for ObservedStore {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    async fn read(&self, offset: u64, length: usize) -> Result<Bytes> {
        self.inner.read(offset, length).await
    }

    async fn write(&self, batch: Vec<BlockWrite>) -> Result<()> {
        self.eye.lock().storing(self.site, self.volume, &batch);
        self.inner.write(batch).await
    }

    async fn sync(&self) -> Result<()> {
        if self.sabotage == Sabotage::CheckpointBeforeSync {
            return Ok(());
        }
        self.inner.sync().await
    }

    async fn allocated_from(&self, offset: u64) -> Result<Option<Extent>> {
        self.inner.allocated_from(offset).await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
