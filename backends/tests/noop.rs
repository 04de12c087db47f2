//! The noop backend keeps nothing, and says so; its journal keeps the order of records.

use async_trait::async_trait;
use trefoil_backends::noop::{NoopJournal, NoopStore};
use trefoil_core::conformance::journal_store::{self, CAPACITY_BYTES, JournalStoreBench};
use trefoil_core::model::{GroupName, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite, Content, JournalStore};
use trefoil_core::{ErrorKind, Result};

struct Nothing;

#[async_trait]
impl JournalStoreBench for Nothing {
    async fn fresh(&mut self) -> Result<Box<dyn JournalStore>> {
        Ok(Box::new(NoopJournal::open(&GroupName::new("g")?, CAPACITY_BYTES)))
    }

    async fn reopen(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        Ok(None)
    }
}

#[tokio::test]
async fn the_journal_keeps_every_claim_but_durability() {
    journal_store::prove_all(&mut Nothing).await.unwrap();
    let journal = Nothing.fresh().await.unwrap();
    assert!(journal.describe().contains("measuring only"), "{}", journal.describe());
}

#[tokio::test]
async fn the_store_checks_ranges_and_forgets_what_was_written() {
    let store = NoopStore::open(&VolumeName::new("v").unwrap(), 8192);
    let write = |offset| {
        let content = Content::Data(vec![7; 4096].into());
        store.write(vec![BlockWrite { offset, content }])
    };
    write(4096).await.unwrap();
    store.sync().await.unwrap();
    assert_eq!(store.read(4096, 4096).await.unwrap(), vec![0; 4096]);
    assert_eq!(store.allocated_from(0).await.unwrap(), None);
    assert_eq!(write(4097).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store.read(8192, 1).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(store.describe().contains("keeps nothing"), "{}", store.describe());
}
