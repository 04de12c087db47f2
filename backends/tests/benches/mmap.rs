//! Benches in mapped files for the public suites.

use async_trait::async_trait;
use std::sync::Arc;
use tempfile::TempDir;
use trefoil_backends::file::{FileJournal, Medium};
use trefoil_backends::mmap::MmapStore;
use trefoil_core::Result;
use trefoil_core::conformance::block_store::BlockStoreBench;
use trefoil_core::conformance::journal_store::{CAPACITY_BYTES, JournalStoreBench};
use trefoil_core::model::{GroupName, SiteName, VolumeName};
use trefoil_core::port::{BlockStore, JournalStore};

/// Journals and stores in a new directory each.
#[derive(Default)]
pub struct Mapped {
    dir: Option<TempDir>,
    size: u64,
}

impl Mapped {
    fn journal(&self) -> Result<Box<dyn JournalStore>> {
        let dir = self.dir.as_ref().unwrap().path();
        let (group, site) = (GroupName::new("suite")?, SiteName::new("a")?);
        let names = (&group, &site);
        Ok(Box::new(FileJournal::open_with(dir, names, CAPACITY_BYTES, Medium::Mapped)?))
    }

    fn store(&self) -> Result<Arc<dyn BlockStore>> {
        let dir = self.dir.as_ref().unwrap().path();
        let (group, volume) = (GroupName::new("suite")?, VolumeName::new("v")?);
        Ok(Arc::new(MmapStore::open(dir, &group, &volume, self.size)?))
    }
}

#[async_trait]
impl JournalStoreBench for Mapped {
    async fn fresh(&mut self) -> Result<Box<dyn JournalStore>> {
        self.dir = Some(tempfile::tempdir().unwrap());
        self.journal()
    }

    async fn reopen(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        self.journal().map(Some)
    }
}

#[async_trait]
impl BlockStoreBench for Mapped {
    async fn fresh(&mut self, size: u64) -> Result<Arc<dyn BlockStore>> {
        self.dir = Some(tempfile::tempdir().unwrap());
        self.size = size;
        self.store()
    }

    async fn reopen(&mut self) -> Result<Option<Arc<dyn BlockStore>>> {
        self.store().map(Some)
    }
}
