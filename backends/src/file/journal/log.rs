//! The segments of a journal, as one run of records.

use super::medium::Medium;
use super::segment::{Run, Segment, segment_path};
use super::spares::{RETIRED, Spare};
use super::syncer::Syncer;
use crate::file::layout::{END_BYTES, RECORDS_AT, SegmentHeader};
use crate::file::sync_directory;
use crate::record_log::{check_consecutive, check_held};
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trefoil_core::model::{GroupName, Position, SiteName, UpdateNumber};
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind, Result};

/// What ends the records.
static ZEROES: [u8; END_BYTES as usize] = [0; END_BYTES as usize];

/// The segments of a journal, oldest first; the last one takes the appends.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) directory: PathBuf,
    pub(super) names: (GroupName, SiteName),
    /// What all segments may take on disk, one in reserve included.
    capacity_bytes: u64,
    pub(super) segment_bytes: u64,
    pub(super) medium: Medium,
    /// Empty until recovered.
    pub(super) segments: VecDeque<Segment>,
    pub(super) syncer: Arc<Syncer>,
    /// Held as long as anything may still be written.
    _lock: File,
}

impl Log {
    pub(super) fn new(
        directory: &Path,
        names: (GroupName, SiteName),
        (capacity_bytes, segment_bytes): (u64, u64),
        medium: Medium,
        syncer: Arc<Syncer>,
        lock: File,
    ) -> Self {
        let directory = directory.to_owned();
        let segments = VecDeque::new();
        Self {
            directory,
            names,
            capacity_bytes,
            segment_bytes,
            medium,
            segments,
            syncer,
            _lock: lock,
        }
    }

    /// Checks that `recover` was called, as the port demands.
    pub(super) fn check_recovered(&self) -> Result<()> {
        self.active().map(|_| ())
    }

    fn active(&self) -> Result<&Segment> {
        self.segments.back().ok_or_else(|| {
            Error::invalid(format!(
                "use journal {}: it is not recovered; call `recover` first",
                self.directory.display()
            ))
        })
    }

    /// The point right before the oldest record.
    pub(super) fn base(&self) -> Position {
        self.segments.front().map_or(Position::START, |segment| segment.header.base)
    }

    /// The newest record, or the base.
    pub(super) fn newest(&self) -> Position {
        self.segments.back().map_or(Position::START, |segment| segment.newest)
    }

    /// What may be in use: one segment is kept for the next one, and for a reset.
    fn limit(&self) -> u64 {
        self.capacity_bytes - self.segment_bytes
    }

    /// Bytes in use, of how many. A segment that is full counts whole.
    pub(super) fn usage(&self) -> (u64, u64) {
        let sizes: u64 = self.segments.iter().map(|segment| segment.size).sum();
        let free = self.segments.back().map_or(0, |segment| segment.size - segment.used);
        ((sizes - free).min(self.limit()), self.limit())
    }

    /// Checks that `records` follow and fit; returns how many new segments they need.
    pub(super) fn plan(&self, records: &[Record]) -> Result<usize> {
        let active = self.active()?;
        let bytes = check_consecutive(&active.newest, records)?;
        let (mut used, mut size, mut needed) = (active.used, active.size, 0);
        for record in records {
            let length = record.encoded_bytes() as u64;
            if used + length > size {
                needed += 1;
                (used, size) = (RECORDS_AT, self.segment_bytes);
            }
            used += length;
        }
        let held: u64 = self.segments.iter().map(|segment| segment.size).sum();
        if needed > 0 && held + needed * self.segment_bytes > self.limit() {
            let (in_use, limit) = self.usage();
            return Err(Error::new(
                ErrorKind::Full,
                format!(
                    "append {} records of {bytes} bytes to {}: {in_use} of {limit} bytes are in \
                     use, and room is made by whole segments of {}",
                    records.len(),
                    self.directory.display(),
                    self.segment_bytes
                ),
            ));
        }
        Ok(needed as usize)
    }

    /// Writes what [`Log::plan`] let pass. After an error it is unknown what was written.
    pub(super) fn write(&mut self, records: &[Record], spares: Vec<Spare>) -> Result<()> {
        let mut spares = spares.into_iter();
        let mut rest = records;
        while !rest.is_empty() {
            let taken = self.write_to_active(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
            if !rest.is_empty() {
                let spare = spares.next().ok_or_else(|| {
                    Error::new(ErrorKind::Io, "append: a segment that was planned is missing")
                })?;
                self.roll(spare)?;
            }
        }
        Ok(())
    }

    /// Writes as many records as fit into the active segment; returns how many.
    fn write_to_active(&mut self, records: &[Record]) -> Result<usize> {
        let Some(active) = self.segments.back_mut() else { return Ok(0) };
        let mut parts: Vec<&[u8]> = Vec::with_capacity(2 * records.len() + 1);
        let (start, mut end, mut taken) = (active.used, active.used, 0);
        for record in records {
            let next = end + record.encoded_bytes() as u64;
            if next > active.size {
                break;
            }
            end = next;
            parts.push(record.header_bytes());
            parts.push(record.payload());
            taken += 1;
        }
        if taken == 0 {
            return Ok(0);
        }
        let ending = ZEROES.get(..(active.size - end).min(END_BYTES) as usize).unwrap_or_default();
        parts.push(ending);
        active.file.append(start, &parts, ending.len()).map_err(|source| {
            // Room was reserved: a full device here leaves half a batch, which nobody may use.
            let doing = format!("append to {}", active.path.display());
            Error::with_source(ErrorKind::Io, doing, source)
        })?;
        for record in records.iter().take(taken) {
            active.note(record);
        }
        self.syncer.wrote(active.header.serial, &active.file, active.newest.number);
        Ok(taken)
    }

    /// Lets the spare become the next segment. Its header and name are durable with the next sync.
    fn roll(&mut self, spare: Spare) -> Result<()> {
        let last = self.active()?;
        let place = (last.header.reset_count, last.header.serial + 1);
        let segment = self.name_spare(spare, place, last.newest)?;
        self.syncer.renamed();
        self.segments.push_back(segment);
        Ok(())
    }

    /// Writes the header of a spare, and then gives it its name among the segments.
    pub(super) fn name_spare(
        &self,
        spare: Spare,
        place: (u64, u64),
        base: Position,
    ) -> Result<Segment> {
        let header = SegmentHeader::new((&self.names.0, &self.names.1), place, base);
        let path = segment_path(&self.directory, header.serial);
        spare
            .file
            .write_all_at(&header.encode(), 0)
            .and_then(|()| std::fs::rename(&spare.path, &path))
            .map_err(|source| {
                let doing = format!("begin journal segment {}", path.display());
                Error::with_source(ErrorKind::Io, doing, source)
            })?;
        Ok(Segment::empty(spare.file, path, header, spare.size))
    }

    /// As [`Log::name_spare`] for a segment that nothing goes before: its header is durable before
    /// it has its name, and its name when this returns.
    pub(super) fn name_first(
        &self,
        spare: Spare,
        place: (u64, u64),
        base: Position,
    ) -> Result<Segment> {
        let header = SegmentHeader::new((&self.names.0, &self.names.1), place, base);
        spare.file.write_all_at(&header.encode(), 0).and_then(|()| spare.file.sync_all()).map_err(
            |source| {
                let doing = format!("begin journal segment {}", spare.path.display());
                Error::io(doing, source)
            },
        )?;
        let segment = self.name_spare(spare, place, base)?;
        sync_directory(&self.directory)?;
        Ok(segment)
    }

    /// Where the records from `from` on lie.
    pub(super) fn locate(&self, from: UpdateNumber, bytes_max: usize) -> Result<Run> {
        self.check_recovered()?;
        check_held(from, &self.base(), &self.newest())?;
        let index = self.segments.partition_point(|segment| segment.newest.number < from);
        self.segments
            .get(index)
            .map(|segment| segment.run(from, bytes_max))
            .ok_or_else(|| Error::invalid(format!("read record {from}: no segment holds it")))
    }

    /// Whether a trim up to `up_to` lets go of anything.
    pub(super) fn can_trim(&self, up_to: UpdateNumber) -> Result<bool> {
        self.check_recovered()?;
        let oldest = self.segments.front().map(|segment| segment.newest.number);
        Ok(self.segments.len() > 1 && oldest.is_some_and(|newest| newest <= up_to))
    }

    /// Lets go of whole segments up to `up_to`, oldest first, each durably before the next: so a
    /// power loss never leaves a gap. Returns the new base and the files that became free.
    pub(super) fn trim(&mut self, up_to: UpdateNumber) -> Result<(Position, Vec<PathBuf>)> {
        let mut retired = Vec::new();
        while self.can_trim(up_to)? {
            let Some(segment) = self.segments.pop_front() else { break };
            retired.push(self.retire(&segment.path)?);
            sync_directory(&self.directory)?;
        }
        Ok((self.base(), retired))
    }

    /// Takes a file out of the segments.
    pub(super) fn retire(&self, path: &Path) -> Result<PathBuf> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let serial = name.strip_prefix("segment.").unwrap_or(name);
        let spare = self.directory.join(format!("{RETIRED}.{serial}"));
        std::fs::rename(path, &spare).map_err(|source| {
            Error::io(format!("retire journal segment {}", path.display()), source)
        })?;
        Ok(spare)
    }

    /// Drops everything and begins anew after `base`. The new first segment counts one more reset
    /// than the old ones; once it has its name, these are no longer part of the journal.
    pub(super) fn reset(&mut self, base: Position, spare: Spare) -> Result<Vec<PathBuf>> {
        let last = self.active()?;
        let place = (last.header.reset_count + 1, last.header.serial + 1);
        let segment = self.name_first(spare, place, base)?;
        self.syncer.begin(&segment.file, base.number)?;
        let old = std::mem::take(&mut self.segments);
        self.segments.push_back(segment);
        let retired = old.iter().map(|segment| self.retire(&segment.path)).collect();
        sync_directory(&self.directory)?;
        retired
    }
}
