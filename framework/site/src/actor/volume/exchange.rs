//! The volumes of a site that hands the group over: host writes wait, then the reign ends.

use super::VolumeActor;
use crate::actor::tick::Ticking;
use crate::actor::{Paused, SyncTo};
use actix::prelude::*;
use std::sync::atomic::Ordering;
use trefoil_core::model::Handover;

/// Let host writes wait, and say what was numbered last; or go on.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Pause(pub bool);

/// Answer no host any more; make the record that ends the reign.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Close(pub Handover);

impl Handler<Pause> for VolumeActor {
    type Result = ();

    fn handle(&mut self, Pause(paused): Pause, ctx: &mut Context<Self>) {
        let Some(engine) = &self.engine else { return };
        self.paused = paused;
        if paused {
            let last = engine.assigned().number;
            self.crew.to(&self.crew.reign, Paused(last));
        } else {
            self.arm(ctx);
        }
        self.rouse(ctx);
    }
}

impl Handler<Close> for VolumeActor {
    type Result = ();

    fn handle(&mut self, Close(end): Close, _: &mut Context<Self>) {
        self.serving = false;
        self.crew.shared.lease_until.store(0, Ordering::Release);
        let Some(engine) = &mut self.engine else { return };
        let time = self.crew.shared.clock.wall_us();
        let record = engine.hand_over(&end.to, time);
        let waiters = engine.abandon();
        let pending = self.pending.drain(..).map(|write| write.waiter);
        let waiters: Vec<_> = waiters.into_iter().chain(pending).collect();
        for waiter in waiters {
            self.refuse(waiter);
        }
        match record {
            Ok(record) => {
                debug_assert_eq!(record.number(), end.number, "what was announced is made");
                self.submit(vec![record]);
                self.crew.to(&self.crew.journal, SyncTo(end.number));
                self.want_durable(end.number);
            }
            Err(error) => self.crew.fail(&error),
        }
    }
}
