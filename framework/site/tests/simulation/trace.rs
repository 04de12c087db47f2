//! The trace of a run: a hash over every event, and the last of them in words.

use std::collections::VecDeque;
use std::fmt;
use tokio::time::Instant;

/// How many of the last events are kept in words.
const KEPT: usize = 60;

/// What happened in a run.
#[derive(Debug)]
pub struct Trace {
    begun: Instant,
    hash: u64,
    last: VecDeque<String>,
    aloud: bool,
    /// How many events there were.
    pub events: u64,
}

impl Trace {
    /// An empty trace; `aloud` prints every event.
    pub fn new(aloud: bool) -> Self {
        let begun = Instant::now();
        Self { begun, hash: 0xcbf2_9ce4_8422_2325, last: VecDeque::new(), aloud, events: 0 }
    }

    /// Virtual milliseconds since the begin.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes an event.
    pub fn event(&mut self, what: fmt::Arguments<'_>) {
        let line = format!("{:>7} ms  {what}", self.now_ms());
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.events += 1;
        if self.aloud {
            eprintln!("{line}");
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The hash over all events.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The last events, oldest first.
    pub fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}
