//! Consecutive records in memory: the rules of a journal without its disk.

use std::collections::VecDeque;
use trefoil_core::model::{Position, UpdateNumber};
use trefoil_core::port::Recovery;
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind, Result};

/// The records of a journal, its base and its limit.
#[derive(Clone, Debug)]
pub(crate) struct RecordLog {
    base: Position,
    records: VecDeque<Record>,
    bytes: u64,
    bytes_max: u64,
}

impl RecordLog {
    /// An empty log that holds up to `bytes_max` bytes of encoded records.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { base: Position::START, records: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// The point right before the oldest record.
    pub(crate) fn base(&self) -> Position {
        self.base
    }

    /// The newest record's position, or the base.
    pub(crate) fn newest(&self) -> Position {
        self.records.back().map_or(self.base, Record::position)
    }

    /// What a recovery of it finds.
    pub(crate) fn recovery(&self, cut: Option<String>) -> Recovery {
        Recovery { base: self.base, newest: self.newest(), cut, suspect: false }
    }

    /// Bytes in use, of how many.
    pub(crate) fn usage(&self) -> (u64, u64) {
        (self.bytes, self.bytes_max)
    }

    /// All records, oldest first.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// Checks that `records` follow and fit; nothing is changed.
    pub(crate) fn check(&self, records: &[Record]) -> Result<()> {
        let bytes = check_consecutive(&self.newest(), records)?;
        if self.bytes + bytes > self.bytes_max {
            return Err(Error::new(
                ErrorKind::Full,
                format!(
                    "append {} records of {bytes} bytes: {} of {} bytes are in use",
                    records.len(),
                    self.bytes,
                    self.bytes_max
                ),
            ));
        }
        Ok(())
    }

    /// Appends what [`RecordLog::check`] let pass.
    pub(crate) fn push(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            self.bytes += record.encoded_bytes() as u64;
            self.records.push_back(record);
        }
    }

    /// Records from `from` on, about `bytes_max` bytes, at least one.
    pub(crate) fn read(&self, from: UpdateNumber, bytes_max: usize) -> Result<Vec<Record>> {
        check_held(from, &self.base, &self.newest())?;
        let skip = usize::try_from(from.since(self.base.number.next())).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut out = Vec::new();
        for record in self.records.iter().skip(skip) {
            bytes += record.encoded_bytes();
            if !out.is_empty() && bytes > bytes_max {
                break;
            }
            out.push(record.clone());
        }
        Ok(out)
    }

    /// Lets go of records up to and including `up_to`; returns the new base.
    pub(crate) fn trim(&mut self, up_to: UpdateNumber) -> Position {
        while self.records.front().is_some_and(|record| record.number() <= up_to) {
            if let Some(record) = self.records.pop_front() {
                self.bytes -= record.encoded_bytes() as u64;
                self.base = record.position();
            }
        }
        self.base
    }

    /// Drops the records after `newest`.
    pub(crate) fn cut_after(&mut self, newest: UpdateNumber) {
        while self.records.back().is_some_and(|record| record.number() > newest) {
            if let Some(record) = self.records.pop_back() {
                self.bytes -= record.encoded_bytes() as u64;
            }
        }
    }

    /// The records after `number`.
    pub(crate) fn after(&self, number: UpdateNumber) -> Vec<Record> {
        self.records.iter().filter(|record| record.number() > number).cloned().collect()
    }

    /// Begins anew right after `base`.
    pub(crate) fn reset(&mut self, base: Position) {
        *self = Self { base, ..Self::new(self.bytes_max) };
    }
}

/// Checks that `records` follow `newest` one after the other, and returns their length in bytes.
///
/// # Errors
/// [`ErrorKind::Invalid`], naming the first that does not follow.
pub(crate) fn check_consecutive(newest: &Position, records: &[Record]) -> Result<u64> {
    let (mut last, mut bytes) = (*newest, 0);
    for record in records {
        record.check_follows(&last).map_err(|source| {
            Error::with_source(
                ErrorKind::Invalid,
                format!("append record {} after {last}", record.number()),
                source,
            )
        })?;
        last = record.position();
        bytes += record.encoded_bytes() as u64;
    }
    Ok(bytes)
}

/// Checks that the record `from` lies between `base` and `newest`.
///
/// # Errors
/// [`ErrorKind::Invalid`], naming what is held.
pub(crate) fn check_held(from: UpdateNumber, base: &Position, newest: &Position) -> Result<()> {
    if from > base.number && from <= newest.number {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "read record {from}: the journal holds the records after {} up to {}",
        base.number, newest.number
    )))
}

/// Checks that a journal from `base` to `newest` can end after `after`.
///
/// # Errors
/// [`ErrorKind::Invalid`], naming what is held.
pub(crate) fn check_cut(after: UpdateNumber, base: &Position, newest: &Position) -> Result<()> {
    if after >= base.number && after <= newest.number {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "truncate journal after {after}: it holds the records after {} up to {}",
        base.number, newest.number
    )))
}
