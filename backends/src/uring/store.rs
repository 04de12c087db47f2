//! A volume's blocks in one sparse file, large batches written by the ring.

use super::BLOCK_BYTES;
use super::aligned::Aligned;
use super::batch::take_apart;
use super::thread::RingThread;
use crate::file::FileStore;
use crate::range::check_batch;
use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::OFlags;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trefoil_core::model::Extent;
use trefoil_core::port::{BlockStore, BlockWrite};
use trefoil_core::{Error, Result};

/// A batch of fewer pieces goes through the page cache: the ring gains by many at once.
const PIECES_MIN: usize = 16;

/// A [`FileStore`] whose large batches go past the page cache, by io_uring.
#[derive(Debug)]
pub struct RingStore {
    inner: FileStore,
    /// The same file, opened for direct I/O.
    direct: Arc<File>,
    path: PathBuf,
    ring: RingThread,
}

impl RingStore {
    /// Puts the ring over a store in the file `path`; the store and the reason, if it cannot be.
    pub(super) fn over(
        inner: FileStore,
        path: &Path,
    ) -> std::result::Result<Self, (FileStore, String)> {
        match RingThread::shared().and_then(|ring| Ok((ring, open_direct(path)?))) {
            Ok((ring, direct)) => {
                Ok(Self { inner, direct: Arc::new(direct), path: path.to_owned(), ring })
            }
            Err(why) => Err((inner, why)),
        }
    }
}

/// Opens a file for direct I/O, and tries it by a read.
fn open_direct(path: &Path) -> std::result::Result<File, String> {
    let failed = |error| format!("no direct I/O on this file system: {error}");
    let flags = OFlags::DIRECT.bits().cast_signed();
    let mut options = File::options();
    let file = options.read(true).write(true).custom_flags(flags).open(path).map_err(failed)?;
    let mut block = Aligned::new(BLOCK_BYTES);
    file.read_at(block.bytes_mut(), 0).map_err(failed)?;
    Ok(file)
}

#[async_trait]
impl BlockStore for RingStore {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    async fn read(&self, offset: u64, length: usize) -> Result<Bytes> {
        self.inner.read(offset, length).await
    }

    async fn write(&self, batch: Vec<BlockWrite>) -> Result<()> {
        check_batch(self.size(), &batch)?;
        if batch.len() < PIECES_MIN {
            return self.inner.write(batch).await;
        }
        let (pieces, rest) = take_apart(batch);
        // Also without a rest: it refuses after a failed sync.
        self.inner.write(rest).await?;
        // The kernel takes the pages of these blocks out of the page cache, before and after: no
        // read finds what was there before.
        let written = self.ring.write(self.direct.clone(), pieces).await;
        written.map_err(|error| Error::io(format!("write {}", self.path.display()), error))
    }

    async fn sync(&self) -> Result<()> {
        // It flushes the disk's cache, whatever way the bytes took there.
        self.inner.sync().await
    }

    async fn allocated_from(&self, offset: u64) -> Result<Option<Extent>> {
        self.inner.allocated_from(offset).await
    }

    async fn grow(&self, size: u64) -> Result<()> {
        self.inner.grow(size).await
    }

    fn describe(&self) -> String {
        format!("{} (io_uring)", self.inner.describe())
    }
}
