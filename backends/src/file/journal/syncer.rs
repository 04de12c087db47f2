//! The thread that makes the journal durable: one fdatasync for all who wait.

use super::medium::SegmentFile;
use super::poison::Poison;
use crate::file::awaited::JOURNALS;
use crate::file::layout::{Boot, STAMPS_AT, Stamp};
use crate::file::sync_directory;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use trefoil_core::model::UpdateNumber;
use trefoil_core::port::SyncFuture;
use trefoil_core::{Error, ErrorKind, Result};

/// A stamp is written after this many syncs: it costs a block, and is only a hint.
const SYNCS_PER_STAMP: u64 = 16;

/// The thread that syncs, and what it is to sync.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    boot: Boot,
    poison: Arc<Poison>,
    work: Mutex<Work>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    waiters: Vec<oneshot::Sender<Result<()>>>,
    /// Segments written since the last sync, by serial number.
    dirty: BTreeMap<u64, Arc<SegmentFile>>,
    /// Whether an entry of the directory is not durable yet.
    directory: bool,
    /// Whether a sync is under way.
    syncing: bool,
    /// The newest record appended, and the newest that is known durable.
    appended: UpdateNumber,
    durable: UpdateNumber,
    /// The segment that takes stamps.
    active: Option<Arc<SegmentFile>>,
    syncs: u64,
    stamps: u64,
    resets: u64,
    stop: bool,
}

impl Syncer {
    pub(super) fn start(directory: &Path, boot: Boot, poison: Arc<Poison>) -> Result<Self> {
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            boot,
            poison,
            work: Mutex::default(),
            more: Condvar::new(),
        });
        let mine = shared.clone();
        let thread = std::thread::Builder::new()
            .name("trefoil-sync".to_owned())
            .spawn(move || mine.run())
            .map_err(|source| Error::io("start the thread that syncs", source))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// The boot of the kernel under which stamps are written.
    pub(super) fn boot(&self) -> Boot {
        self.shared.boot
    }

    /// Notes that records up to `newest` were written to `file`.
    pub(super) fn wrote(&self, serial: u64, file: &Arc<SegmentFile>, newest: UpdateNumber) {
        let mut work = self.shared.work.lock();
        work.dirty.entry(serial).or_insert_with(|| file.clone());
        work.appended = newest;
        if work.active.as_ref().is_none_or(|active| !Arc::ptr_eq(active, file)) {
            work.active = Some(file.clone());
        }
    }

    /// Notes that an entry of the directory was changed.
    pub(super) fn renamed(&self) {
        self.shared.work.lock().directory = true;
    }

    /// Begins anew: everything up to `newest` is durable, `active` takes the stamps.
    pub(super) fn begin(&self, active: &Arc<SegmentFile>, newest: UpdateNumber) -> Result<()> {
        let mut work = self.shared.work.lock();
        work.dirty.clear();
        work.directory = false;
        work.resets += 1;
        (work.appended, work.durable) = (newest, newest);
        work.active = Some(active.clone());
        self.shared.stamp(&mut work)?;
        active.sync().map_err(|source| self.shared.failed(source))
    }

    /// What was written before is durable when the future is done.
    pub(super) fn sync(&self) -> SyncFuture {
        let mut work = self.shared.work.lock();
        if let Err(error) = self.shared.poison.check() {
            return Box::pin(std::future::ready(Err(error)));
        }
        if work.dirty.is_empty() && !work.directory && !work.syncing {
            return Box::pin(std::future::ready(Ok(())));
        }
        let (done, result) = oneshot::channel();
        work.waiters.push(done);
        drop(work);
        self.shared.more.notify_one();
        Box::pin(async move {
            result.await.map_err(|_| Error::closed("sync journal: it was closed meanwhile"))?
        })
    }

    /// Syncs what is left, and ends the thread.
    pub(super) fn close(&self) {
        self.shared.work.lock().stop = true;
        self.shared.more.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // A panic there poisons nothing that is still used.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn failed(&self, source: std::io::Error) -> Error {
        // Whatever the kernel calls it (no space, quota): the data may be lost.
        let doing = format!("sync journal {}", self.directory.display());
        self.poison.by(Error::with_source(ErrorKind::Io, doing, source))
    }

    fn run(&self) {
        let mut work = self.work.lock();
        loop {
            if work.waiters.is_empty() {
                if work.stop {
                    break;
                }
                self.more.wait(&mut work);
                continue;
            }
            let waiters = std::mem::take(&mut work.waiters);
            let (target, resets) = (work.appended, work.resets);
            let dirty = std::mem::take(&mut work.dirty);
            let directory = std::mem::take(&mut work.directory);
            work.syncing = true;
            drop(work);
            let result = self.sync_all(&dirty, directory);
            work = self.work.lock();
            work.syncing = false;
            if result.is_ok() && work.resets == resets {
                work.durable = target;
                work.syncs += 1;
                if work.syncs.is_multiple_of(SYNCS_PER_STAMP) {
                    // Only a hint: what is wrong with the disk the next sync will tell.
                    let _ = self.stamp(&mut work);
                }
            }
            for waiter in waiters {
                // A waiter that was dropped does not want to know.
                let _ = waiter.send(match &result {
                    Ok(()) => Ok(()),
                    Err(error) => Err(error.duplicate()),
                });
            }
        }
        self.close(&mut work);
    }

    fn sync_all(&self, dirty: &BTreeMap<u64, Arc<SegmentFile>>, directory: bool) -> Result<()> {
        self.poison.check()?;
        let _running = JOURNALS.begin();
        for file in dirty.values() {
            file.sync().map_err(|source| self.failed(source))?;
        }
        if directory {
            sync_directory(&self.directory).map_err(|error| self.poison.by(error))?;
        }
        Ok(())
    }

    /// The last sync, so that the next recovery knows all to be durable.
    fn close(&self, work: &mut Work) {
        if work.active.is_none() || (work.dirty.is_empty() && work.durable == work.appended) {
            return;
        }
        let dirty = std::mem::take(&mut work.dirty);
        if self.sync_all(&dirty, work.directory).is_ok() {
            work.durable = work.appended;
            // Only a hint; recovery does without.
            let _ = self.stamp(work);
        }
    }

    /// Notes in the newest segment how far the journal is durable. Two places are written in turn.
    fn stamp(&self, work: &mut Work) -> Result<()> {
        let Some(active) = &work.active else { return Ok(()) };
        work.stamps += 1;
        let at = STAMPS_AT[(work.stamps % 2) as usize];
        let stamp = Stamp { durable: work.durable, boot: self.boot };
        active.write_all_at(&stamp.encode(), at).map_err(|source| {
            Error::io(format!("stamp journal {}", self.directory.display()), source)
        })
    }
}
