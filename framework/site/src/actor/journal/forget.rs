//! What was submitted and finds no room is forgotten, where it keeps the site from going on.
//!
//! A full journal may stay full until the site follows another one, or leads; and it can do
//! neither before its journal is still. What waits to be appended was not counted by anybody as
//! held here: to everyone else it is as if the process had died and been started again. If it is
//! of the history that goes on, it is sent again.

use super::JournalActor;
use crate::actor::restorer::ForgetAfter;
use crate::crew::JOURNAL;
use actix::prelude::*;
use tokio::sync::oneshot;
use trefoil_core::model::Position;
use trefoil_core::record::Record;

impl JournalActor {
    /// Forgets what waits, after it found no room, if somebody waits for the journal to be still;
    /// whether it does.
    pub(super) fn forget_if_wanted(&mut self, ctx: &mut Context<Self>) -> bool {
        // A number of one's own reign is never given twice.
        let leads = self.crew.leads.get().is_some();
        if leads || !self.quiesce.iter().any(|waiter| waiter.forgets) {
            return false;
        }
        let end = self.engine.forget_waiting();
        self.crew.tail.borrow_mut().reset(end);
        let (reply, rest) = oneshot::channel();
        self.crew.to(&self.crew.restorer, ForgetAfter { number: end.number, reply });
        // Nothing else is taken meanwhile: what comes next follows the end.
        ctx.wait(rest.into_actor(self).map(move |rest, actor, ctx| {
            if let Ok(rest) = rest {
                actor.forgotten(end, &rest);
                actor.pump(ctx);
            }
        }));
        true
    }

    /// The history ends at `end`; `rest` is what of it waits to be restored.
    fn forgotten(&mut self, end: Position, rest: &[Record]) {
        let crew = &self.crew;
        tracing::info!(site = %crew.site(), %end, "forgets what the full journal has no room for");
        {
            let mut overlay = crew.shared.overlay.write();
            overlay.clear();
            rest.iter().for_each(|record| overlay.insert(record));
        }
        crew.marks.submitted.set(end);
        crew.history.borrow_mut().cut_after(end.number);
        crew.no_room.borrow_mut().remove(JOURNAL);
        let mut state = crew.state.borrow_mut();
        // Both were noted before their records were to be appended.
        state.lineage = state.lineage.up_to(end.number);
        state.volumes.cut(end.number);
    }
}
