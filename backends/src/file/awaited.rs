//! Whether somebody waits for journals to be durable: then nobody else fills the disk's queue.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// A journal that is synced again within this time after the last sync is waited for: syncs that
/// nobody waits for leave the disk alone for longer.
const AGAIN: Duration = Duration::from_millis(2);

/// The journals of this process: they and its volumes mostly share a disk.
pub(super) static JOURNALS: Syncs = Syncs::new();

/// When they are synced.
#[derive(Debug)]
pub(super) struct Syncs(Mutex<Seen>);

#[derive(Debug)]
struct Seen {
    running: usize,
    /// When the last one ended.
    ended: Option<Instant>,
    /// The last one began while another ran or right after it.
    again: bool,
}

/// A sync that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Running<'a>(&'a Syncs);

impl Syncs {
    const fn new() -> Self {
        Self(Mutex::new(Seen { running: 0, ended: None, again: false }))
    }

    /// A sync begins.
    pub(super) fn begin(&self) -> Running<'_> {
        self.0.lock().begin(Instant::now());
        Running(self)
    }

    /// Whether somebody waits for them, again and again: they are not synced just because time has
    /// passed, or much has gathered.
    pub(super) fn are_awaited(&self) -> bool {
        self.0.lock().are_awaited(Instant::now())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.lock().end(Instant::now());
    }
}

impl Seen {
    fn begin(&mut self, now: Instant) {
        self.again = self.is_recent(now);
        self.running += 1;
    }

    fn end(&mut self, now: Instant) {
        self.running -= 1;
        self.ended = Some(now);
    }

    fn is_recent(&self, now: Instant) -> bool {
        self.running > 0 || self.ended.is_some_and(|at| now.duration_since(at) < AGAIN)
    }

    fn are_awaited(&self, now: Instant) -> bool {
        self.again && self.is_recent(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_are_awaited_while_they_are_synced_again_and_again() {
        let (syncs, start) = (Syncs::new(), Instant::now());
        let mut seen = syncs.0.lock();
        let us = |us| start + Duration::from_micros(us);
        assert!(!seen.are_awaited(start));
        seen.begin(us(0));
        assert!(!seen.are_awaited(us(10_000)), "once only, however slow the disk is");
        seen.end(us(15_000));
        seen.begin(us(25_000));
        assert!(!seen.are_awaited(us(25_001)), "because time has passed");
        seen.end(us(40_000));
        seen.begin(us(40_500));
        assert!(seen.are_awaited(us(55_000)), "right after the one before");
        seen.end(us(55_500));
        assert!(seen.are_awaited(us(57_499)));
        assert!(!seen.are_awaited(us(57_500)), "no more");
    }
}
