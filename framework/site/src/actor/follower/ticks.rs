//! How often the follower tells how far it is, where nothing else makes it.

use super::FollowerActor;
use crate::actor::tick::{Ticking, Ticks};
use actix::prelude::*;
use std::time::Duration;

/// Between reports to the source while this site moves.
pub(super) const OFTEN: Duration = Duration::from_millis(50);

impl Ticking for FollowerActor {
    fn ticks(&mut self) -> &mut Ticks {
        &mut self.ticks
    }

    fn tick(&mut self, _: &mut Context<Self>) {
        self.progress();
    }

    fn rests(&self) -> bool {
        let marks = self.crew.marks.marks();
        self.backlog.is_empty() && self.last_sent.as_ref().is_none_or(|sent| sent.marks == marks)
    }
}
