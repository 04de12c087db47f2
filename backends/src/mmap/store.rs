//! A volume's blocks in one mapped file.

use super::{Map, check_whole, reserve};
use crate::file::{IoThreads, Turn, data_from, open_volume, poisoned, read_cached};
use crate::range::{check_batch, check_range};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use trefoil_core::model::{Extent, GroupName, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite, Content};
use trefoil_core::{Error, ErrorKind, Result};

/// The unit in which zeroes are copied where the file system cannot zero a range, in bytes.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// A volume in one mapped file, `<dir>/<group>.<volume>.img`, all of it reserved on the disk.
#[derive(Debug)]
pub struct MmapStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: File,
    path: PathBuf,
    /// Replaced by a longer one when the volume grows, while nobody copies.
    map: RwLock<Map>,
    /// Held during a sync: the kernel tells a failure to one of several callers only.
    syncing: Mutex<()>,
    /// A sync failed, or the file is no longer whole: nothing is accepted any more.
    poisoned: AtomicBool,
    /// The file system cannot zero a range by itself.
    no_zero_range: AtomicBool,
}

impl MmapStore {
    /// Opens the file of a volume, creating it if it is new, reserves room for all of it, and maps
    /// it. It is locked against other openers.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the file has another size, [`ErrorKind::Refused`] if it is open
    /// elsewhere, [`ErrorKind::Full`] if the disk has no room for the whole volume, and what the
    /// file system says.
    pub fn open(dir: &Path, group: &GroupName, volume: &VolumeName, size: u64) -> Result<Self> {
        let (file, path) = open_volume(dir, group, volume, size)?;
        let failed = |doing: &str| {
            let doing = format!("{doing} {} of {size} bytes", path.display());
            move |source| Error::io(doing, source)
        };
        reserve(&file, size).map_err(failed("reserve room for volume file"))?;
        file.sync_all().map_err(failed("sync volume file"))?;
        let map = Map::of(&file, size).map_err(failed("map volume file"))?;
        let shared = Shared {
            file,
            path,
            map: RwLock::new(map),
            syncing: Mutex::new(()),
            poisoned: AtomicBool::new(false),
            no_zero_range: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl Shared {
    fn io(&self, doing: &str) -> impl Fn(std::io::Error) -> Error {
        let doing = format!("{doing} {}", self.path.display());
        move |source| Error::io(doing.clone(), source)
    }

    fn length(&self) -> u64 {
        self.map.read().length()
    }

    /// The file becomes longer, durably and with all its room reserved, and is mapped anew.
    fn grow(&self, size: u64) -> Result<()> {
        let _one_at_a_time = self.syncing.lock();
        self.check_poison()?;
        if size <= self.length() {
            return Ok(());
        }
        self.file.set_len(size).map_err(self.io("grow"))?;
        reserve(&self.file, size).map_err(self.io("reserve room to grow"))?;
        self.file.sync_all().map_err(self.io("sync"))?;
        let longer = Map::of(&self.file, size).map_err(self.io("map"))?;
        *self.map.write() = longer;
        Ok(())
    }

    fn check_poison(&self) -> Result<()> {
        match self.poisoned.load(Ordering::SeqCst) {
            true => Err(poisoned(&self.path)),
            false => Ok(()),
        }
    }

    /// Fails for ever.
    fn poison(&self, doing: &str, source: std::io::Error) -> Error {
        self.poisoned.store(true, Ordering::SeqCst);
        // Whatever the kernel calls it (no space, quota): the data is lost.
        Error::with_source(ErrorKind::Io, format!("{doing} {}", self.path.display()), source)
    }

    /// Touching a page behind the end of the file would kill the process.
    fn check_whole(&self, doing: &str) -> Result<()> {
        check_whole(&self.file, self.length()).map_err(|source| self.poison(doing, source))
    }

    fn read(&self, offset: u64, length: usize) -> Result<Bytes> {
        self.check_whole("read")?;
        let mut bytes = vec![0; length];
        self.map.read().read(offset, &mut bytes).map_err(self.io("read"))?;
        Ok(bytes.into())
    }

    fn write(&self, batch: &[BlockWrite]) -> Result<()> {
        self.check_poison()?;
        self.check_whole("write")?;
        let mut turn = Turn::begin();
        batch.iter().try_for_each(|write| {
            turn.share();
            match &write.content {
                Content::Data(data) => {
                    self.map.read().write(write.offset, data).map_err(self.io("write"))
                }
                Content::Zero(length) => self.zero(write.offset, *length),
            }
        })
    }

    /// Zeroes a range and keeps its room: in a punched hole the next store to the mapping would
    /// need new room, and on a full disk that is a SIGBUS.
    fn zero(&self, offset: u64, length: u64) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        if !self.no_zero_range.load(Ordering::Relaxed) {
            let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
            match fallocate(&self.file, flags, offset, length) {
                Ok(()) => return Ok(()),
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.no_zero_range.store(true, Ordering::Relaxed)
                }
                Err(error) => return Err(self.io("zero a range of")(error.into())),
            }
        }
        self.copy_zeroes(offset, length).map_err(self.io("write zeroes to"))
    }

    fn copy_zeroes(&self, offset: u64, length: u64) -> std::io::Result<()> {
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let take = (end - at).min(ZEROES.len() as u64);
            self.map.read().write(at, ZEROES.get(..take as usize).unwrap_or_default())?;
            at += take;
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let _one_at_a_time = self.syncing.lock();
        self.check_poison()?;
        self.check_whole("sync")?;
        self.map.read().sync().map_err(|source| self.poison("sync", source))
    }
}

#[async_trait]
impl BlockStore for MmapStore {
    fn size(&self) -> u64 {
        self.shared.length()
    }

    async fn read(&self, offset: u64, length: usize) -> Result<Bytes> {
        check_range("read", self.size(), offset, length as u64)?;
        // Only the kernel knows whether a page is there or must be waited for; asking it costs as
        // much as letting it copy, and the page cache is the same.
        if let Some(bytes) = read_cached(&self.shared.file, offset, length) {
            return Ok(bytes);
        }
        let shared = self.shared.clone();
        IoThreads::shared()?.run(move || shared.read(offset, length)).await
    }

    async fn write(&self, batch: Vec<BlockWrite>) -> Result<()> {
        check_batch(self.size(), &batch)?;
        self.shared.check_poison()?;
        // A page that is not there is read from the disk first.
        let shared = self.shared.clone();
        IoThreads::shared()?.run(move || shared.write(&batch)).await
    }

    async fn sync(&self) -> Result<()> {
        let shared = self.shared.clone();
        IoThreads::shared()?.run(move || shared.sync()).await
    }

    async fn allocated_from(&self, offset: u64) -> Result<Option<Extent>> {
        let shared = self.shared.clone();
        let list =
            move || data_from(&shared.file, shared.length(), offset).map_err(shared.io("list"));
        IoThreads::shared()?.run(list).await
    }

    async fn grow(&self, size: u64) -> Result<()> {
        let shared = self.shared.clone();
        IoThreads::shared()?.run(move || shared.grow(size)).await
    }

    fn describe(&self) -> String {
        format!("mmap {}", self.shared.path.display())
    }
}
