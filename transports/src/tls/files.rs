//! The files of a site's identity: certificates and key in PEM, and the list of accepted ones.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use trefoil_core::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

/// The longest file that is read, in bytes: a chain of certificates has some KiB.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a site's identity lies, and by what it judges others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TlsFiles {
    /// The certificates of the authority, in PEM. Nobody else is trusted.
    pub ca: PathBuf,
    /// This site's certificate, in PEM, with what lies between it and the authority behind it.
    pub cert: PathBuf,
    /// Its key, in PEM: mode 0600 or less, owned by the user of this process.
    pub key: PathBuf,
    /// The list of accepted certificates: one SHA-256 fingerprint a line, followed by a name for
    /// people. `None`, or a file that is not there: every certificate of the authority is accepted.
    pub accepted: Option<PathBuf>,
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>> {
    let failed = |source| {
        let doing = format!("read {what} {}: make it readable for this program", path.display());
        Error::with_source(ErrorKind::Invalid, doing, source)
    };
    read_open(&File::open(path).map_err(failed)?, path, what)
}

fn read_open(file: &File, path: &Path, what: &str) -> Result<Vec<u8>> {
    // As large as the file from the start: a buffer that grows leaves what it held behind.
    let length = file.metadata().map_or(0, |about| about.len().min(FILE_BYTES_MAX));
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|source| {
        Error::with_source(ErrorKind::Invalid, format!("read {what} {}", path.display()), source)
    })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let what = format!("read {what} {}: it has more than 1 MiB", path.display());
        return Err(Error::invalid(what));
    }
    Ok(bytes)
}

/// The certificates in a file, at least one.
pub(crate) fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(path, what)?;
    let wrong = |why: String| {
        Error::invalid(format!("read {what} {}: {why}; it must be in PEM", path.display()))
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("it has no certificate".to_owned())) } else { Ok(found) }
}

/// The key in a file that nobody else can read. It is wiped from memory when it is dropped, as is
/// what was read of the file.
pub(crate) fn key(path: &Path) -> Result<Zeroizing<PrivateKeyDer<'static>>> {
    let file = File::open(path).map_err(|source| {
        let doing = format!("read key {}: make it readable for this program", path.display());
        Error::with_source(ErrorKind::Invalid, doing, source)
    })?;
    // The file that was opened is judged, not what its name means a moment later.
    check_key_file(&file, path)?;
    let text = Zeroizing::new(read_open(&file, path, "key")?);
    // What is wrong with it is told without a byte of it.
    PrivateKeyDer::from_pem_slice(&text).map(Zeroizing::new).map_err(|_| {
        Error::invalid(format!("read key {}: it has no private key in PEM", path.display()))
    })
}

/// Only its owner may read a key, and its owner is this process's user (or root, who can anyway).
fn check_key_file(file: &File, path: &Path) -> Result<()> {
    let metadata = file.metadata().map_err(|source| {
        let doing = format!("look at key {}", path.display());
        Error::with_source(ErrorKind::Invalid, doing, source)
    })?;
    let (mode, owner) = (metadata.mode() & 0o777, metadata.uid());
    if mode & 0o077 != 0 {
        return Err(Error::invalid(format!(
            "read key {}: its mode is {mode:04o}, others could read it; chmod 0600 it, and make a \
             new key if somebody may have",
            path.display()
        )));
    }
    let user = rustix::process::geteuid().as_raw();
    if owner != user && owner != 0 {
        return Err(Error::invalid(format!(
            "read key {}: it belongs to user {owner}, this program runs as {user}; chown it",
            path.display()
        )));
    }
    Ok(())
}

/// The accepted fingerprints; `None` if there is no list. One that is there and cannot be read is
/// an error, so that nobody is let in by it.
pub(crate) fn accepted(path: Option<&Path>) -> Result<Option<BTreeSet<String>>> {
    let Some(path) = path else { return Ok(None) };
    let there = path.try_exists().map_err(|source| {
        let doing = format!("look for list of accepted certificates {}", path.display());
        Error::with_source(ErrorKind::Invalid, doing, source)
    })?;
    if !there {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&read(path, "list of accepted certificates")?).into_owned();
    let mut found = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(word) = line.split_whitespace().next() else { continue };
        let word = word.replace(':', "").to_lowercase();
        if word.len() != 64 || !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::invalid(format!(
                "read list of accepted certificates {}: line {} does not begin with a SHA-256 \
                 fingerprint of 64 hexadecimal digits",
                path.display(),
                index + 1
            )));
        }
        found.insert(word);
    }
    Ok(Some(found))
}
