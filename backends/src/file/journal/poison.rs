//! A failure after which nothing is accepted any more.

use parking_lot::Mutex;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use trefoil_core::{Error, ErrorKind, Result};

/// Whether the journal has failed. After a failed fsync the kernel may have dropped the pages, so
/// that a second try would succeed without the data: there is none.
#[derive(Debug)]
pub(super) struct Poison {
    directory: PathBuf,
    failed: AtomicBool,
    why: Mutex<String>,
}

impl Poison {
    pub(super) fn new(directory: &Path) -> Self {
        let directory = directory.to_owned();
        Self { directory, failed: AtomicBool::new(false), why: Mutex::default() }
    }

    /// Poisons the journal by `error`, and returns it.
    pub(super) fn by(&self, error: Error) -> Error {
        let mut why = self.why.lock();
        if !self.failed.load(Ordering::SeqCst) {
            tracing::error!(journal = %self.directory.display(), %error, "the journal failed");
            *why = error.to_string();
            self.failed.store(true, Ordering::SeqCst);
            self.leave_mark(&why);
        }
        error
    }

    /// Tells the next process, as well as a failing device allows.
    fn leave_mark(&self, why: &str) {
        let written = fs::write(self.mark(), why).and_then(|()| {
            File::open(self.mark())?.sync_all()?;
            File::open(&self.directory)?.sync_all()
        });
        if let Err(error) = written {
            tracing::error!(journal = %self.directory.display(), %error, "no mark could be left");
        }
    }

    fn mark(&self) -> PathBuf {
        self.directory.join("failed")
    }

    /// Whether an earlier process left a mark that the journal failed.
    pub(super) fn is_marked(&self) -> bool {
        self.mark().exists()
    }

    /// Takes the mark away: what it means was taken note of, durably.
    pub(super) fn unmark(&self) -> Result<()> {
        let gone = fs::remove_file(self.mark());
        let gone = gone.and_then(|()| File::open(&self.directory)?.sync_all());
        gone.map_err(|source| Error::io(format!("remove {}", self.mark().display()), source))
    }

    /// Refuses to go on after a failure.
    pub(super) fn check(&self) -> Result<()> {
        if !self.failed.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Io,
            format!(
                "use journal {}: it failed before, restart the site ({})",
                self.directory.display(),
                self.why.lock()
            ),
        ))
    }
}
