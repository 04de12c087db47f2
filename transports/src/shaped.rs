//! Distance for any transport: delay, jitter, bandwidth, and cuts.
//!
//! ```
//! use std::time::Duration;
//! use trefoil_transports::shaped::{Shaped, Way};
//! use trefoil_transports::MemoryNetwork;
//!
//! let near = MemoryNetwork::new().transport();
//! let way = Way { delay: Duration::from_millis(40), ..Way::default() };
//! let far = Shaped::new(near, way);
//! ```

use crate::faulty::{Faulty, FaultyOptions};
use crate::line::{LINE_BYTES_MAX, Line, Step};
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
/// time (a delay costs no throughput). With a bandwidth a lane holds what is under way and a queue
/// of 100 ms, without one 64 MiB; then the sender waits.
#[derive(Clone)]
pub struct Shaped {
    inner: Arc<dyn Transport>,
    way: Way,
    links: Arc<AtomicU64>,
}

/// What a way is like. The default is no different from none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// How much later each frame is delivered.
    pub delay: Duration,
    /// Up to this much more; frames of a lane stay in order, so jitter never overtakes. It is the
    /// same in every run for the same order of links.
    pub jitter: Duration,
    /// The most bytes a second in each lane (at least 1); `None`: as many as come.
    pub bytes_per_second: Option<u64>,
    /// How long a link lives on average before it is cut, with all that is under way; `None`: for
    /// ever.
    pub cut_every: Option<Duration>,
}

/// A moment of its bandwidth that a lane takes in beyond what is under way, as the queue before a
/// real bottleneck does. Then the sender waits.
const QUEUE: Duration = Duration::from_millis(100);

/// What a lane takes in at least: two frames of the largest size.
const ROOM_BYTES_MIN: usize = 8 << 20;

/// Where the moments of cuts come from: the same in every run.
const CUTS_SEED: u64 = 1;

impl Way {
    /// Gives the links of `inner` that way, cuts included.
    pub fn over(self, inner: Arc<dyn Transport>) -> Arc<dyn Transport> {
        let far = Shaped::over(inner, self);
        let Some(mean) = self.cut_every else { return Arc::new(far) };
        let options = FaultyOptions { seed: CUTS_SEED, cut_every: Some(mean) };
        Arc::new(Faulty::new(far, options).0)
    }

    /// How many bytes may be in one lane: what is under way at the full rate, and the queue before.
    fn room_bytes(&self) -> usize {
        let Some(rate) = self.bytes_per_second else { return LINE_BYTES_MAX };
        let held = (self.delay + self.jitter + QUEUE).as_micros() * u128::from(rate) / 1_000_000;
        let held = usize::try_from(held).unwrap_or(usize::MAX);
        held.max(ROOM_BYTES_MIN)
    }

    /// How long the line is busy with a frame.
    fn passage(&self, frame: &Frame) -> Duration {
        let Some(rate) = self.bytes_per_second else {
            return Duration::ZERO;
        };
        let length = u64::try_from(frame.length()).unwrap_or(u64::MAX);
        Duration::from_nanos(length.saturating_mul(1_000_000_000) / rate.max(1))
    }
}

impl Shaped {
    /// Gives the links of `inner` that way; [`Way::over`] also cuts them.
    pub fn new(inner: impl Transport + 'static, way: Way) -> Self {
        Self::over(Arc::new(inner), way)
    }

    /// The same for a transport that is shared already.
    pub fn over(inner: Arc<dyn Transport>, way: Way) -> Self {
        Self { inner, way, links: Arc::default() }
    }

    fn wrap(&self, link: Link) -> Link {
        let seed = Seed::new(self.links.fetch_add(1, Ordering::Relaxed));
        let lane = |lane: Lane, part| {
            let Lane { sender, receiver } = lane;
            let receiver = Receiver {
                inner: receiver,
                line: Line::with_room(self.way.room_bytes()),
                way: self.way,
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
impl Transport for Shaped {
    async fn connect(&self, address: &str) -> Result<Link> {
        Ok(self.wrap(self.inner.connect(address).await?))
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        let inner = self.inner.listen(address).await?;
        Ok(Box::new(ShapedListener { inner, outer: self.clone() }))
    }

    fn describe(&self) -> String {
        format!("shaped+{}", self.inner.describe())
    }
}

struct ShapedListener {
    inner: Box<dyn Listener>,
    outer: Shaped,
}

#[async_trait]
impl Listener for ShapedListener {
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
    way: Way,
    seed: Seed,
    /// When the last byte so far is through, at the bandwidth given.
    free_at: Instant,
}

#[async_trait]
impl FrameReceiver for Receiver {
    async fn receive(&mut self) -> Result<Option<Vec<Frame>>> {
        let Self { inner, line, way, seed, free_at } = self;
        loop {
            let stamp = |frame: &Frame| {
                let now = Instant::now();
                *free_at = (*free_at).max(now) + way.passage(frame);
                *free_at + seed.between(Duration::ZERO, way.jitter)
            };
            match line.step(inner.as_mut(), way.delay, stamp).await {
                Step::Due(frames) => return Ok(Some(frames)),
                Step::Ended(end) => return end.map(|()| None),
                Step::Again => {}
            }
        }
    }
}
