//! Records that the journal never took are not restored.

use super::RestorerActor;
use actix::prelude::*;
use tokio::sync::oneshot;
use trefoil_core::model::UpdateNumber;
use trefoil_core::record::Record;

/// Forget the records after this number: the journal has no room for them. Answered with those that
/// still wait.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ForgetAfter {
    pub number: UpdateNumber,
    pub reply: oneshot::Sender<Vec<Record>>,
}

impl Handler<ForgetAfter> for RestorerActor {
    type Result = ();

    fn handle(&mut self, ForgetAfter { number, reply }: ForgetAfter, _: &mut Context<Self>) {
        self.engine.forget_after(number);
        let after = self.times.partition_point(|(of, _)| *of <= number);
        self.times.truncate(after);
        // What is on its way to the stores is in neither of the two until it is there.
        self.crew.overlay_lacks.set(self.engine.is_applying());
        let _ = reply.send(self.engine.waiting_records().cloned().collect());
    }
}
