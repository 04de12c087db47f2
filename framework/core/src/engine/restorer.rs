//! Which durable updates go to the block store next, and when that is made durable.

use super::batch::BatchMaker;
pub use super::batch::{Batch, CopiedBlock};
use crate::model::UpdateNumber;
use crate::port::Content;
use crate::record::{HEADER_BYTES, Record, RecordKind};
use crate::wire::CompareBlock;
use crate::{Error, Result};
use std::collections::VecDeque;

/// How much is compared in one go, in bytes: whoever waits for the stores to be still waits for it.
const COMPARE_BYTES_MAX: u64 = 16 << 20;

/// Limits of a [`RestorerEngine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestorerLimits {
    /// The most updates of one batch. Larger batches coalesce and sort more, and hold up longer
    /// whoever waits for the stores to be still.
    pub batch_updates_max: u64,
    /// The most bytes (encoded records and copied blocks) of one batch; one entry always fits.
    pub batch_bytes_max: u64,
    /// A checkpoint is due after so many bytes of content were taken into batches since the
    /// last one.
    pub checkpoint_bytes: u64,
}

impl Default for RestorerLimits {
    fn default() -> Self {
        Self { batch_updates_max: 65536, batch_bytes_max: 256 << 20, checkpoint_bytes: 64 << 20 }
    }
}

/// Decides which durable updates are applied next: in order, in batches, one batch at a time.
///
/// Rules `write_ahead` (nothing that is not durable in the journal), `no_gap` (consecutive) and
/// the restorer's part of `watermark_order` are kept here. It holds records, not copies of them;
/// what waits is bounded by whoever pushes, see [`RestorerEngine::pending_bytes`].
#[derive(Debug)]
pub struct RestorerEngine {
    limits: RestorerLimits,
    waiting: VecDeque<Waiting>,
    waiting_bytes: u64,
    /// Of those, the bytes of what is copied or compared.
    copies_bytes: u64,
    waiting_updates: u64,
    /// How much of what waits gains nothing by waiting: copied blocks, which come sorted, and
    /// records of volumes, for which an operator waits.
    urgent: u64,
    /// Since when, on the caller's clock, something waits; `None` when that is not known yet.
    since_ms: Option<u64>,
    received: UpdateNumber,
    durable: UpdateNumber,
    restored: UpdateNumber,
    in_flight: Option<InFlight>,
    holds: u32,
    /// Nothing is applied: the stores are kept as an image until all of a debt is here.
    staged: bool,
    checkpoint: Checkpoint,
}

/// What waits to be applied, in the order of the stream.
#[derive(Debug)]
enum Waiting {
    Record(Record),
    Copied(CopiedBlock),
    Compared(CompareBlock),
}

impl Waiting {
    /// Whether it gains nothing by waiting for others.
    fn is_urgent(&self) -> bool {
        !matches!(self, Self::Record(record) if record.kind() != RecordKind::Volumes)
    }

    fn is_record(&self) -> bool {
        matches!(self, Self::Record(_))
    }

    /// What it counts against the limits, in bytes.
    fn bytes(&self) -> u64 {
        match self {
            Self::Record(record) => record.encoded_bytes() as u64,
            Self::Copied(CopiedBlock { content: Content::Data(data), .. }) => {
                (HEADER_BYTES + data.len()) as u64
            }
            // So much is read for it.
            Self::Compared(block) => HEADER_BYTES as u64 + block.extent.length,
            Self::Copied(_) => HEADER_BYTES as u64,
        }
    }
}

/// A batch that is being made: a large one takes milliseconds, in which whoever makes it can let
/// others have their turn.
#[derive(Debug)]
pub struct Making {
    maker: BatchMaker,
    last: UpdateNumber,
    entries: std::vec::IntoIter<Waiting>,
}

impl Making {
    /// The last update that will be in it.
    pub fn last(&self) -> UpdateNumber {
        self.last
    }

    /// How much of what is to be in it is not taken in yet.
    pub fn left(&self) -> usize {
        self.entries.len()
    }

    /// Takes in the next `count` of what is to be in it; whether anything is left.
    pub fn step(&mut self, count: usize) -> bool {
        for entry in self.entries.by_ref().take(count) {
            match entry {
                Waiting::Record(record) => self.maker.record(&record),
                Waiting::Copied(block) => self.maker.copied(block),
                Waiting::Compared(block) => self.maker.compared(block),
            }
        }
        self.entries.len() > 0
    }

    /// The batch, whole.
    pub fn finish(mut self) -> Batch {
        self.step(usize::MAX);
        self.maker.finish()
    }
}

/// The part of what waits that makes a batch.
#[derive(Default)]
struct Cut {
    count: usize,
    bytes: u64,
    /// Of those, the bytes of what is copied or compared.
    copies: u64,
    /// Bytes of content that the block stores take.
    content: u64,
    updates: u64,
    urgent: u64,
    last: UpdateNumber,
}

/// The batch that is being applied.
#[derive(Debug)]
struct InFlight {
    last: UpdateNumber,
    updates: u64,
    bytes: u64,
}

/// The state of the last and the next checkpoint.
#[derive(Debug)]
struct Checkpoint {
    number: UpdateNumber,
    at_ms: u64,
    /// Bytes of content that were taken into batches since the last one was begun.
    bytes_since: u64,
    /// Whether anything was applied since the last one was begun, be it only copied blocks.
    dirty: bool,
    begun: bool,
}

impl RestorerEngine {
    /// A restorer of a site whose block store holds, durably, everything up to `checkpoint`.
    /// `now_ms` is any clock that does not go back, in milliseconds.
    pub fn new(limits: RestorerLimits, checkpoint: UpdateNumber, now_ms: u64) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            copies_bytes: 0,
            waiting_updates: 0,
            urgent: 0,
            since_ms: None,
            received: checkpoint,
            durable: checkpoint,
            restored: checkpoint,
            in_flight: None,
            holds: 0,
            staged: false,
            checkpoint: Checkpoint {
                number: checkpoint,
                at_ms: now_ms,
                bytes_since: 0,
                dirty: false,
                begun: false,
            },
        }
    }

    /// Takes the next record, in received order.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it does not follow the last one (rule
    /// `no_gap`); nothing is changed.
    pub fn push(&mut self, record: Record) -> Result<()> {
        if record.number() != self.received.next() {
            return Err(Error::invalid(format!(
                "restore record {}: the one before it is {} (rule no_gap)",
                record.number(),
                self.received
            )));
        }
        self.received = record.number();
        self.waiting_updates += 1;
        self.wait(Waiting::Record(record));
        Ok(())
    }

    /// Takes a copied block at its place in the stream: after every record pushed so far, before
    /// every later one.
    pub fn push_copied(&mut self, block: CopiedBlock) {
        self.wait(Waiting::Copied(block));
    }

    /// Takes the hashes of a range at its place in the stream: what came before it is in the block
    /// stores when it is compared, and nothing of what comes later. It makes a batch of its own.
    pub fn push_compared(&mut self, block: CompareBlock) {
        self.wait(Waiting::Compared(block));
    }

    fn wait(&mut self, entry: Waiting) {
        self.waiting_bytes += entry.bytes();
        self.copies_bytes += if entry.is_record() { 0 } else { entry.bytes() };
        self.urgent += u64::from(entry.is_urgent());
        self.waiting.push_back(entry);
    }

    /// Notes that the journal holds everything up to `number` durably. Never goes back.
    pub fn durable(&mut self, number: UpdateNumber) {
        self.durable = self.durable.max(number);
    }

    /// Whether a batch should be begun now: something waits for `linger_ms`, or more than
    /// `bytes_max` bytes do, or something that gains nothing by waiting. What is written again
    /// meanwhile is written once, and the more lie together, the better they sort.
    pub fn batch_due(&mut self, now_ms: u64, linger_ms: u64, bytes_max: u64) -> bool {
        if self.waiting.is_empty() {
            self.since_ms = None;
            return false;
        }
        let since = *self.since_ms.get_or_insert(now_ms);
        self.urgent > 0
            || self.waiting_bytes > bytes_max
            || now_ms.saturating_sub(since) >= linger_ms
    }

    /// The next batch, to be made; `None` while one is in flight, while held, or when nothing that
    /// waits is durable. Apply it whole, then call [`RestorerEngine::applied`]; if that fails the
    /// site must not go on with the group.
    pub fn begin_batch(&mut self) -> Option<Making> {
        if self.in_flight.is_some() || self.holds > 0 || self.staged {
            return None;
        }
        let cut = self.cut();
        if cut.count == 0 {
            return None;
        }
        // Exactly as long as it must be: it is megabytes, and what grows is copied again and again.
        let taken: Vec<Waiting> = self.waiting.drain(..cut.count).collect();
        self.waiting_bytes = self.waiting_bytes.saturating_sub(cut.bytes);
        self.copies_bytes = self.copies_bytes.saturating_sub(cut.copies);
        self.waiting_updates = self.waiting_updates.saturating_sub(cut.updates);
        self.urgent = self.urgent.saturating_sub(cut.urgent);
        // What is left came later than this.
        self.since_ms = None;
        self.in_flight = Some(InFlight { last: cut.last, updates: cut.updates, bytes: cut.bytes });
        self.checkpoint.bytes_since = self.checkpoint.bytes_since.saturating_add(cut.content);
        let maker = BatchMaker::new(self.restored);
        Some(Making { maker, last: cut.last, entries: taken.into_iter() })
    }

    /// How much of what waits is the next batch.
    fn cut(&self) -> Cut {
        let mut cut = Cut { last: self.restored, ..Cut::default() };
        let compares = matches!(self.waiting.front(), Some(Waiting::Compared(_)));
        let bytes_max = if compares { COMPARE_BYTES_MAX } else { self.limits.batch_bytes_max };
        for entry in &self.waiting {
            let cost = entry.bytes();
            let full = cut.count as u64 >= self.limits.batch_updates_max
                || cut.bytes + cost > bytes_max
                || matches!(entry, Waiting::Compared(_)) != compares;
            if cut.count > 0 && full {
                break;
            }
            if matches!(entry, Waiting::Record(record) if record.number() > self.durable) {
                break;
            }
            cut.count += 1;
            cut.bytes += cost;
            cut.copies += if entry.is_record() { 0 } else { cost };
            cut.content += if compares { 0 } else { cost - HEADER_BYTES as u64 };
            cut.urgent += u64::from(entry.is_urgent());
            if let Waiting::Record(record) = entry {
                cut.updates += 1;
                cut.last = record.number();
                // What comes after it is for the volumes that it names.
                if record.kind() == RecordKind::Volumes {
                    break;
                }
            }
        }
        cut
    }

    /// As [`RestorerEngine::begin_batch`], made at once.
    pub fn next_batch(&mut self) -> Option<Batch> {
        self.begin_batch().map(Making::finish)
    }

    /// Notes that the batch in flight, which ends at `last`, is in the block stores; returns what
    /// is restored now. A `last` that is not that batch's changes nothing.
    pub fn applied(&mut self, last: UpdateNumber) -> UpdateNumber {
        if self.in_flight.as_ref().is_some_and(|batch| batch.last == last) {
            self.in_flight = None;
            self.restored = last;
            self.checkpoint.dirty = true;
        }
        self.restored
    }

    /// Stops new batches until as many [`RestorerEngine::release`]; a batch in flight ends first,
    /// see [`RestorerEngine::is_still`].
    pub fn hold(&mut self) {
        self.holds = self.holds.saturating_add(1);
    }

    /// Undoes one [`RestorerEngine::hold`].
    pub fn release(&mut self) {
        self.holds = self.holds.saturating_sub(1);
    }

    /// Keeps the stores as they are, or no more: what comes waits until all of a debt is here.
    pub fn stage(&mut self, staged: bool) {
        self.staged = staged;
    }

    /// Whether the stores are kept as they are until all of a debt is here.
    pub fn is_staged(&self) -> bool {
        self.staged
    }

    /// Whether a batch may be begun: none is in flight, and nobody holds.
    pub fn may_begin(&self) -> bool {
        self.holds == 0 && self.in_flight.is_none() && !self.staged
    }

    /// Whether a batch is in flight.
    pub fn is_applying(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether the block stores do not change: held, and no batch in flight.
    pub fn is_still(&self) -> bool {
        self.holds > 0 && self.in_flight.is_none()
    }

    /// Whether a checkpoint should be begun now: `after_ms` after the last one, or after so many
    /// bytes as the limits say. Never while one is under way, and never when nothing was applied
    /// since the last one.
    pub fn checkpoint_due(&self, now_ms: u64, after_ms: u64) -> bool {
        let checkpoint = &self.checkpoint;
        checkpoint.dirty
            && !checkpoint.begun
            && (checkpoint.bytes_since >= self.limits.checkpoint_bytes
                || now_ms.saturating_sub(checkpoint.at_ms) >= after_ms)
    }

    /// Begins a checkpoint: sync the block stores, save the returned number in the state, then
    /// call [`RestorerEngine::checkpointed`]. What is applied after this call counts for the next
    /// one.
    pub fn checkpoint_begin(&mut self) -> UpdateNumber {
        self.checkpoint.begun = true;
        self.checkpoint.dirty = false;
        self.checkpoint.bytes_since = 0;
        self.restored
    }

    /// Notes that the checkpoint at `number` is durable in the block stores and in the state.
    pub fn checkpointed(&mut self, number: UpdateNumber, now_ms: u64) {
        self.checkpoint.begun = false;
        self.checkpoint.at_ms = now_ms;
        self.checkpoint.number = self.checkpoint.number.max(number.min(self.restored));
    }

    /// Begins anew at `base`, after the journal was reset there: what waits is dropped, and
    /// `base` counts as restored and checkpointed. Holds stay. Call it only when no batch is in
    /// flight.
    pub fn reset(&mut self, base: UpdateNumber, now_ms: u64) {
        let (holds, staged) = (self.holds, self.staged);
        *self = Self { holds, staged, ..Self::new(self.limits, base, now_ms) };
    }

    /// Drops the copied blocks that wait, and keeps the records: the blocks are still missing, and
    /// another source, or another plan, sends them anew. Call it whenever the account of the copy
    /// begins anew, else an old block could be taken for a new one of the same extent.
    pub fn forget_copied(&mut self) {
        self.copies_bytes = 0;
        let (bytes, urgent) = (&mut self.waiting_bytes, &mut self.urgent);
        self.waiting.retain(|entry| {
            let keep = entry.is_record();
            if !keep {
                *bytes = bytes.saturating_sub(entry.bytes());
                *urgent = urgent.saturating_sub(1);
            }
            keep
        });
    }

    /// Drops the records after `number` that wait: the journal never took them. What is copied
    /// stays, for it is owed until the records that it belongs to are here.
    pub fn forget_after(&mut self, number: UpdateNumber) {
        let (bytes, urgent) = (&mut self.waiting_bytes, &mut self.urgent);
        let updates = &mut self.waiting_updates;
        self.waiting.retain(|entry| {
            let gone = matches!(entry, Waiting::Record(record) if record.number() > number);
            if gone {
                *bytes = bytes.saturating_sub(entry.bytes());
                *urgent = urgent.saturating_sub(u64::from(entry.is_urgent()));
                *updates = updates.saturating_sub(1);
            }
            !gone
        });
        self.received = self.received.min(number);
    }

    /// The records that wait, in order.
    pub fn waiting_records(&self) -> impl Iterator<Item = &Record> {
        self.waiting.iter().filter_map(|entry| match entry {
            Waiting::Record(record) => Some(record),
            _ => None,
        })
    }

    /// Everything up to here is durable in the journal, as far as this restorer was told.
    pub fn told_durable(&self) -> UpdateNumber {
        self.durable
    }

    /// Everything up to here is in the block stores.
    pub fn restored(&self) -> UpdateNumber {
        self.restored
    }

    /// Everything up to here is durable in the block stores.
    pub fn checkpoint(&self) -> UpdateNumber {
        self.checkpoint.number
    }

    /// Bytes that wait or are in flight, headers included.
    pub fn pending_bytes(&self) -> u64 {
        self.waiting_bytes + self.in_flight.as_ref().map_or(0, |batch| batch.bytes)
    }

    /// Bytes of what waits to be copied or compared: what a source may send is less by so many.
    pub fn copies_bytes(&self) -> u64 {
        self.copies_bytes
    }

    /// Updates that wait or are in flight.
    pub fn pending_updates(&self) -> u64 {
        self.waiting_updates + self.in_flight.as_ref().map_or(0, |batch| batch.updates)
    }
}
