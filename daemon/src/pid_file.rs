//! The file that holds the daemon's process id while it runs.

use std::fs;
use std::path::{Path, PathBuf};
use trefoil_core::{Error, Result};

/// Removes the file when it is dropped.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes the own process id; an older file is replaced.
    ///
    /// # Errors
    /// When the file cannot be written; the message names it.
    pub fn write(path: &Path) -> Result<Self> {
        fs::write(path, format!("{}\n", std::process::id())).map_err(|source| {
            let doing = format!(
                "write pid file {}; give --pid-file a path in a directory that can be written",
                path.display()
            );
            Error::io(doing, source)
        })?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "pid file not removed");
        }
    }
}
