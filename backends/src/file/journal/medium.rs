//! How bytes come into a journal's segment: by a write, past the page cache, or by a mapping.

use super::direct::Direct;
use crate::file::store::write_parts;
use crate::mmap::{Map, check_whole, reserve};
use std::fs::File;
use std::io::Result;
use std::ops::Deref;
use std::path::Path;
use std::sync::OnceLock;

/// How appended records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// By one vectored write; made durable by fdatasync.
    #[default]
    Written,
    /// By writes of whole blocks past the page cache (`O_DIRECT`), each on a thread for I/O;
    /// made durable by fdatasync.
    Direct,
    /// By copying into the mapped segment; made durable by msync.
    Mapped,
}

/// An open segment file. Records are appended by its medium; everything that is rare (header,
/// stamp, zeroing, scan) goes through the file itself: the kernel keeps the two views one.
#[derive(Debug)]
pub(super) struct SegmentFile {
    file: File,
    medium: Medium,
    map: OnceLock<Map>,
    direct: Option<Direct>,
}

impl SegmentFile {
    /// Opens a file, creating it if it is new.
    pub(super) fn open(path: &Path, medium: Medium) -> Result<Self> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let direct = match medium {
            Medium::Direct => Some(Direct::open(path)?),
            Medium::Written | Medium::Mapped => None,
        };
        Ok(Self { file, medium, map: OnceLock::new(), direct })
    }

    /// Does ahead what the first append would wait for; the file has its size.
    pub(super) fn make_ready(&self) -> Result<()> {
        match self.medium {
            Medium::Written | Medium::Direct => Ok(()),
            Medium::Mapped => self.mapped().map(drop),
        }
    }

    fn mapped(&self) -> Result<&Map> {
        if let Some(map) = self.map.get() {
            return Ok(map);
        }
        let length = self.file.metadata()?.len();
        // A segment has its room since it was a spare, unless it was copied here with holes.
        reserve(&self.file, length)?;
        let map = Map::of(&self.file, length)?;
        Ok(self.map.get_or_init(|| map))
    }

    /// Writes parts one after the other at `offset`, all of them; the next ones go over the last
    /// `ending` bytes.
    pub(super) fn append(&self, offset: u64, parts: &[&[u8]], ending: usize) -> Result<()> {
        if let Some(direct) = &self.direct {
            return direct.append(&self.file, offset, parts, ending);
        }
        match self.medium {
            Medium::Written | Medium::Direct => write_parts(&self.file, offset, parts),
            Medium::Mapped => self.copy(offset, parts),
        }
    }

    fn copy(&self, offset: u64, parts: &[&[u8]]) -> Result<()> {
        let map = self.mapped()?;
        check_whole(&self.file, map.length())?;
        let mut at = offset;
        for part in parts {
            map.write(at, part)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    /// Makes durable what was written, by whatever way.
    pub(super) fn sync(&self) -> Result<()> {
        match self.map.get() {
            // On Linux an msync of a mapping is an fdatasync of those bytes of its file, however
            // they came there.
            Some(map) => {
                check_whole(&self.file, map.length())?;
                map.sync()
            }
            None => self.file.sync_data(),
        }
    }
}

impl Deref for SegmentFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}
