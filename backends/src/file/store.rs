//! A volume's blocks in one sparse file.

use super::extent::data_from;
use super::threads::{IoThreads, Turn};
use super::volume::{open_volume, poisoned};
use super::write_back::WriteBack;
use crate::range::{check_batch, check_range};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev};
use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use trefoil_core::model::{Extent, GroupName, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite, Content};
use trefoil_core::{Error, ErrorKind, Result};

/// The longest read that is tried on the caller's thread when the page cache has it, in bytes:
/// copying it takes less time than waking another thread.
const INLINE_READ_BYTES_MAX: usize = 128 << 10;

/// The most buffers of one vectored write.
const PARTS_MAX: usize = 1024;

/// The most bytes of a volume in one write. The page cache keeps what one write brings in one
/// folio, and each later write of a single block into a folio looks at all of its blocks, as its
/// write-back does: a large one costs more than it saves.
const RUN_BYTES_MAX: usize = 16 << 10;

/// The unit in which zeroes are written where no hole can be punched, in bytes.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// A volume in one sparse file, `<dir>/<group>.<volume>.img`; zeroes are punched out of it.
#[derive(Debug)]
pub struct FileStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: File,
    path: PathBuf,
    size: AtomicU64,
    /// Held during a sync: the kernel tells a failure to one of several callers only.
    syncing: Mutex<()>,
    /// A sync failed: what the kernel dropped cannot be known, so nothing is accepted any more.
    poisoned: AtomicBool,
    /// The file system cannot punch holes.
    no_holes: AtomicBool,
    write_back: WriteBack,
}

impl FileStore {
    /// Opens the file of a volume, creating it if it is new. It is locked against other openers.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the file has another size, [`ErrorKind::Refused`] if it is open
    /// elsewhere, and what the file system says.
    pub fn open(dir: &Path, group: &GroupName, volume: &VolumeName, size: u64) -> Result<Self> {
        let (file, path) = open_volume(dir, group, volume, size)?;
        let shared = Shared {
            file,
            path,
            size: AtomicU64::new(size),
            syncing: Mutex::new(()),
            poisoned: AtomicBool::new(false),
            no_holes: AtomicBool::new(false),
            write_back: WriteBack::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl Shared {
    fn io(&self, doing: &str) -> impl Fn(std::io::Error) -> Error {
        let doing = format!("{doing} {}", self.path.display());
        move |source| Error::io(doing.clone(), source)
    }

    fn check_poison(&self) -> Result<()> {
        match self.poisoned.load(Ordering::SeqCst) {
            true => Err(poisoned(&self.path)),
            false => Ok(()),
        }
    }

    fn read(&self, offset: u64, length: usize) -> Result<Bytes> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).map_err(self.io("read"))?;
        Ok(bytes.into())
    }

    fn write(&self, batch: &[BlockWrite]) -> Result<()> {
        let mut turn = Turn::begin();
        let mut rest = batch;
        while let Some(first) = rest.first() {
            turn.share();
            let taken = match &first.content {
                Content::Zero(length) => {
                    self.zero(first.offset, *length)?;
                    1
                }
                Content::Data(_) => self.write_run(first.offset, rest)?,
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes the data that lies without a gap at the beginning of `batch`, as few vectored writes
    /// as may be; returns how many of the batch that are.
    fn write_run(&self, offset: u64, batch: &[BlockWrite]) -> Result<usize> {
        let (mut parts, mut taken): (Vec<&[u8]>, usize) = (Vec::new(), 0);
        let (mut start, mut end) = (offset, offset);
        for write in batch {
            let Content::Data(data) = &write.content else { break };
            if write.offset != end {
                break;
            }
            for part in data.chunks(RUN_BYTES_MAX) {
                if (end - start) as usize + part.len() > RUN_BYTES_MAX {
                    self.write_parts(start, &parts)?;
                    parts.clear();
                    start = end;
                }
                parts.push(part);
                end += part.len() as u64;
            }
            taken += 1;
        }
        self.write_parts(start, &parts)?;
        Ok(taken)
    }

    fn write_parts(&self, offset: u64, parts: &[&[u8]]) -> Result<()> {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        self.write_back.note(offset, bytes);
        write_parts(&self.file, offset, parts).map_err(self.io("write"))
    }

    /// Punches a hole, or writes zeroes where that cannot be done.
    fn zero(&self, offset: u64, length: u64) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        if !self.no_holes.load(Ordering::Relaxed) {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match fallocate(&self.file, flags, offset, length) {
                Ok(()) => return Ok(()),
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.no_holes.store(true, Ordering::Relaxed)
                }
                Err(error) => return Err(self.io("punch a hole into")(error.into())),
            }
        }
        write_zeroes(&self.file, offset, length).map_err(self.io("write zeroes to"))
    }

    /// The file becomes longer, durably, before anybody may write there.
    fn grow(&self, size: u64) -> Result<()> {
        let _one_at_a_time = self.syncing.lock();
        self.check_poison()?;
        if size <= self.size.load(Ordering::Acquire) {
            return Ok(());
        }
        self.file.set_len(size).map_err(self.io("grow"))?;
        self.file.sync_all().map_err(self.io("sync"))?;
        self.size.store(size, Ordering::Release);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let _one_at_a_time = self.syncing.lock();
        self.check_poison()?;
        self.write_back.run(&self.file).and_then(|()| self.file.sync_data()).map_err(|source| {
            self.poisoned.store(true, Ordering::SeqCst);
            // Whatever the kernel calls it (no space, quota): the data is lost.
            let doing = format!("sync {}", self.path.display());
            Error::with_source(ErrorKind::Io, doing, source)
        })
    }
}

/// The bytes, if they are few and the page cache has all of them: no thread need be woken.
pub(crate) fn read_cached(file: &File, offset: u64, length: usize) -> Option<Bytes> {
    if length > INLINE_READ_BYTES_MAX {
        return None;
    }
    let mut bytes = vec![0; length];
    let into = &mut [IoSliceMut::new(&mut bytes)];
    let read = preadv2(file, into, offset, ReadWriteFlags::NOWAIT);
    matches!(read, Ok(count) if count == length).then(|| bytes.into())
}

/// Writes parts one after the other at `offset`, all of them.
pub(super) fn write_parts(file: &File, mut offset: u64, parts: &[&[u8]]) -> std::io::Result<()> {
    for parts in parts.chunks(PARTS_MAX) {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut left = slices.as_mut_slice();
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match pwritev(file, left, offset) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Writes `length` zeroes at `offset`.
pub(super) fn write_zeroes(file: &File, offset: u64, length: u64) -> std::io::Result<()> {
    let end = offset + length;
    let mut at = offset;
    while at < end {
        let take = (end - at).min(ZEROES.len() as u64);
        file.write_all_at(ZEROES.get(..take as usize).unwrap_or_default(), at)?;
        at += take;
    }
    Ok(())
}

#[async_trait]
impl BlockStore for FileStore {
    fn size(&self) -> u64 {
        self.shared.size.load(Ordering::Acquire)
    }

    async fn read(&self, offset: u64, length: usize) -> Result<Bytes> {
        check_range("read", self.size(), offset, length as u64)?;
        if let Some(bytes) = read_cached(&self.shared.file, offset, length) {
            return Ok(bytes);
        }
        let shared = self.shared.clone();
        IoThreads::shared()?.run(move || shared.read(offset, length)).await
    }

    async fn write(&self, batch: Vec<BlockWrite>) -> Result<()> {
        check_batch(self.size(), &batch)?;
        self.shared.check_poison()?;
        let shared = self.shared.clone();
        IoThreads::shared()?.run(move || shared.write(&batch)).await
    }

    async fn sync(&self) -> Result<()> {
        let shared = self.shared.clone();
        IoThreads::shared()?.run(move || shared.sync()).await
    }

    async fn allocated_from(&self, offset: u64) -> Result<Option<Extent>> {
        let (shared, size) = (self.shared.clone(), self.size());
        let list = move || data_from(&shared.file, size, offset).map_err(shared.io("list"));
        IoThreads::shared()?.run(list).await
    }

    async fn grow(&self, size: u64) -> Result<()> {
        let shared = self.shared.clone();
        IoThreads::shared()?.run(move || shared.grow(size)).await
    }

    fn describe(&self) -> String {
        format!("file {}", self.shared.path.display())
    }
}
