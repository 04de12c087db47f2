//! One leg at its source: judges the follower, then sends what it lacks, within its credit.

mod at_hand;
mod beside_hosts;
mod compare;
mod job;
mod plan;
mod relay;

pub(crate) use self::compare::Differs;
pub(crate) use self::plan::judge_follower;
pub(crate) use self::relay::StopRelaying;

use self::job::{Job, Sent};
use self::plan::{Judged, plan_for};
use super::tick::{Ticking, Ticks};
use super::{LegChanged, LegProgress, RaiseFloor, SyncTo};
use crate::crew::{CrewRef, MAILBOX_MAX, crew_send, post};
use crate::parts::micros;
use crate::shared::add;
use crate::wan::{BATCH_BYTES_MIN, Traffic};
use actix::prelude::*;
use std::time::Duration;
use tokio::sync::mpsc;
use trefoil_core::engine::pace::{Bucket, batch_bytes};
use trefoil_core::engine::reign::LegReport;
use trefoil_core::engine::shipper::{ShipperEngine, Work, limit};
use trefoil_core::model::{BlockHash, HASHED_BYTES, SessionId, SiteName, UpdateNumber};
use trefoil_core::port::Frame;
use trefoil_core::wire::{ControlMessage, Follow, Progress, StreamEnd};
use trefoil_core::{ErrorKind, Result};

/// Between ticks while there is something to send or to tell.
const OFTEN: Duration = Duration::from_millis(25);

/// There may be work.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Kick;

/// The primary waits for the follower from now on, and this was the newest number assigned then;
/// `None`: it does not wait any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Awaited(pub Option<UpdateNumber>);

/// The follower told how far it is.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FollowerProgress(pub Progress);

/// End the session; `None`: silently.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopShipping(pub Option<String>);

/// The follower ended that session.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Unfollowed(pub SessionId);

#[derive(Message)]
#[rtype(result = "()")]
struct Done(Result<Sent>);

/// One leg at its source.
pub(crate) struct ShipperActor {
    crew: CrewRef,
    peer: SiteName,
    follow: Follow,
    lane: mpsc::Sender<Vec<Frame>>,
    engine: Option<ShipperEngine>,
    last: Option<Progress>,
    told_sync: UpdateNumber,
    /// What the follower must hold durably to be included in the charter, once it is waited for
    /// in this session (rule R5).
    mark: Option<UpdateNumber>,
    /// A report that is not passed on yet.
    unreported: bool,
    reported_us: u64,
    /// What paces copies.
    copy_pace: Bucket,
    /// Since when updates are gathered for a batch.
    gathering: Option<u64>,
    /// The link is to say when it takes more.
    awaits_room: bool,
    ticks: Ticks,
}

impl ShipperActor {
    pub fn new(
        crew: CrewRef,
        peer: SiteName,
        follow: Follow,
        lane: mpsc::Sender<Vec<Frame>>,
    ) -> Self {
        Self {
            crew,
            peer,
            follow,
            lane,
            engine: None,
            last: None,
            told_sync: UpdateNumber::ZERO,
            mark: None,
            unreported: false,
            reported_us: 0,
            copy_pace: Bucket::default(),
            gathering: None,
            awaits_room: false,
            ticks: Ticks::every(OFTEN),
        }
    }

    /// The highest number that this leg may read now.
    fn limit(&self) -> UpdateNumber {
        let marks = &self.crew.marks;
        if self.follow.roll_forward {
            return marks.durable.get();
        }
        if self.crew.leads.get().is_none() {
            return self.relay_limit();
        }
        let newest = marks.submitted.get().number;
        if !self.crew.serves.get() {
            // The reign is not active yet: only members of the charter come along with it, or a
            // third site might get what no member keeps.
            let named = self.is_named();
            let sent = self.engine.as_ref().map_or(newest, ShipperEngine::sent);
            return if named { newest } else { sent };
        }
        let acking = marks.acking.borrow().contains(&self.peer);
        limit(acking, newest, marks.horizon.get())
    }

    /// Whether hosts wait for the follower.
    fn is_acking(&self) -> bool {
        self.crew.marks.acking.borrow().contains(&self.peer)
    }

    /// Whether the charter names the follower.
    fn is_named(&self) -> bool {
        let state = self.crew.state.borrow();
        state.charter.as_ref().is_some_and(|charter| charter.member(&self.peer).is_some())
    }

    /// Whether everything up to `limit`, and all that is owed, was sent.
    fn is_level(&self, limit: UpdateNumber) -> bool {
        let engine = self.engine.as_ref();
        engine.is_some_and(|engine| !engine.copying() && engine.sent() >= limit)
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        let limit = self.limit();
        let lane = self.crew.shared.lane(&self.peer);
        let traffic = lane.rates.now();
        let batch = batch_bytes(
            self.batch_max(&traffic),
            lane.rate(),
            self.follow.credit,
            BATCH_BYTES_MIN.min(traffic.batch_bytes),
        );
        if self.gathers(limit, &traffic, batch, ctx) {
            return;
        }
        let now = self.crew.shared.clock.now_us();
        self.copy_pace.set_rate(traffic.copy_rate, now);
        // A copy that has to wait is looked at again by the tick.
        let copies = self.copy_pace.wait_us(now) == 0;
        while let Some(work) = self.next_work(limit, copies, ctx) {
            if !self.send_at_hand(&work, batch) {
                self.begin(work, batch, ctx);
            }
        }
    }

    /// Does a piece of work that takes a while.
    fn begin(&self, work: Work, batch: u64, ctx: &mut Context<Self>) {
        let job = Job {
            crew: self.crew.clone(),
            lane: self.lane.clone(),
            session: self.follow.session,
            bytes_max: batch,
        };
        let address = ctx.address();
        actix::spawn(async move {
            let sent = match work {
                Work::Records { from, up_to, bytes_max } => {
                    job.send_records(from, up_to, bytes_max).await
                }
                Work::Copy(run) => job.send_copy(run).await,
                Work::Compare(run) => job.send_hashes(run).await,
            };
            post(&address, Done(sent));
        });
    }

    /// Whether a leg that nobody waits for goes on gathering updates for a batch of `batch` bytes.
    fn gathers(
        &mut self,
        limit: UpdateNumber,
        traffic: &Traffic,
        batch: u64,
        ctx: &mut Context<Self>,
    ) -> bool {
        let delay = micros(traffic.batch_delay);
        let awaited = self.follow.roll_forward || !self.crew.serves.get() || self.is_acking();
        let Some(engine) = &self.engine else { return false };
        let (sent, copying) = (engine.sent(), engine.copying());
        let enough = || self.crew.history.borrow().since(sent, 0).1 >= batch;
        if delay == 0 || awaited || copying || limit <= sent || enough() {
            self.gathering = None;
            return false;
        }
        let now = self.crew.shared.clock.now_us();
        match self.gathering {
            Some(since) if now.saturating_sub(since) >= delay => {
                self.gathering = None;
                false
            }
            Some(_) => true,
            None => {
                self.gathering = Some(now);
                ctx.run_later(traffic.batch_delay, |actor, ctx| actor.pump(ctx));
                true
            }
        }
    }

    /// Ends the session and tells the follower why.
    fn end(&mut self, why: String, ctx: &mut Context<Self>) {
        let end = StreamEnd { session: self.follow.session, why, again: true };
        crew_send(&self.crew, &self.peer, &ControlMessage::StreamEnd(end));
        ctx.stop();
    }

    /// Whether the follower holds durably what had been assigned when the primary began to wait
    /// for it in this session.
    fn may_include(&self) -> bool {
        let durable = self.last.as_ref().map(|progress| progress.marks.durable);
        self.mark.is_some_and(|mark| durable >= Some(mark))
    }

    /// What the reign is told of this leg.
    fn report(&self) -> LegReport {
        let marks = self.last.as_ref().map_or(self.follow.marks, |progress| progress.marks);
        let owed = self.follow.debt.as_ref().map_or(0, |debt| debt.missing.bytes().max(1));
        let planned = self.engine.as_ref().is_some_and(|engine| engine.plan().leaves_debt());
        let debt_bytes = match &self.last {
            Some(progress) => progress.debt_bytes,
            None => owed.max(u64::from(planned)),
        };
        LegReport {
            connected: true,
            incarnation: self.follow.incarnation,
            marks,
            debt_bytes,
            may_include: self.may_include(),
            must_leave: false,
        }
    }

    /// Tells the reign and the retention, but not with every batch.
    fn pass_on(&mut self, at_once: bool) {
        let now = self.crew.shared.clock.now_us();
        if self.follow.roll_forward {
            return;
        }
        if !at_once && now.saturating_sub(self.reported_us) < 20_000 {
            self.unreported = true;
            return;
        }
        self.unreported = false;
        self.reported_us = now;
        if self.last.is_none() {
            return;
        }
        let report = self.report();
        self.crew.to(&self.crew.reign, LegChanged { site: self.peer.clone(), report });
        if let Some(progress) = &self.last {
            let (site, position) = (self.peer.clone(), progress.durable);
            self.crew.to(&self.crew.journal, RaiseFloor { site, position, fork: None });
        }
    }

    /// The plan is made: a member that it would leave in debt must be out of the charter first
    /// (rule R6).
    fn planned(&mut self, judged: Result<Judged>, ctx: &mut Context<Self>) {
        let Judged { plan, frame } = match judged {
            Ok(judged) => judged,
            Err(error) => return self.end(error.to_string(), ctx),
        };
        let member = self.is_named() || self.is_acking();
        if plan.leaves_debt() && member {
            let report = LegReport { must_leave: true, connected: false, ..self.report() };
            self.crew.to(&self.crew.reign, LegChanged { site: self.peer.clone(), report });
            self.end("a member is taken out of the in-sync set before it is copied".into(), ctx);
            return;
        }
        tracing::info!(
            site = %self.crew.site(), follower = %self.peer, plan = %plan.kind, fork = %plan.fork,
            base = %plan.base, target = %plan.target, updates = plan.updates, bytes = ?plan.bytes,
            why = %plan.why, "judged"
        );
        self.crew.plans.borrow_mut().insert(self.peer.clone(), plan.clone());
        if self.lane.try_send(vec![frame]).is_err() {
            return self.end("the link is busy or gone".into(), ctx);
        }
        let sizes: Vec<u64> = {
            let state = self.crew.state.borrow();
            state.volumes.at(plan.base.number).iter().map(|volume| volume.size).collect()
        };
        let engine = ShipperEngine::new(self.follow.session, plan, &sizes, self.follow.credit);
        if engine.ends_with_plan() {
            ctx.stop();
            return;
        }
        self.engine = Some(engine);
        self.pump(ctx);
    }
}

impl Ticking for ShipperActor {
    fn ticks(&mut self) -> &mut Ticks {
        &mut self.ticks
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.unreported || self.may_include() {
            self.pass_on(false);
        }
        self.pump(ctx);
    }

    fn rests(&self) -> bool {
        let awaits_inclusion = self.mark.is_some() && !self.is_named();
        !self.unreported && !awaits_inclusion && self.is_level(self.limit())
    }
}

impl Actor for ShipperActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        let (crew, peer, follow) = (self.crew.clone(), self.peer.clone(), self.follow.clone());
        let judged = async move { plan_for(&crew, &peer, &follow).await };
        ctx.wait(judged.into_actor(self).map(|judged, actor, ctx| actor.planned(judged, ctx)));
        self.rouse(ctx);
    }

    fn stopped(&mut self, ctx: &mut Context<Self>) {
        let mut shippers = self.crew.shippers.borrow_mut();
        if shippers.get(&self.peer).is_some_and(|current| *current == ctx.address()) {
            shippers.remove(&self.peer);
            drop(shippers);
            if !self.follow.roll_forward && self.last.is_some() {
                let report = LegReport { connected: false, ..self.report() };
                self.crew.to(&self.crew.reign, LegChanged { site: self.peer.clone(), report });
            }
        }
    }
}

impl Handler<Kick> for ShipperActor {
    type Result = ();

    fn handle(&mut self, _: Kick, ctx: &mut Context<Self>) {
        self.rouse(ctx);
        self.pump(ctx);
    }
}

impl Handler<FollowerProgress> for ShipperActor {
    type Result = ();

    fn handle(&mut self, FollowerProgress(progress): FollowerProgress, ctx: &mut Context<Self>) {
        if progress.session != self.follow.session {
            add(&self.crew.shared.totals.stale_refused, 1);
            return;
        }
        let Some(engine) = &mut self.engine else { return };
        engine.credit(progress.credit);
        let first = self.last.is_none();
        let paid =
            self.last.as_ref().is_some_and(|last| last.debt_bytes > 0) && progress.debt_bytes == 0;
        if progress.debt_bytes == 0 && !self.follow.roll_forward {
            let (site, incarnation) = (self.peer.clone(), self.follow.incarnation);
            let leg = LegProgress { site, incarnation, marks: progress.marks };
            self.crew.to(&self.crew.volume, leg);
        }
        self.last = Some(progress);
        self.pass_on(first || paid);
        self.rouse(ctx);
        self.pump(ctx);
    }
}

impl Handler<SyncTo> for ShipperActor {
    type Result = ();

    fn handle(&mut self, SyncTo(number): SyncTo, _: &mut Context<Self>) {
        if self.is_acking() && number > self.told_sync {
            self.told_sync = number;
            let session = self.follow.session;
            crew_send(&self.crew, &self.peer, &ControlMessage::SyncTo { session, number });
        }
    }
}

impl Handler<Awaited> for ShipperActor {
    type Result = ();

    fn handle(&mut self, Awaited(mark): Awaited, ctx: &mut Context<Self>) {
        self.mark = mark;
        self.unreported = true;
        self.pump(ctx);
    }
}

impl Handler<StopShipping> for ShipperActor {
    type Result = ();

    fn handle(&mut self, StopShipping(why): StopShipping, ctx: &mut Context<Self>) {
        match why {
            Some(why) => self.end(why, ctx),
            None => ctx.stop(),
        }
    }
}

impl Handler<Unfollowed> for ShipperActor {
    type Result = ();

    fn handle(&mut self, Unfollowed(session): Unfollowed, ctx: &mut Context<Self>) {
        // It may be about the session before: that one is gone already.
        if session == self.follow.session {
            ctx.stop();
        }
    }
}

impl Handler<Done> for ShipperActor {
    type Result = ();

    fn handle(&mut self, Done(sent): Done, ctx: &mut Context<Self>) {
        let Some(engine) = &mut self.engine else { return };
        let totals = &self.crew.shared.totals;
        match sent {
            Ok(Sent::Records(shipped)) => self.shipped(&shipped),
            Ok(Sent::Copy { extent, data, wire }) => {
                engine.copy_sent(extent, wire);
                self.copy_pace.take(data);
                add(&totals.copied_bytes, data);
            }
            Ok(Sent::Hashes { extent, wire }) => {
                engine.compare_sent(extent, wire);
                self.copy_pace.take(BlockHash::BYTES as u64 * extent.length.div_ceil(HASHED_BYTES));
                add(&totals.compared_bytes, extent.length);
            }
            Ok(Sent::Nothing) => engine.records_sent(UpdateNumber::ZERO, 0),
            Err(error) => {
                let kind = error.kind();
                if kind == ErrorKind::Io {
                    self.crew.fail(&error);
                }
                return self.end(format!("the source cannot go on: {error}"), ctx);
            }
        }
        self.pump(ctx);
    }
}
