//! What a journal holds when it is opened: scanned segment by segment, never all at once.

use super::damaged;
use super::log::Log;
use super::medium::SegmentFile;
use super::segment::{Found, Segment, find_all};
use super::spares::Spare;
use crate::file::layout::{Boot, RECORDS_AT, STAMPS_AT, Stamp};
use crate::file::store::write_zeroes;
use crate::file::sync_directory;
use bytes::{Bytes, BytesMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use trefoil_core::model::{Position, UpdateNumber};
use trefoil_core::port::Recovery;
use trefoil_core::record::{Record, scan};
use trefoil_core::{Error, ErrorKind, Result};

/// What earlier processes knew to be durable.
pub(super) struct Known {
    durable: UpdateNumber,
    /// The kernel has not been started since: a killed process can tear only its last append, and
    /// everything else that does not read is damage.
    same_boot: bool,
}

/// Where the good records end before the end of the files.
pub(super) struct Stop {
    /// The first number that is not there.
    pub(super) number: UpdateNumber,
    /// What was found in its place, and where.
    why: String,
    /// Whether good records lie behind it.
    more_behind: bool,
}

/// Scans the journal, cuts a torn tail durably, syncs what it keeps.
pub(super) fn recover(log: &mut Log) -> Result<Recovery> {
    opened(log, cut)
}

/// As [`recover`], where that found damage with good records behind it: what lies before it is
/// kept, the rest set aside first.
pub(super) fn salvage(log: &mut Log) -> Result<Recovery> {
    opened(log, damaged::cut)
}

/// Cuts what lies behind a stop; says what was cut.
type Cut = fn(&Log, Stop, &[Found], &Known) -> Result<String>;

fn opened(log: &mut Log, cut: Cut) -> Result<Recovery> {
    log.segments.clear();
    scan_all(log, cut).inspect_err(|_| {
        // Nothing may be read from, or appended to, what is not whole.
        log.segments.clear();
    })
}

fn scan_all(log: &mut Log, cut: Cut) -> Result<Recovery> {
    let found = current(log)?;
    if found.is_empty() {
        create(log)?;
        let (base, newest) = (log.base(), log.newest());
        return Ok(Recovery { base, newest, cut: None, suspect: false });
    }
    let known = known(&found, log.syncer.boot());
    let mut stop = None;
    let mut found = found.into_iter();
    let (mut left_over, mut buffer) = (Vec::new(), BytesMut::new());
    for next in found.by_ref() {
        stop = take_segment(log, next, &mut left_over, &mut buffer)?;
        if stop.is_some() {
            break;
        }
    }
    left_over.extend(found);
    let cut = match stop {
        None => None,
        Some(stop) => Some(cut(log, stop, &left_over, &known)?),
    };
    keep(log, &known)?;
    Ok(Recovery { base: log.base(), newest: log.newest(), cut, suspect: false })
}

/// The segments of the newest reset, by serial number; older ones are deleted.
fn current(log: &Log) -> Result<Vec<Found>> {
    let found = find_all(&log.directory, log.medium)?;
    let resets = found.iter().filter_map(|found| found.header.as_ref()).map(|h| h.reset_count);
    let newest = resets.max().unwrap_or(0);
    // Before the first segment of the newest reset everything is old, readable or not.
    let is_current = |found: &Found| found.header.as_ref().is_some_and(|h| h.reset_count == newest);
    let first = found.iter().position(is_current).unwrap_or(0);
    let mut current = found;
    let old: Vec<Found> = current.drain(..first).collect();
    for found in &old {
        std::fs::remove_file(&found.path).map_err(|source| {
            Error::io(format!("remove dropped segment {}", found.path.display()), source)
        })?;
    }
    if !old.is_empty() {
        sync_directory(&log.directory)?;
    }
    Ok(current)
}

/// Makes the first segment of a new journal, durably.
fn create(log: &mut Log) -> Result<()> {
    let path = log.directory.join("spare.first");
    let failed = |source| Error::io(format!("create journal {}", path.display()), source);
    let file = SegmentFile::open(&path, log.medium).map_err(failed)?;
    file.set_len(log.segment_bytes)
        .and_then(|()| write_zeroes(&file, 0, log.segment_bytes))
        .and_then(|()| file.sync_all())
        .and_then(|()| file.make_ready())
        .map_err(failed)?;
    let spare =
        Spare { file: Arc::new(file), path: path.clone(), size: log.segment_bytes, zeroed: true };
    let segment = log.name_first(spare, (0, 1), Position::START)?;
    log.syncer.begin(&segment.file, UpdateNumber::ZERO)?;
    log.segments.push_back(segment);
    Ok(())
}

fn known(found: &[Found], boot: Boot) -> Known {
    let mut known = Known { durable: UpdateNumber::ZERO, same_boot: false };
    // A stamp counts even where its segment's header is lost: before a file is used again its first
    // blocks are zeroed, so it is none of another history.
    for found in found {
        for at in STAMPS_AT {
            let mut bytes = [0; 128];
            // What cannot be read is not known.
            let read = found.file.read_exact_at(&mut bytes, at);
            if let Some(stamp) = read.ok().and_then(|()| Stamp::decode(&bytes)) {
                known.durable = known.durable.max(stamp.durable);
                known.same_boot |= stamp.boot == boot && boot != [0; 40];
            }
        }
    }
    known
}

/// Scans one more segment; says why the good records end in it, if they do. `buffer` is kept from
/// one to the next: fresh memory of a segment's size costs more than reading into it.
fn take_segment(
    log: &mut Log,
    found: Found,
    rest: &mut Vec<Found>,
    buffer: &mut BytesMut,
) -> Result<Option<Stop>> {
    let newest = log.segments.back().map(|segment| segment.newest);
    let stop = |why: String| Stop {
        number: newest.map_or(UpdateNumber::ZERO, |newest| newest.number.next()),
        why,
        more_behind: false,
    };
    let path = found.path.display().to_string();
    let Some(header) = found.header.clone() else {
        if newest.is_none() {
            return Err(Error::corrupt(format!(
                "recover journal: the header of its first segment {path} is damaged; move the \
                 journal's directory away, and let the site join as a new one"
            )));
        }
        rest.push(found);
        return Ok(Some(stop(format!("{path} has no whole header"))));
    };
    if newest.is_some_and(|newest| newest != header.base) {
        let why = format!("{path} begins after record {}", header.base.number);
        rest.push(found);
        return Ok(Some(stop(why)));
    }
    let bytes = read_records(&found, std::mem::take(buffer))?;
    let scan = scan(&bytes, &header.base);
    let mut segment = Segment::empty(found.file, found.path, header, found.size);
    scan.records.iter().for_each(|record| segment.note(record));
    let stopped = scan.stopped.map(|error| Stop {
        number: segment.newest.number.next(),
        why: format!("{error}, at byte {} of {path}", segment.used),
        more_behind: scan.more_behind,
    });
    log.segments.push_back(segment);
    drop(scan.records);
    *buffer = bytes.try_into_mut().unwrap_or_default();
    Ok(stopped)
}

fn read_records(found: &Found, mut bytes: BytesMut) -> Result<Bytes> {
    let length = found.size.saturating_sub(RECORDS_AT);
    bytes.resize(length as usize, 0);
    found
        .file
        .read_exact_at(&mut bytes, RECORDS_AT)
        .map_err(|source| Error::io(format!("scan {}", found.path.display()), source))?;
    Ok(bytes.freeze())
}

/// Cuts what lies behind a stop, if it can be a torn tail; says what was cut.
fn cut(log: &Log, stop: Stop, behind: &[Found], known: &Known) -> Result<String> {
    let more_behind = stop.more_behind || behind.iter().any(holds_a_record);
    if more_behind && (known.same_boot || stop.number <= known.durable) {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "recover journal: record {} is damaged, and good ones follow: {}; nothing was \
                 changed; fetch it from another site, or reset the journal",
                stop.number, stop.why
            ),
        ));
    }
    drop_behind(log, &stop, behind)
}

/// Drops whatever lies behind a stop, durably; says what it was.
pub(super) fn drop_behind(log: &Log, stop: &Stop, behind: &[Found]) -> Result<String> {
    // From the end, so that a crash in between leaves a shorter tail, not a gap.
    for found in behind.iter().rev() {
        std::fs::remove_file(&found.path).map_err(|source| {
            Error::io(format!("remove torn segment {}", found.path.display()), source)
        })?;
        sync_directory(&log.directory)?;
    }
    if let Some(last) = log.segments.back() {
        write_zeroes(&last.file, last.used, last.size - last.used)
            .and_then(|()| last.file.sync_data())
            .map_err(|source| Error::io(format!("cut {}", last.path.display()), source))?;
    }
    Ok(format!("records from {} on were cut: {}", stop.number, stop.why))
}

/// Whether a segment begins with a good record.
fn holds_a_record(found: &Found) -> bool {
    // What cannot be read is not good.
    read_records(found, BytesMut::new()).is_ok_and(|bytes| Record::decode(&bytes).is_ok())
}

/// Makes durable what is kept, and notes that.
fn keep(log: &mut Log, known: &Known) -> Result<()> {
    for segment in log.segments.iter().filter(|s| s.newest.number > known.durable) {
        let failed = |source| {
            let doing = format!("sync {}", segment.path.display());
            Error::with_source(ErrorKind::Io, doing, source)
        };
        if known.same_boot {
            // A sync of the process before may have failed: then the kernel holds these bytes as
            // clean, and would not write them. Written again they are dirty again.
            refresh(segment, known.durable.next()).map_err(failed)?;
        }
        segment.file.sync_all().map_err(failed)?;
    }
    sync_directory(&log.directory)?;
    match log.segments.back() {
        Some(active) => {
            active.file.make_ready().map_err(|source| {
                Error::io(format!("make ready {}", active.path.display()), source)
            })?;
            log.syncer.begin(&active.file, active.newest.number)
        }
        None => Ok(()),
    }
}

/// Writes the records from `from` on over themselves.
fn refresh(segment: &Segment, from: UpdateNumber) -> std::io::Result<()> {
    let mut header = vec![0; RECORDS_AT as usize];
    segment.file.read_exact_at(&mut header, 0)?;
    segment.file.write_all_at(&header, 0)?;
    let mut at = segment.offset_of(from);
    let mut buffer = vec![0; 1 << 20];
    while at < segment.used {
        let take = (segment.used - at).min(buffer.len() as u64) as usize;
        let part = buffer.get_mut(..take).unwrap_or_default();
        segment.file.read_exact_at(part, at)?;
        segment.file.write_all_at(part, at)?;
        at += take as u64;
    }
    Ok(())
}
