//! What sites hear of each other: this one's state, and its own past from those that remember it.

use super::ReignActor;
use crate::crew::{CrewRef, crew_send};
use actix::prelude::*;
use trefoil_core::Result;
use trefoil_core::engine::reign::Event;
use trefoil_core::model::{Claim, Incarnation, SiteName};
use trefoil_core::wire::{ControlMessage, Heartbeat};

/// Another site remembers this one further on than it is.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WasSetBack {
    pub by: SiteName,
    pub before: Claim,
}

impl Handler<WasSetBack> for ReignActor {
    type Result = ();

    fn handle(&mut self, WasSetBack { by, before }: WasSetBack, ctx: &mut Context<Self>) {
        // Of two that say so the second is about the incarnation that is over.
        let Some(why) = self.crew.told_set_back(&by, &before) else { return };
        let site = self.crew.site();
        tracing::warn!(%site, %by, "{why}");
        let incarnation = Incarnation(self.crew.random());
        self.on(Event::SetBack { incarnation, why }, ctx);
    }
}

impl ReignActor {
    /// Answers a heartbeat with this site's own state.
    pub(super) fn answer_beat(&self, to: &SiteName, echo: u64, grants: bool) {
        let crew = &self.crew;
        let marks = &crew.marks;
        let beat = Heartbeat {
            view: crew.view(),
            sent_at: 0,
            echo,
            grants,
            lease: None,
            vouches: crew.vouches(),
            commit: marks.commit.get(),
            horizon: marks.horizon.get(),
            answered: marks.answered.get(),
            lineage: crew.state.borrow().lineage.clone(),
            maps: crew.maps_for_peers(),
            floors: crew.floors_for_peers(),
            silent_us: crew.silent_us(),
            replaced: crew.replaced.borrow().clone(),
        };
        crew_send(crew, to, &ControlMessage::Heartbeat(Box::new(beat)));
    }
}

/// Goes on as somebody new, durably, and greets everybody so.
pub(super) async fn renew(crew: &CrewRef, incarnation: Incarnation) -> Result<()> {
    // First: once the site has said who it is now, nobody tells it again.
    if let Some(arbiter) = crew.arbiter.clone() {
        arbiter.set_back().await?;
    }
    {
        let mut state = crew.state.borrow_mut();
        state.incarnation = incarnation;
        state.novice = true;
    }
    crew.save().await?;
    crew.greet_anew("this site was set back, and comes as a new incarnation");
    Ok(())
}
