//! Reading records back from a run of bytes, and where the good ones end.

use super::header::{HEADER_BYTES, Record};
use crate::model::Position;
use crate::Error;
use bytes::Bytes;

/// What a run of bytes holds.
#[derive(Debug)]
pub struct Scan {
    /// The consecutive, unharmed records from the beginning.
    pub records: Vec<Record>,
    /// How many bytes they take.
    pub good_bytes: usize,
    /// Why the scan stopped; `None` at the end of the bytes or at zeroes (never written).
    pub stopped: Option<Error>,
    /// Whether an unharmed record with a higher number lies behind the place where the scan
    /// stopped: then this is damage in the middle, not a torn tail.
    pub more_behind: bool,
}

/// Reads consecutive records from the beginning of `bytes`; the first must follow `before`.
///
/// The torn-tail rule: what follows the first bad record is not part of the history, unless a good
/// record with a higher number follows. That is damage, and [`Scan::more_behind`] says so.
pub fn scan(bytes: &Bytes, before: &Position) -> Scan {
    let mut records: Vec<Record> = Vec::new();
    let mut good_bytes = 0;
    let mut last = *before;
    let stopped = loop {
        let rest = bytes.slice(good_bytes..);
        if rest.is_empty() || rest.iter().take(HEADER_BYTES).all(|byte| *byte == 0) {
            break None;
        }
        match Record::decode(&rest) {
            Ok((record, taken)) => {
                if let Err(error) = record.check_follows(&last) {
                    break Some(error);
                }
                last = record.position();
                good_bytes += taken;
                records.push(record);
            }
            Err(error) => break Some(error),
        }
    };
    let more_behind = stopped.is_some() && later_record(bytes, good_bytes, &last);
    Scan { records, good_bytes, stopped, more_behind }
}

/// Whether a whole record that could belong to the same history lies behind `from`.
fn later_record(bytes: &Bytes, from: usize, last: &Position) -> bool {
    let mut at = from + 1;
    while let Some(found) = find_magic(bytes, at) {
        if let Ok((record, _)) = Record::decode(&bytes.slice(found..)) {
            // Segments are recycled only after being zeroed, so an older record cannot lie here.
            if record.number() > last.number && record.generation() >= last.generation {
                return true;
            }
        }
        at = found + 1;
    }
    false
}

/// The next place at or after `from` where a record's magic stands.
fn find_magic(bytes: &Bytes, from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(4).position(|window| window == b"TRF1").map(|at| from + at)
}
