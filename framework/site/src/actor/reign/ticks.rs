//! How often the reign looks at what nobody tells of.

use super::ReignActor;
use crate::actor::tick::{Ticking, Ticks};
use actix::prelude::*;
use std::time::Duration;
use trefoil_core::engine::reign::Event;

/// Between ticks while a reign begins or ends.
pub(super) const OFTEN: Duration = Duration::from_millis(20);

impl Ticking for ReignActor {
    fn ticks(&mut self) -> &mut Ticks {
        &mut self.ticks
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.on(Event::Tick, ctx);
        self.answer_told();
        let stands_by = self.engine.stands_by(&self.crew.own());
        let says = stands_by.err().map_or_else(|| "begins now".to_owned(), |why| why.to_string());
        if self.crew.stands_by.replace(says.clone()) != says {
            self.crew.stirred();
        }
    }

    fn rests(&self) -> bool {
        !self.busy && self.waiting.is_none() && self.engine.is_settled()
    }
}
