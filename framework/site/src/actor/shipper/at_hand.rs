//! What is still in memory goes to the link at once: a leg that keeps up reads no journal, waits
//! for nobody and takes one turn of its thread.

use super::ShipperActor;
use super::job::{Shipped, frame_bytes_max, framed};
use crate::crew::post;
use crate::shared::add;
use actix::prelude::*;
use trefoil_core::engine::shipper::Work;
use trefoil_core::model::UpdateNumber;
use trefoil_core::wire::RECORD_BATCH_COUNT_MAX;

/// The link takes more, or is gone.
#[derive(Message)]
#[rtype(result = "()")]
struct Room;

impl ShipperActor {
    /// What to do next, once the link has room for it: what gathers until then goes with it.
    pub(super) fn next_work(
        &mut self,
        limit: UpdateNumber,
        copies: bool,
        ctx: &mut Context<Self>,
    ) -> Option<Work> {
        if self.awaits_room || self.is_level(limit) {
            return None;
        }
        let engine = self.engine.as_mut()?;
        if self.lane.capacity() > 0 {
            return engine.next(limit, copies);
        }
        self.awaits_room = true;
        let (lane, address) = (self.lane.clone(), ctx.address());
        actix::spawn(async move {
            drop(lane.reserve().await);
            post(&address, Room);
        });
        None
    }

    /// Sends records that are in memory; false: this is other work.
    pub(super) fn send_at_hand(&mut self, work: &Work, batch: u64) -> bool {
        let Work::Records { from, up_to, bytes_max } = *work else { return false };
        let (bytes_max, count_max) = (frame_bytes_max(bytes_max, batch), RECORD_BATCH_COUNT_MAX);
        let records = self.crew.tail.borrow().read(from, up_to, bytes_max, count_max);
        let Some(records) = records else { return false };
        // Whatever goes wrong is found again, and told, by the slow way.
        let Ok(Some((frame, shipped))) = framed(self.follow.session, records) else { return false };
        if self.lane.try_send(vec![frame]).is_err() {
            return false;
        }
        self.shipped(&shipped);
        true
    }

    /// Records were handed to the link.
    pub(super) fn shipped(&mut self, Shipped { last, count, bytes }: &Shipped) {
        if let Some(engine) = &mut self.engine {
            engine.records_sent(*last, *bytes);
            let totals = &self.crew.shared.totals;
            add(&totals.shipped_updates, *count);
            add(&totals.shipped_bytes, *bytes);
        }
    }
}

impl Handler<Room> for ShipperActor {
    type Result = ();

    fn handle(&mut self, _: Room, ctx: &mut Context<Self>) {
        self.awaits_room = false;
        self.pump(ctx);
    }
}
