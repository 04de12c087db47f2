//! What goes into the volume, what leaves the journal, and what is known of other sites.

use crate::holes::Off;
use crate::site::{blocks_of, id_of};
use crate::world::{World, index, others, site};
use std::collections::BTreeSet;
use trefoil_core::engine::retention::{TrimDecision, TrimInput};
use trefoil_core::model::{Changed, Position, UpdateNumber};
use trefoil_core::port::Content;
use trefoil_core::wire::{CopyBlock, Heartbeat};

impl World {
    /// Brings what is durable into the volume, copies at their place in the stream.
    pub fn restore(&mut self, at: usize) {
        let durable = self.sites[at].disk.durable;
        while let Some(run) = self.run_mut(at) {
            let restored = run.restored;
            if run.copied.front().is_some_and(|(after, _)| *after <= restored) {
                let copy = run.copied.pop_front();
                self.apply_copy(at, copy.map(|(_, block)| block));
                continue;
            }
            if restored >= durable {
                return;
            }
            let next = restored.next();
            let Some(record) = self.sites[at].disk.record(next).cloned() else {
                let base = self.sites[at].disk.base;
                let how = format!("{} restores {next}, its journal begins after {base}", site(at));
                return self.broke("no_gap", how);
            };
            if let Some(extent) = record.extent() {
                let id = id_of(record.payload());
                for block in blocks_of(extent) {
                    self.sites[at].disk.volume[block] = id;
                }
            }
            if let Some(run) = self.run_mut(at) {
                run.restored = next;
            }
        }
    }

    fn apply_copy(&mut self, at: usize, block: Option<CopyBlock>) {
        let Some(CopyBlock { volume, offset, content: Content::Data(data), .. }) = block else {
            return;
        };
        let length = data.len() as u64;
        let extent = trefoil_core::model::Extent { volume, offset, length };
        for (block, bytes) in blocks_of(extent).zip(data.chunks(crate::world::BLOCK as usize)) {
            self.sites[at].disk.volume[block] = id_of(bytes);
        }
        let per_block = self.setup.off == Off::ClearedOnArrival;
        let Some(run) = self.run_mut(at) else { return };
        if let Some(copies) = &mut run.copies {
            copies.applied(&[extent]);
        }
        if per_block && let Some(debt) = &mut run.state.debt {
            // H21: the block is no debt any more as soon as it is here.
            debt.missing.remove(extent);
            if debt.missing.is_empty() {
                (run.state.debt, run.copies) = (None, None);
            }
            let here = &mut self.sites[at];
            here.disk.stored = here.disk.volume;
            here.save();
        }
    }

    /// The volume is synced, then it is saved how far it is, and the debt that is left.
    pub fn checkpoint(&mut self, at: usize) {
        if self.run(at).is_none_or(|run| run.resync.is_some()) {
            return;
        }
        let here = &mut self.sites[at];
        here.disk.stored = here.disk.volume;
        let Some(run) = &mut here.run else { return };
        let debt = run.copies.as_mut().map(|copies| copies.checkpoint_begin());
        run.state.checkpoint = run.state.checkpoint.max(run.restored);
        if run.state.debt.is_some() && debt.is_some() {
            run.state.debt = debt;
        }
        here.save();
        if let Some(copies) = here.run.as_mut().and_then(|run| run.copies.as_mut()) {
            copies.checkpointed();
        }
        self.end_debt(at);
    }

    /// The debt ends as a whole.
    pub fn end_debt(&mut self, at: usize) {
        let durable = self.sites[at].disk.durable;
        let Some(run) = self.run_mut(at) else { return };
        let paid = run.copies.as_ref().is_some_and(|copies| copies.ended(durable));
        if paid && run.resync.is_none() {
            (run.state.debt, run.copies) = (None, None);
            self.sites[at].save();
        }
    }

    /// H12: what was heard once counts, of whichever history it was.
    fn raise_by_number(&mut self, at: usize) {
        let newest = self.sites[at].disk.newest();
        for of in others(at) {
            let number = UpdateNumber::new(self.heard[at][of]).min(newest.number);
            let generation = self.sites[at].state().lineage.generation_at(number);
            let position = Position { generation, number, ..Position::START };
            self.raise_floor(at, of, position, None);
        }
    }

    /// Lets records go: the journal counts as full.
    pub fn trim(&mut self, at: usize) {
        if self.setup.off == Off::FloorsAreBare {
            self.raise_by_number(at);
        }
        let here = &self.sites[at];
        let Some(run) = &here.run else { return };
        if run.resync.is_some() {
            return;
        }
        let charter = run.state.charter.iter().flat_map(|charter| &charter.in_sync);
        let mut members: BTreeSet<_> = charter.map(|member| member.site.clone()).collect();
        members.extend(others(at).filter(|other| self.acking(at, *other)).map(site));
        if self.setup.off == Off::OnlyFollowersKept {
            members.clear();
        }
        let restored = self.setup.off == Off::TrimOnRestored;
        let input = TrimInput {
            checkpoint: if restored { run.restored } else { run.state.checkpoint },
            base: here.disk.base.number,
            used: 100,
            capacity: 100,
            members: &members,
            frozen: run.state.intent.is_some(),
        };
        let TrimDecision::Trim { up_to, passed } = run.retention.trim_decision(&input) else {
            return;
        };
        let base = here.disk.base.number;
        let changed = here.disk.changed(base, up_to);
        let Some(run) = self.run_mut(at) else { return };
        if !passed.is_empty() {
            run.retention.missed(up_to, base, &changed);
        }
        run.retention.trimmed(up_to);
        self.publish(at);
        if !passed.is_empty() {
            self.sites[at].save();
        }
        self.sites[at].disk.trim(up_to);
    }

    /// Floors and maps into the state, to be saved with it.
    fn publish(&mut self, at: usize) {
        let Some(run) = self.run_mut(at) else { return };
        run.state.floors.clone_from(run.retention.floors());
        run.state.maps.clone_from(run.retention.maps());
    }

    /// What was heard of a site's durable position, or where its history parts from this one.
    pub fn raise_floor(
        &mut self,
        at: usize,
        of: usize,
        position: Position,
        fork: Option<UpdateNumber>,
    ) {
        let bare = self.setup.off == Off::FloorsAreBare;
        let (base, newest) = (self.sites[at].disk.base.number, self.sites[at].disk.newest());
        self.heard[at][of] = self.heard[at][of].max(position.number.value());
        let Some(run) = self.run_mut(at) else { return };
        let lineage = &run.state.lineage;
        if let Some(fork) = fork.filter(|_| !bare) {
            run.retention.follow(&site(of), fork, lineage);
        }
        run.retention.raise(&site(of), position, lineage, &newest);
        run.retention.end_maps(base);
        self.publish(at);
    }

    /// The floors go down to where the journal will end, or what changed goes into the maps.
    pub fn prepare_reset(
        &mut self,
        at: usize,
        fork: UpdateNumber,
        base: Position,
        changed: Option<Changed>,
    ) {
        let old_base = self.sites[at].disk.base.number;
        let bare = self.setup.off == Off::FloorsAreBare;
        let Some(run) = self.run_mut(at) else { return };
        let lineage = run.state.lineage.clone();
        match changed {
            Some(changed) => {
                run.retention.reset(fork, (old_base, base.number), &lineage, &changed);
            }
            None if bare => {}
            None => run.retention.clip(&base, &lineage.up_to(fork)),
        }
        self.publish(at);
    }

    /// What a source says of itself and of third sites raises the floors of its follower.
    pub fn floors_came(&mut self, at: usize, from: usize, beat: &Heartbeat) {
        let Some(run) = self.run(at) else { return };
        let source = run.told.as_ref().map(|told| index(&told.source));
        if run.reign.leads().is_some() || source != Some(from) || !run.streaming {
            return;
        }
        let newest = self.sites[at].disk.newest();
        for (of, position) in &beat.floors {
            if index(of) != at {
                self.heard[at][index(of)] = self.heard[at][index(of)].max(position.number.value());
                let beyond = position.number > newest.number;
                let position = if beyond { newest } else { *position };
                self.raise_floor(at, index(of), position, None);
            }
        }
    }
}
