//! Volumes whose batches are written by io_uring, past the page cache (feature `uring`).
//!
//! The files are those of [`file`](mod@crate::file), and reads, syncs, zeroes, small batches and
//! writes that are not whole blocks go the same way as there. What a large batch holds of whole
//! 4 KiB blocks is written with `O_DIRECT`, many blocks at once, from a thread of its own that
//! owns the ring. A disk that takes many writes at a time is then kept busy, where the page cache
//! writes one after the other (figures in `benches/README.md`); in exchange a later read of these
//! blocks goes to the disk.
//!
//! **What survives.** As with `file`: a killed process loses nothing that `write` answered, a power
//! loss takes what no `sync` made durable. A direct write that failed is an error of `write`, not
//! of the next `sync`.
//!
//! **Where it cannot be used** (an old or restricted kernel, a file system without `O_DIRECT`)
//! [`open_store`] says so in the log, and opens a plain [`FileStore`].

mod aligned;
mod batch;
mod ring;
mod store;
mod thread;

pub use store::RingStore;

use crate::file::FileStore;
use std::path::Path;
use std::sync::Arc;
use trefoil_core::Result;
use trefoil_core::model::{GroupName, VolumeName};
use trefoil_core::port::BlockStore;

/// The unit of direct writes, in bytes: no disk or file system in use asks for more.
const BLOCK_BYTES: usize = 4096;

/// Opens the file of a volume, creating it if it is new; with io_uring where that can be used, and
/// as [`FileStore`] where it cannot, which is logged.
///
/// # Errors
/// As [`FileStore::open`].
pub fn open_store(
    dir: &Path,
    group: &GroupName,
    volume: &VolumeName,
    size: u64,
) -> Result<Arc<dyn BlockStore>> {
    let inner = FileStore::open(dir, group, volume, size)?;
    let path = dir.join(format!("{group}.{volume}.img"));
    match RingStore::over(inner, &path) {
        Ok(store) => Ok(Arc::new(store)),
        Err((inner, why)) => {
            tracing::warn!("{}: io_uring is not used: {why}", path.display());
            Ok(Arc::new(inner))
        }
    }
}
