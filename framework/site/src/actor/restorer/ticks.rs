//! How often the restorer looks at what nobody tells of.

use super::RestorerActor;
use crate::actor::tick::{Ticking, Ticks};
use actix::prelude::*;
use std::time::Duration;

/// Between ticks while much waits, or somebody does.
pub(super) const OFTEN: Duration = Duration::from_millis(20);
/// What waits for no tick: it gathers for longer than a pause lasts anyway.
const LITTLE_BYTES: u64 = 64 << 10;

impl Ticking for RestorerActor {
    fn ticks(&mut self) -> &mut Ticks {
        &mut self.ticks
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.pump(ctx);
        self.end_debt_if_paid(ctx);
    }

    /// A little that waits to be restored may wait a little longer.
    fn rests(&self) -> bool {
        self.copies.is_none()
            && self.holding.is_empty()
            && self.settling.is_empty()
            && self.engine.pending_bytes() < LITTLE_BYTES
    }
}
