//! What is still to be copied: at the source, which range comes next; at the follower, what its
//! debt has left.
//!
//! A copied range travels in the stream, between records, with two numbers: `low`, the source's
//! newest update when the read began, and `high`, its newest when the read ended. The bytes show
//! all updates up to `low` and perhaps some up to `high`. So the source sends no record beyond
//! `low` before the copy, the follower drops a copy whose `low` it has passed (else the copy would
//! undo what came after), and the debt stays open until the follower's journal reaches `high`
//! (until then the volume is ahead of its journal).
//!
//! Where the follower may hold the same already, a range travels as its hashes first, with the same
//! two numbers and at the same place in the stream. The follower compares when all that came before
//! it is in the block store, and nothing that came after: the very moment at which a copy would be
//! written. What is equal then is paid, since writing the copy would have changed nothing, and
//! takes the same way into the account, `high` included; what differs stays missing, and is copied.

use crate::model::{Debt, Extent, ExtentSet, Position, SiteName, UpdateNumber, VolumeId};
use std::collections::VecDeque;

/// The longest range that is copied at once, in bytes. It fits into a frame with room to spare.
pub const COPY_CHUNK_BYTES_MAX: u64 = 1 << 20;

/// What a source still has to send to one follower in debt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySource {
    left: ExtentSet,
    /// Whether what is left is compared first.
    compare: bool,
    /// What the follower was told hashes of, and did not say it differs.
    asked: ExtentSet,
    /// What differs, and is to be copied.
    differing: ExtentSet,
}

impl CopySource {
    /// A source that has to send `missing`.
    pub fn new(missing: ExtentSet) -> Self {
        let (asked, differing) = (ExtentSet::new(), ExtentSet::new());
        Self { left: missing, compare: false, asked, differing }
    }

    /// A source that has to send whatever differs of `missing`.
    pub fn comparing(missing: ExtentSet) -> Self {
        Self { compare: true, ..Self::new(missing) }
    }

    /// Whether the hashes of [`CopySource::next_run`] are to be sent, and not its content. What
    /// differs goes first, so that little of it gathers.
    pub fn compares(&self) -> bool {
        self.compare && self.differing.is_empty()
    }

    /// The next range to read and send, at most [`COPY_CHUNK_BYTES_MAX`] long; it counts as sent
    /// from here. `None` when nothing is left.
    pub fn next_chunk(&mut self) -> Option<Extent> {
        let run = self.next_run()?;
        let chunk = Extent { length: run.length.min(COPY_CHUNK_BYTES_MAX), ..run };
        self.take(chunk);
        Some(chunk)
    }

    /// The first range that is left, however long it is. If the source knows that a beginning of
    /// it reads as zeroes, it sends that as one zero copy of any length and calls
    /// [`CopySource::take`].
    pub fn next_run(&self) -> Option<Extent> {
        let first = |set: &ExtentSet| set.first_from(VolumeId(0), 0);
        first(&self.differing).or_else(|| first(&self.left))
    }

    /// Counts `extent` as sent.
    pub fn take(&mut self, extent: Extent) {
        self.left.remove(extent);
        self.differing.remove(extent);
    }

    /// Counts the hashes of `extent` as sent.
    pub fn ask(&mut self, extent: Extent) {
        self.left.remove(extent);
        self.asked.insert(extent);
    }

    /// The follower says that `extent` differs: it is copied next. False, and nothing is changed,
    /// if it was not told its hashes.
    pub fn differs(&mut self, extent: Extent) -> bool {
        let told = extent.length > 0 && self.asked.contains(extent);
        if told {
            self.asked.remove(extent);
            self.differing.insert(extent);
        }
        told
    }

    /// Puts `extent` back: the read failed, or a record overtook it.
    pub fn again(&mut self, extent: Extent) {
        self.left.insert(extent);
    }

    /// Whether everything was sent.
    pub fn is_done(&self) -> bool {
        self.left.is_empty() && self.differing.is_empty()
    }

    /// How many bytes are left to be sent.
    pub fn bytes_left(&self) -> u64 {
        self.left.bytes() + self.differing.bytes()
    }
}

/// The debt of a follower while it is being paid.
///
/// A range goes through: *missing* → arrived (waits in the restorer, at its place in the stream) →
/// applied → durable with a checkpoint. Only then does it leave `missing`, in the same save of the
/// state that raises `until`, so that whatever happens in between it is copied once more (H17,
/// H21).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFollower {
    debt: Debt,
    /// In the restorer, in order, with the `high` of each.
    arrived: VecDeque<(Extent, Position)>,
    /// In the block stores, in no checkpoint yet.
    applied: Paid,
    /// In the checkpoint that is under way.
    syncing: Paid,
    /// All of the three above.
    on_the_way: ExtentSet,
}

/// Ranges that are as good as paid, and the highest `high` among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Paid {
    extents: ExtentSet,
    until: Position,
}

impl Paid {
    fn add(&mut self, extent: Extent, high: Position) {
        self.extents.insert(extent);
        self.until = later(self.until, high);
    }
}

/// The later of two points of one history.
fn later(a: Position, b: Position) -> Position {
    if b.rank() > a.rank() { b } else { a }
}

impl CopyFollower {
    /// The follower that owes `debt`, which is durable already (in its state), while nothing of
    /// it waits in the restorer.
    pub fn new(debt: Debt) -> Self {
        Self {
            debt,
            arrived: VecDeque::new(),
            applied: Paid::default(),
            syncing: Paid::default(),
            on_the_way: ExtentSet::new(),
        }
    }

    /// Judges a copy that came, with `received` the follower's newest update. True: push it to the
    /// restorer now. False: drop it; what it covers stays missing.
    ///
    /// It is dropped when a newer record than `low` came before it (it would undo that), when it
    /// is not wholly missing, and when a copy of any of it is on its way already: a second one
    /// could be applied after the debt has ended on the first.
    pub fn arrived(
        &mut self,
        extent: Extent,
        low: UpdateNumber,
        high: Position,
        received: UpdateNumber,
    ) -> bool {
        let fits = received <= low
            && low <= high.number
            && extent.length > 0
            && self.debt.missing.contains(extent)
            && !self.on_the_way.overlaps(extent);
        if fits {
            self.on_the_way.insert(extent);
            self.arrived.push_back((extent, high));
        }
        fits
    }

    /// Notes that a batch of the restorer brought these copies (its `copied`, in order) to the
    /// block stores.
    pub fn applied(&mut self, copied: &[Extent]) {
        for extent in copied {
            if self.arrived.front().is_some_and(|(first, _)| first == extent)
                && let Some((extent, high)) = self.arrived.pop_front()
            {
                self.applied.add(extent, high);
            }
        }
    }

    /// Notes that the hashes of `extent`, which arrived, were compared with what the block stores
    /// hold at its place in the stream, and only `differing` of it was not the same. That stays
    /// missing, and may arrive again.
    pub fn compared(&mut self, extent: Extent, differing: &[Extent]) {
        if self.arrived.front().is_none_or(|(first, _)| *first != extent) {
            return;
        }
        let Some((_, high)) = self.arrived.pop_front() else { return };
        let mut equal = ExtentSet::from_iter([extent]);
        for differs in differing {
            equal.remove(*differs);
            self.on_the_way.remove(*differs);
        }
        for part in equal.iter() {
            self.applied.add(part, high);
        }
    }

    /// Whether all that is missing is here, and waits in the restorer: then the highest number as
    /// of which any of it was read.
    pub fn all_arrived(&self) -> Option<UpdateNumber> {
        let whole = self.debt.missing.bytes() == self.on_the_way.bytes();
        whole.then(|| self.arrived.iter().map(|(_, high)| high.number).max().unwrap_or_default())
    }

    /// From here on the volumes are no image of before the debt any more: what arrived may be
    /// applied. The state says so already, durably.
    pub fn in_place(&mut self) {
        self.debt.image = None;
    }

    /// Begins a checkpoint, together with the restorer's: what is applied up to here is in it.
    /// Returns the debt to save in the state once the block stores are synced.
    pub fn checkpoint_begin(&mut self) -> Debt {
        let applied = std::mem::take(&mut self.applied);
        for extent in applied.extents.iter() {
            self.syncing.extents.insert(extent);
        }
        self.syncing.until = later(self.syncing.until, applied.until);
        let mut debt = self.debt.clone();
        for extent in self.syncing.extents.iter() {
            debt.missing.remove(extent);
        }
        debt.until = later(debt.until, self.syncing.until);
        debt
    }

    /// Notes that the checkpoint that was begun last, and the debt it returned, are durable.
    pub fn checkpointed(&mut self) {
        let paid = std::mem::take(&mut self.syncing);
        for extent in paid.extents.iter() {
            self.debt.missing.remove(extent);
            self.on_the_way.remove(extent);
        }
        self.debt.until = later(self.debt.until, paid.until);
    }

    /// The debt as it is durable: what a `Follow` carries.
    pub fn debt(&self) -> &Debt {
        &self.debt
    }

    /// The debt's source from now on, for the next save: another site goes on with the copy.
    pub fn source_is(&mut self, source: SiteName) {
        self.debt.source = source;
    }

    /// How many bytes are not durable yet.
    pub fn bytes_left(&self) -> u64 {
        self.debt.missing.bytes()
    }

    /// Whether the debt has ended, with everything up to `number` here (rule `debt_until_tag`):
    /// then save the state without it, and drop this. `number` is what is restored where images of
    /// that are taken; what is durable in the journal is enough to lead by.
    pub fn ended(&self, number: UpdateNumber) -> bool {
        self.debt.missing.is_empty() && number >= self.debt.until.number
    }
}
