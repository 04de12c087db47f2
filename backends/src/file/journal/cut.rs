//! Dropping the end of a journal: a tail that another branch of the history left behind.

use super::log::Log;
use super::medium::SegmentFile;
use super::segment::Segment;
use crate::file::layout::RECORDS_AT;
use crate::file::store::write_zeroes;
use crate::file::sync_directory;
use crate::record_log::check_cut;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use trefoil_core::model::UpdateNumber;
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind, Result};

/// Bytes are copied in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

impl Log {
    /// Drops the records after `after`, durably. A power loss meanwhile leaves the journal ending
    /// somewhere between there and its old end, without a gap. Returns the files that became free.
    pub(super) fn truncate(&mut self, after: UpdateNumber) -> Result<Vec<PathBuf>> {
        self.check_recovered()?;
        check_cut(after, &self.base(), &self.newest())?;
        let mut retired = Vec::new();
        // From the end, each durably before the one before it.
        while self.segments.len() > 1
            && self.segments.back().is_some_and(|last| last.header.base.number >= after)
        {
            let Some(segment) = self.segments.pop_back() else { break };
            retired.push(self.retire(&segment.path)?);
            sync_directory(&self.directory)?;
        }
        if self.newest().number > after
            && let Some(segment) = self.segments.pop_back()
        {
            let shorter = self.shortened(&segment, after)?;
            self.segments.push_back(shorter);
        }
        if let Some(active) = self.segments.back() {
            self.syncer.begin(&active.file, active.newest.number)?;
        }
        Ok(retired)
    }

    /// A segment with the same beginning, in a new file that takes the place of the old one at
    /// once: zeroing the end in place could be torn by a power loss, and look like damage.
    fn shortened(&self, old: &Segment, after: UpdateNumber) -> Result<Segment> {
        let path = self.directory.join("shortened");
        let failed = |source| {
            let doing = format!("shorten {}", old.path.display());
            Error::with_source(ErrorKind::Io, doing, source)
        };
        // One that a crash left behind is begun anew.
        if path.exists() {
            std::fs::remove_file(&path).map_err(failed)?;
        }
        let end = old.offset_of(after.next());
        let file = SegmentFile::open(&path, self.medium).map_err(failed)?;
        file.set_len(old.size)
            .and_then(|()| file.write_all_at(&old.header.encode(), 0))
            .and_then(|()| copy(&old.file, &file, RECORDS_AT, end))
            .and_then(|()| write_zeroes(&file, end, old.size - end))
            .and_then(|()| file.sync_all())
            .and_then(|()| file.make_ready())
            .and_then(|()| std::fs::rename(&path, &old.path))
            .map_err(failed)?;
        sync_directory(&self.directory)?;
        let mut segment =
            Segment::empty(Arc::new(file), old.path.clone(), old.header.clone(), old.size);
        let kept = after.since(old.header.base.number) as usize;
        if let Some(last) = kept.checked_sub(1).and_then(|last| old.offsets.get(last)) {
            let (from, length) = (u64::from(*last), end - u64::from(*last));
            let mut bytes = vec![0; length as usize];
            segment.file.read_exact_at(&mut bytes, from).map_err(failed)?;
            segment.newest = Record::decode(&bytes.into())?.0.position();
        }
        segment.offsets = old.offsets.get(..kept).unwrap_or_default().to_vec();
        segment.used = end;
        Ok(segment)
    }
}

/// Copies the bytes from `at` to `end` to the same place of another file.
fn copy(from: &File, to: &File, mut at: u64, end: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    while at < end {
        let take = (end - at).min(PIECE_BYTES as u64) as usize;
        let piece = buffer.get_mut(..take).unwrap_or_default();
        from.read_exact_at(piece, at)?;
        to.write_all_at(piece, at)?;
        at += take as u64;
    }
    Ok(())
}
