//! The four halves of one side of a link in memory.

use super::link::{ACCEPTOR, Attempt, CONTROL, DATA, LinkCore};
use crate::check::check_batch;
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::Arc;
use trefoil_core::Result;
use trefoil_core::port::{Frame, FrameReceiver, FrameSender, Lane, Link, Security};

/// The link as one side holds it.
pub(crate) fn link_of(core: &Arc<LinkCore>, side: usize, peer: String) -> Link {
    debug_assert!(side <= ACCEPTOR, "a link has two sides");
    let lane = |lane| Lane {
        sender: Box::new(Sender { core: core.clone(), lane, side, closed: false }),
        receiver: Box::new(Receiver { core: core.clone(), lane, side, finished: false }),
    };
    Link { control: lane(CONTROL), data: lane(DATA), peer, security: Security::Inside }
}

struct Sender {
    core: Arc<LinkCore>,
    lane: usize,
    side: usize,
    closed: bool,
}

#[async_trait]
impl FrameSender for Sender {
    async fn send(&mut self, frames: Vec<Frame>) -> Result<()> {
        check_batch(&frames)?;
        let mut frames = VecDeque::from(frames);
        loop {
            match self.core.push(self.lane, self.side, &mut frames)? {
                Attempt::Done(()) => return Ok(()),
                Attempt::Wait(until) => self.core.wait(self.lane, self.side, 0, until).await,
            }
        }
    }

    async fn close(&mut self) -> Result<()> {
        self.core.close(self.lane, self.side)?;
        self.closed = true;
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.closed {
            self.core.leave(self.side, "this side dropped a sender");
        }
    }
}

struct Receiver {
    core: Arc<LinkCore>,
    lane: usize,
    side: usize,
    finished: bool,
}

#[async_trait]
impl FrameReceiver for Receiver {
    async fn receive(&mut self) -> Result<Option<Vec<Frame>>> {
        loop {
            match self.core.pull(self.lane, self.side)? {
                Attempt::Done(frames) => {
                    self.finished = frames.is_none();
                    return Ok(frames);
                }
                Attempt::Wait(until) => self.core.wait(self.lane, self.side, 1, until).await,
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.finished {
            self.core.leave(self.side, "this side dropped a receiver");
        }
    }
}
