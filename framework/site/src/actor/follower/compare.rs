//! What differs from its source is asked for.

use super::FollowerActor;
use crate::crew::crew_send;
use actix::prelude::*;
use trefoil_core::model::{Extent, SessionId};
use trefoil_core::wire::ControlMessage;

/// The volumes hold other content in these ranges than that session's source.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Differing {
    pub session: SessionId,
    pub extents: Vec<Extent>,
}

impl Handler<Differing> for FollowerActor {
    type Result = ();

    fn handle(&mut self, Differing { session, extents }: Differing, _: &mut Context<Self>) {
        // Of an earlier session: all that is missing is compared anew in this one.
        let Some(current) = self.session.as_ref().filter(|now| now.session() == session) else {
            return;
        };
        let source = current.source().clone();
        crew_send(&self.crew, &source, &ControlMessage::Differs { session, extents });
    }
}
