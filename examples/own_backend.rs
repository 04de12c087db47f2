//! A backend of one's own: a journal that archives what it lets go of, registered by the word
//! `archived`.
//!
//! `cargo run -p trefoil-examples --example own_backend`

use bytes::Bytes;
use object_store::memory::InMemory;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trefoil_backends::memory::MemoryDisk;
use trefoil_core::model::{GroupName, SiteName, VolumeName};
use trefoil_core::port::{BlockStore, JournalStore};
use trefoil_core::{Error, Result};
use trefoil_examples::archive::{Archive, ArchivingJournal};
use trefoil_examples::{await_pairing, config, registry, start};
use trefoil_site::Point;
use trefoil_site::registry::{BackendFactory, JournalOptions, VolumeOptions};

/// Three free ports in a row, near enough for an example.
const PORT: u16 = 27_547;

/// So small that records are let go soon: what fits stays, so that a site that was away needs no
/// more than what it lacks.
const JOURNAL_BYTES: u64 = 8 << 20;

/// Volumes and journal in memory; the journal's history in an archive.
struct Archived {
    disk: MemoryDisk,
    archive: Archive,
}

impl BackendFactory for Archived {
    fn block_store(&self, options: &VolumeOptions) -> Result<Arc<dyn BlockStore>> {
        Ok(Arc::new(self.disk.volume(&options.volume.name, options.volume.size)?))
    }

    fn journal_store(&self, _: &JournalOptions) -> Result<Box<dyn JournalStore>> {
        let inner = Box::new(self.disk.journal()?);
        Ok(Box::new(ArchivingJournal::new(inner, self.archive.clone())))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // A bucket or a directory would be another type here, and nothing else.
    let archive = Archive::new(Arc::new(InMemory::new()), "c/orders");
    let backend = Archived { disk: MemoryDisk::new(JOURNAL_BYTES), archive: archive.clone() };
    let registry = registry().backend("archived", backend);
    let text = config("memory", PORT);
    let at_c = text.replace(
        "control = \"unused-c.sock\"\nbackend = \"memory\"",
        "control = \"unused-c.sock\"\nbackend = \"archived\"",
    );
    let (a, b) = (start(&text, "a", &registry)?, start(&text, "b", &registry)?);
    let c = start(&at_c, "c", &registry)?;
    let group = a.group(&GroupName::new("orders")?)?;
    await_pairing(&group)?;
    let volume = group.volume(&VolumeName::new("db0")?)?;
    let update = volume.write_at(0, Bytes::from_static(b"kept for ever")).await?;
    volume.wait_for(update, &SiteName::new("c")?, Point::Restored).await?;
    for n in 0..64 {
        volume.write_at(n * (128 << 10), Bytes::from(vec![7; 128 << 10])).await?;
    }
    let begun = Instant::now();
    // Records are let go when room is needed, and every site has them for good.
    let found = loop {
        let records = archive.records().await?;
        if let Some(found) = records.into_iter().find(|record| record.number() == update) {
            break found;
        }
        if begun.elapsed() > Duration::from_secs(30) {
            return Err(Error::unavailable("archive: the update is not there in time"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    println!("update {update} is in the archive: {} bytes, unharmed", found.payload().len());
    for site in [a, b, c] {
        site.stop()?;
    }
    Ok(())
}
