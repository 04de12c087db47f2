//! What a site keeps of Raft, durably: one small file, replaced whole.
//!
//! The record of a group is a few hundred bytes, and changes of charters are rare. So there is no
//! log file that could be torn: each change writes the file anew beside the old one, syncs it, and
//! takes its place. What is read is the newest state that was durable, or damage that is told.

use super::machine::Record;
use super::words::{Ballot, Entry, Index, Place, Standing};
use openraft::{EmptyNode, SnapshotMeta};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use trefoil_core::model::{GroupName, SiteName};
use trefoil_core::{Error, Result};

/// The first word of the file, and the version of its format.
const MAGIC: &str = "trefoil-raft 1";
/// More than a whole log with its snapshot ever needs, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A snapshot with what Raft says about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub meta: SnapshotMeta<Place, EmptyNode>,
    pub record: Record,
}

/// Everything that a site keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// The sites of the group, in order: what the places of the log mean.
    pub sites: Vec<SiteName>,
    /// It came with nothing, after the others had begun: up to here it must have caught up before
    /// it votes.
    pub votes_from: Option<Index>,
    pub ballot: Option<Ballot>,
    pub purged: Option<Index>,
    pub log: BTreeMap<u64, Entry>,
    pub snapshot: Option<Snapshot>,
}

impl State {
    /// Nothing yet, of these sites.
    pub(super) fn new(sites: Vec<SiteName>) -> Self {
        Self {
            sites,
            votes_from: None,
            ballot: None,
            purged: None,
            log: BTreeMap::new(),
            snapshot: None,
        }
    }

    /// The end of the log.
    pub(super) fn last(&self) -> Option<Index> {
        self.log.last_key_value().map(|(_, entry)| entry.log_id).or(self.purged)
    }

    pub(super) fn standing(&self) -> Standing {
        Standing { ballot: self.ballot, last: self.last() }
    }
}

/// The file, and what is in it.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    state: Option<State>,
    /// A write failed: what is on the disk is not known any more, and nothing is tried again.
    failed: bool,
    /// Held while the store is open.
    _lock: File,
}

impl Store {
    /// Opens the file of a group below `dir`, which is made where it is missing.
    ///
    /// # Errors
    /// [`trefoil_core::ErrorKind::Corrupt`] for a file that is damaged or of another version, or of
    /// other sites; the message names it and the remedy.
    pub(super) fn open(dir: &Path, group: &GroupName, sites: &[SiteName]) -> Result<Self> {
        let failed = |source| Error::io(format!("open arbiter in {}", dir.display()), source);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let path = dir.join(format!("{group}.arbiter"));
        let lock = File::create(path.with_extension("arbiter.lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::refused(format!(
                    "open arbiter {}: another process has it; stop that one",
                    path.display()
                )));
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let state = read(&path)?;
        if let Some(state) = &state
            && state.sites != sites
        {
            return Err(Error::corrupt(format!(
                "open arbiter {}: it was begun by the sites {:?}, the group has {sites:?}; give \
                 the sites their names back",
                path.display(),
                state.sites
            )));
        }
        Ok(Self { path, state, failed: false, _lock: lock })
    }

    /// What is kept; `None` where nothing ever was.
    pub(super) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Makes a change durable, all of it or nothing.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut State)) -> std::io::Result<()> {
        let Some(state) = &self.state else {
            return Err(std::io::Error::other("the arbiter was not begun"));
        };
        let mut state = state.clone();
        change(&mut state);
        self.begin(state)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) -> std::io::Result<()> {
        self.failed = true;
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => sync_dir(&self.path)?,
        }
        (self.state, self.failed) = (None, false);
        Ok(())
    }

    /// Replaces everything.
    pub(super) fn begin(&mut self, state: State) -> std::io::Result<()> {
        if self.failed {
            return Err(std::io::Error::other("an earlier write failed; restart the site"));
        }
        self.failed = true;
        write(&self.path, &state)?;
        self.failed = false;
        self.state = Some(state);
        Ok(())
    }
}

fn checksum(body: &str) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, body.as_bytes())
}

fn write(path: &Path, state: &State) -> std::io::Result<()> {
    let body = serde_json::to_string(state)?;
    let text = format!("{MAGIC} {:08x}\n{body}", checksum(&body));
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("{} would be too long", path.display())));
    }
    let beside = path.with_extension("arbiter.new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    sync_dir(path)
}

fn sync_dir(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

fn read(path: &Path) -> Result<Option<State>> {
    let damaged = |what: &str| {
        Error::corrupt(format!(
            "read arbiter {}: {what}; move it away, and the site asks the two others for all of \
             it before it has a vote again",
            path.display()
        ))
    };
    let length = match std::fs::metadata(path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io(format!("read {}", path.display()), source)),
    };
    if length > FILE_BYTES_MAX {
        return Err(damaged("it is too long"));
    }
    let text = std::fs::read_to_string(path).map_err(|_| damaged("it cannot be read as text"))?;
    let (first, body) = text.split_once('\n').ok_or_else(|| damaged("it is cut short"))?;
    let sum = first.strip_prefix(MAGIC).ok_or_else(|| damaged("it is of another format"))?.trim();
    if sum != format!("{:08x}", checksum(body)) {
        return Err(damaged("its checksum is wrong"));
    }
    serde_json::from_str(body).map(Some).map_err(|error| damaged(&error.to_string()))
}
