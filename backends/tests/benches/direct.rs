//! A bench of journals that are written past the page cache, for the public suite.

use async_trait::async_trait;
use tempfile::TempDir;
use trefoil_backends::file::{FileJournal, Medium};
use trefoil_core::Result;
use trefoil_core::conformance::journal_store::{CAPACITY_BYTES, JournalStoreBench};
use trefoil_core::model::{GroupName, SiteName};
use trefoil_core::port::JournalStore;

/// Journals in a new directory each.
#[derive(Default)]
pub struct Direct {
    dir: Option<TempDir>,
}

impl Direct {
    fn journal(&self) -> Result<Box<dyn JournalStore>> {
        let dir = self.dir.as_ref().unwrap().path();
        let (group, site) = (GroupName::new("suite")?, SiteName::new("a")?);
        let names = (&group, &site);
        Ok(Box::new(FileJournal::open_with(dir, names, CAPACITY_BYTES, Medium::Direct)?))
    }
}

#[async_trait]
impl JournalStoreBench for Direct {
    async fn fresh(&mut self) -> Result<Box<dyn JournalStore>> {
        self.dir = Some(tempfile::tempdir().unwrap());
        self.journal()
    }

    async fn reopen(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        self.journal().map(Some)
    }
}
