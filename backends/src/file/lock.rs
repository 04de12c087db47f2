//! The lock that keeps a second process out.

use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::Path;
use trefoil_core::{Error, Result};

/// Takes the lock on an open file; it is released when the file is closed.
///
/// # Errors
/// [`ErrorKind::Refused`](trefoil_core::ErrorKind::Refused) while another opener holds it.
pub(crate) fn lock_file(file: &File, path: &Path) -> Result<()> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::refused(format!(
            "open {}: it is open in another process; stop that one first",
            path.display()
        ))),
        Err(source) => Err(Error::io(format!("lock {}", path.display()), source.into())),
    }
}

/// Opens (or creates) the lock file `path` and takes its lock.
pub(crate) fn take_lock(path: &Path) -> Result<File> {
    let file =
        File::options().create(true).truncate(false).write(true).open(path).map_err(|source| {
            Error::io(
                format!("open {}: the directory must be writable for this program", path.display()),
                source,
            )
        })?;
    lock_file(&file, path)?;
    Ok(file)
}
