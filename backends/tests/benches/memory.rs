//! Benches in memory for the public suites.

use async_trait::async_trait;
use std::sync::Arc;
use trefoil_backends::memory::MemoryDisk;
use trefoil_core::Result;
use trefoil_core::conformance::block_store::BlockStoreBench;
use trefoil_core::conformance::journal_store::{CAPACITY_BYTES, JournalStoreBench};
use trefoil_core::model::VolumeName;
use trefoil_core::port::{BlockStore, JournalStore};

fn volume() -> VolumeName {
    VolumeName::new("suite").unwrap()
}

/// Journals in memory.
#[derive(Default)]
pub struct Memory(Option<MemoryDisk>);

#[async_trait]
impl JournalStoreBench for Memory {
    async fn fresh(&mut self) -> Result<Box<dyn JournalStore>> {
        Ok(Box::new(self.0.insert(MemoryDisk::new(CAPACITY_BYTES)).journal()?))
    }

    async fn reopen(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        Ok(Some(Box::new(self.0.as_ref().unwrap().journal()?)))
    }
}

/// Stores in memory.
#[derive(Default)]
pub struct MemoryBlocks(Option<(MemoryDisk, u64)>);

#[async_trait]
impl BlockStoreBench for MemoryBlocks {
    async fn fresh(&mut self, size: u64) -> Result<Arc<dyn BlockStore>> {
        let (disk, _) = self.0.insert((MemoryDisk::new(0), size));
        Ok(Arc::new(disk.volume(&volume(), size)?))
    }

    async fn reopen(&mut self) -> Result<Option<Arc<dyn BlockStore>>> {
        let (disk, size) = self.0.as_ref().unwrap();
        Ok(Some(Arc::new(disk.volume(&volume(), *size)?)))
    }
}
