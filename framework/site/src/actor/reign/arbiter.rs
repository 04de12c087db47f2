//! Carries the reign's questions to the arbiter outside of the sites, and its answers back.

use super::ReignActor;
use crate::crew::post;
use crate::parts::micros;
use actix::prelude::*;
use std::time::Duration;
use trefoil_core::engine::reign::{Event, Question, Reply};
use trefoil_core::model::SiteName;
use trefoil_core::port::{Arbiter, ChangeOutcome, LeaseRequest};
use trefoil_core::{Error, ErrorKind, Result};

/// The arbiter answered the question of that number, or was not heard.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ArbiterAnswered {
    id: u64,
    reply: Reply,
}

impl ReignActor {
    /// Asks the arbiter. Whatever becomes of that, the engine is told.
    pub(super) fn ask_arbiter(&self, id: u64, question: Question) {
        let crew = &self.crew;
        let (Some(arbiter), Some(reign)) = (crew.arbiter.clone(), crew.reign.get().cloned()) else {
            return;
        };
        let timing = &crew.shared.config.timing;
        let (limit, lease, site) = (timing.promise_timeout, timing.lease, crew.site().clone());
        tokio::task::spawn_local(async move {
            let answer = ask(&*arbiter, question, site, lease);
            let reply = match tokio::time::timeout(limit, answer).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(error)) => unanswered(&error),
                Err(_) => Reply::Unknown(format!(
                    "{} gave no answer within {} ms",
                    arbiter.describe(),
                    limit.as_millis()
                )),
            };
            post(&reign, ArbiterAnswered { id, reply });
        });
    }
}

async fn ask(
    arbiter: &dyn Arbiter,
    question: Question,
    holder: SiteName,
    duration: Duration,
) -> Result<Reply> {
    Ok(match question {
        Question::Read => Reply::Recorded(arbiter.read().await?),
        Question::Change { expected, charter } => {
            match arbiter.compare_and_set(expected, charter).await? {
                ChangeOutcome::Won(version) => Reply::Won(version),
                ChangeOutcome::Lost(recorded) => Reply::Lost(recorded),
            }
        }
        Question::Renew { generation } => {
            let granted = arbiter.renew(LeaseRequest { holder, generation, duration }).await?;
            // No longer than asked, whatever it says.
            Reply::Granted(micros(granted.min(duration)))
        }
        Question::Wait => Reply::Waits(micros(arbiter.takeover_wait().await?)),
    })
}

fn unanswered(error: &Error) -> Reply {
    match error.kind() {
        ErrorKind::Fenced => Reply::Fenced,
        // A charter that is refused leaves the record unknown: it is read next.
        _ => Reply::Unknown(error.to_string()),
    }
}

impl Handler<ArbiterAnswered> for ReignActor {
    type Result = ();

    fn handle(&mut self, answered: ArbiterAnswered, ctx: &mut Context<Self>) {
        let ArbiterAnswered { id, reply } = answered;
        tracing::trace!(site = %self.crew.site(), id, ?reply, "the arbiter answers");
        self.on(Event::Arbiter(id, reply), ctx);
    }
}
