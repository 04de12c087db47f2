//! What is still in memory goes to the link at once: a leg that keeps up reads no journal, waits
//! for nobody and takes one turn of its thread.

use super::ShipperActor;
use crate::crew::post;
use crate::shared::add;
use actix::prelude::*;
use trefoil_core::engine::shipper::Work;
use trefoil_core::model::UpdateNumber;
use trefoil_core::record::Record;
use trefoil_core::wire::{
    DataMessage, RECORD_BATCH_BYTES_MAX, RECORD_BATCH_COUNT_MAX, encode_data,
};

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
        let engine = self.engine.as_mut()?;
        if self.awaits_room || (engine.sent() >= limit && !engine.copying()) {
            return None;
        }
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
        let room = usize::try_from(bytes_max.min(batch)).unwrap_or(usize::MAX);
        let (bytes_max, count_max) = (room.min(RECORD_BATCH_BYTES_MAX), RECORD_BATCH_COUNT_MAX);
        let records = self.crew.tail.borrow().read(from, up_to, bytes_max, count_max);
        let Some(records) = records.filter(|records| !records.is_empty()) else { return false };
        let count = records.len() as u64;
        let bytes = records.iter().map(|record| record.encoded_bytes() as u64).sum();
        let last = records.last().map_or(from, Record::number);
        let message = DataMessage::Records { session: self.follow.session, records };
        // Whatever goes wrong is found again, and told, by the slow way.
        let Ok(frame) = encode_data(message) else { return false };
        if self.lane.try_send(vec![frame]).is_err() {
            return false;
        }
        self.sent_records(last, count, bytes);
        true
    }

    /// Records up to `last` were handed to the link.
    pub(super) fn sent_records(&mut self, last: UpdateNumber, count: u64, bytes: u64) {
        if let Some(engine) = &mut self.engine {
            engine.records_sent(last, bytes);
            let totals = &self.crew.shared.totals;
            add(&totals.shipped_updates, count);
            add(&totals.shipped_bytes, bytes);
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
