//! The sender of a data lane: packs the next batch while the one before is sent, keeps their order,
//! and sends no faster than it may.
//!
//! ```text
//! batches ─▶ pack (a thread of its own where it is large) ─▶ pace ─▶ frame sender
//! ```

use super::pack::{INLINE_BYTES_MAX, Outcome, PACKED_BYTES_MIN, pack, plain};
use super::{Compression, LinkRates};
use crate::clock::Clock;
use crate::shared::{Shared, add};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trefoil_core::engine::pace::{Bucket, Meter};
use trefoil_core::engine::payoff::{Attempt, Passage, Payoff};
use trefoil_core::model::SiteName;
use trefoil_core::port::{Frame, FrameSender};
use trefoil_core::{Error, Result};

/// How many packed frames may wait for the one that is sent. One more is packed meanwhile.
const PACKED_WAITING_MAX: usize = 1;

/// The longest sleep for a rate: a new one holds from then on.
const PACE_SLEEP_MAX: Duration = Duration::from_millis(100);

/// One data lane as a site knows it, link after link: by what it is sent, and how much was.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub rates: LinkRates,
    /// Bytes of messages sent.
    payload: AtomicU64,
    /// Bytes of the frames that carried them.
    wire: AtomicU64,
    /// Bytes a second that the link takes; 0 while that is not known.
    rate: AtomicU64,
}

impl Lane {
    pub fn new(rates: LinkRates) -> Self {
        Self { rates, ..Self::default() }
    }

    /// Bytes of messages sent, and of the frames that carried them.
    pub fn sent(&self) -> (u64, u64) {
        (self.payload.load(Ordering::Relaxed), self.wire.load(Ordering::Relaxed))
    }

    /// Bytes a second that the link was seen to take, a rate limit included.
    pub fn rate(&self) -> Option<u64> {
        let measured = Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0);
        match (measured, self.rates.now().rate) {
            (Some(measured), Some(limit)) => Some(measured.min(limit)),
            (measured, limit) => measured.or(limit),
        }
    }
}

/// Sends what comes, in order, until there is no more or the link ends.
pub(crate) async fn send_data(
    sender: Box<dyn FrameSender>,
    batches: mpsc::Receiver<Vec<Frame>>,
    shared: Arc<Shared>,
    to: SiteName,
) {
    let lane = shared.lane(&to);
    let payoff = RefCell::new(Payoff::default());
    let (queue, packed) = mpsc::channel(PACKED_WAITING_MAX);
    let packer = Packer { lane: &lane, payoff: &payoff, threads: shared.threads };
    let clock = shared.clock.as_ref();
    let pump = Pump { sender, lane: &lane, payoff: &payoff, clock, meter: Meter::default() };
    let packing = packer.run(batches, queue);
    let pumping = pump.run(packed);
    tokio::pin!(packing, pumping);
    tokio::select! {
        biased;
        () = &mut pumping => return,
        () = &mut packing => {}
    }
    pumping.await;
}

/// A frame on its way through packing.
enum Flight {
    /// Nothing, which is sent as nothing.
    Empty,
    Ready(Result<Outcome>),
    Working(JoinHandle<Result<Outcome>>),
}

impl Flight {
    async fn land(self) -> Result<Option<Outcome>> {
        match self {
            Self::Empty => Ok(None),
            Self::Ready(outcome) => outcome.map(Some),
            Self::Working(task) => {
                let ended = |_| Error::closed("pack message: the site is stopping");
                task.await.map_err(ended)?.map(Some)
            }
        }
    }
}

struct Packer<'a> {
    lane: &'a Lane,
    payoff: &'a RefCell<Payoff>,
    threads: bool,
}

impl Packer<'_> {
    async fn run(self, mut batches: mpsc::Receiver<Vec<Frame>>, queue: mpsc::Sender<Flight>) {
        let mut before = Compression::None;
        while let Some(batch) = batches.recv().await {
            let how = self.lane.rates.now().compression;
            if how != before {
                // What did not pay one way may pay another.
                *self.payoff.borrow_mut() = Payoff::default();
                before = how;
            }
            if batch.is_empty() && queue.send(Flight::Empty).await.is_err() {
                return;
            }
            for message in batch {
                if queue.send(self.begin(message, how)).await.is_err() {
                    return;
                }
            }
        }
    }

    fn begin(&self, message: Frame, how: Compression) -> Flight {
        let length = message.length();
        if how == Compression::None || length < PACKED_BYTES_MIN {
            return Flight::Ready(plain(message, None));
        }
        let attempt = self.payoff.borrow_mut().attempt();
        let sample = match attempt {
            Attempt::Not => return Flight::Ready(plain(message, None)),
            Attempt::Sample => true,
            Attempt::Whole => false,
        };
        if self.threads && length > INLINE_BYTES_MAX {
            let work = move || pack(message, how, sample);
            return Flight::Working(tokio::task::spawn_blocking(work));
        }
        Flight::Ready(pack(message, how, sample))
    }
}

struct Pump<'a> {
    sender: Box<dyn FrameSender>,
    lane: &'a Lane,
    payoff: &'a RefCell<Payoff>,
    clock: &'a dyn Clock,
    meter: Meter,
}

impl Pump<'_> {
    async fn run(mut self, mut packed: mpsc::Receiver<Flight>) {
        let mut bucket = Bucket::default();
        while let Some(flight) = packed.recv().await {
            let asked = self.clock.now_us();
            let outcome = match flight.land().await {
                Ok(Some(outcome)) => outcome,
                Ok(None) => {
                    if self.sender.send(Vec::new()).await.is_err() {
                        return;
                    }
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, "a batch cannot be sent");
                    return;
                }
            };
            let begun = self.clock.now_us();
            let Outcome { frame, raw, tried, packed: is_packed } = outcome;
            let wire = frame.length() as u64;
            self.pace(&mut bucket).await;
            bucket.take(wire);
            if self.sender.send(vec![frame]).await.is_err() {
                return;
            }
            let sending_us = self.clock.now_us().saturating_sub(begun);
            let starved_us = begun.saturating_sub(asked);
            let waiting = !packed.is_empty();
            if let Some((raw, packed)) = tried {
                self.payoff.borrow_mut().tried(raw, packed);
            }
            if waiting && is_packed {
                let passage = Passage { raw, wire, starved_us, sending_us };
                self.payoff.borrow_mut().sent(passage);
            }
            self.count(raw, wire, sending_us, waiting);
        }
        let _ = self.sender.close().await;
    }

    fn count(&mut self, raw: u64, wire: u64, took_us: u64, waiting: bool) {
        add(&self.lane.payload, raw);
        add(&self.lane.wire, wire);
        self.meter.sent(wire, took_us, waiting);
        if let Some(rate) = self.meter.rate() {
            self.lane.rate.store(rate, Ordering::Relaxed);
        }
    }

    /// Waits until the link's rate lets something go.
    async fn pace(&self, bucket: &mut Bucket) {
        loop {
            let now = self.clock.now_us();
            bucket.set_rate(self.lane.rates.now().rate, now);
            let wait = Duration::from_micros(bucket.wait_us(now));
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait.min(PACE_SLEEP_MAX)).await;
        }
    }
}
