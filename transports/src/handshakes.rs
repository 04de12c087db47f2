//! Connections that have not become a link yet: bounded, and none holds up another.

use crate::stream::Counters;
use std::collections::VecDeque;
use tokio::task::AbortHandle;

/// Ends the handshakes with the door, so that a dropped listener leaves nothing behind.
#[derive(Default)]
pub(crate) struct Handshakes(VecDeque<AbortHandle>);

impl Handshakes {
    /// How many are under way.
    pub(crate) fn count(&mut self) -> usize {
        self.0.retain(|task| !task.is_finished());
        self.0.len()
    }

    /// One more is under way.
    pub(crate) fn add(&mut self, task: AbortHandle) {
        self.0.push_back(task);
    }

    /// Makes room by closing the oldest: a real one is done within a round trip, so what is
    /// oldest is most likely idle, and a flood of idle ones cannot shut the door.
    pub(crate) fn make_room(&mut self, most: usize, counters: &Counters) {
        self.0.retain(|task| !task.is_finished());
        while self.0.len() >= most.max(2) {
            if let Some(oldest) = self.0.pop_front() {
                oldest.abort();
                Counters::add(&counters.evicted);
            }
        }
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}
