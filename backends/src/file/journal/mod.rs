//! A journal in segment files, with the state beside it.
//!
//! `<dir>/<group>/` holds `lock`, `state`, `segment.<serial>` (oldest first), and for
//! later use `spare.<count>` and `retired.<serial>`.
//! A segment is preallocated and filled with zeroes before it is used first, so that an fdatasync
//! need not commit metadata, and trimmed ones are used again; its first block says whose it is and
//! after which position its records begin. The records follow as they are on the wire, none crosses
//! a segment's end. Behind the newest one lie zeroes, and behind those what was trimmed before.
//!
//! A power loss may take any part of what was not synced, in any order. *Stamps* in the second
//! block of the newest segment say now and then how far the journal was durable; by them recovery
//! tells a torn tail, which is cut, from damage, which is not.

mod cut;
mod damaged;
mod direct;
mod log;
mod medium;
mod poison;
mod recovery;
mod segment;
mod spares;
mod syncer;

use super::layout::{Boot, this_boot};
use super::lock::take_lock;
use super::make_directory;
use super::state::StateFile;
use super::store::read_cached;
use super::tails::TailWriter;
use super::threads::IoThreads;
use async_trait::async_trait;
use bytes::Bytes;
use log::Log;
pub use medium::Medium;
use parking_lot::Mutex;
use poison::Poison;
use spares::Spares;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use syncer::Syncer;
use trefoil_core::model::{GroupName, Position, SiteName, UpdateNumber};
use trefoil_core::port::{JournalStore, Recovery, SyncFuture};
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind, Result};

/// The smallest segment, in bytes: the longest record fits. A journal has four segments at least.
pub const SEGMENT_BYTES_MIN: u64 = 2 << 20;
/// The largest segment, in bytes: what is trimmed and scanned at once.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// A tail is copied in pieces of this size, in bytes.
const SET_ASIDE_BYTES: usize = 1 << 20;

/// A journal in files. One process has it open at a time.
#[derive(Debug)]
pub struct FileJournal {
    syncer: Arc<Syncer>,
    spares: Spares,
    log: Arc<Mutex<Log>>,
    state: Arc<StateFile>,
    poison: Arc<Poison>,
    /// An earlier process saw the journal fail, and no state was saved since.
    suspect: bool,
    medium: Medium,
    directory: PathBuf,
}

impl FileJournal {
    /// Opens the journal of `group` at `site` in `<dir>/<group>/`, making it if it is new; it
    /// takes up to `capacity_bytes` on disk, one segment of which is kept in reserve.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if it is open elsewhere, or belongs to another group, site or format
    /// version; [`ErrorKind::Invalid`] if the capacity is below four times [`SEGMENT_BYTES_MIN`];
    /// and what the file system says.
    pub fn open(
        dir: &Path,
        group: &GroupName,
        site: &SiteName,
        capacity_bytes: u64,
    ) -> Result<Self> {
        Self::open_with(dir, (group, site), capacity_bytes, Medium::Written)
    }

    /// As [`FileJournal::open`], with the way in which records are written.
    ///
    /// # Errors
    /// As [`FileJournal::open`].
    pub fn open_with(
        dir: &Path,
        names: (&GroupName, &SiteName),
        capacity_bytes: u64,
        medium: Medium,
    ) -> Result<Self> {
        Self::open_in_boot(dir, names, capacity_bytes, medium, this_boot())
    }

    /// As [`FileJournal::open`], with the kernel's boot told: tests reboot without a reboot.
    pub(crate) fn open_in_boot(
        dir: &Path,
        (group, site): (&GroupName, &SiteName),
        capacity_bytes: u64,
        medium: Medium,
        boot: Boot,
    ) -> Result<Self> {
        if capacity_bytes < 4 * SEGMENT_BYTES_MIN {
            return Err(Error::invalid(format!(
                "open journal of {group}: capacity of {capacity_bytes} bytes, {} is the least",
                4 * SEGMENT_BYTES_MIN
            )));
        }
        let directory = dir.join(group.as_str());
        make_directory(&directory)?;
        let lock = take_lock(&directory.join("lock"))?;
        segment::check_identity(&directory, group, site)?;
        let medium = possible(medium, &directory);
        let segment_bytes =
            (capacity_bytes / 16).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX) & !4095;
        let state = Arc::new(StateFile::open(&directory)?);
        let poison = Arc::new(Poison::new(&directory));
        let syncer = Arc::new(Syncer::start(&directory, boot, poison.clone())?);
        let spares = Spares::start(&directory, segment_bytes, medium)?;
        let log = Log::new(
            &directory,
            (group.clone(), site.clone()),
            (capacity_bytes, segment_bytes),
            medium,
            syncer.clone(),
            lock,
        );
        let log = Arc::new(Mutex::new(log));
        Ok(Self { syncer, spares, log, state, poison, medium, directory, suspect: false })
    }

    /// Does blocking `work` on the log on an I/O thread.
    async fn on_log<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Log) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let log = self.log.clone();
        IoThreads::shared()?.run(move || work(&mut log.lock())).await
    }
}

/// The medium, or the one that takes its place where the file system does not have it.
fn possible(medium: Medium, directory: &Path) -> Medium {
    match medium {
        Medium::Direct => match direct::probe(directory) {
            Ok(()) => medium,
            Err(error) => {
                let journal = directory.display();
                tracing::warn!(%journal, %error, "no O_DIRECT here, the journal is written cached");
                Medium::Written
            }
        },
        Medium::Written | Medium::Mapped => medium,
    }
}

#[async_trait]
impl JournalStore for FileJournal {
    async fn recover(&mut self) -> Result<Recovery> {
        self.poison.check()?;
        let mut recovery = self.on_log(recovery::recover).await?;
        self.spares.want(1);
        recovery.suspect = self.poison.is_marked();
        self.suspect = recovery.suspect;
        Ok(recovery)
    }

    async fn salvage(&mut self) -> Result<Recovery> {
        self.poison.check()?;
        let mut recovery = self.on_log(recovery::salvage).await?;
        self.spares.want(1);
        recovery.suspect = true;
        self.suspect = self.poison.is_marked();
        Ok(recovery)
    }

    async fn append(&mut self, records: Vec<Record>) -> Result<()> {
        self.poison.check()?;
        let needed = self.log.lock().plan(&records)?;
        let spares = match self.spares.take(needed).await {
            Ok(spares) => spares,
            Err(error) if error.kind() == ErrorKind::Full => return Err(error),
            Err(error) => return Err(self.poison.by(error)),
        };
        // A batch is written whole or the journal is poisoned, also when nobody waits any more.
        let poison = self.poison.clone();
        let write =
            move |log: &mut Log| log.write(&records, spares).map_err(|error| poison.by(error));
        match self.medium {
            Medium::Written | Medium::Mapped => write(&mut self.log.lock()),
            Medium::Direct => self.on_log(write).await,
        }
    }

    fn sync(&mut self) -> SyncFuture {
        if let Err(error) = self.log.lock().check_recovered() {
            return Box::pin(std::future::ready(Err(error)));
        }
        self.syncer.sync()
    }

    async fn read(&mut self, from: UpdateNumber, bytes_max: usize) -> Result<Vec<Record>> {
        self.poison.check()?;
        let run = self.log.lock().locate(from, bytes_max)?;
        let bytes = match read_cached(&run.file, run.offset, run.length) {
            Some(bytes) => bytes,
            None => {
                let (file, offset, length) = (run.file.clone(), run.offset, run.length);
                let path = run.path.clone();
                let read = move || {
                    let mut bytes = vec![0; length];
                    file.read_exact_at(&mut bytes, offset).map_err(|source| {
                        Error::io(format!("read journal {}", path.display()), source)
                    })?;
                    Ok(Bytes::from(bytes))
                };
                IoThreads::shared()?.run(read).await?
            }
        };
        run.decode(&bytes)
    }

    async fn trim(&mut self, up_to: UpdateNumber) -> Result<Position> {
        self.poison.check()?;
        if !self.log.lock().can_trim(up_to)? {
            return Ok(self.log.lock().base());
        }
        let trimmed = self.on_log(move |log| log.trim(up_to)).await;
        let (base, retired) = trimmed.map_err(|error| self.poison.by(error))?;
        self.spares.reuse(retired);
        Ok(base)
    }

    async fn reset(&mut self, base: Position) -> Result<()> {
        self.poison.check()?;
        self.log.lock().check_recovered()?;
        self.spares.forget_trimmed();
        let mut spare = self.spares.take(1).await?;
        let retired = match spare.pop() {
            Some(spare) => self.on_log(move |log| log.reset(base, spare)).await,
            None => Err(Error::closed("reset journal: there is no spare segment")),
        };
        self.spares.recycle(retired.map_err(|error| self.poison.by(error))?);
        Ok(())
    }

    async fn set_aside(&mut self, after: UpdateNumber) -> Result<String> {
        self.poison.check()?;
        let newest = self.log.lock().newest().number;
        let mut tail = TailWriter::begin(&self.directory, after.next())?;
        let mut next = after.next();
        while next <= newest {
            let records = self.read(next, SET_ASIDE_BYTES).await?;
            next = records.last().map_or(newest, Record::number).next();
            let add = move || tail.add(&records).map(|()| tail);
            tail = IoThreads::shared()?.run(add).await?;
        }
        let path = IoThreads::shared()?.run(move || tail.finish()).await?;
        Ok(path.display().to_string())
    }

    async fn truncate(&mut self, after: UpdateNumber) -> Result<()> {
        self.poison.check()?;
        let retired = self.on_log(move |log| log.truncate(after)).await;
        let retired = retired.map_err(|error| match error.kind() {
            ErrorKind::Invalid => error,
            _ => self.poison.by(error),
        })?;
        self.spares.recycle(retired);
        Ok(())
    }

    async fn load_state(&mut self) -> Result<Option<Vec<u8>>> {
        let state = self.state.clone();
        IoThreads::shared()?.run(move || state.load()).await
    }

    async fn save_state(&mut self, state: Vec<u8>) -> Result<()> {
        self.poison.check()?;
        let file = self.state.clone();
        let saved = IoThreads::shared()?.run(move || file.save(&state)).await;
        saved.map_err(|error| match error.kind() {
            ErrorKind::Io => self.poison.by(error),
            _ => error,
        })?;
        if std::mem::take(&mut self.suspect) {
            self.poison.unmark()?;
        }
        Ok(())
    }

    fn usage(&self) -> (u64, u64) {
        self.log.lock().usage()
    }

    fn describe(&self) -> String {
        let word = match self.medium {
            Medium::Written => "file",
            Medium::Direct => "direct file",
            Medium::Mapped => "mmap",
        };
        format!("{word} journal {}", self.directory.display())
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        self.syncer.close();
    }
}

#[cfg(test)]
mod reuse_tests;
#[cfg(test)]
mod tests;
