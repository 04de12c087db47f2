//! Benches in files for the public suites.

use async_trait::async_trait;
use std::sync::Arc;
use tempfile::TempDir;
use trefoil_backends::file::{FileJournal, FileStore};
use trefoil_core::Result;
use trefoil_core::conformance::block_store::BlockStoreBench;
use trefoil_core::conformance::journal_store::{CAPACITY_BYTES, JournalStoreBench};
use trefoil_core::model::{GroupName, SiteName, VolumeName};
use trefoil_core::port::{BlockStore, JournalStore};

/// Journals and stores in a new directory each.
#[derive(Default)]
pub struct Files {
    dir: Option<TempDir>,
    size: u64,
}

impl Files {
    fn journal(&self) -> Result<Box<dyn JournalStore>> {
        let dir = self.dir.as_ref().unwrap().path();
        let (group, site) = (GroupName::new("suite")?, SiteName::new("a")?);
        Ok(Box::new(FileJournal::open(dir, &group, &site, CAPACITY_BYTES)?))
    }

    fn store(&self) -> Result<Arc<dyn BlockStore>> {
        let dir = self.dir.as_ref().unwrap().path();
        let (group, volume) = (GroupName::new("suite")?, VolumeName::new("v")?);
        Ok(Arc::new(FileStore::open(dir, &group, &volume, self.size)?))
    }
}

#[async_trait]
impl JournalStoreBench for Files {
    async fn fresh(&mut self) -> Result<Box<dyn JournalStore>> {
        self.dir = Some(tempfile::tempdir().unwrap());
        self.journal()
    }

    async fn reopen(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        self.journal().map(Some)
    }
}

#[async_trait]
impl BlockStoreBench for Files {
    async fn fresh(&mut self, size: u64) -> Result<Arc<dyn BlockStore>> {
        self.dir = Some(tempfile::tempdir().unwrap());
        self.size = size;
        self.store()
    }

    async fn reopen(&mut self) -> Result<Option<Arc<dyn BlockStore>>> {
        self.store().map(Some)
    }
}
