//! Segments that are prepared ahead: allocated, filled with zeroes, and synced; or trimmed ones,
//! as they are.
//!
//! Blocks that were written once are made durable twice as fast as ones that were only allocated,
//! so the zeroes are written. Where appends take segments faster than that, nobody waits for it:
//! what is left is allocated and reads as zeroes.
//!
//! What a trimmed segment holds is older than all that may be appended, for as long as the journal
//! is not begun anew: no recovery takes it for a part of the history, so it is used again at once.

use super::medium::{Medium, SegmentFile};
use super::segment::numbered;
use crate::file::layout::{END_BYTES, RECORDS_AT};
use crate::file::store::write_zeroes;
use crate::file::sync_directory;
use parking_lot::{Condvar, Mutex};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use trefoil_core::{Error, Result};

/// The names of new spares begin with this, the names of retired segments with the other; the
/// numbers behind them are never given twice.
const SPARE: &str = "spare";
pub(super) const RETIRED: &str = "retired";

/// Zeroes are written in steps of this many bytes, so that neither closing nor an append that
/// waits for the segment has to wait for all of it.
const STEP_BYTES: u64 = 4 << 20;

/// A segment that is full after so short a time is one of a flood: to write the zeroes of the next
/// one would take from the disk what the appends need.
const QUICKLY_FULL: Duration = Duration::from_secs(2);

/// A file of the size of a segment, durable under its name.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) file: Arc<SegmentFile>,
    pub(super) path: PathBuf,
    pub(super) size: u64,
    /// Whether it is all zeroes; else it may hold records that were trimmed.
    pub(super) zeroed: bool,
}

/// The thread that prepares segments, and what it has prepared.
#[derive(Debug)]
pub(super) struct Spares {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    segment_bytes: u64,
    medium: Medium,
    work: Mutex<Work>,
    more: Condvar,
    /// Something became ready, or failed.
    changed: Notify,
}

#[derive(Debug)]
struct Work {
    ready: Vec<Spare>,
    /// Files that are no longer needed, to be zeroed and used again.
    recycled: Vec<PathBuf>,
    /// Files of trimmed segments, to be used again as they are.
    trimmed: Vec<PathBuf>,
    /// How often the journal was begun anew, after which none of those is used as it is.
    resets: u64,
    /// How many should be ready.
    wanted: usize,
    /// An append waits for one.
    awaited: bool,
    /// When one was taken last, and how long after the one before.
    taken: Option<(Instant, Duration)>,
    /// The number of the next new file.
    next: u64,
    failed: Option<Error>,
    stop: bool,
}

impl Spares {
    /// Starts the thread; spares that an earlier process left are zeroed and used again.
    pub(super) fn start(directory: &Path, segment_bytes: u64, medium: Medium) -> Result<Self> {
        let mut found = numbered(directory, SPARE)?;
        let next = found.last().map_or(0, |(number, _)| number + 1);
        found.extend(numbered(directory, RETIRED)?);
        let work = Work {
            ready: Vec::new(),
            recycled: found.into_iter().map(|(_, path)| path).collect(),
            trimmed: Vec::new(),
            resets: 0,
            wanted: 0,
            awaited: false,
            taken: None,
            next,
            failed: None,
            stop: false,
        };
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            segment_bytes,
            medium,
            work: Mutex::new(work),
            more: Condvar::new(),
            changed: Notify::new(),
        });
        let mine = shared.clone();
        let thread = std::thread::Builder::new()
            .name("trefoil-segments".to_owned())
            .spawn(move || mine.run())
            .map_err(|source| Error::io("start the thread that prepares segments", source))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Lets `count` be ready from now on.
    pub(super) fn want(&self, count: usize) {
        self.shared.work.lock().wanted = count;
        self.shared.more.notify_one();
    }

    /// Gives back files that are no longer part of the journal.
    pub(super) fn recycle(&self, files: Vec<PathBuf>) {
        self.shared.work.lock().recycled.extend(files);
        self.shared.more.notify_one();
    }

    /// Gives back files of trimmed segments.
    pub(super) fn reuse(&self, files: Vec<PathBuf>) {
        self.shared.work.lock().trimmed.extend(files);
        self.shared.more.notify_one();
    }

    /// The journal is about to begin anew, at whatever number: what was trimmed may be newer than
    /// what is appended then, so from now on every segment is zeroed.
    pub(super) fn forget_trimmed(&self) {
        self.shared.work.lock().forget_trimmed();
    }

    /// Takes `count` spares, waiting until there are so many; one more is prepared behind them.
    ///
    /// # Errors
    /// [`ErrorKind::Full`](trefoil_core::ErrorKind::Full) if the device has no room for them.
    pub(super) async fn take(&self, count: usize) -> Result<Vec<Spare>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        self.shared.work.lock().failed = None;
        loop {
            let changed = self.shared.changed.notified();
            {
                let mut work = self.shared.work.lock();
                if work.ready.len() >= count {
                    let taken = work.take(count, Instant::now());
                    self.shared.more.notify_one();
                    return Ok(taken);
                }
                if let Some(error) = &work.failed {
                    return Err(error.duplicate());
                }
                work.wanted = work.wanted.max(count);
                work.awaited = true;
            }
            self.shared.more.notify_one();
            changed.await;
        }
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.shared.work.lock().stop = true;
        self.shared.more.notify_one();
        if let Some(thread) = self.thread.take() {
            // It prepares segments and cannot panic; if it did, nothing is left to be done.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        while let Some(Next { path, trimmed, resets }) = self.next_file() {
            let prepared = if trimmed { self.wipe(path) } else { self.prepare(path) };
            let mut work = self.work.lock();
            match prepared {
                Ok(Some(spare)) if spare.zeroed || work.resets == resets => work.ready.push(spare),
                Ok(Some(spare)) => work.recycled.push(spare.path),
                Ok(None) => return,
                Err(error) => work.failed = Some(error),
            }
            drop(work);
            // `notify_waiters` would miss a waiter between its check and its first poll.
            self.changed.notify_one();
        }
    }

    /// Waits until a segment is wanted, and says which file is to become it.
    fn next_file(&self) -> Option<Next> {
        let mut work = self.work.lock();
        loop {
            if work.stop {
                return None;
            }
            if work.ready.len() < work.wanted && work.failed.is_none() {
                let resets = work.resets;
                if let Some(path) = work.trimmed.pop() {
                    return Some(Next { path, trimmed: true, resets });
                }
                let recycled = work.recycled.pop();
                let path = recycled.unwrap_or_else(|| self.name(&mut work));
                return Some(Next { path, trimmed: false, resets });
            }
            self.more.wait(&mut work);
        }
    }

    fn name(&self, work: &mut Work) -> PathBuf {
        let path = self.directory.join(format!("{SPARE}.{:020}", work.next));
        work.next += 1;
        path
    }

    /// Makes a spare of the file; `None` when it is to stop.
    fn prepare(&self, path: PathBuf) -> Result<Option<Spare>> {
        match self.fill(&path) {
            Ok(Some(file)) => {
                sync_directory(&self.directory)?;
                let (file, size) = (Arc::new(file), self.segment_bytes);
                Ok(Some(Spare { file, path, size, zeroed: true }))
            }
            Ok(None) => Ok(None),
            Err(source) => Err(self.given_up(&path, source)),
        }
    }

    /// Makes a spare of a trimmed segment: nothing of it says any more what it was. One of another
    /// size, from before the capacity was changed, is made anew.
    fn wipe(&self, path: PathBuf) -> Result<Option<Spare>> {
        let wiped = || {
            let file = SegmentFile::open(&path, self.medium)?;
            if file.metadata()?.len() != self.segment_bytes {
                return Ok(None);
            }
            write_zeroes(&file, 0, RECORDS_AT + END_BYTES)?;
            file.sync_data()?;
            file.make_ready()?;
            Ok(Some(file))
        };
        match wiped() {
            Ok(Some(file)) => {
                let (file, size) = (Arc::new(file), self.segment_bytes);
                Ok(Some(Spare { file, path, size, zeroed: false }))
            }
            Ok(None) => self.prepare(path),
            Err(source) => Err(self.given_up(&path, source)),
        }
    }

    /// A half-made file must not keep the room that others lack.
    fn given_up(&self, path: &Path, source: std::io::Error) -> Error {
        let _ = std::fs::remove_file(path);
        Error::io(format!("prepare journal segment {}", path.display()), source)
    }

    fn fill(&self, path: &Path) -> std::io::Result<Option<SegmentFile>> {
        let file = SegmentFile::open(path, self.medium)?;
        file.set_len(self.segment_bytes)?;
        let mut at = 0;
        while at < self.segment_bytes {
            let pace = self.work.lock().pace();
            let left = self.segment_bytes - at;
            match pace {
                Pace::Stop => return Ok(None),
                Pace::Hurry if zero_at_once(&file, at, left) => break,
                Pace::Hurry | Pace::Calm => {}
            }
            let step = STEP_BYTES.min(left);
            write_zeroes(&file, at, step)?;
            // Step by step, so that little is under way when an append comes to wait.
            file.sync_data()?;
            at += step;
        }
        file.sync_all()?;
        file.make_ready()?;
        Ok(Some(file))
    }
}

/// The file that is to become a spare.
struct Next {
    path: PathBuf,
    /// Whether it may be used as it is, for as long as there is no other reset.
    trimmed: bool,
    resets: u64,
}

/// How a spare is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// By writing zeroes.
    Calm,
    /// Without: somebody waits for it, or soon will.
    Hurry,
    /// Not at all.
    Stop,
}

impl Work {
    fn pace(&self) -> Pace {
        let soon = self.taken.is_some_and(|(_, lasted)| lasted < QUICKLY_FULL);
        match self.stop {
            true => Pace::Stop,
            false if self.awaited || soon => Pace::Hurry,
            false => Pace::Calm,
        }
    }

    fn forget_trimmed(&mut self) {
        self.resets += 1;
        let trimmed = std::mem::take(&mut self.trimmed);
        self.recycled.extend(trimmed);
        let (zeroed, others): (Vec<_>, Vec<_>) =
            self.ready.drain(..).partition(|spare| spare.zeroed);
        self.ready = zeroed;
        self.recycled.extend(others.into_iter().map(|spare| spare.path));
    }

    /// A spare is taken at `now`.
    fn take(&mut self, count: usize, now: Instant) -> Vec<Spare> {
        let lasted = self.taken.map_or(Duration::MAX, |(last, _)| now.duration_since(last));
        self.taken = Some((now, lasted));
        self.wanted = 1;
        self.awaited = false;
        self.ready.drain(..count).collect()
    }
}

/// Lets a range be allocated and read as zeroes, without writing any; `false` if this file system
/// cannot, or has no room: then writing them will tell.
fn zero_at_once(file: &File, offset: u64, length: u64) -> bool {
    fallocate(file, FallocateFlags::ZERO_RANGE, offset, length).is_ok()
}
