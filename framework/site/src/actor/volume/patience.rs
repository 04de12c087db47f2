//! Host writes that nobody else holds: under `fence = "data"` they wait, and fail in the end.

use super::VolumeActor;
use crate::parts::micros;
use crate::shared::add;
use actix::prelude::*;
use std::collections::VecDeque;
use trefoil_core::model::{Fence, UpdateNumber};
use trefoil_core::{Error, Result};

/// How often it is noted what had been assigned: a write may wait longer than its limit by this.
const NOTED_EVERY_US: u64 = 100_000;

/// Answer no host write, or do again.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HoldAnswers(pub bool);

/// How long hosts have been waiting. A time for each of them would cost every write something;
/// what had been assigned at some moments tells nearly as much.
#[derive(Default)]
pub(super) struct Patience {
    /// No host write is answered.
    pub held: bool,
    /// Up to which number had been assigned when, oldest first.
    noted: VecDeque<(UpdateNumber, u64)>,
}

impl Patience {
    /// Notes that `assigned` was the newest at `now`; returns the newest number that was assigned
    /// longer than `limit_us` ago.
    fn look(&mut self, assigned: UpdateNumber, now: u64, limit_us: u64) -> Option<UpdateNumber> {
        let due = self.noted.back().is_none_or(|(number, at)| {
            *number < assigned && now.saturating_sub(*at) >= NOTED_EVERY_US
        });
        if due {
            self.noted.push_back((assigned, now));
        }
        let mut late = None;
        while let Some((number, at)) = self.noted.front().copied() {
            if now.saturating_sub(at) < limit_us {
                break;
            }
            late = Some(number);
            self.noted.pop_front();
        }
        late
    }
}

impl VolumeActor {
    /// Lets hosts go that waited for as long as is configured. What became of their writes is
    /// unknown to them: they stay in the journal.
    pub(super) fn let_go(&mut self) {
        let config = &self.crew.shared.config;
        if config.fence != Fence::Data {
            return;
        }
        let Some(engine) = &mut self.engine else { return };
        let (limit, now) = (config.timing.write_timeout, self.crew.shared.clock.now_us());
        let late = self.patience.look(engine.assigned().number, now, micros(limit));
        let Some(late) = late else { return };
        for waiter in engine.expire(late) {
            add(&self.crew.shared.totals.errors, 1);
            let failed: Result<UpdateNumber> = Err(Error::unavailable(format!(
                "write: after {limit:?} no sync site holds it (fence = \"data\"); its outcome is \
                 unknown"
            )));
            let _ = waiter.reply.send(failed);
        }
    }
}

impl Handler<HoldAnswers> for VolumeActor {
    type Result = ();

    fn handle(&mut self, HoldAnswers(hold): HoldAnswers, _: &mut Context<Self>) {
        self.patience.held = hold;
        self.answer();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_assigned_is_late_after_its_time_and_once() {
        let (mut patience, limit) = (Patience::default(), 1_000_000);
        assert_eq!(patience.look(UpdateNumber::new(5), 0, limit), None);
        assert_eq!(patience.look(UpdateNumber::new(7), 50_000, limit), None, "noted too soon");
        assert_eq!(patience.look(UpdateNumber::new(9), 200_000, limit), None);
        assert_eq!(patience.look(UpdateNumber::new(9), 999_999, limit), None);
        let late = patience.look(UpdateNumber::new(9), 1_000_000, limit);
        assert_eq!(late, Some(UpdateNumber::new(5)));
        let late = patience.look(UpdateNumber::new(9), 1_200_000, limit);
        assert_eq!(late, Some(UpdateNumber::new(9)));
        assert!(patience.noted.is_empty());
    }
}
