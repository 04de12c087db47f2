//! What the source decided: it is executed, or kept from being.

use super::super::resync::{Executed, execute};
use super::{FollowerActor, RolledForward};
use actix::prelude::*;
use std::collections::BTreeMap;
use tokio::sync::oneshot;
use trefoil_core::engine::follower::Step;
use trefoil_core::model::{Changed, Lineage, MissedMap, SiteName, UpdateNumber};
use trefoil_core::wire::Follow;
use trefoil_core::{Error, Result};

/// The operator chose: the source's history goes on, the own tail may be dropped. Answered with the
/// source that is asked.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Rejoin(pub oneshot::Sender<Result<SiteName>>);

/// What this site would say if its operator chose the source's history now; `None` if it follows
/// nobody.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AskFollow(pub oneshot::Sender<Option<(SiteName, Box<Follow>)>>);

impl FollowerActor {
    pub(super) fn execute(&mut self, step: Step, lineage: Lineage, ctx: &mut Context<Self>) {
        let Some(session) = &self.session else { return };
        let Some(plan) = session.plan().cloned() else { return };
        tracing::info!(
            site = %self.crew.site(), source = %session.source(), plan = %plan.kind,
            updates = plan.updates, why = %plan.why, "following"
        );
        let source = session.source().clone();
        self.crew.following.borrow_mut().plan = Some(plan.clone());
        match step {
            Step::Refused(why) if self.told.as_ref().is_some_and(|told| told.roll_forward) => {
                tracing::warn!(site = %self.crew.site(), why, "cannot roll forward");
                self.give_up_rolling();
            }
            Step::Refused(why) => self.again(ctx, why),
            Step::Stream => self.begin_stream(ctx),
            Step::Rewind if self.told.as_ref().is_some_and(|told| told.roll_forward) => {
                self.give_up_rolling();
            }
            Step::Owe | Step::OweAndReset | Step::Rewind => {
                let crew = self.crew.clone();
                let execute = async move { execute(&crew, source, plan, lineage, &step).await };
                ctx.wait(execute.into_actor(self).map(|result, actor, ctx| match result {
                    Ok(executed) => actor.executed(executed, ctx),
                    Err(error) => actor.crew.fail(&error),
                }));
            }
        }
    }

    fn executed(&mut self, executed: Executed, ctx: &mut Context<Self>) {
        match executed {
            Executed::Done => {
                self.discards_tail = false;
                self.begin_stream(ctx);
            }
            Executed::Rewound(place) => {
                self.discards_tail = false;
                let site = self.crew.site();
                tracing::warn!(%site, place, "updates that the source never had are set aside");
                self.crew.following.borrow_mut().set_aside = Some(place);
                self.drop_session();
                if let Some(retry) = self.retry.take() {
                    ctx.cancel_future(retry);
                }
                self.ask(ctx);
            }
            Executed::Not(why) => self.again(ctx, why),
        }
    }

    /// A candidate's source does not bring it further.
    pub(super) fn give_up_rolling(&mut self) {
        self.drop_session();
        self.told = None;
        self.crew.to(&self.crew.reign, RolledForward(false));
    }
}

impl Handler<AskFollow> for FollowerActor {
    type Result = ();

    fn handle(&mut self, AskFollow(reply): AskFollow, _: &mut Context<Self>) {
        let follow = self.told.as_ref().map(|told| {
            // One that is served already drops nothing, whatever was chosen.
            let discards = !self.streaming;
            (told.source.clone(), Box::new(self.follow(told, discards)))
        });
        let _ = reply.send(follow);
    }
}

impl Handler<Rejoin> for FollowerActor {
    type Result = ();

    fn handle(&mut self, Rejoin(reply): Rejoin, ctx: &mut Context<Self>) {
        let Some(told) = &self.told else {
            let site = self.crew.site();
            let _ = reply.send(Err(Error::refused(format!(
                "rejoin: site {site} follows no other site now; see `trefoil status`"
            ))));
            return;
        };
        let _ = reply.send(Ok(told.source.clone()));
        if self.streaming {
            return;
        }
        self.discards_tail = true;
        self.attempts = 0;
        self.drop_session();
        if let Some(retry) = self.retry.take() {
            ctx.cancel_future(retry);
        }
        self.ask(ctx);
    }
}

/// From where on the own maps name whatever was trimmed, at the earliest.
pub(super) fn maps_from(maps: &BTreeMap<SiteName, MissedMap>) -> Option<UpdateNumber> {
    let exact = maps.values().filter(|map| matches!(map.changed, Changed::Extents(_)));
    exact.map(|map| map.from).min()
}
