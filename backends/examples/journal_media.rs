//! Measures a journal's appends and syncs over each medium: `journal_media [directory] [count]`.

use bytes::Bytes;
use std::path::Path;
use std::time::{Duration, Instant};
use trefoil_backends::file::{FileJournal, Medium};
use trefoil_core::Result;
use trefoil_core::model::{GroupName, Position, SiteName, VolumeId};
use trefoil_core::port::JournalStore;
use trefoil_core::record::Record;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().unwrap_or_else(|| ".".to_owned());
    let count = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(500);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| trefoil_core::Error::io("start a runtime", source))?;
    println!("medium     bytes  batch  append p50/p99 µs  durable p50/p99 µs");
    for medium in [Medium::Written, Medium::Direct, Medium::Mapped] {
        for (bytes, batch) in [(4096, 1), (4096, 16), (65_536, 8)] {
            runtime.block_on(measure(Path::new(&dir), medium, (bytes, batch), count))?;
        }
    }
    Ok(())
}

/// Appends `count` batches, each synced before the next.
async fn measure(
    dir: &Path,
    medium: Medium,
    (bytes, batch): (usize, u64),
    count: usize,
) -> Result<()> {
    let group = GroupName::new(&format!("measure_{}", std::process::id()))?;
    let site = SiteName::new("a")?;
    let mut journal = FileJournal::open_with(dir, (&group, &site), 1 << 30, medium)?;
    let mut last = journal.recover().await?.newest;
    let (mut appends, mut durable) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let records = make(&mut last, bytes, batch)?;
        let begun = Instant::now();
        journal.append(records).await?;
        appends.push(begun.elapsed());
        journal.sync().await?;
        durable.push(begun.elapsed());
        if journal.usage().0 > 1 << 29 {
            journal.trim(last.number).await?;
        }
    }
    drop(journal);
    let failed = |source| trefoil_core::Error::io("remove what was measured", source);
    std::fs::remove_dir_all(dir.join(group.as_str())).map_err(failed)?;
    let (append, durable) = (percentiles(appends), percentiles(durable));
    let medium = format!("{medium:?}");
    println!("{medium:<9} {bytes:>6} {batch:>6}  {append:>17}  {durable:>18}");
    Ok(())
}

fn make(last: &mut Position, bytes: usize, batch: u64) -> Result<Vec<Record>> {
    let one = |i: u64| {
        let payload = Bytes::from(vec![7; bytes]);
        let record = Record::write(last, i, VolumeId(0), i * bytes as u64, payload)?;
        *last = record.position();
        Ok(record)
    };
    (0..batch).map(one).collect()
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |hundredths: usize| {
        times.get(times.len() * hundredths / 100).map_or(0, |time| time.as_micros())
    };
    format!("{}/{}", at(50), at(99))
}
