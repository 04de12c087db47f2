//! Questions to another site for a plan: it answers as it would decide.

use super::PeerActor;
use actix::prelude::*;
use tokio::sync::oneshot;
use trefoil_core::wire::{Answer, ControlMessage, Question};

/// Ask that site. The reply is dropped if its link is down, or goes down before it answers.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AskAnswer {
    pub question: Question,
    pub reply: oneshot::Sender<Answer>,
}

impl Handler<AskAnswer> for PeerActor {
    type Result = ();

    fn handle(&mut self, AskAnswer { question, reply }: AskAnswer, _: &mut Context<Self>) {
        if self.up.is_none() {
            return;
        }
        self.planning.retain(|_, reply| !reply.is_closed());
        let id = self.crew.random();
        self.planning.insert(id, reply);
        self.send(&ControlMessage::PlanRequest { id, question });
    }
}
