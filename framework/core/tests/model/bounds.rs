//! How far a search goes, and what can happen next within that.

use crate::step::Action;
use crate::world::{ENDS, SITES, World, link, others};

/// How much may happen in one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    pub writes: u8,
    pub flushes: u8,
    /// Processes that die, power that is lost, links that are cut.
    pub faults: u8,
    /// Operators' verbs.
    pub verbs: u8,
    /// Trims of a full journal.
    pub trims: u8,
    /// Messages that are lost, or arrive twice.
    pub mishaps: u8,
    /// Times that every timer is due.
    pub passes: u8,
    /// Whether messages arrive one by one, rather than all at once.
    pub one_by_one: bool,
    /// Whether the small steps of disks are steps of their own.
    pub disks: bool,
}

impl Bounds {
    /// What is left after an action.
    pub fn after(mut self, action: Action) -> Self {
        let counter = match action {
            Action::Write { .. } => &mut self.writes,
            Action::Flush(_) => &mut self.flushes,
            Action::Crash(_) | Action::PowerLoss { .. } | Action::Destroy(_) => &mut self.faults,
            Action::Cut(..) => &mut self.faults,
            Action::TakeOver { .. } | Action::Swap(_) | Action::Rejoin(_) => &mut self.verbs,
            Action::Trim(_) => &mut self.trims,
            Action::Lose { .. } | Action::Twice { .. } => &mut self.mishaps,
            Action::Pass => &mut self.passes,
            _ => return self,
        };
        *counter = counter.saturating_sub(1);
        self
    }
}

impl World {
    /// Everything that can happen next.
    pub fn possible(&self, left: &Bounds) -> Vec<Action> {
        let mut all = Vec::new();
        let waiting = self.waiting();
        for &(from, to, lane) in waiting.iter().filter(|_| left.one_by_one) {
            all.push(Action::Deliver { from, to, lane });
            if left.mishaps > 0 {
                all.extend([Action::Lose { from, to, lane }, Action::Twice { from, to, lane }]);
            }
        }
        let resyncs = (0..SITES).any(|at| self.run(at).is_some_and(|run| run.resync.is_some()));
        if !left.one_by_one && (!waiting.is_empty() || resyncs) {
            all.push(Action::Settle);
        }
        if left.passes > 0 {
            all.push(Action::Pass);
        }
        for at in 0..SITES {
            self.possible_at(at, left, &mut all);
        }
        for (one, other) in ENDS {
            if self.cut[link(one, other)] {
                all.push(Action::Heal(one, other));
            } else if left.faults > 0 {
                all.push(Action::Cut(one, other));
            }
        }
        all
    }

    fn possible_at(&self, at: usize, left: &Bounds, all: &mut Vec<Action>) {
        let here = &self.sites[at];
        let Some(run) = &here.run else { return all.push(Action::Start(at)) };
        if left.faults > 0 {
            all.push(Action::Crash(at));
            self.power_losses(at, all);
        }
        if run.resync.is_some() {
            all.push(Action::Resync(at));
        }
        if run.serving && !run.paused && left.writes > 0 {
            all.extend((0..2).map(|block| Action::Write { site: at, block }));
        }
        if run.serving && left.flushes > 0 {
            all.push(Action::Flush(at));
        }
        let marks = here.marks();
        // The stores are still, and trims held, from the first durable step of a resync on.
        let settled = run.resync.as_ref().is_some_and(|resync| resync.owed);
        if left.disks {
            if marks.durable < marks.received {
                all.push(Action::Sync(at));
            }
            if !settled && (marks.restored < marks.durable || !run.copied.is_empty()) {
                all.push(Action::Restore(at));
            }
            if left.one_by_one {
                all.push(Action::Beat(at));
            }
            if run.told.is_some() && run.session.is_none() && run.resync.is_none() {
                all.push(Action::Ask(at));
            }
        }
        if !settled && marks.checkpointed < marks.received && left.trims > 0 {
            all.push(Action::Checkpoint(at));
        }
        if !settled && left.trims > 0 && here.disk.base.number < marks.checkpointed {
            all.push(Action::Trim(at));
        }
        if left.verbs > 0 {
            self.verbs(at, all);
        }
    }

    /// What a power loss may leave: only where that makes a difference.
    fn power_losses(&self, at: usize, all: &mut Vec<Action>) {
        let disk = &self.sites[at].disk;
        let tails = disk.durable < disk.newest().number;
        let pages = disk.volume != disk.stored;
        for tail in [false, true].into_iter().filter(|tail| !*tail || tails) {
            for pages in [false, true].into_iter().filter(|kept| !*kept || pages) {
                all.push(Action::PowerLoss { site: at, tail, pages });
            }
        }
    }

    fn verbs(&self, at: usize, all: &mut Vec<Action>) {
        let Some(run) = &self.sites[at].run else { return };
        if run.reign.leads().is_some() {
            return;
        }
        // The operator says that the primary is fenced only where that is true.
        let fenced = self.fenced(at) && others(at).any(|other| self.linked(at, other));
        for consent in [false, true] {
            // With both words a site may lead alone. Then no other may lead before it is linked to
            // this one, which faults do not keep to.
            let fenced = fenced && !consent;
            all.push(Action::TakeOver { site: at, consent, fenced });
        }
        if run.streaming && others(at).any(|other| self.answers(other)) {
            all.push(Action::Swap(at));
        }
        if run.refused.is_some() && !run.discards_tail {
            all.push(Action::Rejoin(at));
        }
    }
}
