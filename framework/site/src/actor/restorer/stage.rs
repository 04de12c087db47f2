//! Staged apply: what a resync brings waits beside the volumes until all of it is here.
//!
//! A site that fetches what changed while it was away holds a consistent image meanwhile, of the
//! update up to which it was restored. It is the only one left if the others are lost before the
//! resync is done. So nothing is applied before all of it can be: the records are in the journal,
//! the copies in memory. Whether the volumes still are that image is in the state
//! ([`Debt::image`](trefoil_core::model::Debt::image)), which says so no more, durably, before the
//! first byte is changed. What does not fit goes on in place.

use super::RestorerActor;
use crate::parts::Limits;
use actix::prelude::*;
use tokio::sync::oneshot;
use trefoil_core::engine::copy::COPY_CHUNK_BYTES_MAX;
use trefoil_core::model::Position;

/// A source sends whole pieces: so much is left free of what may wait, else nothing would come any
/// more and nothing would be applied either.
const LEFT_FREE: u64 = 4 * COPY_CHUNK_BYTES_MAX;

/// How many bytes may wait beside the volumes. They are in memory, and counted as the overlay is.
pub(crate) fn stage_bytes(limits: &Limits) -> u64 {
    limits.overlay_of_follower().saturating_sub(LEFT_FREE)
}

/// Hold the stores if they are an image of before a debt, and say of which position; released as
/// after [`Hold`](super::Hold). `None`, and nothing is held, if they are none.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HoldImage(pub oneshot::Sender<Option<Position>>);

/// The volumes are no image any more: the state says so already.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct InPlace;

impl RestorerActor {
    /// Looks whether what waits beside the volumes can be applied, or does not fit any more.
    pub(super) fn stage(&mut self, ctx: &mut Context<Self>) {
        if !self.engine.is_staged() || self.unstaging || self.settled {
            return;
        }
        let Some(copies) = &self.copies else { return };
        let durable = self.engine.told_durable();
        let whole = copies.all_arrived().is_some_and(|until| until <= durable);
        let marks = &self.crew.marks;
        let waits = self.engine.pending_bytes();
        let full = waits > stage_bytes(&self.crew.shared.config.limits)
            || marks.journal_used.get() > marks.journal_capacity.get() / 2;
        if !whole && !full {
            return;
        }
        let (site, image) = (self.crew.site(), copies.debt().image);
        let image = image.map(|image| image.number).unwrap_or_default();
        if whole {
            tracing::info!(%site, %image, "all of the resync is here: the volumes become that");
        } else {
            tracing::warn!(
                %site, %image, waits,
                "the resync does not fit beside the volumes: it goes on in place, and they are not \
                 consistent until it is done"
            );
        }
        self.unstaging = true;
        let crew = self.crew.clone();
        let save = async move {
            if let Some(debt) = &mut crew.state.borrow_mut().debt {
                debt.image = None;
            }
            crew.save().await
        };
        ctx.wait(save.into_actor(self).map(|saved, actor, ctx| {
            actor.unstaging = false;
            match saved {
                Ok(()) => actor.go_in_place(ctx),
                Err(error) => actor.crew.fail(&error),
            }
        }));
    }

    /// Applies what waited, from now on: the state says that the volumes are no image any more.
    fn go_in_place(&mut self, ctx: &mut Context<Self>) {
        if let Some(copies) = &mut self.copies {
            copies.in_place();
        }
        self.engine.stage(false);
        self.pump(ctx);
    }
}

impl Handler<InPlace> for RestorerActor {
    type Result = ();

    fn handle(&mut self, _: InPlace, ctx: &mut Context<Self>) {
        self.go_in_place(ctx);
    }
}

impl Handler<HoldImage> for RestorerActor {
    type Result = ();

    fn handle(&mut self, HoldImage(reply): HoldImage, _: &mut Context<Self>) {
        let image = self.copies.as_ref().and_then(|copies| copies.debt().image);
        let image = image.filter(|_| self.engine.is_staged());
        if image.is_some() {
            // Nothing is in flight while they are staged, and nothing begins while they are held.
            self.engine.hold();
        }
        let _ = reply.send(image);
    }
}
