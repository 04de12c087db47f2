//! Ticks: often while an actor has something to do that no message brings on, seldom while it has
//! nothing, so that a group that nobody uses costs next to no CPU.

use actix::prelude::*;
use std::time::Duration;

/// The pause between ticks of an actor that rests. It bounds how much later than it should
/// something is noticed that nobody tells of, and is small beside every timeout.
const SELDOM: Duration = Duration::from_millis(100);

/// When an actor ticks next.
#[derive(Debug)]
pub(crate) struct Ticks {
    often: Duration,
    next: Option<SpawnHandle>,
    resting: bool,
}

impl Ticks {
    /// Ticks every `often` while there is something to do.
    pub fn every(often: Duration) -> Self {
        Self { often: often.min(SELDOM), next: None, resting: true }
    }
}

/// An actor that looks from time to time at what no message brings on.
pub(crate) trait Ticking: Actor<Context = Context<Self>> {
    fn ticks(&mut self) -> &mut Ticks;

    /// Looks.
    fn tick(&mut self, ctx: &mut Context<Self>);

    /// Whether nothing waits for a tick that could not wait for a seldom one.
    fn rests(&self) -> bool;

    /// Begins to tick; and ticks soon again where a message brought work to an actor that rested.
    fn rouse(&mut self, ctx: &mut Context<Self>) {
        let ticks = self.ticks();
        if ticks.resting {
            ticks.resting = false;
            let (often, next) = (ticks.often, ticks.next.take());
            if let Some(next) = next {
                ctx.cancel_future(next);
            }
            self.tick_after(often, ctx);
        }
    }

    /// Ticks after `pause`, and from then on.
    fn tick_after(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        let next = ctx.run_later(pause, |actor, ctx| {
            actor.ticks().resting = false;
            actor.tick(ctx);
            let resting = actor.rests();
            let ticks = actor.ticks();
            ticks.resting = resting;
            let pause = if resting { SELDOM } else { ticks.often };
            actor.tick_after(pause, ctx);
        });
        self.ticks().next = Some(next);
    }
}
