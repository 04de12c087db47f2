//! Stores and journals in files.
//!
//! Blocking I/O goes to a small pool of threads of its own (`threads`); an append to a journal
//! is written on the caller's thread (it ends in the page cache), its fdatasync on the journal's.

mod awaited;
mod extent;
mod journal;
mod layout;
mod lock;
mod state;
mod store;
mod tails;
mod threads;
mod volume;
mod write_back;

pub(crate) use extent::data_from;
pub use journal::{FileJournal, Medium, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
pub use state::STATE_BYTES_MAX;
pub use store::FileStore;
pub(crate) use store::read_cached;
pub use tails::{TAIL_BYTES_MAX, list_tails, read_tail};
pub(crate) use threads::{IoThreads, Turn};
pub(crate) use volume::{open_volume, poisoned};

use std::fs::File;
use std::path::Path;
use trefoil_core::{Error, Result};

/// Creates a directory and what lies above it, durably.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path).map_err(|source| {
        Error::io(
            format!("create directory {}: make it writable for this program", path.display()),
            source,
        )
    })?;
    path.ancestors().skip(1).filter(|above| above.exists()).take(2).try_for_each(sync_directory)
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| Error::io(format!("sync directory {}", path.display()), source))
}
