//! What holds for links in memory: limits, and the path between two sites.

use std::time::Duration;
use tokio::time::Instant;

/// The limits of a network in memory.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// The most bytes that wait in one lane in one direction.
    pub(crate) lane_bytes_max: usize,
    /// The most links that wait to be accepted by one listener.
    pub(crate) backlog_links_max: usize,
    /// How long connecting may take.
    pub(crate) connect_timeout: Duration,
    /// How long a link may be stalled by a cut before it ends; `None`: for ever.
    pub(crate) link_timeout: Option<Duration>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lane_bytes_max: 8 << 20,
            backlog_links_max: 64,
            connect_timeout: Duration::from_secs(5),
            link_timeout: None,
        }
    }
}

/// How things are on the way from one site to another, in this direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path {
    /// The least time that a frame is under way.
    pub(crate) delay_min: Duration,
    /// The most time that a frame is under way.
    pub(crate) delay_max: Duration,
    /// Since when nothing gets through, if so.
    pub(crate) cut_since: Option<Instant>,
}

impl Path {
    /// Whether nothing gets through now.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut_since.is_some()
    }

    /// The same delays, not cut.
    pub(crate) fn open(&self) -> Self {
        Self { cut_since: None, ..self.clone() }
    }
}
