//! The two streams of a link, and how the link ends.

use super::Wire;
use super::receive::Receiver;
use super::send::Sender;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use trefoil_core::port::{Lane, Link, Security};
use trefoil_core::{Error, ErrorKind, Result};

/// Which of the two lanes a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneKind {
    Control = 1,
    Data = 2,
}

/// What went wrong so far at one transport.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) refused: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) corrupt: AtomicU64,
}

impl Counters {
    pub(crate) fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Both streams of a link; its four halves share them.
pub(crate) struct Lanes {
    control: Box<dyn Wire>,
    data: Box<dyn Wire>,
    /// Why the link ended, once it has.
    ended: Mutex<Option<(ErrorKind, String)>>,
    pub(crate) counters: Arc<Counters>,
}

impl Lanes {
    pub(crate) fn link(
        (control, data): (Box<dyn Wire>, Box<dyn Wire>),
        (peer, security): (String, Security),
        counters: Arc<Counters>,
    ) -> Link {
        let lanes = Arc::new(Self { control, data, ended: Mutex::new(None), counters });
        let lane = |kind| Lane {
            sender: Box::new(Sender::new(lanes.clone(), kind)),
            receiver: Box::new(Receiver::new(lanes.clone(), kind)),
        };
        Link { control: lane(LaneKind::Control), data: lane(LaneKind::Data), peer, security }
    }

    pub(crate) fn wire(&self, lane: LaneKind) -> &dyn Wire {
        match lane {
            LaneKind::Control => &*self.control,
            LaneKind::Data => &*self.data,
        }
    }

    /// The error of a link that has ended.
    pub(crate) fn check(&self, doing: &str) -> Result<()> {
        match &*self.ended.lock() {
            None => Ok(()),
            Some((kind, why)) => Err(Error::new(*kind, format!("{doing}: {why}"))),
        }
    }

    /// Ends the link for both sides. The first reason stays; ending the streams wakes every half
    /// that waits here, and the other side reads the end.
    pub(crate) fn end(&self, kind: ErrorKind, why: &str) {
        {
            let mut ended = self.ended.lock();
            if ended.is_some() {
                return;
            }
            *ended = Some((kind, why.to_owned()));
        }
        self.control.end();
        self.data.end();
    }
}
