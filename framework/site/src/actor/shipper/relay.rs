//! A leg of a site that follows itself: it passes on what it holds durably, and never more than
//! what the leading site said is durable wherever that one waits.

use super::ShipperActor;
use crate::crew::CrewRef;
use actix::prelude::*;
use std::time::Duration;
use trefoil_core::model::UpdateNumber;
use trefoil_core::wire::Follow;
use trefoil_core::{Error, Result};

/// How long a follower that is further on may wait for this site to come as far.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// End the session, unless a candidate reads from here.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopRelaying(pub String);

impl ShipperActor {
    /// The highest number that may be passed on now.
    pub(super) fn relay_limit(&self) -> UpdateNumber {
        match self.crew.relay.get() {
            Some((generation, horizon)) if generation == self.follow.generation => {
                horizon.min(self.crew.marks.durable.get())
            }
            _ => UpdateNumber::ZERO,
        }
    }
}

/// Waits until this site, if it does not lead, can judge a follower of the same reign: it holds
/// that reign's beginning durably, and is no shorter than the follower. A shorter one would take
/// what it does not hold yet for a tail that nobody has.
pub(super) async fn until_as_far(crew: &CrewRef, follow: &Follow) -> Result<()> {
    if crew.leads.get().is_some() || follow.roll_forward {
        return Ok(());
    }
    let begun = tokio::time::Instant::now();
    loop {
        let durable = crew.marks.durable.get();
        let known = crew.state.borrow().lineage.generation_at(durable) == follow.generation;
        let streams = crew.relay.get().is_some_and(|(own, _)| own == follow.generation);
        let same = follow.newest.generation == follow.generation;
        if known && streams && (!same || durable >= follow.newest.number) {
            return Ok(());
        }
        if !streams || begun.elapsed() >= PATIENCE {
            return Err(Error::unavailable(format!(
                "site {} is not as far as the follower, which is at {}",
                crew.site(),
                follow.newest
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Handler<StopRelaying> for ShipperActor {
    type Result = ();

    fn handle(&mut self, StopRelaying(why): StopRelaying, ctx: &mut Context<Self>) {
        if !self.follow.roll_forward {
            self.end(why, ctx);
        }
    }
}
