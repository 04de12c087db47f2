//! The follower's side of a session: asks to be judged, and takes what comes.

use crate::leg::CREDIT;
use crate::site::{Resync, Told};
use crate::world::{World, index};
use trefoil_core::engine::follower::Step;
use trefoil_core::engine::reign::Event;
use trefoil_core::model::{Changed, Lineage, Plan, Position, SessionId};
use trefoil_core::record::{Record, RecordKind};
use trefoil_core::wire::{ControlMessage, CopyBlock, DataMessage, Follow, Progress};

impl World {
    pub fn start_following(&mut self, at: usize, told: Told) {
        self.finish_resync(at);
        self.drop_session(at);
        if let Some(run) = self.run_mut(at) {
            run.told = Some(told);
        }
        self.ask(at);
    }

    pub fn stop_following(&mut self, at: usize) {
        self.finish_resync(at);
        self.drop_session(at);
        if let Some(run) = self.run_mut(at) {
            run.told = None;
        }
    }

    /// Asks the source to be judged. What is on its way into the journal belongs to the position
    /// that is told.
    pub fn ask(&mut self, at: usize) {
        let Some(told) = self.run(at).and_then(|run| run.told.clone()) else { return };
        self.sites[at].sync();
        if self.setup.off == crate::holes::Off::FollowWithoutDebt
            && let Some(run) = self.run_mut(at)
        {
            // H17: what is owed was known to the session before only.
            (run.state.debt, run.copies) = (None, None);
        }
        let session = self.new_session(at, &told, CREDIT);
        let here = &self.sites[at];
        let Some(run) = &here.run else { return };
        let maps = run.state.maps.values();
        let exact = maps.filter(|map| matches!(map.changed, Changed::Extents(_)));
        let follow = Follow {
            session: session.session(),
            generation: told.generation,
            roll_forward: told.roll_forward,
            incarnation: run.state.incarnation,
            lineage: run.state.lineage.clone(),
            newest: here.disk.newest(),
            marks: here.marks(),
            base: here.disk.base.number,
            debt: run.state.debt.clone(),
            maps_from: exact.map(|map| map.from).min(),
            discards_tail: run.discards_tail,
            blank: here.blank(),
            // Equal hashes are a copy that changes nothing: the model sends the copy.
            holds: false,
            credit: CREDIT,
        };
        if let Some(run) = self.run_mut(at) {
            (run.session, run.last_sent, run.streaming) = (Some(session), None, false);
        }
        self.send(at, index(&told.source), ControlMessage::Follow(Box::new(follow)));
    }

    pub fn drop_session(&mut self, at: usize) {
        let Some(run) = self.run_mut(at) else { return };
        run.streaming = false;
        if let Some(session) = run.session.take() {
            let (to, session) = (index(session.source()), session.session());
            self.send(at, to, ControlMessage::Unfollow { session });
        }
    }

    /// A candidate's source does not bring it further.
    fn give_up_rolling(&mut self, at: usize) {
        self.drop_session(at);
        if let Some(run) = self.run_mut(at) {
            run.told = None;
        }
        self.posted.push_back((at, Event::RolledForward(false)));
    }

    fn rolls(&self, at: usize) -> bool {
        let told = self.run(at).and_then(|run| run.told.as_ref());
        told.is_some_and(|told| told.roll_forward)
    }

    /// The source ended the session, or its link ended (`None`).
    pub fn source_ended(&mut self, at: usize, from: usize, end: Option<SessionId>) {
        self.finish_resync(at);
        let session = self.run(at).and_then(|run| run.session.as_ref());
        let Some(session) = session.filter(|session| index(session.source()) == from) else {
            return;
        };
        if end.is_some_and(|end| end != session.session()) {
            return;
        }
        if self.rolls(at) {
            return self.give_up_rolling(at);
        }
        self.drop_session(at);
        if end.is_none()
            && let Some(run) = self.run_mut(at)
        {
            run.told = None;
        }
    }

    /// Whether a message is of the session that this site is in.
    fn is_ours(&self, at: usize, from: usize, id: SessionId) -> bool {
        let session = self.run(at).and_then(|run| run.session.as_ref());
        session.is_some_and(|session| index(session.source()) == from && session.session() == id)
    }

    /// The source's plan came.
    pub fn plan_came(
        &mut self,
        at: usize,
        from: usize,
        id: SessionId,
        plan: Plan,
        lineage: Lineage,
    ) {
        if !self.is_ours(at, from, id) {
            return;
        }
        let Some(session) = self.run_mut(at).and_then(|run| run.session.as_mut()) else { return };
        match session.planned(plan) {
            Ok(step) => self.planned(at, step, lineage),
            Err(_) => self.drop_session(at),
        }
    }

    /// A message of the stream came.
    pub fn data_came(&mut self, at: usize, from: usize, message: DataMessage) {
        match message {
            DataMessage::Records { session, records } if self.is_ours(at, from, session) => {
                self.records_came(at, records);
            }
            DataMessage::Copy(block) if self.is_ours(at, from, block.session) => {
                self.copy_came(at, block);
            }
            _ => {}
        }
    }

    fn planned(&mut self, at: usize, step: Step, lineage: Lineage) {
        let rolls = self.rolls(at);
        let Some(run) = self.run_mut(at) else { return };
        let Some(session) = &run.session else { return };
        let (Some(plan), source) = (session.plan().cloned(), session.source().clone()) else {
            return;
        };
        run.refused = None;
        match step {
            Step::Refused(_) | Step::Rewind if rolls => self.give_up_rolling(at),
            Step::Refused(_) => {
                run.refused = Some(plan);
                self.drop_session(at);
            }
            Step::Stream => run.streaming = true,
            Step::Owe | Step::OweAndReset | Step::Rewind => {
                let (owed, cut) = (false, false);
                run.resync = Some(Resync { source, plan, lineage, step, owed, cut });
            }
        }
    }

    /// Where a reign begins or ends among the records, the state says so, durably, before its
    /// record is in the journal.
    fn records_came(&mut self, at: usize, records: Vec<Record>) {
        let Some(run) = self.run_mut(at) else { return };
        let Some(session) = &mut run.session else { return };
        if session.records(&records).is_err() {
            return self.drop_session(at);
        }
        let mut save = false;
        for record in records.iter().filter(|record| record.kind() == RecordKind::Generation) {
            let (generation, first) = (record.generation(), record.number());
            if run.state.lineage.generation_at(first) != generation {
                let begun = run.state.lineage.begin(generation, first);
                if let Err(error) = begun {
                    self.broke("no_gap", error.to_string());
                    return;
                }
            }
            save = true;
        }
        if let Some(end) = records.iter().rev().find_map(Record::handed_over) {
            run.state.closed = Some(end);
            save = true;
        }
        if save {
            self.sites[at].save();
        }
        self.append(at, records);
    }

    fn copy_came(&mut self, at: usize, block: CopyBlock) {
        let overtaken = self.setup.off == crate::holes::Off::CopyOvertaken;
        let Some(run) = self.run_mut(at) else { return };
        let Some(session) = &mut run.session else { return };
        let received = session.newest().number;
        if session.copied(&block, 0).is_err() && !overtaken {
            return self.drop_session(at);
        }
        let extent = trefoil_core::model::Extent {
            volume: block.volume,
            offset: block.offset,
            length: block.content.length(),
        };
        let Some(copies) = &mut run.copies else { return };
        let passed = if overtaken { block.low } else { received };
        if copies.arrived(extent, block.low, block.high, passed) {
            run.copied.push_back((received, block));
        }
    }

    /// Tells the source how far this site is, if that is news.
    pub fn tell_progress(&mut self, at: usize) {
        let here = &self.sites[at];
        let (marks, debt_bytes, newest) = (here.marks(), here.debt_bytes(), here.disk.newest());
        let Some(run) = self.run_mut(at).filter(|run| run.streaming) else { return };
        let Some(session) = &mut run.session else { return };
        let generation = run.state.lineage.generation_at(marks.durable);
        let progress = Progress {
            session: session.session(),
            marks,
            durable: Position { generation, number: marks.durable, ..Position::START },
            debt_bytes,
            credit: session.grant(CREDIT),
        };
        if run.last_sent.as_ref() == Some(&progress) {
            return;
        }
        run.last_sent = Some(progress.clone());
        let (to, target) = (index(session.source()), session.plan().map(|plan| plan.target));
        self.send(at, to, ControlMessage::Progress(progress));
        if self.rolls(at) && target.is_some_and(|target| newest.number >= target) {
            self.drop_session(at);
            if let Some(run) = self.run_mut(at) {
                run.told = None;
            }
            self.posted.push_back((at, Event::RolledForward(true)));
        }
    }
}
