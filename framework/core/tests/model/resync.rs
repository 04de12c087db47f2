//! Executing a plan that leaves a site in debt: each step is durable before the next (rule R11).

use crate::holes::Off;
use crate::site::Resync;
use crate::world::{World, spec};
use trefoil_core::engine::copy::CopyFollower;
use trefoil_core::engine::follower::Step;
use trefoil_core::engine::shipper::everything;
use trefoil_core::model::{
    Chain, Changed, Debt, ExtentSet, Intent, PlanDebt, PlanKind, Position, UpdateNumber,
};

fn sizes() -> Vec<u64> {
    spec().iter().map(|volume| volume.size).collect()
}

impl World {
    /// The next durable step of a plan that is being executed.
    pub fn step_resync(&mut self, at: usize) {
        let Some(resync) = self.run(at).and_then(|run| run.resync.clone()) else { return };
        let first_cut = self.setup.off == Off::TruncateBeforeIntent;
        match (resync.owed, resync.cut) {
            (false, false) if first_cut && resync.step == Step::Rewind => {
                // H14: the records go before it is noted what they changed.
                let changed = self.tail_changes(at, &resync);
                self.cut_journal(at, resync.plan.drop_to);
                self.keep(at, Resync { owed: true, ..resync }, changed);
            }
            (false, _) => self.owe(at, resync),
            (true, false) => {
                self.cut_as_intended(at);
                if let Some(resync) = self.run_mut(at).and_then(|run| run.resync.as_mut()) {
                    resync.cut = true;
                }
            }
            (true, true) => self.complete(at),
        }
    }

    /// H14: between the cut and the debt.
    fn keep(&mut self, at: usize, resync: Resync, changed: Changed) {
        let base = self.sites[at].disk.newest();
        let Some(run) = self.run_mut(at) else { return };
        run.state.lineage = run.state.lineage.up_to(base.number);
        run.state.durable_mark = base.number;
        run.state.checkpoint = run.state.checkpoint.min(base.number);
        self.sites[at].save();
        let Some(run) = self.run_mut(at) else { return };
        run.restored = run.restored.min(base.number);
        run.resync = Some(resync);
        let Changed::Extents(owed) = changed else { return };
        self.note_debt(at, &owed, None, PlanKind::Rewind);
    }

    /// Nothing interrupts it any more.
    pub fn finish_resync(&mut self, at: usize) {
        let Some(resync) = self.run(at).and_then(|run| run.resync.as_ref()) else { return };
        if !resync.owed {
            // Called off before anything was changed.
            if let Some(run) = self.run_mut(at) {
                run.resync = None;
            }
            return self.drop_session(at);
        }
        while self.run(at).is_some_and(|run| run.resync.is_some()) {
            self.step_resync(at);
        }
    }

    fn planned_extents(resync: &Resync) -> ExtentSet {
        match &resync.plan.debt {
            PlanDebt::Nothing => ExtentSet::new(),
            PlanDebt::Extents(extents) => extents.clone(),
            PlanDebt::Everything => everything(&sizes()),
        }
    }

    /// The first step: all of the own records are in the volume, what is to be fetched and where
    /// the journal will end is durable.
    fn owe(&mut self, at: usize, resync: Resync) {
        let all = resync.plan.debt == PlanDebt::Everything;
        let skips = self.setup.off == Off::ResetUnrestored && resync.step == Step::OweAndReset;
        let restores = match resync.step {
            Step::Rewind => true,
            Step::OweAndReset => !all && !skips,
            _ => false,
        };
        if restores {
            self.sites[at].sync();
            self.restore(at);
        }
        let theirs = resync.plan.base;
        let own = self.sites[at].disk.position_at(resync.plan.drop_to);
        let rewinds = resync.step == Step::Rewind;
        if rewinds && own.is_some_and(|own| theirs.chain != Chain::START && own != theirs) {
            let how = format!("{own:?} and {theirs:?} are one number");
            return self.broke("same_number_same_update", how);
        }
        let here = &mut self.sites[at];
        here.disk.stored = here.disk.volume;
        let intent = match resync.step {
            Step::Rewind => self.owe_tail(at, &resync, own),
            Step::OweAndReset => Some(self.owe_reset(at, &resync, all)),
            _ => {
                self.note_debt(at, &Self::planned_extents(&resync), None, resync.plan.kind.clone());
                None
            }
        };
        if let Some(run) = self.run_mut(at) {
            run.state.intent = intent;
            run.resync = Some(Resync { owed: true, ..resync });
        }
        self.sites[at].save();
    }

    fn owe_tail(&mut self, at: usize, resync: &Resync, own: Option<Position>) -> Option<Intent> {
        let newest = self.sites[at].disk.newest();
        let mut owed = Self::planned_extents(resync);
        match self.tail_changes(at, resync) {
            Changed::Extents(extents) => owed.add_all(&extents),
            Changed::Everything => owed.add_all(&everything(&sizes())),
        }
        self.note_debt(at, &owed, Some(newest), PlanKind::Rewind);
        let lineage = &self.run(at)?.state.lineage;
        let intent = match own {
            Some(base) => Intent { base, lineage: lineage.up_to(base.number), keep: true },
            None => Intent { base: resync.plan.base, lineage: resync.lineage.clone(), keep: false },
        };
        let changed = (!intent.keep).then(|| {
            let mut all = self.own_changes(at, resync);
            all.add(&Changed::Extents(owed));
            all
        });
        self.prepare_reset(at, resync.plan.fork, intent.base, changed);
        Some(intent)
    }

    fn owe_reset(&mut self, at: usize, resync: &Resync, all: bool) -> Intent {
        let newest = self.sites[at].disk.newest();
        let tail = (resync.plan.drop_to < newest.number).then_some(newest);
        let mut changed = self.own_changes(at, resync);
        let planned = Self::planned_extents(resync);
        changed.add(&if all { Changed::Everything } else { Changed::Extents(planned.clone()) });
        if self.setup.off == Off::ResetWithoutMaps {
            changed = Changed::NOTHING;
        }
        self.note_debt(at, &planned, tail, resync.plan.kind.clone());
        let base = resync.plan.base;
        self.prepare_reset(at, resync.plan.fork, base, Some(changed));
        Intent { base, lineage: resync.lineage.clone(), keep: false }
    }

    /// What the own records behind the fork changed.
    fn tail_changes(&self, at: usize, resync: &Resync) -> Changed {
        let (disk, state) = (&self.sites[at].disk, self.sites[at].state());
        let (base, newest) = (disk.base.number, disk.newest().number);
        let fork = resync.plan.drop_to;
        let end = match self.setup.off {
            Off::CheckpointAsBound => state.checkpoint.min(newest),
            _ => newest,
        };
        let mut changed = disk.changed(fork.max(base), end);
        if base > fork && self.setup.off != Off::OwnMapsForgotten {
            let exact = |changed: &Changed| matches!(changed, Changed::Extents(_));
            let maps = state.maps.values().filter(|map| map.from <= fork && exact(&map.changed));
            match maps.max_by_key(|map| map.from) {
                Some(map) => changed.add(&map.changed),
                None => changed = Changed::Everything,
            }
        }
        changed
    }

    /// What all of the own records changed, for the maps of sites that lack some of them.
    fn own_changes(&self, at: usize, resync: &Resync) -> Changed {
        let (disk, state) = (&self.sites[at].disk, self.sites[at].state());
        let end = disk.newest().number.min(resync.plan.fork);
        let everybody = state.floors.values().all(|floor| floor.number >= end);
        if everybody || resync.plan.debt == PlanDebt::Everything {
            return Changed::NOTHING;
        }
        disk.changed(disk.base.number, end)
    }

    fn note_debt(&mut self, at: usize, more: &ExtentSet, tail: Option<Position>, kind: PlanKind) {
        let Some(run) = self.run_mut(at) else { return };
        let Some(resync) = &run.resync else { return };
        let source = resync.source.clone();
        let old = run.state.debt.clone();
        let old = old.unwrap_or_else(|| Debt::of(source.clone(), ExtentSet::new()));
        let mut debt = Debt { source, ..old };
        if kind != PlanKind::Rewind {
            debt.missing = ExtentSet::new();
        }
        debt = debt.and(more);
        debt.rewound = [debt.rewound, tail].into_iter().flatten().max_by_key(Position::rank);
        run.state.debt = Some(debt);
    }

    /// The journal is cut, or begun anew.
    fn cut_as_intended(&mut self, at: usize) {
        let Some(intent) = self.run(at).and_then(|run| run.state.intent.clone()) else { return };
        if intent.keep {
            self.cut_journal(at, intent.base.number);
        } else {
            let disk = &mut self.sites[at].disk;
            disk.records.clear();
            (disk.base, disk.durable) = (intent.base, intent.base.number);
        }
        let Some(run) = self.run_mut(at) else { return };
        run.restored = run.restored.min(intent.base.number);
        run.state.checkpoint = run.state.checkpoint.min(intent.base.number);
    }

    fn cut_journal(&mut self, at: usize, after: UpdateNumber) {
        self.sites[at].disk.cut_after(after);
    }

    /// The last step: the change is noted as done, and the stream begins or the source is asked
    /// anew.
    fn complete(&mut self, at: usize) {
        let Some(run) = self.run_mut(at) else { return };
        let Some(resync) = run.resync.take() else { return };
        let base = run.state.intent.as_ref().map(|intent| intent.base.number);
        run.state.complete_intent();
        if let Some(base) = base {
            run.restored = base;
        }
        run.copied.clear();
        run.copies = run.state.debt.clone().map(CopyFollower::new);
        run.discards_tail = false;
        self.sites[at].save();
        if resync.step == Step::Rewind {
            self.drop_session(at);
            self.ask(at);
        } else if let Some(run) = self.run_mut(at) {
            run.streaming = run.session.is_some();
        }
    }
}
