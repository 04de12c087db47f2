//! Carries the reign's effects out, as the actors of a site do: each before the next.

use crate::history;
use crate::holes::Off;
use crate::site::{Told, Waiter};
use crate::world::{World, index, others, site};
use trefoil_core::engine::follower::FollowerEngine;
use trefoil_core::engine::reign::{Effect, Event, Exchange, ExchangeEffect, Reign};
use trefoil_core::engine::volume::VolumeEngine;
use trefoil_core::model::{Durability, Generation, Handover, Position, SiteName, Verdict};
use trefoil_core::record::Record;
use trefoil_core::wire::{ControlMessage, Heartbeat, PromiseReply, StreamEnd};

impl World {
    /// Tells a site's reign, and carries out what it says.
    pub fn event(&mut self, at: usize, event: Event) {
        let own = self.sites[at].own(self.now);
        let before = self.forgetful(at, &event);
        let Some(run) = self.run_mut(at) else { return };
        let effects = run.reign.on(&own, event);
        let verdict = effects.iter().find_map(|effect| match effect {
            Effect::TookOver(completed) => Some(completed.verdict.clone()),
            _ => None,
        });
        for effect in effects {
            self.carry_out(at, effect, verdict.as_ref());
        }
        if let (Some(before), Some(run)) = (before, self.run_mut(at)) {
            run.state.promised = before.promised();
            run.reign = before;
            self.sites[at].save();
        }
    }

    /// H7: the reign as it was before it promised, if a promise is to bind nobody.
    fn forgetful(&self, at: usize, event: &Event) -> Option<Reign> {
        let asked = matches!(event, Event::PromiseRequest(..));
        let forgets = asked && self.setup.off == Off::EvidenceWithoutPromise;
        forgets.then(|| self.run(at).map(|run| run.reign.clone()))?
    }

    fn carry_out(&mut self, at: usize, effect: Effect, verdict: Option<&Verdict>) {
        match effect {
            Effect::Save { promised, charter } => {
                let Some(run) = self.run_mut(at) else { return };
                (run.state.promised, run.state.charter) = (promised, charter);
                self.sites[at].save();
            }
            Effect::Vouched => {
                let Some(run) = self.run_mut(at) else { return };
                run.state.novice = false;
                self.sites[at].save();
            }
            Effect::SetBack { incarnation } => self.goes_on_as(at, incarnation),
            Effect::Promise { to, generation } => self.promise(at, &to, generation),
            Effect::RefusePromise { to, generation } => {
                let Some(run) = self.run(at) else { return };
                let reply = PromiseReply::Refused { promised: run.reign.promised() };
                self.send(at, index(&to), ControlMessage::PromiseReply { generation, reply });
            }
            Effect::AskPromise { to, generation } => {
                self.send(at, index(&to), ControlMessage::PromiseRequest { generation });
            }
            Effect::Propose { to, charter } => {
                self.send(at, index(&to), ControlMessage::CharterProposal(charter));
            }
            Effect::AnswerProposal { to, generation, version, reply } => {
                let message = ControlMessage::CharterReply { generation, version, reply };
                self.send(at, index(&to), message);
            }
            Effect::AnswerHeartbeat { to, echo, grants } => {
                self.beat(at, index(&to), 0, echo, grants);
            }
            Effect::Follow { source, generation, roll_forward } => {
                self.start_following(at, Told { source, generation, roll_forward });
            }
            Effect::Unfollow => self.stop_following(at),
            Effect::Depose => self.depose(at),
            Effect::Lead { generation } => self.lead(at, generation),
            Effect::Join(other) => self.join(at, &other),
            Effect::Leave(other) => self.leave(at, &other),
            Effect::StopServing(other) => {
                self.end_leg(at, index(&other), Some("suspended by the operator"));
            }
            Effect::Serve => self.serve(at, verdict),
            Effect::Exchange(effect) => self.exchange(at, effect),
            Effect::TookOver(completed) => {
                if let Some(run) = self.run_mut(at) {
                    (run.completed, run.refusal) = (Some(*completed), None);
                }
            }
            Effect::TakeoverFailed { why } => {
                if let Some(run) = self.run_mut(at) {
                    run.refusal = Some(why);
                }
            }
            // The lease is read from the reign itself.
            _ => {}
        }
    }

    /// What was taken is durable before the evidence is given; nothing older is taken any more.
    fn promise(&mut self, at: usize, to: &SiteName, generation: Generation) {
        self.stop_following(at);
        self.sites[at].sync();
        let own = self.sites[at].own(self.now);
        let Some(run) = self.run(at) else { return };
        let reply = PromiseReply::Promised(Box::new(run.reign.evidence(to, &own)));
        self.send(at, index(to), ControlMessage::PromiseReply { generation, reply });
    }

    fn depose(&mut self, at: usize) {
        for other in others(at) {
            let leg = self.run_mut(at).and_then(|run| run.legs.remove(&site(other)));
            if let Some(leg) = leg {
                self.tell_end(at, other, &leg.follow, "the reign ended");
            }
        }
        let Some(run) = self.run_mut(at) else { return };
        run.reports.clear();
        (run.serving, run.paused, run.mark, run.volume) = (false, false, None, None);
    }

    fn lead(&mut self, at: usize, generation: Generation) {
        self.stop_following(at);
        self.sites[at].sync();
        let parent = self.sites[at].disk.newest();
        let marks = self.sites[at].marks();
        let Some(run) = self.run_mut(at) else { return };
        run.state.lineage.begin(generation, parent.number.next()).unwrap();
        let mut volume = VolumeEngine::new(Durability::Flush, parent, marks);
        let record = volume.begin(generation, site(at), 0).unwrap();
        (run.mark, run.volume) = (Some(record.number()), Some(volume));
        self.sites[at].save();
        self.append(at, vec![record]);
        for other in others(at) {
            self.beat(at, other, self.now, 0, false);
        }
    }

    /// Appends records that this site made or took.
    pub fn append(&mut self, at: usize, records: Vec<Record>) {
        for record in records {
            history::made(self.sites[at].disk.newest(), &record);
            self.sites[at].disk.records.push_back(record);
        }
    }

    fn join(&mut self, at: usize, other: &SiteName) {
        let hold_back = self.setup.off == Off::CharterFirst;
        let Some(run) = self.run_mut(at) else { return };
        let Some(report) = run.reports.get(other).copied() else { return };
        let named = run.state.charter.as_ref().is_some_and(|c| c.member(other).is_some());
        let Some(volume) = &mut run.volume else { return };
        if hold_back && !named {
            // H4: the charter grows first; it is waited for only once the charter is enacted.
            if let Some(leg) = run.legs.get_mut(other) {
                leg.mark = Some(leg.last.as_ref().map_or(Default::default(), |l| l.marks.durable));
            }
            return;
        }
        let mark = volume.assigned().number;
        volume.join(other.clone(), report.incarnation, report.marks);
        if let Some(leg) = run.legs.get_mut(other) {
            leg.mark = Some(mark);
        }
    }

    pub fn leave(&mut self, at: usize, other: &SiteName) {
        let Some(run) = self.run_mut(at) else { return };
        if let Some(volume) = &mut run.volume {
            volume.leave(other);
        }
        if let Some(leg) = run.legs.get_mut(other) {
            leg.mark = None;
        }
    }

    fn serve(&mut self, at: usize, verdict: Option<&Verdict>) {
        let Some(run) = self.run_mut(at) else { return };
        if run.volume.is_none() {
            return;
        }
        run.serving = true;
        self.check_begin(at, verdict);
    }

    fn exchange(&mut self, at: usize, effect: ExchangeEffect) {
        match effect {
            ExchangeEffect::Ask { to, generation } => {
                self.send(at, index(&to), ControlMessage::HandoverRequest { generation });
            }
            ExchangeEffect::Answer { to, generation, reply } => {
                self.send(at, index(&to), ControlMessage::HandoverReply { generation, reply });
            }
            ExchangeEffect::Pause => {
                let Some(run) = self.run_mut(at) else { return };
                run.paused = true;
                let Some(last) = run.volume.as_ref().map(|volume| volume.assigned().number) else {
                    return;
                };
                self.posted.push_back((at, Event::Exchange(Exchange::Paused(last))));
            }
            ExchangeEffect::Resume => {
                if let Some(run) = self.run_mut(at) {
                    run.paused = false;
                }
            }
            ExchangeEffect::Close(end) => self.close(at, end),
        }
    }

    /// The end of the reign is durable before its record is made.
    fn close(&mut self, at: usize, end: Handover) {
        let Some(run) = self.run_mut(at) else { return };
        run.state.closed = Some(end.clone());
        run.serving = false;
        let Some(volume) = &mut run.volume else { return };
        let record = volume.hand_over(&end.to, 0).unwrap();
        drop(volume.abandon());
        self.sites[at].save();
        self.append(at, vec![record]);
        self.sites[at].sync();
    }

    /// Sends a heartbeat.
    pub fn beat(&mut self, at: usize, to: usize, sent_at: u64, echo: u64, grants: bool) {
        let own = self.sites[at].own(self.now);
        let state = self.sites[at].state();
        let generation = state.lineage.generation_at(own.marks.durable);
        let mut floors = state.floors.clone();
        let durable = Position { generation, number: own.marks.durable, ..Position::START };
        floors.insert(site(at), durable);
        let lineage = state.lineage.clone();
        let maps = state.maps.iter().map(|(site, map)| (site.clone(), map.into())).collect();
        let Some(run) = self.run(at) else { return };
        let lease = run.reign.leads().filter(|_| echo == 0);
        let acking = run.volume.as_ref().map(VolumeEngine::acking);
        let beat = Heartbeat {
            view: run.reign.view(&own),
            sent_at,
            echo,
            grants,
            lease,
            vouches: self.answers(at),
            commit: acking.map_or_else(Default::default, |acking| acking.commit()),
            horizon: acking.map_or_else(Default::default, |acking| acking.horizon()),
            floors,
            lineage,
            maps,
            silent_us: run.reign.silent_us(self.now),
            replaced: Default::default(),
            answered: Default::default(),
        };
        self.send(at, to, ControlMessage::Heartbeat(Box::new(beat)));
    }

    /// Tells a follower that its session is over.
    pub fn tell_end(
        &mut self,
        at: usize,
        to: usize,
        follow: &trefoil_core::wire::Follow,
        why: &str,
    ) {
        let end = StreamEnd { session: follow.session, why: why.into(), again: true };
        self.send(at, to, ControlMessage::StreamEnd(end));
    }

    /// Ends a leg; with a reason the follower is told.
    pub fn end_leg(&mut self, at: usize, to: usize, why: Option<&str>) {
        let Some(leg) = self.run_mut(at).and_then(|run| run.legs.remove(&site(to))) else {
            return;
        };
        if let Some(why) = why {
            self.tell_end(at, to, &leg.follow, why);
        }
        if !leg.follow.roll_forward && leg.last.is_some() {
            let report =
                trefoil_core::engine::reign::LegReport { connected: false, ..leg.report() };
            self.leg_changed(at, to, report);
        }
    }

    /// What the volumes do whenever something moved: marks, the mark of the reign, answers.
    pub fn move_volume(&mut self, at: usize) {
        let marks = self.sites[at].marks();
        let answers = self.answers(at);
        let Some(run) = self.run_mut(at) else { return };
        let Some(volume) = &mut run.volume else { return };
        volume.advance_own(marks);
        let durable = volume.acking().own().durable;
        if let Some(mark) = run.mark.filter(|mark| durable >= *mark) {
            run.mark = None;
            self.posted.push_back((at, Event::Marked(mark)));
        }
        if !answers {
            return;
        }
        let Some(volume) = self.run_mut(at).and_then(|run| run.volume.as_mut()) else { return };
        for (number, waiter) in volume.answerable() {
            match waiter {
                Waiter::Write(id) => self.answered(at, number, id),
                Waiter::Flush => self.flushed(at, number),
            }
        }
    }

    /// A session that the follower begins.
    pub fn new_session(&mut self, at: usize, told: &Told, credit: u64) -> FollowerEngine {
        self.sessions += 1;
        let (source, newest) = (told.source.clone(), self.sites[at].disk.newest());
        let session = trefoil_core::model::SessionId(self.sessions);
        FollowerEngine::new(session, source, told.generation, newest, credit)
    }
}
