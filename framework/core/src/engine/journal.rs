//! When records are appended and when they are made durable: group commit.

use crate::model::{Position, UpdateNumber};
use crate::record::Record;
use crate::{Error, Result};
use std::collections::VecDeque;

/// The most bytes of one append. What gathers meanwhile is the next one.
const APPEND_BYTES_MAX: usize = 4 << 20;

/// Nobody waits for what is appended, but it is restored only once it is durable: until then it
/// takes memory, and the more that is, the slower all become that share its caches. So this many
/// bytes are a reason for a sync as well.
const UNSYNCED_BYTES_MAX: u64 = 4 << 20;

/// Unless the disk is slow: after a sync that nobody waited for it is left alone for so many times
/// as long as that took.
const REST_AFTER_SYNC: u64 = 9;

/// How often the journal is synced, when nobody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncPolicy {
    /// Sync after every append.
    pub always: bool,
    /// Else at the latest this long after the last sync, in microseconds; and sooner when 4 MiB
    /// gathered, where syncs take the disk a tenth of the time at most.
    pub interval_us: u64,
}

/// The journal's order of work: one append and one sync at a time, each taking all that gathered.
#[derive(Debug)]
pub struct JournalEngine {
    policy: SyncPolicy,
    submitted: Position,
    waiting: VecDeque<Record>,
    waiting_bytes: u64,
    appending: Option<Position>,
    received: Position,
    /// How many of the waiting bytes are being appended.
    appending_bytes: u64,
    /// The most that is appended at once: less after an append found no room.
    append_bytes_max: usize,
    durable: UpdateNumber,
    /// Up to where a sync is under way, and since when.
    syncing: Option<(UpdateNumber, u64)>,
    /// Somebody waits until this is durable.
    wanted: UpdateNumber,
    /// Appended since the last sync began, in bytes.
    unsynced_bytes: u64,
    /// When the last sync ended, and how long it took, in microseconds.
    synced_at: u64,
    sync_took_us: u64,
}

impl JournalEngine {
    /// A journal that holds, durably, everything up to `newest`.
    pub fn new(policy: SyncPolicy, newest: Position, now: u64) -> Self {
        Self {
            policy,
            submitted: newest,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            appending: None,
            appending_bytes: 0,
            append_bytes_max: APPEND_BYTES_MAX,
            received: newest,
            durable: newest.number,
            syncing: None,
            wanted: UpdateNumber::ZERO,
            unsynced_bytes: 0,
            synced_at: now,
            sync_took_us: 0,
        }
    }

    /// Takes records that follow the newest one submitted.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if they do not (rule `no_gap`).
    pub fn submit(&mut self, records: &[Record]) -> Result<()> {
        for record in records {
            if record.number() != self.submitted.number.next() {
                return Err(Error::invalid(format!(
                    "submit record {}: the newest is {} (rule no_gap)",
                    record.number(),
                    self.submitted.number
                )));
            }
            self.waiting_bytes += record.encoded_bytes() as u64;
            self.waiting.push_back(record.clone());
            self.submitted = record.position();
        }
        Ok(())
    }

    /// The newest position submitted, appended or not.
    pub fn submitted(&self) -> Position {
        self.submitted
    }

    /// The newest position appended.
    pub fn received(&self) -> Position {
        self.received
    }

    /// The newest number durable.
    pub fn durable(&self) -> UpdateNumber {
        self.durable
    }

    /// Bytes that wait to be appended or are being appended: they have no room yet.
    pub fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    /// What to append now; then call [`JournalEngine::appended`].
    pub fn next_append(&mut self) -> Option<Vec<Record>> {
        if self.appending.is_some() || self.waiting.is_empty() {
            return None;
        }
        let mut bytes = 0;
        let mut batch = Vec::new();
        while let Some(record) = self.waiting.front() {
            let cost = record.encoded_bytes();
            if !batch.is_empty() && bytes + cost > self.append_bytes_max {
                break;
            }
            bytes += cost;
            if let Some(record) = self.waiting.pop_front() {
                self.appending = Some(record.position());
                batch.push(record);
            }
        }
        self.appending_bytes = bytes as u64;
        Some(batch)
    }

    /// The append is done.
    pub fn appended(&mut self) {
        if let Some(position) = self.appending.take() {
            self.received = position;
            self.unsynced_bytes += self.appending_bytes;
            self.waiting_bytes = self.waiting_bytes.saturating_sub(self.appending_bytes);
            self.append_bytes_max = APPEND_BYTES_MAX;
        }
    }

    /// The append found no room; it is tried again, by halves: what fits lets the rest go on.
    pub fn append_again(&mut self, batch: Vec<Record>) {
        self.append_bytes_max = usize::try_from(self.appending_bytes / 2).unwrap_or(usize::MAX);
        self.appending = None;
        for record in batch.into_iter().rev() {
            self.waiting.push_front(record);
        }
    }

    /// Somebody waits until `number` is durable.
    pub fn want(&mut self, number: UpdateNumber) {
        self.wanted = self.wanted.max(number);
    }

    /// Whether to begin a sync now; if so, call [`JournalEngine::synced`] when it is done.
    pub fn next_sync(&mut self, now: u64) -> bool {
        if self.syncing.is_some() || self.received.number <= self.durable {
            return false;
        }
        if !self.policy.always && self.wanted <= self.durable && !self.sync_is_due(now) {
            return false;
        }
        self.syncing = Some((self.received.number, now));
        self.unsynced_bytes = 0;
        true
    }

    /// Whether to sync although nobody waits.
    fn sync_is_due(&self, now: u64) -> bool {
        let passed = now.saturating_sub(self.synced_at);
        let rested = passed >= self.sync_took_us.saturating_mul(REST_AFTER_SYNC);
        passed >= self.policy.interval_us || (self.unsynced_bytes >= UNSYNCED_BYTES_MAX && rested)
    }

    /// The sync is done.
    pub fn synced(&mut self, now: u64) {
        if let Some((number, began_at)) = self.syncing.take() {
            self.durable = self.durable.max(number);
            self.synced_at = now;
            self.sync_took_us = now.saturating_sub(began_at);
        }
    }

    /// Whether nothing is under way or waits: everything submitted is appended and durable.
    pub fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
            && self.appending.is_none()
            && self.syncing.is_none()
            && self.durable == self.received.number
    }

    /// Drops what was submitted and not appended: nobody was told that it is here. Not while an
    /// append is under way; returns the end of the history.
    pub fn forget_waiting(&mut self) -> Position {
        if self.appending.is_none() {
            self.waiting.clear();
            self.waiting_bytes = 0;
            self.submitted = self.received;
            self.append_bytes_max = APPEND_BYTES_MAX;
        }
        self.received
    }

    /// Begins anew after `base`, when the journal was reset there. Call it only when quiet.
    pub fn reset(&mut self, base: Position) {
        self.submitted = base;
        self.received = base;
        self.durable = base.number;
        self.wanted = UpdateNumber::ZERO;
        self.unsynced_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Extent, VolumeId};

    const POLICY: SyncPolicy = SyncPolicy { always: false, interval_us: 1000 };

    fn records(after: Position, count: usize) -> Vec<Record> {
        let extent = Extent { volume: VolumeId(0), offset: 0, length: 512 };
        let mut last = after;
        let next = |_| {
            let record = Record::zero(&last, 0, extent);
            last = record.position();
            record
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn what_gathers_during_an_append_is_the_next_one() {
        let mut journal = JournalEngine::new(POLICY, Position::START, 0);
        journal.submit(&records(Position::START, 2)).unwrap();
        assert_eq!(journal.next_append().unwrap().len(), 2);
        journal.submit(&records(journal.submitted(), 3)).unwrap();
        assert!(journal.next_append().is_none(), "one append at a time");
        journal.appended();
        assert_eq!(journal.received().number.value(), 2);
        assert_eq!(journal.next_append().unwrap().len(), 3);
    }

    #[test]
    fn a_sync_covers_what_was_appended_before_it_began() {
        let mut journal = JournalEngine::new(POLICY, Position::START, 0);
        journal.submit(&records(Position::START, 1)).unwrap();
        let _ = journal.next_append();
        assert!(!journal.next_sync(5000), "nothing is appended yet");
        journal.appended();
        assert!(!journal.next_sync(500), "nobody waits, the interval is not over");
        journal.want(UpdateNumber::new(1));
        assert!(journal.next_sync(500));
        journal.submit(&records(journal.submitted(), 1)).unwrap();
        let _ = journal.next_append();
        journal.appended();
        journal.synced(600);
        assert_eq!(journal.durable().value(), 1, "the second one came too late for that sync");
        assert!(!journal.is_quiet());
        assert!(journal.next_sync(5000));
    }

    /// Appends `count` records of 1 MiB.
    fn append(journal: &mut JournalEngine, count: usize) {
        for _ in 0..count {
            let (after, data) = (journal.submitted(), vec![7; 1 << 20].into());
            let record = Record::write(&after, 0, VolumeId(0), 0, data).unwrap();
            journal.submit(&[record]).unwrap();
            while journal.next_append().is_some() {
                journal.appended();
            }
        }
    }

    #[test]
    fn much_that_is_not_durable_is_synced_before_the_interval_is_over() {
        let policy = SyncPolicy { always: false, interval_us: 100_000 };
        let mut journal = JournalEngine::new(policy, Position::START, 0);
        append(&mut journal, 3);
        assert!(!journal.next_sync(10), "it is not that much");
        append(&mut journal, 1);
        assert!(journal.next_sync(10));
        append(&mut journal, 3);
        journal.synced(110);
        assert!(!journal.next_sync(50_000), "what that sync was about does not count");
        append(&mut journal, 1);
        assert!(journal.next_sync(50_000));
    }

    #[test]
    fn a_slow_disk_is_not_kept_busy_by_syncs_that_nobody_waits_for() {
        let policy = SyncPolicy { always: false, interval_us: 100_000 };
        let mut journal = JournalEngine::new(policy, Position::START, 0);
        append(&mut journal, 5);
        assert!(journal.next_sync(0));
        journal.synced(5_000);
        append(&mut journal, 5);
        assert!(!journal.next_sync(49_999), "a tenth of the time");
        assert!(journal.next_sync(50_000));
        journal.synced(90_000);
        append(&mut journal, 5);
        assert!(!journal.next_sync(189_999));
        assert!(journal.next_sync(190_000), "the interval holds however slow it is");
    }

    #[test]
    fn a_gap_is_refused() {
        let mut journal = JournalEngine::new(POLICY, Position::START, 0);
        let two = records(Position::START, 2);
        assert!(journal.submit(&two[1..]).is_err());
    }

    #[test]
    fn what_found_no_room_may_be_forgotten_and_the_same_number_comes_again() {
        let mut journal = JournalEngine::new(POLICY, Position::START, 0);
        journal.submit(&records(Position::START, 1)).unwrap();
        let _ = journal.next_append();
        journal.appended();
        journal.submit(&records(journal.submitted(), 3)).unwrap();
        let batch = journal.next_append().unwrap();
        assert_eq!(journal.forget_waiting().number.value(), 1);
        assert_eq!(journal.submitted().number.value(), 4, "it may still be appended");
        journal.append_again(batch);
        let end = journal.forget_waiting();
        assert_eq!((end.number.value(), journal.waiting_bytes()), (1, 0));
        assert_eq!(journal.submitted(), end);
        assert!(journal.next_sync(5000));
        journal.synced(5000);
        assert!(journal.is_quiet(), "nothing waits any more");
        journal.submit(&records(end, 2)).unwrap();
        assert_eq!(journal.next_append().unwrap().len(), 2);
    }

    #[test]
    fn an_append_without_room_is_tried_again_by_halves_and_in_order() {
        let mut journal = JournalEngine::new(POLICY, Position::START, 0);
        journal.submit(&records(Position::START, 4)).unwrap();
        let waiting = journal.waiting_bytes();
        let batch = journal.next_append().unwrap();
        assert_eq!(journal.waiting_bytes(), waiting, "it has no room yet");
        journal.append_again(batch);
        let numbers = |journal: &mut JournalEngine| -> Vec<u64> {
            let batch = journal.next_append().unwrap();
            journal.appended();
            batch.iter().map(|record| record.number().value()).collect()
        };
        assert_eq!(numbers(&mut journal), [1, 2]);
        assert_eq!(numbers(&mut journal), [3, 4], "what fits lets the rest go on whole");
        assert_eq!(journal.waiting_bytes(), 0);
    }
}
