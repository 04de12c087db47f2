//! Random 4 KiB updates brought into a volume's file: in batches, as the restorer makes them of
//! what gathered in the overlay, and by plain `pwrite` in the order in which they came; each until
//! all of it is on the disk, in turn, on a file that was written before.
//!
//! `cargo bench -p trefoil-benches --bench restore`; the files lie in a directory of their own
//! below the current one: give another as the argument, on the disk that is to be measured.

use bytes::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};
use trefoil_backends::file::FileStore;
use trefoil_benches::load::{BLOCK, Offsets};
use trefoil_core::engine::restorer::{RestorerEngine, RestorerLimits};
use trefoil_core::model::{GroupName, Position, UpdateNumber, VolumeId, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite, Content};
use trefoil_core::record::Record;
use trefoil_core::{Error, Result};

const VOLUME_BYTES: u64 = 1 << 30;
/// How many updates are restored.
const UPDATES: u64 = 65_536;
/// So many gather before they are written: a quarter of an overlay of 256 MiB.
const GATHERED: usize = 16_384;
const ROUNDS: u64 = 5;

/// Records of 4 KiB at random places of the first `spread` bytes.
fn records(round: u64, spread: u64) -> Result<Vec<Record>> {
    let (mut at, mut offsets) = (Position::START, Offsets::new(round, spread));
    let mut made = Vec::new();
    for n in 0..UPDATES {
        let data = Bytes::from(vec![(n % 251) as u8; BLOCK]);
        let record = Record::write(&at, n, VolumeId(0), offsets.draw(), data)?;
        at = record.position();
        made.push(record);
    }
    Ok(made)
}

/// Both parts of a measure: until the page cache has it, and until the disk has it as well.
type Times = (Duration, Duration);

async fn batched(store: &FileStore, records: &[Record]) -> Result<Times> {
    let begun = Instant::now();
    let mut restorer = RestorerEngine::new(RestorerLimits::default(), UpdateNumber::ZERO, 0);
    for gathered in records.chunks(GATHERED) {
        for record in gathered {
            restorer.push(record.clone())?;
            restorer.durable(record.number());
        }
        while let Some(batch) = restorer.next_batch() {
            for writes in batch.writes.into_values() {
                store.write(writes).await?;
            }
            restorer.applied(batch.last);
        }
    }
    let written = begun.elapsed();
    store.sync().await?;
    Ok((written, begun.elapsed()))
}

fn plain(file: &File, records: &[Record]) -> std::io::Result<Times> {
    let begun = Instant::now();
    for record in records {
        let extent = record.extent().ok_or(std::io::ErrorKind::InvalidData)?;
        file.write_all_at(record.payload(), extent.offset)?;
    }
    let written = begun.elapsed();
    file.sync_data()?;
    Ok((written, begun.elapsed()))
}

/// Both files have all of their blocks, on the disk and in the page cache, in folios of the same
/// size: a write into a large one costs more.
async fn fill(store: &FileStore, file: &File) -> Result<()> {
    const PIECE: usize = 64 << 10;
    let data = Bytes::from(vec![0x11; PIECE]);
    for offset in (0..VOLUME_BYTES).step_by(PIECE) {
        store.write(vec![BlockWrite { offset, content: Content::Data(data.clone()) }]).await?;
        file.write_all_at(&data, offset).map_err(|e| Error::io("fill the plain file", e))?;
    }
    store.sync().await?;
    file.sync_all().map_err(|e| Error::io("sync the plain file", e))
}

/// The median in seconds.
fn median(times: impl Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64)
}

fn show(
    spread: &str,
    part: &str,
    ours: impl Iterator<Item = Duration>,
    theirs: impl Iterator<Item = Duration>,
) {
    let (ours, theirs) = (median(ours), median(theirs));
    let rate = |seconds: f64| UPDATES as f64 / seconds / 1000.0;
    println!(
        "{spread:<12} {part:<10} restored {:>7.0}k/s, plain pwrite {:>7.0}k/s, {:.2} x",
        rate(ours),
        rate(theirs),
        theirs / ours
    );
}

async fn measure(dir: &Path) -> Result<()> {
    let names = (GroupName::new("bench")?, VolumeName::new("db")?);
    let store = FileStore::open(dir, &names.0, &names.1, VOLUME_BYTES)?;
    let file = File::create(dir.join("plain")).map_err(|e| Error::io("create a file", e))?;
    fill(&store, &file).await?;
    for (name, spread) in [("over 1 GiB", VOLUME_BYTES), ("over 64 MiB", 64 << 20)] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let records = records(round, spread)?;
            ours.push(batched(&store, &records).await?);
            theirs.push(plain(&file, &records).map_err(|e| Error::io("write the plain file", e))?);
        }
        show(name, "written", ours.iter().map(|times| times.0), theirs.iter().map(|times| times.0));
        show(
            name,
            "and synced",
            ours.iter().map(|times| times.1),
            theirs.iter().map(|times| times.1),
        );
    }
    Ok(())
}

fn main() -> Result<()> {
    // cargo passes `--bench`.
    let dir = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let dir = tempfile::tempdir_in(dir.as_deref().unwrap_or("."))
        .map_err(|e| Error::io("make a directory", e))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|e| Error::io("start a runtime", e))?;
    runtime.block_on(measure(dir.path()))
}
