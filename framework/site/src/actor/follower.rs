//! The follower's side of a session: asks to be judged, executes the plan, takes the stream.

mod compare;
mod plan;
mod room;
mod ticks;

pub(crate) use compare::Differing;
pub(crate) use plan::{AskFollow, Rejoin};

use super::tick::{Ticking, Ticks};
use super::{CompareIn, CopyIn, OwnMarks, RolledForward, Submit, settle_journal};
use crate::crew::{CrewRef, MAILBOX_MAX, crew_send};
use crate::parts::micros;
use crate::shared::add;
use actix::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_core::Error;
use trefoil_core::engine::follower::{Fetch, FollowerEngine};
use trefoil_core::engine::judge::Plan;
use trefoil_core::model::{
    Generation, LegState, Position, SessionId, SiteName, UpdateNumber, VolumeSpec,
};
use trefoil_core::record::{HEADER_BYTES, Record, RecordKind};
use trefoil_core::wire::{ControlMessage, DataMessage, Follow, Progress, StreamEnd};

/// Follow that site.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub(crate) struct StartFollowing {
    pub source: SiteName,
    pub generation: Generation,
    pub roll_forward: bool,
}

/// Follow nobody.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopFollowing {
    /// Answered when nothing more is taken.
    pub done: Option<oneshot::Sender<()>>,
}

/// Messages came on a data lane.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct DataIn {
    pub from: SiteName,
    pub messages: Vec<DataMessage>,
}

/// The source ended the session, or its link ended (`None`).
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SourceEnded {
    pub from: SiteName,
    pub end: Option<StreamEnd>,
}

/// How the session stands, for status.
#[derive(Clone, Debug, Default)]
pub(crate) struct FollowView {
    pub source: Option<SiteName>,
    pub state: Option<LegState>,
    pub plan: Option<Plan>,
    pub fetch: Fetch,
    /// Where the tail is that was dropped last.
    pub set_aside: Option<String>,
}

/// The follower of a site.
pub(crate) struct FollowerActor {
    crew: CrewRef,
    told: Option<StartFollowing>,
    session: Option<FollowerEngine>,
    streaming: bool,
    backlog: VecDeque<DataMessage>,
    attempts: u32,
    retry: Option<SpawnHandle>,
    last_credit: u64,
    last_sent: Option<Progress>,
    /// The operator chose the source's history over the own tail.
    discards_tail: bool,
    ticks: Ticks,
}

impl FollowerActor {
    pub fn new(crew: CrewRef) -> Self {
        Self {
            crew,
            told: None,
            session: None,
            streaming: false,
            backlog: VecDeque::new(),
            attempts: 0,
            retry: None,
            last_credit: 0,
            last_sent: None,
            discards_tail: false,
            ticks: Ticks::every(ticks::OFTEN),
        }
    }

    fn show(&self, state: LegState) {
        let mut view = self.crew.following.borrow_mut();
        view.source = self.told.as_ref().map(|told| told.source.clone());
        view.state = Some(state);
        if let Some(session) = &self.session {
            if let Some(plan) = session.plan() {
                view.plan = Some(plan.clone());
            }
            view.fetch = session.fetch();
        }
    }

    /// Asks the source to be judged.
    fn ask(&mut self, ctx: &mut Context<Self>) {
        self.retry = None;
        let Some(told) = self.told.clone() else { return };
        if self.crew.failed.borrow().is_some() {
            return;
        }
        let crew = self.crew.clone();
        let settle = async move { settle_journal(&crew, Duration::from_secs(5)).await };
        // What is on its way into the journal belongs to the position that is told.
        ctx.wait(settle.into_actor(self).map(move |settled, actor, ctx| {
            if settled.is_err() {
                actor.again(ctx, "the journal did not settle".into());
                return;
            }
            actor.send_follow(&told, ctx);
        }));
    }

    /// What this site says of itself when it asks to be judged.
    fn follow(&self, told: &StartFollowing, discards_tail: bool) -> Follow {
        let (crew, state) = (&self.crew, self.crew.state.borrow());
        let newest = crew.marks.newest.get();
        let own_blank = crew.knows_nothing();
        Follow {
            session: SessionId(crew.random()),
            generation: told.generation,
            roll_forward: told.roll_forward,
            incarnation: state.incarnation,
            lineage: state.lineage.clone(),
            newest,
            marks: crew.marks.marks(),
            base: crew.marks.base.get().number,
            debt: state.debt.clone(),
            maps_from: plan::maps_from(&state.maps),
            discards_tail,
            blank: own_blank && state.debt.is_none(),
            holds: crew.holds || !own_blank,
            credit: self.room(),
        }
    }

    fn send_follow(&mut self, told: &StartFollowing, ctx: &mut Context<Self>) {
        let follow = self.follow(told, self.discards_tail);
        let Follow { session, newest, credit, .. } = follow;
        let source = told.source.clone();
        self.session =
            Some(FollowerEngine::new(session, source.clone(), told.generation, newest, credit));
        self.last_credit = credit;
        self.last_sent = None;
        self.streaming = false;
        self.show(LegState::Connecting);
        crew_send(&self.crew, &source, &ControlMessage::Follow(Box::new(follow)));
        // A source that never answers is asked again.
        let patience = self.crew.shared.config.timing.link_timeout;
        self.retry = Some(ctx.run_later(patience, |actor, ctx| {
            if !actor.streaming {
                actor.again(ctx, "the source did not answer".into());
            }
        }));
    }

    /// The session is over; asks again after a while, longer each time.
    fn again(&mut self, ctx: &mut Context<Self>, why: String) {
        self.drop_session();
        self.show(LegState::Suspended(why));
        if let Some(retry) = self.retry.take() {
            ctx.cancel_future(retry);
        }
        if self.told.is_none() {
            return;
        }
        let base = micros(self.crew.shared.config.timing.follow_again);
        let pause = self.crew.jittered(base << self.attempts.min(3));
        self.attempts += 1;
        self.retry = Some(ctx.run_later(pause, |actor, ctx| actor.ask(ctx)));
    }

    fn drop_session(&mut self) {
        if self.crew.relay.get().is_some() {
            self.crew.stop_relaying("the site that passed updates on lost its own source");
        }
        if let Some(session) = self.session.take() {
            let (source, session) = (session.source().clone(), session.session());
            crew_send(&self.crew, &source, &ControlMessage::Unfollow { session });
        }
        self.streaming = false;
        self.backlog.clear();
    }

    /// The stream broke a rule: the session ends, and the source is asked anew.
    fn broken(&mut self, error: &Error, ctx: &mut Context<Self>) {
        let site = self.crew.site();
        tracing::warn!(%site, %error, "the stream is dropped and asked for anew");
        self.again(ctx, error.to_string());
    }

    /// Takes messages in order until one has to wait for the disk.
    fn work(&mut self, ctx: &mut Context<Self>) {
        while let Some(message) = self.backlog.pop_front() {
            let Some(session) = &mut self.session else { return };
            match message {
                DataMessage::Plan { plan, lineage, volumes, .. } => {
                    *self.crew.plan_volumes.borrow_mut() = volumes;
                    match session.planned(*plan) {
                        Ok(step) => self.execute(step, lineage, ctx),
                        Err(error) => self.broken(&error, ctx),
                    }
                    return;
                }
                DataMessage::Records { records, .. } => {
                    if let Err(error) = session.records(&records) {
                        self.broken(&error, ctx);
                        return;
                    }
                    if self.take_records(records, ctx) {
                        return;
                    }
                }
                DataMessage::Copy(block) => {
                    let bytes = HEADER_BYTES as u64 + block.content.length().min(1 << 20);
                    let received = session.newest().number;
                    if let Err(error) = session.copied(&block, bytes) {
                        self.broken(&error, ctx);
                        return;
                    }
                    self.crew.to(&self.crew.restorer, CopyIn { block, received });
                }
                DataMessage::Compare(block) => {
                    let bytes = HEADER_BYTES as u64 + block.extent.length;
                    let received = session.newest().number;
                    if let Err(error) = session.compared(&block, bytes) {
                        self.broken(&error, ctx);
                        return;
                    }
                    self.crew.to(&self.crew.restorer, CompareIn { block, received });
                }
            }
        }
        self.progress();
    }

    /// Submits records. Where a reign begins or ends among them, the state says so, durably,
    /// before its record is in the journal; true: the rest waits for that.
    fn take_records(&mut self, records: Vec<Record>, ctx: &mut Context<Self>) -> bool {
        let begins: Vec<(Generation, UpdateNumber)> = records
            .iter()
            .filter(|record| record.kind() == RecordKind::Generation)
            .map(|record| (record.generation(), record.number()))
            .collect();
        let ends = records.iter().rev().find_map(Record::handed_over);
        let sets: Vec<(UpdateNumber, Vec<VolumeSpec>)> = records
            .iter()
            .filter_map(|record| Some((record.number(), record.volume_set()?)))
            .collect();
        if begins.is_empty() && ends.is_none() && sets.is_empty() {
            self.crew.to(&self.crew.journal, Submit { records });
            return false;
        }
        let crew = self.crew.clone();
        let save = async move {
            for (generation, first) in begins {
                let mut state = crew.state.borrow_mut();
                if state.lineage.generation_at(first) != generation {
                    state.lineage.begin(generation, first)?;
                }
            }
            if let Some(end) = ends {
                crew.state.borrow_mut().closed = Some(end);
            }
            for (number, volumes) in sets {
                crew.state.borrow_mut().volumes.note(number, volumes);
            }
            crew.save().await
        };
        ctx.wait(save.into_actor(self).map(move |result, actor, ctx| match result {
            Ok(()) => {
                actor.crew.to(&actor.crew.journal, Submit { records });
                actor.work(ctx);
            }
            Err(error) => actor.crew.fail(&error),
        }));
        true
    }

    fn begin_stream(&mut self, ctx: &mut Context<Self>) {
        self.adopt_volumes();
        self.streaming = true;
        self.attempts = 0;
        let passes_on = self.told.as_ref().filter(|told| !told.roll_forward);
        self.crew.relay.set(passes_on.map(|told| (told.generation, UpdateNumber::ZERO)));
        if let Some(retry) = self.retry.take() {
            ctx.cancel_future(retry);
        }
        self.progress();
        self.work(ctx);
    }

    /// The volumes at the plan's base are the source's. Whatever was noted beyond is of a branch
    /// that is left behind.
    fn adopt_volumes(&self) {
        let plan = self.session.as_ref().and_then(|session| session.plan());
        if let Some(base) = plan.map(|plan| plan.base.number) {
            let volumes = self.crew.plan_volumes.borrow();
            self.crew.state.borrow_mut().volumes.adopt(base, &volumes);
        }
    }

    /// Tells the source how far this site is.
    fn progress(&mut self) {
        let room = self.room();
        let Some(session) = self.session.as_mut().filter(|_| self.streaming) else { return };
        let marks = self.crew.marks.marks();
        let state = self.crew.state.borrow();
        let generation = state.lineage.generation_at(marks.durable);
        let progress = Progress {
            session: session.session(),
            marks,
            durable: Position { generation, number: marks.durable, ..Position::START },
            debt_bytes: self.crew.marks.debt_bytes.get(),
            credit: session.grant(room),
        };
        drop(state);
        if self.last_sent.as_ref() == Some(&progress) {
            return;
        }
        self.last_credit = progress.credit;
        let source = session.source().clone();
        self.last_sent = Some(progress.clone());
        crew_send(&self.crew, &source, &ControlMessage::Progress(progress));
        self.show_streaming();
        self.roll_forward_if_done();
    }

    fn show_streaming(&self) {
        let state = if self.crew.marks.debt_bytes.get() > 0 {
            LegState::Copying
        } else {
            let target = self.session.as_ref().and_then(|session| session.plan());
            let behind =
                target.is_some_and(|plan| self.crew.marks.newest.get().number < plan.target);
            if behind { LegState::CatchingUp } else { LegState::Paired }
        };
        self.show(state);
    }

    /// A candidate that holds what its source held is done following.
    fn roll_forward_if_done(&mut self) {
        let target = self.session.as_ref().and_then(|session| session.plan());
        let reached = target.is_some_and(|plan| self.crew.marks.newest.get().number >= plan.target);
        if reached && self.told.as_ref().is_some_and(|told| told.roll_forward) {
            self.drop_session();
            self.told = None;
            self.crew.to(&self.crew.reign, RolledForward(true));
        }
    }
}

/// The session that a data message belongs to.
fn session_of(message: &DataMessage) -> SessionId {
    match message {
        DataMessage::Plan { session, .. } | DataMessage::Records { session, .. } => *session,
        DataMessage::Copy(block) => block.session,
        DataMessage::Compare(block) => block.session,
    }
}

impl Actor for FollowerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        self.rouse(ctx);
    }
}

impl Handler<StartFollowing> for FollowerActor {
    type Result = ();

    fn handle(&mut self, told: StartFollowing, ctx: &mut Context<Self>) {
        tracing::debug!(site = %self.crew.site(), source = %told.source, "told to follow");
        self.drop_session();
        self.told = Some(told);
        self.attempts = 0;
        if let Some(retry) = self.retry.take() {
            ctx.cancel_future(retry);
        }
        self.ask(ctx);
    }
}

impl Handler<StopFollowing> for FollowerActor {
    type Result = ();

    fn handle(&mut self, stop: StopFollowing, ctx: &mut Context<Self>) {
        tracing::debug!(site = %self.crew.site(), "told to follow nobody");
        self.drop_session();
        self.told = None;
        if let Some(retry) = self.retry.take() {
            ctx.cancel_future(retry);
        }
        *self.crew.following.borrow_mut() = FollowView::default();
        self.crew.stop_following.set(false);
        if let Some(done) = stop.done {
            let _ = done.send(());
        }
    }
}

impl Handler<DataIn> for FollowerActor {
    type Result = ();

    fn handle(&mut self, data: DataIn, ctx: &mut Context<Self>) {
        let Some(session) = &self.session else {
            add(&self.crew.shared.totals.stale_refused, data.messages.len() as u64);
            return;
        };
        let (source, current) = (session.source(), session.session());
        for message in data.messages {
            if data.from == *source && session_of(&message) == current {
                self.backlog.push_back(message);
            } else {
                add(&self.crew.shared.totals.stale_refused, 1);
            }
        }
        self.rouse(ctx);
        self.work(ctx);
    }
}

impl Handler<SourceEnded> for FollowerActor {
    type Result = ();

    fn handle(&mut self, ended: SourceEnded, ctx: &mut Context<Self>) {
        tracing::debug!(
            site = %self.crew.site(), source = %ended.from, end = ?ended.end, "the source ended"
        );
        let Some(session) = &self.session else { return };
        let ours = match &ended.end {
            Some(end) => end.session == session.session(),
            None => true,
        };
        if ended.from != *session.source() || !ours {
            return;
        }
        if self.told.as_ref().is_some_and(|told| told.roll_forward) {
            self.give_up_rolling();
            return;
        }
        let renewed = self.crew.data_lanes.borrow().contains_key(&ended.from);
        match ended.end {
            Some(end) => self.again(ctx, end.why),
            // The news is older than the link that is up now: the reign told of that one already.
            None if renewed => self.again(ctx, "the link was renewed".into()),
            None => {
                // The reign says so when the link is back.
                self.drop_session();
                self.told = None;
                self.show(LegState::Connecting);
            }
        }
    }
}

impl Handler<OwnMarks> for FollowerActor {
    type Result = ();

    fn handle(&mut self, _: OwnMarks, ctx: &mut Context<Self>) {
        self.rouse(ctx);
        self.progress();
    }
}
