//! A journal that is gone with its handle.

use crate::memory::MemoryJournal;
use async_trait::async_trait;
use trefoil_core::Result;
use trefoil_core::model::{GroupName, Position, UpdateNumber};
use trefoil_core::port::{JournalStore, Recovery, SyncFuture};
use trefoil_core::record::Record;

/// A journal in memory that no restart finds again.
#[derive(Debug)]
pub struct NoopJournal {
    group: GroupName,
    memory: MemoryJournal,
}

impl NoopJournal {
    /// An empty journal of up to `capacity_bytes` bytes; warns that it keeps nothing.
    pub fn open(group: &GroupName, capacity_bytes: u64) -> Self {
        tracing::warn!(%group, "backend noop: the journal and the site's state die with it");
        Self { group: group.clone(), memory: MemoryJournal::new(capacity_bytes) }
    }
}

#[async_trait]
impl JournalStore for NoopJournal {
    async fn recover(&mut self) -> Result<Recovery> {
        self.memory.recover().await
    }

    async fn append(&mut self, records: Vec<Record>) -> Result<()> {
        self.memory.append(records).await
    }

    fn sync(&mut self) -> SyncFuture {
        self.memory.sync()
    }

    async fn read(&mut self, from: UpdateNumber, bytes_max: usize) -> Result<Vec<Record>> {
        self.memory.read(from, bytes_max).await
    }

    async fn trim(&mut self, up_to: UpdateNumber) -> Result<Position> {
        self.memory.trim(up_to).await
    }

    async fn reset(&mut self, base: Position) -> Result<()> {
        self.memory.reset(base).await
    }

    async fn set_aside(&mut self, after: UpdateNumber) -> Result<String> {
        self.memory.set_aside(after).await
    }

    async fn truncate(&mut self, after: UpdateNumber) -> Result<()> {
        self.memory.truncate(after).await
    }

    async fn load_state(&mut self) -> Result<Option<Vec<u8>>> {
        self.memory.load_state().await
    }

    async fn save_state(&mut self, state: Vec<u8>) -> Result<()> {
        self.memory.save_state(state).await
    }

    fn usage(&self) -> (u64, u64) {
        self.memory.usage()
    }

    fn describe(&self) -> String {
        format!("noop journal of {} (dies with its process, for measuring only)", self.group)
    }
}
