//! The newest records, kept in memory so that legs which keep up need not read the journal.

use crate::model::{Position, UpdateNumber};
use crate::record::Record;
use std::collections::VecDeque;

/// The newest records of a journal, consecutive, within a budget of bytes.
#[derive(Debug)]
pub struct Tail {
    records: VecDeque<Record>,
    /// The point right before the first record that is kept.
    before: Position,
    bytes: u64,
    bytes_max: u64,
}

impl Tail {
    /// Nothing kept yet, after `before`; at most about `bytes_max` encoded bytes are.
    pub fn new(before: Position, bytes_max: u64) -> Self {
        Self { records: VecDeque::new(), before, bytes: 0, bytes_max }
    }

    /// Adds a record that follows the last; lets the oldest go where the budget is exceeded.
    pub fn push(&mut self, record: Record) {
        self.bytes += record.encoded_bytes() as u64;
        self.records.push_back(record);
        while self.bytes > self.bytes_max && self.records.len() > 1 {
            if let Some(oldest) = self.records.pop_front() {
                self.bytes -= oldest.encoded_bytes() as u64;
                self.before = oldest.position();
            }
        }
    }

    /// Forgets everything; the next record follows `before`.
    pub fn reset(&mut self, before: Position) {
        self.records.clear();
        self.bytes = 0;
        self.before = before;
    }

    /// Bytes kept.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The newest position.
    pub fn newest(&self) -> Position {
        self.records.back().map_or(self.before, Record::position)
    }

    fn index(&self, number: UpdateNumber) -> Option<usize> {
        let first = self.before.number.next();
        if number < first {
            return None;
        }
        usize::try_from(number.since(first)).ok()
    }

    /// The record with that number, if it is kept.
    pub fn record(&self, number: UpdateNumber) -> Option<&Record> {
        self.records.get(self.index(number)?)
    }

    /// The position at that number, if it can tell.
    pub fn position(&self, number: UpdateNumber) -> Option<Position> {
        if number == self.before.number {
            return Some(self.before);
        }
        self.record(number).map(Record::position)
    }

    /// Records in `[from, up_to]`, within the limits but at least one; `None` if `from` is not
    /// kept any more.
    pub fn read(
        &self,
        from: UpdateNumber,
        up_to: UpdateNumber,
        bytes_max: usize,
        count_max: usize,
    ) -> Option<Vec<Record>> {
        let start = self.index(from)?;
        let mut bytes = 0;
        let mut taken = Vec::new();
        for record in self.records.range(start.min(self.records.len())..) {
            let full = bytes + record.encoded_bytes() > bytes_max || taken.len() >= count_max;
            if record.number() > up_to || (full && !taken.is_empty()) {
                break;
            }
            bytes += record.encoded_bytes();
            taken.push(record.clone());
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Extent, VolumeId};

    fn tail_of(count: u64, bytes_max: u64) -> Tail {
        let mut tail = Tail::new(Position::START, bytes_max);
        let extent = Extent { volume: VolumeId(0), offset: 0, length: 512 };
        for _ in 0..count {
            tail.push(Record::zero(&tail.newest(), 0, extent));
        }
        tail
    }

    #[test]
    fn a_batch_ends_at_its_limits() {
        let tail = tail_of(10, u64::MAX);
        let n = UpdateNumber::new;
        let numbers = |records: Vec<Record>| -> Vec<u64> {
            records.iter().map(|record| record.number().value()).collect()
        };
        assert_eq!(numbers(tail.read(n(3), n(5), 1 << 20, 100).unwrap()), [3, 4, 5]);
        assert_eq!(numbers(tail.read(n(3), n(9), 1, 100).unwrap()), [3], "at least one");
        assert_eq!(numbers(tail.read(n(1), n(9), 1 << 20, 2).unwrap()), [1, 2]);
        assert!(tail.read(n(11), n(20), 1 << 20, 2).unwrap().is_empty());
    }

    #[test]
    fn over_budget_the_oldest_go_and_are_not_answered_for() {
        let tail = tail_of(10, 300);
        assert!(tail.bytes() <= 300);
        assert!(tail.read(UpdateNumber::new(1), UpdateNumber::new(10), 1 << 20, 10).is_none());
        let oldest = tail.newest().number.value() - tail.bytes() / 96;
        assert!(tail.position(UpdateNumber::new(oldest)).is_some(), "the point before the first");
        assert!(tail.position(UpdateNumber::new(oldest - 1)).is_none());
    }
}
