//! A leg at its source: judges the follower, sends what it may have, takes in how far it is.

use crate::history;
use crate::holes::Off;
use crate::site::{Leg, blocks_of};
use crate::world::{Mail, World, others, site};
use bytes::Bytes;
use trefoil_core::engine::judge::{FollowerView, Plan, PlanDebt, PlanKind, SourceView, judge};
use trefoil_core::engine::reign::{Event, LegReport};
use trefoil_core::engine::shipper::{ShipperEngine, Work, limit};
use trefoil_core::model::{Extent, Generation, Position, SiteName, UpdateNumber};
use trefoil_core::port::Content;
use trefoil_core::wire::{CopyBlock, DataMessage, Follow, Progress};

/// More than any follower takes in this world.
pub const CREDIT: u64 = 1 << 20;

/// So many plans are remembered, for the tests that ask.
const PLANS_MAX: usize = 12;

impl World {
    /// A site asks to be served.
    pub fn follow_requested(&mut self, at: usize, from: usize, follow: Follow) {
        let Some(run) = self.run_mut(at) else { return };
        let (generation, incarnation) = (follow.generation, follow.incarnation);
        let allowed =
            run.reign.may_serve(&site(from), generation, incarnation, follow.roll_forward);
        if let Err(error) = allowed {
            self.tell_end(at, from, &follow, &error.to_string());
            return;
        }
        run.legs.remove(&site(from));
        let (plan, lineage) = self.judge(at, from, &follow);
        let named = self.names(at, from);
        let leg = Leg { follow, engine: None, last: None, mark: None, reported: None };
        let member = named || self.acking(at, from);
        if plan.leaves_debt() && member && self.setup.off != Off::MembersInDebt {
            let report = LegReport { must_leave: true, connected: false, ..leg.report() };
            self.leg_changed(at, from, report);
            self.tell_end(at, from, &leg.follow, "a member leaves before it is copied");
            return;
        }
        self.check_plan(at, from, &plan);
        if self.judged.len() == PLANS_MAX {
            self.judged.remove(0);
        }
        self.judged.push((at, from, std::rc::Rc::new(plan.clone())));
        let mail = Mail::Plan(leg.follow.session, Box::new(plan.clone()), lineage);
        self.send_data(at, from, mail);
        let sizes: Vec<u64> = crate::world::spec().iter().map(|volume| volume.size).collect();
        let engine = ShipperEngine::new(leg.follow.session, plan, &sizes, CREDIT);
        if engine.ends_with_plan() {
            return;
        }
        let leg = Leg { engine: Some(engine), ..leg };
        if let Some(run) = self.run_mut(at) {
            run.legs.insert(site(from), leg);
        }
    }

    fn judge(
        &mut self,
        at: usize,
        from: usize,
        follow: &Follow,
    ) -> (Plan, trefoil_core::model::Lineage) {
        let (source, follower) = self.views(at, from, follow);
        let plan = judge(&source, &follower);
        let lineage = source.lineage.up_to(plan.base.number);
        // A handshake only ever lowers a floor, before the plan is told.
        self.raise_floor(at, from, Position::START, Some(plan.fork));
        (plan, lineage)
    }

    /// What both sites say of themselves.
    fn views(&self, at: usize, from: usize, follow: &Follow) -> (SourceView, FollowerView) {
        let (disk, state) = (&self.sites[at].disk, self.sites[at].state());
        let volume = self.run(at).and_then(|run| run.volume.as_ref());
        let horizon = match volume {
            Some(volume) if !follow.roll_forward => volume.acking().horizon(),
            _ => disk.durable,
        };
        let newest = disk.newest().number;
        let fork = state.lineage.fork(newest, &follow.lineage, follow.newest.number);
        let consented = state.charter.as_ref().map_or(Generation::NONE, |c| c.consented);
        let lacks = |number: UpdateNumber| number > follow.newest.number;
        let between = disk.records.iter().filter(|record| lacks(record.number()));
        let source = SourceView {
            site: site(at),
            generation: follow.generation,
            lineage: state.lineage.clone(),
            newest,
            base: disk.base,
            chain_at_follower: disk.position_at(follow.newest.number).map(|there| there.chain),
            fork: disk.position_at(fork),
            consented,
            copy_base: disk.position_at(horizon),
            map: state.maps.get(&site(from)).cloned(),
            debt: state.debt.is_some(),
            owing: self.owing(at, from),
            volume_bytes: 0,
            bytes_between: Some(between.map(|record| record.encoded_bytes() as u64).sum()),
        };
        let off = self.setup.off;
        let debt = follow.debt.clone().filter(|_| off != Off::FollowWithoutDebt);
        let follower = FollowerView {
            site: site(from),
            lineage: follow.lineage.clone(),
            newest: follow.newest,
            base: if off == Off::OwnMapsForgotten { UpdateNumber::ZERO } else { follow.base },
            debt,
            maps_from: follow.maps_from,
            discards_tail: follow.discards_tail,
            blank: follow.blank,
            holds: follow.holds,
        };
        (source, follower)
    }

    /// A site beside `from` that owes something, by its last word to `at` (rule R14).
    fn owing(&self, at: usize, from: usize) -> Option<SiteName> {
        let run = self.run(at).filter(|_| self.setup.off != Off::SecondDebt)?;
        let owes = |other: &usize| {
            run.reign.view_of(&site(*other)).is_some_and(|view| view.debt_bytes > 0)
        };
        others(at).filter(|other| *other != from).find(owes).map(site)
    }

    /// Whether the charter names a site.
    pub fn names(&self, at: usize, other: usize) -> bool {
        let charter = self.sites[at].state().charter.as_ref();
        charter.is_some_and(|charter| charter.member(&site(other)).is_some())
    }

    /// Whether a primary waits for a site.
    pub fn acking(&self, at: usize, other: usize) -> bool {
        let volume = self.run(at).and_then(|run| run.volume.as_ref());
        volume.is_some_and(|volume| volume.acking().contains(&site(other)))
    }

    /// The highest number that a leg may read now.
    fn leg_limit(&self, at: usize, to: usize, leg: &Leg) -> UpdateNumber {
        let (disk, off) = (&self.sites[at].disk, self.setup.off);
        if leg.follow.roll_forward {
            return disk.durable;
        }
        let newest = disk.newest().number;
        let Some(run) = self.run(at) else { return newest };
        if !run.reign.is_active() {
            let sent = leg.engine.as_ref().map_or(newest, ShipperEngine::sent);
            return if self.names(at, to) { newest } else { sent };
        }
        let Some(volume) = &run.volume else { return UpdateNumber::ZERO };
        let mut acking = volume.acking().contains(&site(to));
        let mut horizon = volume.acking().horizon();
        if off == Off::HorizonOfReceived {
            horizon = volume.acking().commit();
        }
        acking |= off == Off::SyncLegReadsOn && crate::world::C != to && crate::world::C != at;
        limit(acking, newest, horizon)
    }

    /// Sends what every leg may have now.
    pub fn pump(&mut self, at: usize) {
        for to in others(at) {
            while self.pump_one(at, to) {}
        }
    }

    fn pump_one(&mut self, at: usize, to: usize) -> bool {
        let Some(leg) = self.run(at).and_then(|run| run.legs.get(&site(to))) else { return false };
        let limit = self.leg_limit(at, to, leg);
        let session = leg.follow.session;
        let Some(run) = self.run_mut(at) else { return false };
        let Some(leg) = run.legs.get_mut(&site(to)) else { return false };
        let Some(engine) = &mut leg.engine else { return false };
        match engine.next(limit, true) {
            None => false,
            Some(Work::Records { from, up_to, .. }) => {
                let disk = &self.sites[at].disk;
                let numbers = from.value()..=up_to.value();
                let records = numbers.map(|number| disk.record(UpdateNumber::new(number)).cloned());
                let Some(records) = records.collect::<Option<Vec<_>>>() else {
                    self.end_leg(at, to, Some("the journal does not reach back any more"));
                    return false;
                };
                let bytes = records.iter().map(|record| record.encoded_bytes() as u64).sum();
                self.check_sent(at, to, up_to);
                self.sent(at, to, |engine| engine.records_sent(up_to, bytes));
                self.send_data(at, to, Mail::Data(DataMessage::Records { session, records }));
                true
            }
            Some(Work::Copy(extent) | Work::Compare(extent)) => {
                let message = self.copy_of(at, session, extent);
                self.sent(at, to, |engine| engine.copy_sent(extent, 0));
                self.send_data(at, to, Mail::Data(message));
                true
            }
        }
    }

    /// R4: past the horizon only to whom the primary waits for.
    fn check_sent(&mut self, at: usize, to: usize, up_to: UpdateNumber) {
        let Some(run) = self.run(at).filter(|run| run.serving) else { return };
        let Some(leg) = run.legs.get(&site(to)) else { return };
        let Some(acking) = run.volume.as_ref().map(|volume| volume.acking()) else { return };
        let (horizon, waited) = (acking.horizon(), acking.contains(&site(to)));
        if !leg.follow.roll_forward && !waited && up_to > horizon {
            let (at, to) = (site(at), site(to));
            self.broke("remote_behind_mirror", format!("{at} sends {to} {up_to} of {horizon}"));
        }
    }

    fn sent(&mut self, at: usize, to: usize, note: impl FnOnce(&mut ShipperEngine)) {
        let leg = self.run_mut(at).and_then(|run| run.legs.get_mut(&site(to)));
        if let Some(engine) = leg.and_then(|leg| leg.engine.as_mut()) {
            note(engine);
        }
    }

    fn copy_of(
        &self,
        at: usize,
        session: trefoil_core::model::SessionId,
        extent: Extent,
    ) -> DataMessage {
        let here = &self.sites[at];
        let newest = here.disk.newest();
        let bytes: Vec<u8> =
            blocks_of(extent).flat_map(|block| here.read(block).to_le_bytes()).collect();
        DataMessage::Copy(CopyBlock {
            session,
            volume: extent.volume,
            offset: extent.offset,
            content: Content::Data(Bytes::from(bytes)),
            low: newest.number,
            high: newest,
        })
    }

    /// The follower told how far it is.
    pub fn progress_came(&mut self, at: usize, from: usize, progress: Progress) {
        let Some(run) = self.run_mut(at) else { return };
        let Some(leg) = run.legs.get_mut(&site(from)) else { return };
        if progress.session != leg.follow.session {
            return;
        }
        let Some(engine) = &mut leg.engine else { return };
        engine.credit(progress.credit);
        let incarnation = leg.follow.incarnation;
        if progress.debt_bytes == 0
            && !leg.follow.roll_forward
            && let Some(volume) = &mut run.volume
        {
            volume.advance(&site(from), incarnation, progress.marks);
        }
        leg.last = Some(progress);
    }

    /// Tells the reign and the retention of what changed since they were told last.
    pub fn pass_on(&mut self, at: usize) {
        for to in others(at) {
            let Some(leg) = self.run_mut(at).and_then(|run| run.legs.get_mut(&site(to))) else {
                continue;
            };
            let Some(progress) = leg.last.clone().filter(|_| !leg.follow.roll_forward) else {
                continue;
            };
            let report = leg.report();
            if leg.reported == Some(report) {
                continue;
            }
            leg.reported = Some(report);
            self.leg_changed(at, to, report);
            let position = if self.setup.off == Off::FloorsOfReceived {
                self.sites[to].disk.newest()
            } else {
                progress.durable
            };
            self.raise_floor(at, to, position, None);
        }
    }

    /// A leg of this primary changed.
    pub fn leg_changed(&mut self, at: usize, to: usize, report: LegReport) {
        let off = self.setup.off;
        let Some(run) = self.run_mut(at) else { return };
        let current = run.legs.contains_key(&site(to));
        let mut report = LegReport { connected: report.connected && current, ..report };
        if off == Off::IncludedBeforeItHolds {
            let awaited = run.legs.get(&site(to)).is_some_and(|leg| leg.mark.is_some());
            report.may_include |= report.connected && awaited;
        }
        if off == Off::MembersInDebt {
            report.debt_bytes = 0;
        }
        run.reports.insert(site(to), report);
        self.posted.push_back((at, Event::Leg(site(to), report)));
        let named = self.names(at, to);
        if off == Off::DroppedWithoutCharter && !report.connected && self.acking(at, to) {
            // H26, H8: nobody waits for it from here on, whatever a charter says.
            self.leave(at, &site(to));
        }
        if off == Off::CharterFirst && named && report.connected && !self.acking(at, to) {
            let Some(volume) = self.run_mut(at).and_then(|run| run.volume.as_mut()) else {
                return;
            };
            volume.join(site(to), report.incarnation, report.marks);
        }
    }

    /// Judges whether a copy of everything is owed to lost media alone.
    fn check_plan(&mut self, at: usize, from: usize, plan: &Plan) {
        let everything = plan.debt == PlanDebt::Everything && plan.kind != PlanKind::Rewind;
        let blank = self.sites[from].blank();
        // To a site whose history has no write yet there is nothing to spare.
        let empty = history::writes(self.sites[from].disk.newest()).next().is_none();
        let rescued = self.sites[from].run.as_ref().is_some_and(|run| run.discards_tail);
        if everything && (blank || empty) {
            self.filled[from] |= plan.base.number > UpdateNumber::ZERO;
        } else if everything && !self.destroyed && !self.filled[at] && !rescued {
            let (at, from) = (site(at), site(from));
            self.broke("purge_safe", format!("{from} is copied whole from {at}: {}", plan.why));
        }
        let gone = matches!(&plan.kind, PlanKind::Refuse { .. })
            && plan.why.contains("no map names what went before");
        // Who was filled never held the records before: it has nothing to set aside or undo.
        if gone && !self.destroyed && !self.filled[from] {
            let (at, from) = (site(at), site(from));
            self.broke("purge_safe", format!("{from} has trimmed its tail ({at}): {}", plan.why));
        }
    }
}
