//! What the journal holds, and for whom: for operators.

use super::JournalActor;
use crate::status::JournalView;
use actix::prelude::*;
use tokio::sync::oneshot;
use trefoil_core::wire::MapView;

/// What does the journal hold?
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AskJournal(pub oneshot::Sender<JournalView>);

impl Handler<AskJournal> for JournalActor {
    type Result = ();

    fn handle(&mut self, AskJournal(reply): AskJournal, _: &mut Context<Self>) {
        let marks = &self.crew.marks;
        let maps = self.retention.maps().iter();
        let _ = reply.send(JournalView {
            base: marks.base.get(),
            newest: self.engine.received(),
            marks: marks.marks(),
            used_bytes: marks.journal_used.get(),
            capacity_bytes: marks.journal_capacity.get(),
            oldest_us: self.crew.oldest.get().1,
            floors: self.retention.floors().clone(),
            maps: maps.map(|(site, map)| (site.clone(), MapView::from(map))).collect(),
        });
    }
}
