//! What the backends cost: a journal's append and sync, and a volume's random 4 KiB writes.
//!
//! `cargo bench -p trefoil-benches --bench backends`; with `--features uring` also the ring. The
//! files lie in a directory of their own below the current one: give another as the argument, on
//! the disk that is to be measured.

use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trefoil_backends::file::{FileJournal, FileStore, Medium};
use trefoil_backends::memory::{MemoryJournal, MemoryStore};
use trefoil_backends::mmap::MmapStore;
use trefoil_backends::noop::NoopStore;
use trefoil_core::model::{GroupName, Position, SiteName, VolumeId, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite, Content, JournalStore};
use trefoil_core::record::Record;
use trefoil_core::{Error, Result};

const JOURNAL_BYTES: u64 = 512 << 20;
const VOLUME_BYTES: u64 = 256 << 20;
const BLOCK_BYTES: usize = 4096;
/// How long each figure is measured.
const MEASURED: Duration = Duration::from_millis(1500);

type Journals = Vec<(&'static str, Box<dyn JournalStore>)>;
type Stores = Vec<(&'static str, Arc<dyn BlockStore>)>;

fn names() -> Result<(GroupName, SiteName, VolumeName)> {
    Ok((GroupName::new("bench")?, SiteName::new("a")?, VolumeName::new("db")?))
}

fn journals(dir: &Path) -> Result<Journals> {
    let (group, site, _) = names()?;
    let file = FileJournal::open(&dir.join("file"), &group, &site, JOURNAL_BYTES)?;
    let (dir, names) = (dir.join("mmap"), (&group, &site));
    let mapped = FileJournal::open_with(&dir, names, JOURNAL_BYTES, Medium::Mapped)?;
    let memory = MemoryJournal::new(JOURNAL_BYTES);
    Ok(vec![("memory", Box::new(memory)), ("file", Box::new(file)), ("mmap", Box::new(mapped))])
}

fn stores(dir: &Path) -> Result<Stores> {
    let (group, _, volume) = names()?;
    let file = FileStore::open(&dir.join("file"), &group, &volume, VOLUME_BYTES)?;
    let mapped = MmapStore::open(&dir.join("mmap"), &group, &volume, VOLUME_BYTES)?;
    let memory = MemoryStore::new(VOLUME_BYTES);
    let stores: Stores =
        vec![("memory", Arc::new(memory)), ("file", Arc::new(file)), ("mmap", Arc::new(mapped))];
    let noop: Arc<dyn BlockStore> = Arc::new(NoopStore::open(&volume, VOLUME_BYTES));
    let stores: Stores = std::iter::once(("noop", noop)).chain(stores).collect();
    #[cfg(feature = "uring")]
    let stores = {
        let dir = dir.join("uring");
        let ring = trefoil_backends::uring::open_store(&dir, &group, &volume, VOLUME_BYTES)?;
        stores.into_iter().chain([("file, uring", ring)]).collect()
    };
    Ok(stores)
}

/// Microseconds of an append and of a sync of `batch` records.
async fn append_and_sync(
    journal: &mut dyn JournalStore,
    newest: &mut Position,
    batch: usize,
) -> Result<(f64, f64)> {
    let data = Bytes::from(vec![0xa5; BLOCK_BYTES]);
    let (mut appending, mut syncing) = (Duration::ZERO, Duration::ZERO);
    let (begun, mut rounds) = (Instant::now(), 0_u32);
    while begun.elapsed() < MEASURED {
        let records = some_records(newest, batch, &data)?;
        let at = Instant::now();
        journal.append(records).await?;
        let appended = Instant::now();
        journal.sync().await?;
        appending += appended - at;
        syncing += appended.elapsed();
        rounds += 1;
        if rounds.is_multiple_of(256) {
            journal.trim(newest.number).await?;
        }
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(rounds);
    Ok((micros(appending), micros(syncing)))
}

fn some_records(newest: &mut Position, count: usize, data: &Bytes) -> Result<Vec<Record>> {
    let make = |_| {
        let record = Record::write(newest, 1, VolumeId(0), 0, data.clone())?;
        *newest = record.position();
        Ok(record)
    };
    (0..count).map(make).collect()
}

/// Thousands of random 4 KiB writes a second, in sorted batches with a sync behind each.
async fn random_writes(store: &dyn BlockStore, batch: usize) -> Result<f64> {
    let data = Bytes::from(vec![0xa5; BLOCK_BYTES]);
    let (mut seed, mut writes) = (7_u64, 0_usize);
    let begun = Instant::now();
    while begun.elapsed() < MEASURED {
        let mut blocks = std::collections::BTreeSet::new();
        while blocks.len() < batch {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            blocks.insert((seed >> 33) % (VOLUME_BYTES / BLOCK_BYTES as u64));
        }
        let write = |block| BlockWrite {
            offset: block * BLOCK_BYTES as u64,
            content: Content::Data(data.clone()),
        };
        store.write(blocks.into_iter().map(write).collect()).await?;
        store.sync().await?;
        writes += batch;
    }
    Ok(writes as f64 / begun.elapsed().as_secs_f64() / 1e3)
}

/// Every block once, so that no figure holds the allocation of room.
async fn fill(store: &dyn BlockStore) -> Result<()> {
    let step = 1 << 20;
    for offset in (0..VOLUME_BYTES).step_by(step) {
        let content = Content::Data(vec![1; step].into());
        store.write(vec![BlockWrite { offset, content }]).await?;
    }
    store.sync().await
}

async fn run(dir: &Path) -> Result<()> {
    println!("journal, µs: append + sync of so many 4 KiB records");
    println!("{:<14} {:>18} {:>18} {:>18}", "", "1", "16", "64");
    for (name, mut journal) in journals(dir)? {
        let mut line = format!("{name:<14}");
        let mut newest = journal.recover().await?.newest;
        for batch in [1, 16, 64] {
            let (append, sync) = append_and_sync(&mut *journal, &mut newest, batch).await?;
            line += &format!(" {:>18}", format!("{append:.0} + {sync:.0}"));
        }
        println!("{line}");
    }
    println!("volume, thousand random 4 KiB writes a second, a sync behind each batch");
    println!("{:<14} {:>18} {:>18} {:>18}", "batch", "16", "64", "1024");
    for (name, store) in stores(dir)? {
        fill(&*store).await?;
        let mut line = format!("{name:<14}");
        for batch in [16, 64, 1024] {
            line += &format!(" {:>18.1}", random_writes(&*store, batch).await?);
        }
        println!("{line}");
    }
    Ok(())
}

fn main() -> Result<()> {
    let failed = |source| Error::io("prepare the benchmark", source);
    let place = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let dir = tempfile::tempdir_in(place.as_deref().unwrap_or(".")).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(failed)?;
    runtime.block_on(run(dir.path()))
}
