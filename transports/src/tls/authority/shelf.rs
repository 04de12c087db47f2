//! The directory of an authority: nothing is overwritten by accident, keys are for their owner.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind as Io, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use trefoil_core::{Error, ErrorKind, Result};

const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o700;

/// The head of the list of accepted certificates.
const HEAD: &str = "# The certificates that are accepted: SHA-256, and whose it is. Take a line \
                    out, give the\n# list to every site and reload: that certificate is refused \
                    from then on.\n";

pub(super) struct Shelf(PathBuf);

impl Shelf {
    pub(super) fn open(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Makes the directory, for its owner only.
    pub(super) fn make(dir: &Path) -> Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(dir);
        made.map_err(|source| Error::io(format!("make directory {}", dir.display()), source))?;
        Ok(Self::open(dir))
    }

    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }

    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.key"))
    }

    pub(super) fn accepted(&self) -> PathBuf {
        self.0.join("accepted")
    }

    /// Puts a key and its certificate where none is.
    pub(super) fn put_new(&self, name: &str, certificate: &str, key: &str) -> Result<()> {
        for path in [self.certificate(name), self.key(name)] {
            if path.exists() {
                return Err(Error::invalid(format!(
                    "make {}: it is there already; renew it, or take it away first",
                    path.display()
                )));
            }
        }
        // The key first: a certificate without a key would look finished.
        write(&self.key(name), key, KEY_MODE)?;
        write(&self.certificate(name), certificate, CERTIFICATE_MODE)
    }

    /// Puts a key and its certificate in the place of others.
    pub(super) fn replace(&self, name: &str, certificate: &str, key: &str) -> Result<()> {
        write(&self.key(name), key, KEY_MODE)?;
        write(&self.certificate(name), certificate, CERTIFICATE_MODE)
    }

    /// Begins the list of accepted certificates.
    pub(super) fn begin_accepted(&self) -> Result<()> {
        write(&self.accepted(), HEAD, CERTIFICATE_MODE)
    }

    /// Adds a certificate to the list.
    pub(super) fn accept(&self, fingerprint: &str, name: &str) -> Result<()> {
        let text = self.list()? + &format!("{fingerprint} {name}\n");
        write(&self.accepted(), &text, CERTIFICATE_MODE)
    }

    /// Takes lines out of the list; how many there were.
    pub(super) fn strike(&self, struck: impl Fn(&str, &str) -> bool) -> Result<usize> {
        let text = self.list()?;
        let goes = |line: &&str| {
            let mut words = line.split_whitespace();
            let (fingerprint, name) = (words.next(), words.next());
            !line.starts_with('#')
                && struck(fingerprint.unwrap_or_default(), name.unwrap_or_default())
        };
        let gone = text.lines().filter(goes).count();
        if gone > 0 {
            let stay: String =
                text.lines().filter(|line| !goes(line)).flat_map(|line| [line, "\n"]).collect();
            write(&self.accepted(), &stay, CERTIFICATE_MODE)?;
        }
        Ok(gone)
    }

    /// The names that have a certificate here, the authority's left out.
    pub(super) fn names(&self) -> Result<BTreeSet<String>> {
        let failed = |source| Error::io(format!("read directory {}", self.0.display()), source);
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            if let Some(name) = file.to_str().and_then(|name| name.strip_suffix(".pem"))
                && name != super::AUTHORITY
            {
                names.insert(name.to_owned());
            }
        }
        Ok(names)
    }

    fn list(&self) -> Result<String> {
        match std::fs::read_to_string(self.accepted()) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == Io::NotFound => Ok(HEAD.to_owned()),
            Err(source) => Err(Error::io(format!("read {}", self.accepted().display()), source)),
        }
    }
}

/// Writes a file whole or not at all, with that mode from its first byte on.
fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let beside = path.with_extension("new");
    let failed =
        |source| Error::with_source(ErrorKind::Io, format!("write {}", path.display()), source);
    if let Err(error) = std::fs::remove_file(&beside)
        && error.kind() != Io::NotFound
    {
        return Err(failed(error));
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside);
    let written = file.and_then(|mut file: File| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&beside, path)).map_err(failed)
}
