//! A link goes on by another way: the lanes of the new link take over from those of the old one,
//! one by one and in order, so that nothing above them notices.
//!
//! ```text
//! old   ── frames ── end        the sender finishes what it was at, and ends the old lane
//! new                  ── frames ──▶   the receiver reads the old one to its end, then the new
//! ```
//!
//! A lane that breaks, rather than ending in order, ends the link as it always did.

use super::PeerActor;
use super::peer::LinkEnded;
use crate::crew::post;
use actix::prelude::*;
use async_trait::async_trait;
use std::time::Duration;
use tokio::sync::mpsc;
use trefoil_core::Result;
use trefoil_core::port::{Frame, FrameReceiver, FrameSender, Lane, Link};

/// How many ways may wait for the one before them to be read to its end.
const WAYS_WAITING_MAX: usize = 4;
/// An old half is kept for so long after its end: with some transports what was handed over last
/// is still on its way then.
const LINGER: Duration = Duration::from_secs(5);

/// A lane of the link that is up was read to its end; how many times by now.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct LaneEnded {
    pub link: u64,
    pub times: u32,
}

/// A lane of the link that is up goes on by its next way; how many times by now.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct LaneMoved {
    pub link: u64,
    pub lane: usize,
    pub times: u32,
}

/// Where a sender goes on, and what it says there first.
struct Onward {
    sender: Box<dyn FrameSender>,
    first: Vec<Frame>,
}

/// What leads the four halves of a link that is up to the next way.
pub(super) struct Ways {
    senders: [mpsc::Sender<Onward>; 2],
    receivers: [mpsc::Sender<Box<dyn FrameReceiver>>; 2],
    /// How many further ways were given.
    given: u32,
    /// How many of them each receiving half has come to.
    reached: [u32; 2],
    /// A lane ended while a next way was being dialled: without that one the link is lost.
    pub ended: bool,
}

impl Ways {
    /// The link, able to go on by other ways; `first` is said on its control lane before all else.
    pub fn prepare(link: Link, id: u64, owner: &Addr<PeerActor>) -> (Link, Self) {
        let Link { control, data, peer, security } = link;
        let (control, control_out, control_in) = continued(control, id, 0, owner);
        let (data, data_out, data_in) = continued(data, id, 1, owner);
        let ways = Self {
            senders: [control_out, data_out],
            receivers: [control_in, data_in],
            given: 0,
            reached: [0, 0],
            ended: false,
        };
        (Link { control, data, peer, security }, ways)
    }

    /// Lets every half go on by `link` once it is done with the way before; false if too many
    /// ways wait already.
    pub fn give(&mut self, link: Link, first: Vec<Frame>) -> bool {
        let Link { control, data, peer: _, security: _ } = link;
        let mut given = true;
        for (lane, half) in [control, data].into_iter().enumerate() {
            let Lane { sender, receiver } = half;
            let first = if lane == 0 { first.clone() } else { Vec::new() };
            // The receiving half first: the other side ends its old lane once it is answered.
            given &= self.receivers[lane].try_send(receiver).is_ok();
            given &= self.senders[lane].try_send(Onward { sender, first }).is_ok();
        }
        self.given += 1;
        self.ended = false;
        given
    }

    /// Whether a way that was given is not reached yet.
    pub fn moving(&self) -> bool {
        self.reached.iter().any(|reached| *reached < self.given)
    }

    /// A receiving half has come to its next way.
    pub fn reached(&mut self, lane: usize, times: u32) {
        if let Some(reached) = self.reached.get_mut(lane) {
            *reached = times;
        }
    }

    /// Whether a lane that was read to its end so many times has a way to go on by.
    pub fn leads_on(&self, times: u32) -> bool {
        times <= self.given
    }
}

type NextReceiver = mpsc::Sender<Box<dyn FrameReceiver>>;

fn continued(
    lane: Lane,
    link: u64,
    index: usize,
    owner: &Addr<PeerActor>,
) -> (Lane, mpsc::Sender<Onward>, NextReceiver) {
    let (onward, next_sender) = mpsc::channel(WAYS_WAITING_MAX);
    let (further, next_receiver) = mpsc::channel(WAYS_WAITING_MAX);
    let sender = ContinuedSender { now: lane.sender, next: next_sender };
    let receiver = ContinuedReceiver {
        now: lane.receiver,
        next: next_receiver,
        ended: false,
        times: 0,
        link,
        lane: index,
        owner: owner.clone(),
    };
    (Lane { sender: Box::new(sender), receiver: Box::new(receiver) }, onward, further)
}

/// Keeps a half that has ended for a while.
fn linger<T: 'static>(half: T) {
    drop(tokio::task::spawn_local(async move {
        tokio::time::sleep(LINGER).await;
        drop(half);
    }));
}

/// Sends by one way until the next is given. It looks for that whenever it is used, be it to send
/// nothing.
struct ContinuedSender {
    now: Box<dyn FrameSender>,
    next: mpsc::Receiver<Onward>,
}

#[async_trait]
impl FrameSender for ContinuedSender {
    async fn send(&mut self, frames: Vec<Frame>) -> Result<()> {
        while let Ok(Onward { sender, first }) = self.next.try_recv() {
            self.now.close().await?;
            linger(std::mem::replace(&mut self.now, sender));
            if !first.is_empty() {
                self.now.send(first).await?;
            }
        }
        if frames.is_empty() { Ok(()) } else { self.now.send(frames).await }
    }

    async fn close(&mut self) -> Result<()> {
        self.now.close().await
    }
}

/// Receives by one way to its end, then by the next.
struct ContinuedReceiver {
    now: Box<dyn FrameReceiver>,
    next: mpsc::Receiver<Box<dyn FrameReceiver>>,
    ended: bool,
    times: u32,
    link: u64,
    lane: usize,
    owner: Addr<PeerActor>,
}

#[async_trait]
impl FrameReceiver for ContinuedReceiver {
    async fn receive(&mut self) -> Result<Option<Vec<Frame>>> {
        loop {
            if !self.ended {
                if let Some(frames) = self.now.receive().await? {
                    return Ok(Some(frames));
                }
                self.ended = true;
                self.times += 1;
                post(&self.owner, LaneEnded { link: self.link, times: self.times });
            }
            // Whoever holds the other end gives the next way, or ends the link.
            let Some(next) = self.next.recv().await else { return Ok(None) };
            linger(std::mem::replace(&mut self.now, next));
            self.ended = false;
            let (link, lane, times) = (self.link, self.lane, self.times);
            post(&self.owner, LaneMoved { link, lane, times });
        }
    }
}

impl Handler<LaneEnded> for PeerActor {
    type Result = ();

    fn handle(&mut self, LaneEnded { link, times }: LaneEnded, ctx: &mut Context<Self>) {
        let dialling = self.is_dialling();
        let Some(up) = self.up_mut(link) else { return };
        if up.ways.leads_on(times) {
            return;
        }
        if dialling {
            // The other side has gone on already; its answer is on the new way.
            up.ways.ended = true;
            return;
        }
        let why = "the other site closed the link".to_owned();
        <Self as Handler<LinkEnded>>::handle(self, LinkEnded { link, why }, ctx);
    }
}

impl Handler<LaneMoved> for PeerActor {
    type Result = ();

    fn handle(&mut self, LaneMoved { link, lane, times }: LaneMoved, ctx: &mut Context<Self>) {
        let Some(up) = self.up_mut(link) else { return };
        up.ways.reached(lane, times);
        if !up.ways.moving() {
            // Another way may be wanted by now.
            self.dial(ctx);
        }
    }
}
