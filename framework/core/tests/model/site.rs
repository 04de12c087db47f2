//! One site of the small world: what its disks hold, and what only its process knows.

use crate::history;
use crate::world::{BLOCK, BLOCKS, site};
use std::collections::{BTreeMap, VecDeque};
use trefoil_core::engine::copy::CopyFollower;
use trefoil_core::engine::follower::{FollowerEngine, Step};
use trefoil_core::engine::judge::Plan;
use trefoil_core::engine::reign::{Completed, LegReport, Own, Refusal, Reign};
use trefoil_core::engine::retention::Retention;
use trefoil_core::engine::shipper::ShipperEngine;
use trefoil_core::engine::volume::VolumeEngine;
use trefoil_core::model::{
    Changed, Extent, Generation, Lineage, Marks, Position, SiteName, SiteState, UpdateNumber,
    VolumeId,
};
use trefoil_core::record::Record;
use trefoil_core::wire::{CopyBlock, Follow, Progress};

/// The content of each block: the id of the write that made it, 0 before the first.
pub type Blocks = [u64; BLOCKS];

/// What outlives the process.
#[derive(Clone)]
pub struct Disk {
    /// As it was saved last.
    pub state: SiteState,
    /// The point right before the oldest record.
    pub base: Position,
    /// The journal; what lies behind `durable` is in the page cache.
    pub records: VecDeque<Record>,
    pub durable: UpdateNumber,
    /// The volume with its page cache.
    pub volume: Blocks,
    /// The volume as it was synced last.
    pub stored: Blocks,
    /// It lost power since it ran last.
    pub rebooted: bool,
    /// How many incarnations it had.
    pub incarnations: u64,
}

impl Disk {
    pub fn newest(&self) -> Position {
        self.records.back().map_or(self.base, Record::position)
    }

    /// The position at `number`, if the journal can tell.
    pub fn position_at(&self, number: UpdateNumber) -> Option<Position> {
        if number == self.base.number {
            return Some(self.base);
        }
        self.record(number).map(Record::position)
    }

    pub fn record(&self, number: UpdateNumber) -> Option<&Record> {
        let index = number.value().checked_sub(self.base.number.value() + 1)?;
        self.records.get(index as usize)
    }

    /// Lets every record after `number` go.
    pub fn cut_after(&mut self, number: UpdateNumber) {
        while self.records.back().is_some_and(|record| record.number() > number) {
            self.records.pop_back();
        }
        self.durable = self.durable.min(number);
    }

    /// Lets every record up to `number` go.
    pub fn trim(&mut self, number: UpdateNumber) {
        while self.records.front().is_some_and(|record| record.number() <= number) {
            if let Some(record) = self.records.pop_front() {
                self.base = record.position();
            }
        }
    }

    /// What the records after `after` up to `up_to` changed.
    pub fn changed(&self, after: UpdateNumber, up_to: UpdateNumber) -> Changed {
        let within = |record: &&Record| record.number() > after && record.number() <= up_to;
        let records = self.records.iter().filter(within);
        Changed::Extents(records.filter_map(Record::extent).collect())
    }
}

/// One leg at its source.
#[derive(Clone)]
pub struct Leg {
    pub follow: Follow,
    pub engine: Option<ShipperEngine>,
    pub last: Option<Progress>,
    /// What the follower must hold durably to be included in the charter.
    pub mark: Option<UpdateNumber>,
    pub reported: Option<LegReport>,
}

impl Leg {
    pub fn may_include(&self) -> bool {
        let durable = self.last.as_ref().map(|progress| progress.marks.durable);
        self.mark.is_some_and(|mark| durable >= Some(mark))
    }

    /// What the reign is told of this leg.
    pub fn report(&self) -> LegReport {
        let marks = self.last.as_ref().map_or(self.follow.marks, |progress| progress.marks);
        let owed = self.follow.debt.as_ref().map_or(0, |debt| debt.missing.bytes().max(1));
        let planned = self.engine.as_ref().is_some_and(|engine| engine.plan().leaves_debt());
        LegReport {
            connected: true,
            incarnation: self.follow.incarnation,
            marks,
            debt_bytes: match &self.last {
                Some(progress) => progress.debt_bytes,
                None => owed.max(u64::from(planned)),
            },
            may_include: self.may_include(),
            must_leave: false,
        }
    }
}

/// A plan that is being executed, one durable step after the other.
#[derive(Clone, Debug)]
pub struct Resync {
    pub source: SiteName,
    pub plan: Plan,
    pub lineage: Lineage,
    pub step: Step,
    /// Intent and debt are durable: there is no way back.
    pub owed: bool,
    /// The journal ends at its new end.
    pub cut: bool,
}

/// Whom the reign wants to be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub source: SiteName,
    pub generation: Generation,
    pub roll_forward: bool,
}

/// What a host waits for.
#[derive(Clone, Copy, Debug)]
pub enum Waiter {
    Write(u64),
    Flush,
}

/// What only the process knows.
#[derive(Clone)]
pub struct Run {
    /// Saved with the next save.
    pub state: SiteState,
    pub reign: Reign,
    pub retention: Retention,
    pub restored: UpdateNumber,
    pub copies: Option<CopyFollower>,
    /// Copies that wait for their place in the stream.
    pub copied: VecDeque<(UpdateNumber, CopyBlock)>,
    pub volume: Option<VolumeEngine<Waiter>>,
    pub serving: bool,
    pub paused: bool,
    pub mark: Option<UpdateNumber>,
    pub legs: BTreeMap<SiteName, Leg>,
    pub reports: BTreeMap<SiteName, LegReport>,
    pub told: Option<Told>,
    pub session: Option<FollowerEngine>,
    pub streaming: bool,
    pub last_sent: Option<Progress>,
    pub discards_tail: bool,
    pub resync: Option<Resync>,
    /// The plan of the last session that was refused.
    pub refused: Option<Plan>,
    pub completed: Option<Completed>,
    pub refusal: Option<Refusal>,
}

/// A site.
#[derive(Clone)]
pub struct Site {
    pub index: usize,
    pub disk: Disk,
    pub run: Option<Run>,
}

impl Site {
    pub fn name(&self) -> SiteName {
        site(self.index)
    }

    pub fn marks(&self) -> Marks {
        let disk = &self.disk;
        let run = self.run.as_ref();
        Marks {
            received: disk.newest().number,
            durable: disk.durable,
            restored: run.map_or(disk.state.checkpoint, |run| run.restored),
            checkpointed: run.map_or(disk.state.checkpoint, |run| run.state.checkpoint),
        }
    }

    /// Its state: in memory where it runs, on disk where it does not.
    pub fn state(&self) -> &SiteState {
        self.run.as_ref().map_or(&self.disk.state, |run| &run.state)
    }

    pub fn debt_bytes(&self) -> u64 {
        self.state().debt.as_ref().map_or(0, |debt| debt.missing.bytes().max(1))
    }

    pub fn blank(&self) -> bool {
        let state = self.state();
        let new = state.debt.is_none() && state.lineage.last().is_none();
        self.disk.newest() == Position::START && new
    }

    pub fn own(&self, now: u64) -> Own {
        let (state, newest) = (self.state(), self.disk.newest());
        Own {
            now,
            // Told apart by site; a site never stands twice with one count, for it promised it.
            random: self.index as u64 + 1,
            newest,
            lineage: state.lineage.clone(),
            marks: self.marks(),
            base: self.disk.base.number,
            debt_bytes: self.debt_bytes(),
            image: None,
            blank: self.blank(),
            handover: state.handover(newest.number),
        }
    }

    /// Saves the state as it is in memory.
    pub fn save(&mut self) {
        if let Some(run) = &self.run {
            self.disk.state = run.state.clone();
        }
    }

    /// Makes the journal durable.
    pub fn sync(&mut self) {
        self.disk.durable = self.disk.newest().number;
    }

    /// The content of a block as of the newest update: from what is not restored yet, or from
    /// the volume.
    pub fn read(&self, block: usize) -> u64 {
        let restored = self.marks().restored;
        let newer = self.disk.records.iter().rev().take_while(|record| record.number() > restored);
        let mut writes = newer.filter(|record| touches(record, block));
        writes.next().map_or(self.disk.volume[block], |record| id_of(record.payload()))
    }

    /// Whether its history, from the first update to the newest, has that write.
    pub fn holds(&self, id: u64) -> bool {
        history::writes(self.disk.newest()).any(|entry| entry.id == id)
    }
}

/// The extent of a block.
pub fn extent_of(block: usize) -> Extent {
    Extent { volume: VolumeId(0), offset: block as u64 * BLOCK, length: BLOCK }
}

/// The blocks of an extent.
pub fn blocks_of(extent: Extent) -> std::ops::Range<usize> {
    (extent.offset / BLOCK) as usize..(extent.end() / BLOCK) as usize
}

/// Whether a record writes to a block.
pub fn touches(record: &Record, block: usize) -> bool {
    record.extent().is_some_and(|extent| blocks_of(extent).contains(&block))
}

/// The id of the write that made these bytes.
pub fn id_of(bytes: &[u8]) -> u64 {
    let mut id = [0; BLOCK as usize];
    id[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
    u64::from_le_bytes(id)
}
