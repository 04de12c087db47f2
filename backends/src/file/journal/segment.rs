//! One segment file of a journal.

use super::medium::{Medium, SegmentFile};
use crate::file::layout::{RECORDS_AT, SegmentHeader};
use bytes::Bytes;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trefoil_core::model::{GroupName, Position, SiteName, UpdateNumber};
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind, Result};

/// A segment that is held, with where its records lie.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: Arc<SegmentFile>,
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Where the next record goes.
    pub(super) used: u64,
    /// Its newest record; the header's base if it has none.
    pub(super) newest: Position,
    /// Where each record lies; the first is the one right after the base.
    pub(super) offsets: Vec<u32>,
}

impl Segment {
    /// A segment without records.
    pub(super) fn empty(
        file: Arc<SegmentFile>,
        path: PathBuf,
        header: SegmentHeader,
        size: u64,
    ) -> Self {
        let newest = header.base;
        Self { file, path, header, size, used: RECORDS_AT, newest, offsets: Vec::new() }
    }

    /// Notes a record that was written at the end.
    pub(super) fn note(&mut self, record: &Record) {
        // A segment is at most 64 MiB, so the offset fits.
        self.offsets.push(u32::try_from(self.used).unwrap_or(u32::MAX));
        self.used += record.encoded_bytes() as u64;
        self.newest = record.position();
    }

    /// Where the record `number` begins; the end for one behind the newest.
    pub(super) fn offset_of(&self, number: UpdateNumber) -> u64 {
        let index = number.since(self.header.base.number.next());
        let offset = usize::try_from(index).ok().and_then(|index| self.offsets.get(index));
        offset.map_or(self.used, |offset| u64::from(*offset))
    }

    /// The records from `from` (which it holds) on, of about `bytes_max` bytes, at least one.
    pub(super) fn run(&self, from: UpdateNumber, bytes_max: usize) -> Run {
        let offset = self.offset_of(from);
        let limit = offset.saturating_add(bytes_max as u64);
        // The first border behind the limit ends the run one record earlier.
        let ends = self.offsets.partition_point(|start| u64::from(*start) <= limit);
        let end = if self.used <= limit {
            self.used
        } else {
            let last = ends.checked_sub(1).and_then(|index| self.offsets.get(index));
            last.map_or(self.used, |start| u64::from(*start))
        };
        let end = if end > offset { end } else { self.offset_of(from.next()) };
        Run {
            file: self.file.clone(),
            path: self.path.clone(),
            from,
            offset,
            length: (end - offset) as usize,
        }
    }
}

/// Consecutive records in one file.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) file: Arc<SegmentFile>,
    pub(super) path: PathBuf,
    from: UpdateNumber,
    pub(super) offset: u64,
    pub(super) length: usize,
}

impl Run {
    /// The records in its bytes; the good ones before a bad one, if there are any.
    pub(super) fn decode(&self, bytes: &Bytes) -> Result<Vec<Record>> {
        let (mut at, mut expected) = (0, self.from);
        let mut records: Vec<Record> = Vec::new();
        while at < bytes.len() {
            let decoded = Record::decode(&bytes.slice(at..)).and_then(|(record, taken)| {
                match records.last() {
                    Some(last) => record.check_follows(&last.position())?,
                    None if record.number() == expected => {}
                    None => return Err(Error::corrupt(format!("{} lies there", record.number()))),
                }
                Ok((record, taken))
            });
            match decoded {
                Ok((record, taken)) => {
                    at += taken;
                    expected = expected.next();
                    records.push(record);
                }
                Err(_) if !records.is_empty() => break,
                Err(error) => {
                    return Err(Error::with_source(
                        ErrorKind::Corrupt,
                        format!(
                            "read record {expected} at byte {} of {}",
                            self.offset,
                            self.path.display()
                        ),
                        error,
                    ));
                }
            }
        }
        Ok(records)
    }
}

/// A segment file as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) file: Arc<SegmentFile>,
    pub(super) size: u64,
    /// `None` if it is damaged or was never written.
    pub(super) header: Option<SegmentHeader>,
}

/// The name of the segment file with this serial number.
pub(super) fn segment_path(directory: &Path, serial: u64) -> PathBuf {
    directory.join(format!("segment.{serial:020}"))
}

/// The files in `directory` named `<prefix>.<number>`, by number.
pub(super) fn numbered(directory: &Path, prefix: &str) -> Result<Vec<(u64, PathBuf)>> {
    let failed = |source| Error::io(format!("list {}", directory.display()), source);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Opens every segment file and reads its header, by serial number.
pub(super) fn find_all(directory: &Path, medium: Medium) -> Result<Vec<Found>> {
    let open = |(serial, path): (u64, PathBuf)| {
        let failed = |source| Error::io(format!("open {}", path.display()), source);
        let file = SegmentFile::open(&path, medium).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut block = vec![0; (RECORDS_AT.min(size)) as usize];
        file.read_exact_at(&mut block, 0).map_err(failed)?;
        let header = SegmentHeader::decode(&block)
            .map_err(|error| error.context(format!("open {}", path.display())))?
            .filter(|header| header.serial == serial);
        Ok(Found { path, file: Arc::new(file), size, header })
    };
    numbered(directory, "segment")?.into_iter().map(open).collect()
}

/// Checks that the segments in `directory` belong to this group and site.
pub(super) fn check_identity(directory: &Path, group: &GroupName, site: &SiteName) -> Result<()> {
    for found in find_all(directory, Medium::Written)? {
        if let Some(header) = &found.header
            && (header.group != group.as_str() || header.site != site.as_str())
        {
            return Err(Error::refused(format!(
                "open {}: it belongs to group {} at site {}, not to group {group} at site {site}; \
                 configure its own names, or another directory",
                found.path.display(),
                header.group,
                header.site
            )));
        }
    }
    Ok(())
}
