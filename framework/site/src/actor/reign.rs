//! Who leads: carries events to the reign engine, and its effects out, one event at a time.

mod arbiter;
mod certificate;
mod exchange;
mod go_back;
mod layout;
mod memory;
mod plan;
mod replace;
mod standstill;
mod ticks;

pub(crate) use self::exchange::{Paused, Suspend, Swap, Takeover};
pub(crate) use self::layout::Repoint;
pub(crate) use self::memory::WasSetBack;
pub(crate) use self::plan::{AskExchange, AskForecasts, AskTakeover, PlanAsked};
pub(crate) use self::replace::Replace;

use self::standstill::{depose, lead, settle};
use super::tick::{Ticking, Ticks};
use super::{
    HoldAnswers, Join, Leave, Serve, ShipperActor, StartFollowing, StopFollowing, StopShipping,
};
use crate::crew::crew_send;
use crate::crew::{CrewRef, MAILBOX_MAX, post};
use crate::parts::micros;
use crate::plan::with_group;
use crate::shared::{Gate, Shared};
use crate::status::Certificate;
use actix::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;
use trefoil_core::engine::reign::{
    Effect, Event, Exchange, ExchangeEffect, LegReport, Reign, ReignConfig,
};
use trefoil_core::model::{Generation, SiteName, UpdateNumber};
use trefoil_core::wire::{CharterReply, ControlMessage, Follow, PromiseReply, StreamEnd};
use trefoil_core::{Error, Result};

/// A message of the reign's protocol came.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FromPeer {
    pub from: SiteName,
    pub message: ControlMessage,
}

/// A link came up or went down.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct LinkChanged {
    pub site: SiteName,
    pub up: bool,
}

/// A site asks to be served.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FollowRequest {
    pub from: SiteName,
    pub follow: Box<Follow>,
}

/// A leg of this primary changed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct LegChanged {
    pub site: SiteName,
    pub report: LegReport,
}

/// The Generation record is durable here.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Marked(pub UpdateNumber);

/// The roll-forward ended, well or not.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RolledForward(pub bool);

/// Who leads, at one site.
pub(crate) struct ReignActor {
    crew: CrewRef,
    engine: Reign,
    /// Effects that wait for one that takes time.
    effects: VecDeque<Effect>,
    /// An effect that takes time is being carried out.
    busy: bool,
    waiting: Option<oneshot::Sender<Result<Certificate>>>,
    /// What the operator who waits asked for.
    doing: &'static str,
    ticks: Ticks,
    /// What the other sites are told before it is answered.
    telling: Vec<replace::Telling>,
}

/// How the reign of `site` is configured: alike at all sites, but for its name and its legs.
pub(crate) fn reign_config(shared: &Shared, site: &SiteName) -> ReignConfig {
    let (topology, timing) = (&shared.config.topology, &shared.config.timing);
    ReignConfig {
        site: site.clone(),
        registered: topology.sites(),
        home: topology.home(),
        modes: topology.legs(site),
        fence: shared.config.fence,
        lease_us: micros(timing.lease),
        promise_timeout_us: micros(timing.promise_timeout),
        carry_grace_us: micros(timing.carry_grace),
        leg_grace_us: micros(timing.leg_grace),
        deposed_pause_us: 2 * micros(timing.promise_timeout),
        handover_limit_us: micros(timing.handover),
        join_updates_max: 4096,
        takeover_delay_us: timing.takeover_delay.map(micros),
    }
}

impl ReignActor {
    pub fn new(crew: CrewRef) -> Self {
        let reign = reign_config(&crew.shared, crew.site());
        let state = crew.state.borrow();
        let now = crew.shared.clock.now_us();
        let engine =
            Reign::new(reign, state.incarnation, state.promised, state.charter.clone(), now)
                .with_suspended(state.suspended.clone())
                .with_novice(state.novice)
                .with_relays(layout::sources(&crew));
        let engine = if crew.arbiter.is_some() { engine.with_arbiter() } else { engine };
        *crew.heard.borrow_mut() = engine.heard();
        drop(state);
        let (effects, ticks) = (VecDeque::new(), Ticks::every(ticks::OFTEN));
        let (doing, telling) = ("take over", Vec::new());
        Self { crew, engine, effects, busy: false, waiting: None, doing, ticks, telling }
    }

    fn on(&mut self, event: Event, ctx: &mut Context<Self>) {
        if self.crew.failed.borrow().is_some() {
            // A failed site takes part in nothing any more.
            return;
        }
        let own = self.crew.own();
        let effects = self.engine.on(&own, event);
        self.effects.extend(effects);
        self.carry_out(ctx);
        self.publish();
        if !self.rests() {
            self.rouse(ctx);
        }
    }

    /// Carries effects out, in order; one that takes time holds up the rest, and all events.
    fn carry_out(&mut self, ctx: &mut Context<Self>) {
        // One that takes time is not done: whatever came meanwhile waits behind it. (A message that
        // is handled in the same turn of the mailbox must not overtake it.)
        if self.busy {
            return;
        }
        while let Some(effect) = self.effects.pop_front() {
            tracing::trace!(site = %self.crew.site(), ?effect, "carry out");
            match effect {
                Effect::Save { promised, charter } => {
                    {
                        let mut state = self.crew.state.borrow_mut();
                        state.promised = promised;
                        state.charter = charter;
                    }
                    let crew = self.crew.clone();
                    return self.wait_for(async move { crew.save().await }, ctx);
                }
                Effect::Vouched => {
                    self.crew.state.borrow_mut().novice = false;
                    let crew = self.crew.clone();
                    return self.wait_for(async move { crew.save().await }, ctx);
                }
                Effect::SetBack { incarnation } => {
                    let crew = self.crew.clone();
                    return self
                        .wait_for(async move { memory::renew(&crew, incarnation).await }, ctx);
                }
                Effect::GoBack { image: _, incarnation } => {
                    let crew = self.crew.clone();
                    let work = async move { go_back::go_back(&crew, incarnation).await };
                    return self.wait_for(work, ctx);
                }
                Effect::Promise { to, generation } => {
                    let crew = self.crew.clone();
                    crew.stop_relaying("a newer generation was promised");
                    return self.promise(crew, to, generation, ctx);
                }
                Effect::Lead { generation } => {
                    let crew = self.crew.clone();
                    return self.wait_for(async move { lead(&crew, generation).await }, ctx);
                }
                Effect::Exchange(ExchangeEffect::Close(end)) => {
                    let crew = self.crew.clone();
                    self.close_for_good(&end);
                    return self.wait_for(async move { exchange::close(&crew, end).await }, ctx);
                }
                Effect::Depose => {
                    let crew = self.crew.clone();
                    self.crew.leads.set(None);
                    self.close_gate();
                    self.end_legs();
                    return self.wait_for(async move { depose(&crew).await }, ctx);
                }
                effect => self.carry_out_at_once(effect),
            }
        }
    }

    /// Holds everything up until `work` is done; a failure ends this site's part in the group.
    fn wait_for(
        &mut self,
        work: impl Future<Output = Result<()>> + 'static,
        ctx: &mut Context<Self>,
    ) {
        self.busy = true;
        let work = work.into_actor(self).map(|result, actor, ctx| match result {
            Ok(()) => {
                actor.busy = false;
                actor.carry_out(ctx);
                actor.publish();
            }
            Err(error) => {
                actor.busy = false;
                actor.effects.clear();
                if let Some(reply) = actor.waiting.take() {
                    let _ = reply.send(Err(error.duplicate().context(actor.doing)));
                }
                actor.crew.fail(&error);
            }
        });
        ctx.wait(work);
    }

    fn carry_out_at_once(&mut self, effect: Effect) {
        let crew = &self.crew;
        match effect {
            Effect::RefusePromise { to, generation } => {
                let reply = PromiseReply::Refused { promised: self.engine.promised() };
                crew_send(crew, &to, &ControlMessage::PromiseReply { generation, reply });
            }
            Effect::AskPromise { to, generation } => {
                crew_send(crew, &to, &ControlMessage::PromiseRequest { generation });
            }
            Effect::Propose { to, charter } => {
                crew_send(crew, &to, &ControlMessage::CharterProposal(charter));
            }
            Effect::AnswerProposal { to, generation, version, reply } => {
                let message = ControlMessage::CharterReply { generation, version, reply };
                crew_send(crew, &to, &message);
            }
            Effect::AnswerHeartbeat { to, echo, grants } => self.answer_beat(&to, echo, grants),
            Effect::Follow { source, generation, roll_forward } => {
                let start = StartFollowing { source, generation, roll_forward };
                crew.to(&crew.follower, start);
                self.close_gate();
            }
            Effect::Unfollow => crew.to(&crew.follower, StopFollowing { done: None }),
            Effect::Join(site) => self.join(site),
            Effect::Leave(site) => crew.to(&crew.volume, Leave(site)),
            Effect::StopServing(site) => self.stop_serving(&site),
            Effect::Serve => crew.to(&crew.volume, Serve),
            Effect::Hold(hold) => crew.to(&crew.volume, HoldAnswers(hold)),
            Effect::Exchange(effect) => self.exchange(effect),
            Effect::AskArbiter { id, question } => self.ask_arbiter(id, question),
            Effect::Lease { until } => crew.shared.lease_until.store(until, Ordering::Release),
            Effect::TookOver(completed) => self.took_over(*completed),
            Effect::TakeoverFailed { why } => {
                if let Some(reply) = self.waiting.take() {
                    let error = if why.unreachable { Error::unavailable } else { Error::refused };
                    let why = with_group(&why.why, &crew.shared.config.group);
                    let _ = reply.send(Err(error(format!("{}: {why}", self.doing))));
                }
            }
            Effect::Save { .. }
            | Effect::Vouched
            | Effect::SetBack { .. }
            | Effect::GoBack { .. }
            | Effect::Promise { .. }
            | Effect::Lead { .. }
            | Effect::Depose => {}
        }
    }

    /// Lets what was taken settle durably, then sends evidence: nothing older is taken any more.
    fn promise(
        &mut self,
        crew: CrewRef,
        to: SiteName,
        generation: Generation,
        ctx: &mut Context<Self>,
    ) {
        self.busy = true;
        let settle = async move { settle(&crew).await };
        ctx.wait(settle.into_actor(self).map(move |settled, actor, ctx| {
            actor.busy = false;
            match settled {
                Ok(()) => {
                    let evidence = actor.engine.evidence(&to, &actor.crew.own());
                    let reply = PromiseReply::Promised(Box::new(evidence));
                    let message = ControlMessage::PromiseReply { generation, reply };
                    crew_send(&actor.crew, &to, &message);
                }
                Err(error) => tracing::warn!(site = %actor.crew.site(), %error, "no evidence yet"),
            }
            actor.carry_out(ctx);
            actor.publish();
        }));
    }

    fn join(&self, site: SiteName) {
        let reports = self.crew.legs.borrow();
        let Some(report) = reports.get(&site) else { return };
        let (incarnation, marks) = (report.incarnation, report.marks);
        self.crew.to(&self.crew.volume, Join { site, incarnation, marks });
    }

    fn close_gate(&self) {
        let charter = self.engine.charter();
        let next = self.engine.hands_to().cloned();
        let primary = next.or_else(|| charter.map(|charter| charter.primary.clone()));
        let primary = primary.filter(|site| site != self.crew.site());
        let gate = if self.crew.owes() { Gate::Owing(primary) } else { Gate::Secondary(primary) };
        self.crew.shared.gate.send_if_modified(|old| {
            let closed = matches!(old, Gate::Closed(_));
            if closed || *old == gate {
                return false;
            }
            *old = gate;
            true
        });
    }

    fn end_legs(&self) {
        for shipper in self.crew.shippers.borrow().values() {
            post(shipper, StopShipping(Some("the reign ended".into())));
        }
        self.crew.legs.borrow_mut().clear();
    }

    /// Shows everyone on the thread what the reign decided.
    fn publish(&self) {
        let crew = &self.crew;
        crew.leads.set(self.engine.leads());
        let serves = self.engine.is_active();
        if !crew.serves.replace(serves) && serves {
            // Legs that the charter does not name may be sent something from now on.
            crew.kick_shippers();
        }
        let role = self.engine.role();
        if crew.role.replace(role) != role {
            crew.stirred();
        }
        *crew.trouble.borrow_mut() = self.engine.trouble().map(str::to_owned);
        *crew.arbiter_seen.borrow_mut() = self.engine.arbiter();
        if !self.engine.serves() {
            self.close_gate();
        }
    }

    /// A site was heard: the others are told how long ago.
    fn heard(&self, site: &SiteName) {
        let now = self.crew.shared.clock.now_us();
        self.crew.heard.borrow_mut().insert(site.clone(), now);
    }
}

impl Actor for ReignActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        self.publish();
        self.rouse(ctx);
    }
}

impl Handler<FromPeer> for ReignActor {
    type Result = ();

    fn handle(&mut self, FromPeer { from, message }: FromPeer, ctx: &mut Context<Self>) {
        let event = match message {
            ControlMessage::Heartbeat(beat) => {
                self.heard(&from);
                Event::Heartbeat(from, beat)
            }
            ControlMessage::PromiseRequest { generation } => {
                Event::PromiseRequest(from, generation)
            }
            ControlMessage::PromiseReply { generation, reply } => {
                Event::PromiseReply(from, generation, reply)
            }
            ControlMessage::CharterProposal(charter) => Event::CharterProposal(from, charter),
            ControlMessage::CharterReply { generation, version, reply } => {
                if matches!(reply, CharterReply::Stale { .. }) {
                    crate::shared::add(&self.crew.shared.totals.stale_refused, 1);
                }
                Event::CharterReply(from, generation, version, reply)
            }
            ControlMessage::HandoverRequest { generation } => {
                Event::Exchange(Exchange::Requested(from, generation))
            }
            ControlMessage::HandoverReply { generation, reply } => {
                Event::Exchange(Exchange::Answered(from, generation, reply))
            }
            _ => return,
        };
        self.on(event, ctx);
    }
}

impl Handler<LinkChanged> for ReignActor {
    type Result = ();

    fn handle(&mut self, LinkChanged { site, up }: LinkChanged, ctx: &mut Context<Self>) {
        if up {
            self.heard(&site);
        }
        self.crew.stirred();
        self.on(if up { Event::LinkUp(site) } else { Event::LinkDown(site) }, ctx);
    }
}

impl Handler<FollowRequest> for ReignActor {
    type Result = ();

    fn handle(&mut self, request: FollowRequest, _: &mut Context<Self>) {
        let FollowRequest { from, follow } = request;
        let (generation, incarnation) = (follow.generation, follow.incarnation);
        let allowed = self.engine.may_serve(&from, generation, incarnation, follow.roll_forward);
        let request = FollowRequest { from, follow };
        let allowed = allowed.and_then(|()| self.crew.passes_on(&request));
        let FollowRequest { from, follow } = request;
        let lane = self.crew.data_lanes.borrow().get(&from).cloned();
        let (Ok(()), Some(lane)) = (&allowed, lane) else {
            let why = allowed.err().map_or_else(|| "no link".into(), |error| error.to_string());
            let end = StreamEnd { session: follow.session, why, again: true };
            crew_send(&self.crew, &from, &ControlMessage::StreamEnd(end));
            return;
        };
        let shipper = ShipperActor::new(self.crew.clone(), from.clone(), *follow, lane).start();
        let old = self.crew.shippers.borrow_mut().insert(from, shipper);
        if let Some(old) = old {
            post(&old, StopShipping(None));
        }
    }
}

impl Handler<LegChanged> for ReignActor {
    type Result = ();

    fn handle(&mut self, LegChanged { site, report }: LegChanged, ctx: &mut Context<Self>) {
        let current = self.crew.shippers.borrow().contains_key(&site);
        let report = LegReport { connected: report.connected && current, ..report };
        self.crew.legs.borrow_mut().insert(site.clone(), report);
        self.crew.stirred();
        self.on(Event::Leg(site, report), ctx);
    }
}

impl Handler<Marked> for ReignActor {
    type Result = ();

    fn handle(&mut self, Marked(number): Marked, ctx: &mut Context<Self>) {
        self.on(Event::Marked(number), ctx);
    }
}

impl Handler<RolledForward> for ReignActor {
    type Result = ();

    fn handle(&mut self, RolledForward(well): RolledForward, ctx: &mut Context<Self>) {
        self.on(Event::RolledForward(well), ctx);
    }
}
