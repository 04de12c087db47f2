//! Benches in files for the public suites.

use async_trait::async_trait;
use std::path::Path;
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

    async fn tear_tail(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        tear(self.dir.as_ref().unwrap().path());
        self.journal().map(Some)
    }

    async fn open_as_other(&mut self) -> Option<Result<Box<dyn JournalStore>>> {
        let dir = self.dir.as_ref().unwrap().path();
        let (group, site) = (GroupName::new("suite").unwrap(), SiteName::new("b").unwrap());
        let opened = FileJournal::open(dir, &group, &site, CAPACITY_BYTES);
        Some(opened.map(|journal| Box::new(journal) as Box<dyn JournalStore>))
    }
}

/// Turns a bit of the last byte of the journal that is not zero.
fn tear(dir: &Path) {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { files.push(path) }
        }
    }
    // The suite's records are below 1 MiB: they are in the first segment that holds any.
    for path in files {
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        if last > 20_000 {
            bytes[last] ^= 4;
            std::fs::write(&path, bytes).unwrap();
        }
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
