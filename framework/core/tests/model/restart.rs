//! Links that go and come, processes that die and start, machines that lose power.

use crate::holes::Off;
use crate::world::{World, blank_disk, incarnation, link, others, site};
use trefoil_core::engine::reign::Event;
use trefoil_core::model::Position;

impl World {
    /// Both sides notice at once that a link is gone; what was on it is lost.
    pub fn link_down(&mut self, one: usize, other: usize) {
        for (at, from) in [(one, other), (other, one)] {
            self.lanes[at][from].iter_mut().for_each(|lane| lane.clear());
            self.end_leg(at, from, None);
            self.source_ended(at, from, None);
            self.posted.push_back((at, Event::LinkDown(site(from))));
        }
    }

    pub fn link_up(&mut self, one: usize, other: usize) {
        if self.linked(one, other) {
            self.greet(one, other);
            self.greet(other, one);
            self.posted.push_back((one, Event::LinkUp(site(other))));
            self.posted.push_back((other, Event::LinkUp(site(one))));
        }
    }

    pub fn cut(&mut self, one: usize, other: usize) {
        self.link_down(one, other);
        self.cut[link(one, other)] = true;
    }

    pub fn heal(&mut self, one: usize, other: usize) {
        self.cut[link(one, other)] = false;
        self.link_up(one, other);
    }

    /// The process is killed; the page cache stays.
    pub fn crash(&mut self, at: usize) {
        self.sites[at].run = None;
        self.posted.retain(|(site, _)| *site != at);
        for other in others(at) {
            self.link_down(at, other);
        }
    }

    /// Power is lost: with `tail` the unsynced records survive all the same, with `pages` the
    /// unsynced blocks do.
    pub fn power_loss(&mut self, at: usize, tail: bool, pages: bool) {
        self.crash(at);
        let disk = &mut self.sites[at].disk;
        disk.rebooted = true;
        if !tail {
            disk.cut_after(disk.durable);
        }
        if !pages {
            disk.volume = disk.stored;
        }
        self.host.power_lost |= 1 << at;
    }

    /// The media are lost: the site starts empty.
    pub fn destroy(&mut self, at: usize) {
        self.crash(at);
        let before = self.sites[at].disk.incarnations + 1;
        self.sites[at].disk = blank_disk(at, before);
        self.claims[at] = Default::default();
        self.destroyed = true;
    }

    /// Starts from what the disks hold, made whole first.
    pub fn start(&mut self, at: usize) {
        if self.alive(at) {
            return;
        }
        self.open(at);
        if self.broken.is_some() {
            return;
        }
        self.sites[at].run = Some(self.process(at));
        for other in others(at) {
            self.link_up(at, other);
        }
        self.resume_generation(at);
    }

    /// Recovery: a new incarnation where the tail may be gone, an open intent finished, the volume
    /// brought to the end of the journal.
    fn open(&mut self, at: usize) {
        let hidden = self.setup.off == Off::SameIncarnation;
        let disk = &mut self.sites[at].disk;
        let state = &mut disk.state;
        let recovered = disk.records.back().map_or(disk.base, |record| record.position());
        let shorter = state.intent.is_none() && recovered.number < state.durable_mark;
        if (shorter || disk.rebooted) && !hidden {
            disk.incarnations += 1;
            state.incarnation = incarnation(at, disk.incarnations);
        }
        disk.rebooted = false;
        let mut newest = recovered;
        if let Some(intent) = state.intent.clone() {
            if !intent.keep {
                disk.records.clear();
                disk.base = intent.base;
            }
            while disk.records.back().is_some_and(|r| r.number() > intent.base.number) {
                disk.records.pop_back();
            }
            newest = disk.records.back().map_or(disk.base, |record| record.position());
            state.complete_intent();
        }
        state.lineage = state.lineage.up_to(newest.number);
        let by_lineage = state.lineage.generation_at(newest.number);
        disk.durable = newest.number;
        if by_lineage != newest.generation {
            let how = format!("{} ends at {newest}, its state says {by_lineage}", site(at));
            return self.broke("no_gap", how);
        }
        if state.checkpoint < disk.base.number {
            let how = format!(
                "the volume of {} is at {}, its journal begins after {}",
                site(at),
                state.checkpoint,
                disk.base
            );
            return self.broke("no_gap", how);
        }
        self.clip_and_replay(at, newest);
    }

    fn clip_and_replay(&mut self, at: usize, newest: Position) {
        let bare = self.setup.off == Off::FloorsAreBare;
        let state = &mut self.sites[at].disk.state;
        for floor in state.floors.values_mut().filter(|_| !bare) {
            if floor.number > newest.number {
                *floor = newest;
            } else if floor.generation != state.lineage.generation_at(floor.number) {
                *floor = Position::START;
            }
        }
        state.checkpoint = state.checkpoint.min(newest.number);
        self.sites[at].run = Some(self.process(at));
        self.restore(at);
        let here = &mut self.sites[at];
        here.run = None;
        here.disk.stored = here.disk.volume;
        here.disk.state.checkpoint = newest.number;
        here.disk.state.durable_mark = newest.number;
    }
}

impl World {
    /// H2: a primary that restarts goes on in its old generation, and asks nobody.
    fn resume_generation(&mut self, at: usize) {
        if self.setup.off != Off::ResumedGeneration {
            return;
        }
        let (newest, marks) = (self.sites[at].disk.newest(), self.sites[at].marks());
        let Some(run) = self.run_mut(at) else { return };
        let leads = run.state.charter.as_ref().is_some_and(|c| c.active && c.primary == site(at));
        if leads {
            let durability = trefoil_core::model::Durability::Flush;
            let volume = trefoil_core::engine::volume::VolumeEngine::new(durability, newest, marks);
            (run.volume, run.serving) = (Some(volume), true);
        }
    }
}
