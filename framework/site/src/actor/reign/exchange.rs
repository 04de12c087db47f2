//! What operators ask of the reign, and the effects of a planned exchange of roles.

use super::ReignActor;
use crate::actor::{Close, Pause, StopShipping};
use crate::crew::{CrewRef, crew_send, post};
use crate::shared::Gate;
use crate::status::Certificate;
use actix::prelude::*;
use tokio::sync::oneshot;
use trefoil_core::engine::reign::{Event, Exchange, ExchangeEffect, TakeoverOptions};
use trefoil_core::model::{Handover, SiteName, UpdateNumber};
use trefoil_core::wire::ControlMessage;
use trefoil_core::{Error, Result};

/// The operator wants this site to lead.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Takeover {
    pub options: TakeoverOptions,
    pub reply: oneshot::Sender<Result<Certificate>>,
}

/// The operator wants this site to lead, by the leading site's own hand.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Swap {
    pub reply: oneshot::Sender<Result<Certificate>>,
}

/// The operator suspends the leg to a site, or lets it go on.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Suspend {
    pub site: SiteName,
    pub suspended: bool,
    pub reply: oneshot::Sender<Result<()>>,
}

/// Host writes wait; the newest number assigned.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Paused(pub UpdateNumber);

impl ReignActor {
    /// Carries out an effect of an exchange that takes no time.
    pub(super) fn exchange(&self, effect: ExchangeEffect) {
        let crew = &self.crew;
        match effect {
            ExchangeEffect::Ask { to, generation } => {
                crew_send(crew, &to, &ControlMessage::HandoverRequest { generation });
            }
            ExchangeEffect::Answer { to, generation, reply } => {
                tracing::info!(site = %crew.site(), %to, ?reply, "answers who asked to lead");
                crew_send(crew, &to, &ControlMessage::HandoverReply { generation, reply });
            }
            ExchangeEffect::Pause => crew.to(&crew.volume, Pause(true)),
            ExchangeEffect::Resume => crew.to(&crew.volume, Pause(false)),
            ExchangeEffect::Close(_) => {}
        }
    }

    /// Ends the session of a leg that the operator suspended.
    pub(super) fn stop_serving(&self, site: &SiteName) {
        if let Some(shipper) = self.crew.shippers.borrow().get(site) {
            post(shipper, StopShipping(Some("suspended by the operator".into())));
        }
    }

    /// From here on no host is answered in this reign: reads are refused at once.
    pub(super) fn close_for_good(&self, end: &Handover) {
        tracing::info!(site = %self.crew.site(), to = %end.to, number = %end.number, "hands over");
        self.crew.shared.lease_until.store(0, std::sync::atomic::Ordering::Release);
        self.crew.shared.gate.send_replace(Gate::Secondary(Some(end.to.clone())));
    }

    /// Whether the operator may be kept waiting for that; else they are told why not.
    fn may_wait(
        &mut self,
        doing: &'static str,
        reply: oneshot::Sender<Result<Certificate>>,
    ) -> bool {
        if let Some(failed) = self.crew.failed.borrow().clone() {
            let _ = reply.send(Err(Error::refused(format!("{doing}: {failed}"))));
            return false;
        }
        if self.waiting.is_some() {
            let busy = format!("{doing}: a takeover or an exchange is under way here already");
            let _ = reply.send(Err(Error::refused(busy)));
            return false;
        }
        (self.waiting, self.doing) = (Some(reply), doing);
        true
    }
}

/// Notes the end of the reign durably, then has its record made.
pub(super) async fn close(crew: &CrewRef, end: Handover) -> Result<()> {
    crew.state.borrow_mut().closed = Some(end.clone());
    crew.save().await?;
    if let Some(volume) = crew.volume.get() {
        let stopped = |_| Error::closed("hand over: the volumes stopped");
        volume.send(Close(end)).await.map_err(stopped)?;
    }
    Ok(())
}

impl Handler<Takeover> for ReignActor {
    type Result = ();

    fn handle(&mut self, Takeover { options, reply }: Takeover, ctx: &mut Context<Self>) {
        if self.may_wait("take over", reply) {
            self.on(Event::Takeover(options), ctx);
        }
    }
}

impl Handler<Suspend> for ReignActor {
    type Result = ();

    fn handle(&mut self, suspend: Suspend, ctx: &mut Context<Self>) {
        let Suspend { site, suspended, reply } = suspend;
        if suspended && !self.engine.is_active() {
            let here = self.crew.site();
            let why = format!("suspend leg to {site}: site {here} does not lead; see `status`");
            let _ = reply.send(Err(Error::refused(why)));
            return;
        }
        let sites = {
            let mut state = self.crew.state.borrow_mut();
            if suspended {
                state.suspended.insert(site);
            } else {
                state.suspended.remove(&site);
            }
            state.suspended.clone()
        };
        let crew = self.crew.clone();
        let save = async move { crew.save().await };
        // Durable first: a restart must not let a leg go on that the operator stopped.
        ctx.wait(save.into_actor(self).map(move |saved, actor, ctx| match saved {
            Ok(()) => {
                actor.on(Event::Suspended(sites), ctx);
                let _ = reply.send(Ok(()));
            }
            Err(error) => {
                let _ = reply.send(Err(error.duplicate().context("suspend leg")));
                actor.crew.fail(&error);
            }
        }));
    }
}

impl Handler<Swap> for ReignActor {
    type Result = ();

    fn handle(&mut self, Swap { reply }: Swap, ctx: &mut Context<Self>) {
        if self.may_wait("exchange roles", reply) {
            self.on(Event::Exchange(Exchange::Wanted), ctx);
        }
    }
}

impl Handler<Paused> for ReignActor {
    type Result = ();

    fn handle(&mut self, Paused(last): Paused, ctx: &mut Context<Self>) {
        self.on(Event::Exchange(Exchange::Paused(last)), ctx);
    }
}
