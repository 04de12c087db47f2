//! The state of a site beside its journal: one file with two slots that are written in turn.

use super::layout::{BLOCK_BYTES, SlotHeader, crc32c};
use super::store::write_parts;
use super::sync_directory;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use trefoil_core::{Error, ErrorKind, Result};

/// The longest state, in bytes.
pub const STATE_BYTES_MAX: usize = 1 << 20;

const SLOT_BYTES: u64 = BLOCK_BYTES + STATE_BYTES_MAX as u64;

/// What lies in one slot.
enum Slot {
    /// Nothing was ever written.
    Blank,
    /// A whole state, and its sequence number.
    Good(u64, Vec<u8>),
    /// Something that is not whole.
    Bad,
}

/// The file that holds the state. A power loss at any moment leaves the old state or the new.
#[derive(Debug)]
pub(super) struct StateFile {
    file: File,
    path: PathBuf,
}

impl StateFile {
    /// Opens the file `state` in `directory`, creating it if it is new.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let path = directory.join("state");
        let failed = |source| Error::io(format!("open {}", path.display()), source);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() < 2 * SLOT_BYTES {
            file.set_len(2 * SLOT_BYTES).and_then(|()| file.sync_all()).map_err(failed)?;
            sync_directory(directory)?;
        }
        Ok(Self { file, path })
    }

    /// The newest state; `None` if none was ever saved.
    pub(super) fn load(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.newest()?.map(|(_, _, state)| state))
    }

    /// Replaces the state, durably.
    pub(super) fn save(&self, state: &[u8]) -> Result<()> {
        let length = match u32::try_from(state.len()) {
            Ok(length) if state.len() <= STATE_BYTES_MAX => length,
            _ => {
                return Err(Error::invalid(format!(
                    "save state of {} bytes: the limit is {STATE_BYTES_MAX}",
                    state.len()
                )));
            }
        };
        let newest = self.newest()?;
        let sequence = newest.as_ref().map_or(1, |(_, sequence, _)| sequence + 1);
        let header = SlotHeader { sequence, length, data_crc: crc32c(state) };
        match newest {
            Some((slot, _, _)) => self.write(1 - slot, &header, state),
            None => {
                // Both, so that a bad slot beside a blank one can only be a first save that was
                // interrupted, never damage to the only copy.
                self.write(0, &header, state)?;
                self.write(1, &header, state)
            }
        }
    }

    fn write(&self, slot: u64, header: &SlotHeader, state: &[u8]) -> Result<()> {
        write_parts(&self.file, slot * SLOT_BYTES, &[&header.encode(), state])
            .and_then(|()| self.file.sync_data())
            .map_err(|source| {
                let doing = format!("save state to {}", self.path.display());
                Error::with_source(ErrorKind::Io, doing, source)
            })
    }

    /// The slot, sequence number and bytes of the newest state.
    fn newest(&self) -> Result<Option<(u64, u64, Vec<u8>)>> {
        match (self.read(0)?, self.read(1)?) {
            (Slot::Good(a, state), Slot::Good(b, _)) if a > b => Ok(Some((0, a, state))),
            (_, Slot::Good(b, state)) => Ok(Some((1, b, state))),
            (Slot::Good(a, state), _) => Ok(Some((0, a, state))),
            (Slot::Bad, Slot::Bad) | (Slot::Blank, Slot::Bad) => Err(Error::corrupt(format!(
                "load state from {}: both slots are damaged; without it this site cannot know \
                 what it promised: move its directory away and let it join as a new, empty site",
                self.path.display()
            ))),
            // The very first save was interrupted.
            (Slot::Bad | Slot::Blank, Slot::Blank) => Ok(None),
        }
    }

    fn read(&self, slot: u64) -> Result<Slot> {
        let failed = |source| Error::io(format!("load state from {}", self.path.display()), source);
        let mut block = vec![0; BLOCK_BYTES as usize];
        self.file.read_exact_at(&mut block, slot * SLOT_BYTES).map_err(failed)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(Slot::Blank);
        }
        let Some(header) = SlotHeader::decode(&block) else { return Ok(Slot::Bad) };
        if header.length as usize > STATE_BYTES_MAX {
            return Ok(Slot::Bad);
        }
        let mut state = vec![0; header.length as usize];
        self.file.read_exact_at(&mut state, slot * SLOT_BYTES + BLOCK_BYTES).map_err(failed)?;
        if crc32c(&state) != header.data_crc {
            return Ok(Slot::Bad);
        }
        Ok(Slot::Good(header.sequence, state))
    }
}
