//! Distance for any transport: delay, jitter and bandwidth.
//!
//! ```
//! use std::time::Duration;
//! use trefoil_transports::{Delayed, MemoryNetwork};
//!
//! let near = MemoryNetwork::new().transport();
//! let far = Delayed::new(near, Duration::from_millis(40), Duration::from_millis(2), None);
//! ```

use crate::line::{Line, Step};
use crate::seed::Seed;
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use trefoil_core::Result;
use trefoil_core::port::{Frame, FrameReceiver, Lane, Link, Listener, Transport};

/// A transport that delivers every frame later to the side that uses it.
///
/// It delays what is *received* through it, on both lanes: wrap one side's transport to make that
/// side lag, both sides' for a round trip of twice the delay. Frames are under way at the same
/// time (a delay costs no throughput); at most 64 MiB a lane, then the sender waits.
#[derive(Clone)]
pub struct Delayed {
    inner: Arc<dyn Transport>,
    distance: Distance,
    links: Arc<AtomicU64>,
}

#[derive(Clone, Copy)]
struct Distance {
    delay: Duration,
    jitter: Duration,
    bytes_per_second: Option<u64>,
}

impl Delayed {
    /// Delivers every frame `delay` later, plus up to `jitter`, and in each lane at no more than
    /// `bytes_per_second` (at least 1). Frames of a lane stay in order, so jitter never
    /// overtakes. The jitter is the same in every run for the same order of links.
    pub fn new(
        inner: impl Transport + 'static,
        delay: Duration,
        jitter: Duration,
        bytes_per_second: Option<u64>,
    ) -> Self {
        Self::over(Arc::new(inner), delay, jitter, bytes_per_second)
    }

    /// The same for a transport that is shared already.
    pub fn over(
        inner: Arc<dyn Transport>,
        delay: Duration,
        jitter: Duration,
        bytes_per_second: Option<u64>,
    ) -> Self {
        let bytes_per_second = bytes_per_second.map(|rate| rate.max(1));
        let distance = Distance { delay, jitter, bytes_per_second };
        Self { inner, distance, links: Arc::default() }
    }

    fn wrap(&self, link: Link) -> Link {
        let seed = Seed::new(self.links.fetch_add(1, Ordering::Relaxed));
        let lane = |lane: Lane, part| {
            let Lane { sender, receiver } = lane;
            let receiver = Receiver {
                inner: receiver,
                line: Line::default(),
                distance: self.distance,
                seed: seed.part(part),
                free_at: Instant::now(),
            };
            Lane { sender, receiver: Box::new(receiver) }
        };
        let Link { control, data, peer, security } = link;
        Link { control: lane(control, 1), data: lane(data, 2), peer, security }
    }
}

#[async_trait]
impl Transport for Delayed {
    async fn connect(&self, address: &str) -> Result<Link> {
        Ok(self.wrap(self.inner.connect(address).await?))
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        let inner = self.inner.listen(address).await?;
        Ok(Box::new(DelayedListener { inner, outer: self.clone() }))
    }

    fn describe(&self) -> String {
        format!("delayed+{}", self.inner.describe())
    }
}

struct DelayedListener {
    inner: Box<dyn Listener>,
    outer: Delayed,
}

#[async_trait]
impl Listener for DelayedListener {
    async fn accept(&mut self) -> Result<Link> {
        Ok(self.outer.wrap(self.inner.accept().await?))
    }

    fn address(&self) -> String {
        self.inner.address()
    }
}

struct Receiver {
    inner: Box<dyn FrameReceiver>,
    line: Line,
    distance: Distance,
    seed: Seed,
    /// When the last byte so far is through, at the bandwidth given.
    free_at: Instant,
}

#[async_trait]
impl FrameReceiver for Receiver {
    async fn receive(&mut self) -> Result<Option<Vec<Frame>>> {
        let Self { inner, line, distance, seed, free_at } = self;
        loop {
            let stamp = |frame: &Frame| {
                let now = Instant::now();
                *free_at = (*free_at).max(now) + distance.passage(frame);
                *free_at + seed.between(Duration::ZERO, distance.jitter)
            };
            match line.step(inner.as_mut(), distance.delay, stamp).await {
                Step::Due(frames) => return Ok(Some(frames)),
                Step::Ended(end) => return end.map(|()| None),
                Step::Again => {}
            }
        }
    }
}

impl Distance {
    /// How long the line is busy with a frame.
    fn passage(&self, frame: &Frame) -> Duration {
        let Some(rate) = self.bytes_per_second else {
            return Duration::ZERO;
        };
        let length = u64::try_from(frame.length()).unwrap_or(u64::MAX);
        Duration::from_nanos(length.saturating_mul(1_000_000_000) / rate)
    }
}
