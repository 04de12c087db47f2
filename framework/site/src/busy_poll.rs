//! Busy polling: for a moment after a write the group's thread looks for what comes next instead
//! of sleeping until it is woken.
//!
//! To wake a core that sleeps costs a virtual machine 35 µs and more, and one write at a time pays
//! it at every hand-over: host to A, A to B, back to A, back to the host. Whoever polls at both
//! sites pays it nowhere. It costs processor time, up to the span after each write, which is why
//! it is asked for and never the default.

use crate::clock::Clock;
use crate::crew::CrewRef;
use crate::parts::micros;
use std::cell::Cell;
use std::time::Duration;

/// Where more than so many writes come at once, the next ones come before this thread would sleep:
/// polling would only take the core from others.
const WRITES_MAX: usize = 8;

/// Until when the group's thread polls.
pub(crate) struct BusyPoll {
    span_us: u64,
    until_us: Cell<u64>,
    polls: Cell<bool>,
}

impl BusyPoll {
    /// Polls for `span` after a write; never, where that is zero.
    pub fn new(span: Duration) -> Self {
        Self { span_us: micros(span), until_us: Cell::new(0), polls: Cell::new(false) }
    }

    /// Notes that so many writes came in now; whether polling is to begin.
    fn written(&self, writes: usize, clock: &dyn Clock) -> bool {
        if self.span_us == 0 || writes > WRITES_MAX {
            return false;
        }
        self.until_us.set(clock.now_us() + self.span_us);
        !self.polls.replace(true)
    }

    /// Whether to go on polling.
    fn goes_on(&self, clock: &dyn Clock) -> bool {
        let polls = clock.now_us() < self.until_us.get();
        self.polls.set(polls);
        polls
    }
}

/// So many writes came in: keeps the group's thread awake for the next, where that is wanted.
pub(crate) fn stay_awake(crew: &CrewRef, writes: usize) {
    if crew.busy_poll.written(writes, &*crew.shared.clock) {
        drop(actix::spawn(poll(crew.clone())));
    }
}

async fn poll(crew: CrewRef) {
    while crew.busy_poll.goes_on(&*crew.shared.clock) {
        // Whoever waits for this core goes first; then the runtime looks at its sockets, and at
        // every task that is ready, before it comes here again.
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug, Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now_us(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }

        fn wall_us(&self) -> u64 {
            self.now_us()
        }
    }

    #[test]
    fn it_polls_for_the_span_after_the_last_of_a_few_writes() {
        let (poll, clock) = (BusyPoll::new(Duration::from_micros(50)), Hand::default());
        assert!(!poll.goes_on(&clock), "nothing was written");
        assert!(poll.written(1, &clock));
        clock.0.store(40, Ordering::Relaxed);
        assert!(poll.goes_on(&clock));
        assert!(!poll.written(WRITES_MAX, &clock), "it polls already");
        clock.0.store(89, Ordering::Relaxed);
        assert!(poll.goes_on(&clock));
        clock.0.store(90, Ordering::Relaxed);
        assert!(!poll.goes_on(&clock));
        assert!(poll.written(1, &clock));
        assert!(poll.goes_on(&clock), "it begins again");
    }

    #[test]
    fn many_writes_at_once_and_no_span_do_not_make_it_poll() {
        let clock = Hand::default();
        let poll = BusyPoll::new(Duration::from_micros(50));
        assert!(!poll.written(WRITES_MAX + 1, &clock));
        assert!(!poll.goes_on(&clock));
        let never = BusyPoll::new(Duration::ZERO);
        assert!(!never.written(1, &clock));
        assert!(!never.goes_on(&clock));
    }
}
