//! The adapters of the examples are as good as those that come with trefoil: the kits prove it.

use async_trait::async_trait;
use object_store::memory::InMemory;
use std::sync::Arc;
use std::time::Duration;
use trefoil_backends::memory::MemoryDisk;
use trefoil_core::Result;
use trefoil_core::conformance::journal_store::{self, CAPACITY_BYTES, JournalStoreBench};
use trefoil_core::conformance::topology;
use trefoil_core::conformance::transport::{BoxSleep, Subject, prove_all};
use trefoil_core::model::SiteName;
use trefoil_core::port::JournalStore;
use trefoil_examples::archive::{Archive, ArchivingJournal};
use trefoil_examples::far_behind_mirror::FarBehindMirror;
use trefoil_examples::unix::UnixTransport;
use trefoil_site::registry::TopologyOptions;

fn sleep(time: Duration) -> BoxSleep {
    Box::pin(tokio::time::sleep(time))
}

#[tokio::test]
async fn the_unix_transport_keeps_every_claim() {
    let transport = UnixTransport { dir: std::env::temp_dir() };
    let address = format!("trefoil-kits-{}", std::process::id());
    let subject = Subject::new(&transport, &transport, &address, &sleep);
    let proved = prove_all(&subject).await;
    assert_eq!(proved, Ok(()));
}

/// Journals in memory with an archive in memory.
struct Archived {
    disk: MemoryDisk,
    archive: Archive,
}

impl Archived {
    fn new() -> Self {
        let archive = Archive::new(Arc::new(InMemory::new()), "suite");
        Self { disk: MemoryDisk::new(CAPACITY_BYTES), archive }
    }

    fn open(&self) -> Result<Box<dyn JournalStore>> {
        let inner = Box::new(self.disk.journal()?);
        Ok(Box::new(ArchivingJournal::new(inner, self.archive.clone())))
    }
}

#[async_trait]
impl JournalStoreBench for Archived {
    async fn fresh(&mut self) -> Result<Box<dyn JournalStore>> {
        *self = Self::new();
        self.open()
    }

    async fn reopen(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        self.open().map(Some)
    }
}

#[test]
fn the_layout_keeps_every_claim() {
    let site = |name| SiteName::new(name).unwrap();
    let (primary, sync, r#async) = (site("a"), Some(site("b")), Some(site("c")));
    let layout = FarBehindMirror::from_table(&TopologyOptions { primary, sync, r#async }).unwrap();
    assert_eq!(topology::prove_all(&*layout), Ok(()));
}

#[tokio::test]
async fn the_archiving_journal_keeps_every_claim() {
    let proved = journal_store::prove_all(&mut Archived::new()).await;
    assert_eq!(proved, Ok(()));
}
