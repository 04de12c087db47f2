//! What can happen next, and what it does.

use crate::world::{C, ENDS, Mail, SITES, UNIT, World, index, others, site};
use trefoil_core::engine::reign::{Event, Exchange, TakeoverOptions};
use trefoil_core::wire::ControlMessage;

/// One step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The oldest message of a lane (0: control, 1: data) arrives.
    Deliver {
        from: usize,
        to: usize,
        lane: usize,
    },
    /// The oldest message of a lane is lost; later ones arrive.
    Lose {
        from: usize,
        to: usize,
        lane: usize,
    },
    /// The oldest message of a lane arrives twice.
    Twice {
        from: usize,
        to: usize,
        lane: usize,
    },
    /// Everything that is on its way arrives, and what follows from it, in order.
    Settle,
    /// So much time passes that every timer is due: the lease too.
    Pass,
    /// A site sends heartbeats.
    Beat(usize),
    /// A journal becomes durable.
    Sync(usize),
    Restore(usize),
    Checkpoint(usize),
    /// The journal is full: what may go goes.
    Trim(usize),
    Write {
        site: usize,
        block: usize,
    },
    Flush(usize),
    Crash(usize),
    PowerLoss {
        site: usize,
        tail: bool,
        pages: bool,
    },
    Destroy(usize),
    Start(usize),
    Cut(usize, usize),
    Heal(usize, usize),
    TakeOver {
        site: usize,
        consent: bool,
        fenced: bool,
    },
    Swap(usize),
    /// The operator chose the source's history.
    Rejoin(usize),
    /// A follower asks again.
    Ask(usize),
    /// The next durable step of a resync.
    Resync(usize),
}

impl World {
    /// Takes a step; then every rule is checked.
    pub fn apply(&mut self, action: Action) {
        self.act(action);
        self.work();
        self.check();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Deliver { from, to, lane } => {
                if let Some(mail) = self.lanes[from][to][lane].pop_front() {
                    self.deliver(from, to, mail);
                }
            }
            Action::Lose { from, to, lane } => drop(self.lanes[from][to][lane].pop_front()),
            Action::Twice { from, to, lane } => {
                if let Some(mail) = self.lanes[from][to][lane].pop_front() {
                    self.deliver(from, to, mail.clone());
                    self.work();
                    self.deliver(from, to, mail);
                }
            }
            Action::Settle => self.settle(),
            Action::Pass => self.pass(),
            Action::Beat(at) => {
                others(at).for_each(|to| self.beat(at, to, self.now, 0, false));
            }
            Action::Sync(at) => self.sites[at].sync(),
            Action::Restore(at) => self.restore(at),
            Action::Checkpoint(at) => {
                self.sites[at].sync();
                self.restore(at);
                self.checkpoint(at);
            }
            Action::Trim(at) => self.trim(at),
            Action::Write { site, block } => self.write(site, block),
            Action::Flush(at) => self.flush(at),
            Action::Crash(at) => self.crash(at),
            Action::PowerLoss { site, tail, pages } => self.power_loss(site, tail, pages),
            Action::Destroy(at) => self.destroy(at),
            Action::Start(at) => self.start(at),
            Action::Cut(one, other) => self.cut(one, other),
            Action::Heal(one, other) => self.heal(one, other),
            Action::TakeOver { site, consent, fenced } => {
                let options = TakeoverOptions { accept_loss: consent, primary_is_fenced: fenced };
                if let Some(run) = self.run_mut(site) {
                    (run.refusal, run.completed) = (None, None);
                }
                self.event(site, Event::Takeover(options));
            }
            Action::Swap(at) => self.event(at, Event::Exchange(Exchange::Wanted)),
            Action::Rejoin(at) => self.rejoin(at),
            Action::Ask(at) => {
                self.drop_session(at);
                self.ask(at);
            }
            Action::Resync(at) => self.step_resync(at),
        }
    }

    fn rejoin(&mut self, at: usize) {
        let Some(run) = self.run_mut(at) else { return };
        if run.told.is_none() || run.streaming || run.resync.is_some() {
            return;
        }
        run.discards_tail = true;
        self.drop_session(at);
        self.ask(at);
    }

    fn deliver(&mut self, from: usize, to: usize, mail: Mail) {
        if !self.alive(to) {
            return;
        }
        let message = match mail {
            Mail::Plan(session, plan, lineage) => {
                return self.plan_came(to, from, session, *plan, lineage);
            }
            Mail::Data(message) => return self.data_came(to, from, message),
            Mail::Control(message) => message,
        };
        let event = match message {
            ControlMessage::Heartbeat(beat) => {
                self.floors_came(to, from, &beat);
                self.remember(to, from, &beat);
                Event::Heartbeat(site(from), beat)
            }
            ControlMessage::PromiseRequest { generation } => {
                Event::PromiseRequest(site(from), generation)
            }
            ControlMessage::PromiseReply { generation, reply } => {
                Event::PromiseReply(site(from), generation, reply)
            }
            ControlMessage::CharterProposal(charter) => Event::CharterProposal(site(from), charter),
            ControlMessage::CharterReply { generation, version, reply } => {
                Event::CharterReply(site(from), generation, version, reply)
            }
            ControlMessage::HandoverRequest { generation } => {
                Event::Exchange(Exchange::Requested(site(from), generation))
            }
            ControlMessage::HandoverReply { generation, reply } => {
                Event::Exchange(Exchange::Answered(site(from), generation, reply))
            }
            ControlMessage::Follow(follow) => return self.follow_requested(to, from, *follow),
            ControlMessage::Progress(progress) => return self.progress_came(to, from, progress),
            ControlMessage::Unfollow { session } => return self.unfollowed(to, from, session),
            ControlMessage::StreamEnd(end) => {
                return self.source_ended(to, from, Some(end.session));
            }
            _ => return,
        };
        self.event(to, event);
    }

    fn unfollowed(&mut self, at: usize, from: usize, session: trefoil_core::model::SessionId) {
        let leg = self.run(at).and_then(|run| run.legs.get(&site(from)));
        if leg.is_some_and(|leg| leg.follow.session == session) {
            self.end_leg(at, from, None);
        }
    }

    /// What sites do of themselves whenever something moved, until nothing moves any more.
    pub fn work(&mut self) {
        for _ in 0..100 {
            while let Some((at, event)) = self.posted.pop_front() {
                self.event(at, event);
            }
            for at in (0..SITES).filter(|at| self.sites[*at].run.is_some()).collect::<Vec<_>>() {
                self.move_volume(at);
                self.end_debt(at);
                self.tell_progress(at);
                self.pass_on(at);
                self.pump(at);
            }
            if self.posted.is_empty() {
                return;
            }
        }
        self.broke("limits", "the sites do not come to rest".into());
    }

    /// Delivers all that is on its way, lane by lane, until nothing is.
    fn settle(&mut self) {
        for _ in 0..400 {
            let mut moved = false;
            for (from, to, lane) in self.waiting() {
                if let Some(mail) = self.lanes[from][to][lane].pop_front() {
                    self.deliver(from, to, mail);
                    self.work();
                    self.check();
                    moved = true;
                }
            }
            for at in 0..SITES {
                if self.run(at).is_some_and(|run| run.resync.is_some()) {
                    self.step_resync(at);
                    self.work();
                    self.check();
                    moved = true;
                }
            }
            if !moved || self.broken.is_some() {
                return;
            }
        }
    }

    /// Lanes on which something waits that can be taken now.
    pub fn waiting(&self) -> Vec<(usize, usize, usize)> {
        let mut all = Vec::new();
        for from in 0..SITES {
            for to in others(from) {
                for lane in 0..2 {
                    let busy = lane == 1 && self.run(to).is_some_and(|run| run.resync.is_some());
                    if !busy && !self.lanes[from][to][lane].is_empty() {
                        all.push((from, to, lane));
                    }
                }
            }
        }
        all
    }

    /// Time passes: journals are synced and restored, followers ask again, everyone is told.
    fn pass(&mut self) {
        self.now += UNIT + UNIT / 100;
        for at in 0..SITES {
            if !self.alive(at) {
                continue;
            }
            self.sites[at].sync();
            if self.run(at).is_some_and(|run| run.resync.is_none()) {
                self.restore(at);
            }
            if self.run(at).is_some_and(|run| run.copies.is_some()) {
                self.checkpoint(at);
            }
            let silent = self
                .run(at)
                .is_some_and(|run| run.told.is_some() && !run.streaming && run.resync.is_none());
            if silent {
                self.drop_session(at);
                self.ask(at);
            }
            self.event(at, Event::Tick);
            others(at).for_each(|to| self.beat(at, to, self.now, 0, false));
        }
    }

    /// Whether the operator may say that the primary is fenced: no other site leads.
    pub fn fenced(&self, by: usize) -> bool {
        others(by).all(|other| self.run(other).is_none_or(|run| run.reign.leads().is_none()))
    }

    /// Everyone runs and reaches everyone.
    pub fn whole(&mut self) {
        for (one, other) in ENDS {
            if self.cut[crate::world::link(one, other)] {
                self.apply(Action::Heal(one, other));
            }
        }
        for at in 0..SITES {
            if !self.alive(at) {
                self.apply(Action::Start(at));
            }
        }
    }

    /// The primary that answers, if one does.
    pub fn primary(&self) -> Option<usize> {
        (0..SITES).find(|at| self.answers(*at))
    }

    /// Lets time pass and messages arrive, so many times.
    pub fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            if self.broken.is_some() {
                return;
            }
            self.apply(Action::Pass);
            self.apply(Action::Settle);
            let primary = self.primary();
            if let Some(at) = primary.filter(|_| self.sites.iter().any(|it| it.state().novice)) {
                // Heartbeats come more often than time passes here: while the lease is valid.
                self.apply(Action::Beat(at));
                self.apply(Action::Settle);
            }
        }
    }

    /// A leads, B is in sync, C follows; one write is answered.
    pub fn paired(setup: crate::world::Setup) -> Self {
        let mut world = Self::new(setup);
        world.rounds(6);
        assert_eq!(world.broken, None);
        assert_eq!(world.primary(), Some(crate::world::A), "{}", world.tell());
        world.apply(Action::Write { site: crate::world::A, block: 0 });
        world.rounds(4);
        assert!(world.names(crate::world::A, crate::world::B), "{}", world.tell());
        assert_eq!(world.host.answered.len(), 1, "{}", world.tell());
        assert!(world.sites[C].holds(1), "{}", world.tell());
        world
    }

    /// The world in a few lines, for a trace.
    pub fn tell(&self) -> String {
        let each = self.sites.iter().map(|here| {
            let (marks, state) = (here.marks(), here.state());
            let run = here.run.as_ref();
            let role = run.map(|run| run.reign.role());
            let trouble = run.and_then(|run| run.reign.trouble()).unwrap_or("");
            let told = run.and_then(|run| run.told.as_ref()).map(|told| index(&told.source));
            let streaming = run.is_some_and(|run| run.streaming);
            let charter = state.charter.as_ref().map(|c| {
                let set: Vec<_> = c.in_sync.iter().map(|m| m.site.to_string()).collect();
                format!("{}.{} {} active={} {set:?}", c.generation, c.version, c.primary, c.active)
            });
            format!(
                "{}: {role:?} {} r{} d{} v{} c{} base {} inc {} promised {} charter {charter:?} \
                 debt {} follows {told:?} streaming={streaming} answers={} refused={:?} {trouble} \
                 blocks {:?}\n",
                here.name(),
                here.disk.newest(),
                marks.received,
                marks.durable,
                marks.restored,
                marks.checkpointed,
                here.disk.base.number,
                state.incarnation.0,
                state.promised,
                here.debt_bytes(),
                self.answers(here.index),
                run.and_then(|run| run.refused.as_ref()).map(|plan| &plan.why),
                here.disk.volume,
            )
        });
        let all: String = each.collect();
        format!("\n{all}host {:?} broken {:?}", self.host, self.broken)
    }
}
