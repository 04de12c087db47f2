//! The volumes are those of the restored number: before anything more is restored they become so.

use super::RestorerActor;
use crate::volumes::become_these;
use actix::prelude::*;
use std::time::Duration;
use trefoil_core::Result;

/// A site that cannot have the group's volumes tries again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// The volumes are the group's now, or cannot be.
#[derive(Message)]
#[rtype(result = "()")]
struct Became(Result<()>);

impl RestorerActor {
    /// Whether nothing can be restored now since the volumes have to become others first.
    pub(super) fn changes_volumes(&mut self, ctx: &mut Context<Self>) -> bool {
        if self.changing || !self.engine.may_begin() {
            return self.changing;
        }
        let restored = self.engine.restored();
        let crew = &self.crew;
        let wanted = {
            let state = crew.state.borrow();
            let since = state.volumes.since(restored);
            let same = crew.shared.open.read().since == since;
            (!same).then(|| (state.volumes.at(restored).to_vec(), since))
        };
        let Some((wanted, since)) = wanted else { return false };
        self.changing = true;
        let (shared, address) = (crew.shared.clone(), ctx.address());
        actix::spawn(async move {
            let result = become_these(&shared, &wanted, since).await;
            crate::crew::post(&address, Became(result));
        });
        true
    }
}

impl Handler<Became> for RestorerActor {
    type Result = ();

    fn handle(&mut self, Became(result): Became, ctx: &mut Context<Self>) {
        match result {
            Ok(()) => {
                self.changing = false;
                *self.crew.volumes_trouble.borrow_mut() = None;
                self.crew.refresh.notify_one();
                self.pump(ctx);
            }
            Err(error) => {
                let site = self.crew.site();
                tracing::warn!(%site, %error, "the group's volumes cannot be had; tries again");
                let restored = self.engine.restored();
                *self.crew.volumes_trouble.borrow_mut() = Some(format!(
                    "the volumes of update {restored} cannot be had here, so nothing after it is \
                     restored while the journal goes on; it goes on by itself once that is mended: \
                     {error}"
                ));
                ctx.run_later(AGAIN, |actor, ctx| {
                    actor.changing = false;
                    actor.pump(ctx);
                });
            }
        }
    }
}
