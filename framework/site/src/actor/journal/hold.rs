//! Nothing is let go while somebody reads what the journal holds, to begin it anew.
//!
//! A trim ends in the journal's own task before anybody here hears of it: whoever reads from what
//! is known as the base meanwhile would find records gone that no map names yet.

use super::JournalActor;
use crate::crew::{CrewRef, post};
use actix::prelude::*;
use tokio::sync::oneshot;
use trefoil_core::{Error, Result};

/// Let nothing go from now on. Answered when no trim is under way.
#[derive(Message)]
#[rtype(result = "()")]
struct HoldTrims(oneshot::Sender<()>);

/// Let go again what is due.
#[derive(Message)]
#[rtype(result = "()")]
struct ReleaseTrims;

/// While this is there nothing is let go.
pub(crate) struct TrimsHeld(Addr<JournalActor>);

impl Drop for TrimsHeld {
    fn drop(&mut self) {
        post(&self.0, ReleaseTrims);
    }
}

/// Waits for the trim that is under way, and lets none begin.
pub(crate) async fn hold_trims(crew: &CrewRef) -> Result<TrimsHeld> {
    let gone = || Error::closed("hold trims: the journal stopped");
    let journal = crew.journal.get().ok_or_else(gone)?;
    let (reply, held) = oneshot::channel();
    post(journal, HoldTrims(reply));
    let hold = TrimsHeld(journal.clone());
    held.await.map_err(|_| gone())?;
    Ok(hold)
}

impl JournalActor {
    /// Nothing is being let go: whoever waited for that goes on.
    pub(super) fn trims_are_still(&mut self) {
        for waiter in self.holding.drain(..) {
            let _ = waiter.send(());
        }
    }
}

impl Handler<HoldTrims> for JournalActor {
    type Result = ();

    fn handle(&mut self, HoldTrims(reply): HoldTrims, _: &mut Context<Self>) {
        self.trims_held += 1;
        self.holding.push(reply);
        if self.trimming.is_none() {
            self.trims_are_still();
        }
    }
}

impl Handler<ReleaseTrims> for JournalActor {
    type Result = ();

    fn handle(&mut self, _: ReleaseTrims, ctx: &mut Context<Self>) {
        self.trims_held = self.trims_held.saturating_sub(1);
        self.trim(ctx);
    }
}
