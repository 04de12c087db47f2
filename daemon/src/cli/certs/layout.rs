//! A host's files under the names that NBD clients look for.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use trefoil_core::{Error, Result};

/// Whose names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Layout {
    /// qemu, libnbd and nbdkit: ca-cert.pem, client-cert.pem, client-key.pem
    Qemu,
}

impl Layout {
    /// Copies what `dir` has of the host `name` into `dir/name`, and gives that directory.
    ///
    /// # Errors
    /// What cannot be read or written; the message names it.
    pub(super) fn put(self, dir: &Path, name: &str) -> Result<PathBuf> {
        let Self::Qemu = self;
        let own = dir.join(name);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&own);
        made.map_err(|e| Error::io(format!("make directory {}", own.display()), e))?;
        copy(&dir.join("ca.pem"), &own.join("ca-cert.pem"), 0o644)?;
        copy(&dir.join(format!("{name}.pem")), &own.join("client-cert.pem"), 0o644)?;
        copy(&dir.join(format!("{name}.key")), &own.join("client-key.pem"), 0o600)?;
        Ok(own)
    }
}

/// Whole or not at all, with that mode from the first byte on.
fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let data = fs::read(from).map_err(|e| Error::io(format!("read {}", from.display()), e))?;
    let beside = to.with_extension("new");
    let write = || {
        if beside.exists() {
            fs::remove_file(&beside)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(&data)?;
        file.sync_all()?;
        fs::rename(&beside, to)
    };
    write().map_err(|e: std::io::Error| Error::io(format!("write {}", to.display()), e))
}
