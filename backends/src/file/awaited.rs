//! Whether somebody waits for journals to be durable: then nobody else fills the disk's queue.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// A journal that is synced again within this time is waited for. Where nobody waits it is synced
/// ten times a second, unless that was set otherwise.
const AGAIN: Duration = Duration::from_millis(50);

/// The journals of this process: they and its volumes mostly share a disk.
pub(super) static JOURNALS: Syncs = Syncs(Mutex::new(None));

/// When one of them was synced last, and how long after the time before.
#[derive(Debug)]
pub(super) struct Syncs(Mutex<Option<(Instant, Option<Duration>)>>);

impl Syncs {
    /// A sync begins.
    pub(super) fn begin(&self) {
        self.begin_at(Instant::now());
    }

    fn begin_at(&self, now: Instant) {
        let mut last = self.0.lock();
        *last = Some((now, last.map(|(at, _)| now.duration_since(at))));
    }

    /// Whether somebody waits for them, again and again: they are not synced just because time has
    /// passed.
    pub(super) fn are_awaited(&self) -> bool {
        self.are_awaited_at(Instant::now())
    }

    fn are_awaited_at(&self, now: Instant) -> bool {
        self.0.lock().is_some_and(|(at, pause)| {
            now.duration_since(at) < AGAIN && pause.is_some_and(|pause| pause < AGAIN)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_are_awaited_while_they_are_synced_again_and_again() {
        let (syncs, start) = (Syncs(Mutex::new(None)), Instant::now());
        let ms = |ms| start + Duration::from_millis(ms);
        assert!(!syncs.are_awaited_at(start));
        syncs.begin_at(ms(0));
        assert!(!syncs.are_awaited_at(ms(1)), "once only");
        syncs.begin_at(ms(100));
        assert!(!syncs.are_awaited_at(ms(101)), "because time has passed");
        syncs.begin_at(ms(110));
        assert!(syncs.are_awaited_at(ms(159)));
        assert!(!syncs.are_awaited_at(ms(160)), "no more");
    }
}
