//! What the follower found different is copied.

use super::ShipperActor;
use crate::shared::add;
use actix::prelude::*;
use trefoil_core::model::{Extent, SessionId};

/// The follower holds other content there than the hashes say that it was told in that session.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Differs {
    pub session: SessionId,
    pub extents: Vec<Extent>,
}

impl Handler<Differs> for ShipperActor {
    type Result = ();

    fn handle(&mut self, Differs { session, extents }: Differs, ctx: &mut Context<Self>) {
        if session != self.follow.session {
            add(&self.crew.shared.totals.stale_refused, 1);
            return;
        }
        let Some(engine) = &mut self.engine else { return };
        match engine.differs(&extents) {
            Ok(()) => self.pump(ctx),
            Err(error) => self.end(error.to_string(), ctx),
        }
    }
}
