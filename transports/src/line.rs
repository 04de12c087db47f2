//! A delay line: frames come out some time after they went in, in order, while others go in.
//!
//! It sits behind a receiver and needs no task: while somebody waits for frames, what arrives is
//! taken from the inner receiver, stamped and kept until its time. A receiver that nobody polls
//! takes nothing, so the delay of a busy reader grows by what it is busy.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;
use trefoil_core::Result;
use trefoil_core::port::{Frame, FrameReceiver};

/// The most bytes in one line; then the inner receiver waits. At 1 GB/s that is 64 ms.
pub(crate) const LINE_BYTES_MAX: usize = 64 << 20;

/// The most frames in one line, however small.
const LINE_FRAMES_MAX: usize = 64 << 10;

/// Frames under way, with the moment when each would come out if the line had no delay.
pub(crate) struct Line {
    queue: VecDeque<(Instant, Frame)>,
    bytes: usize,
    bytes_max: usize,
    /// The inner receiver is at its end; told when the frames before it are out.
    end: Option<Result<()>>,
}

/// What a step of a line came to.
pub(crate) enum Step {
    /// These frames are due.
    Due(Vec<Frame>),
    /// Everything is out and the inner receiver had ended so.
    Ended(Result<()>),
    /// Ask again: something came or a time has passed.
    Again,
}

impl Default for Line {
    fn default() -> Self {
        Self::with_room(LINE_BYTES_MAX)
    }
}

impl Line {
    /// A line that takes at most so many bytes, and always one frame.
    pub(crate) fn with_room(bytes_max: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            bytes_max: bytes_max.min(LINE_BYTES_MAX),
            end: None,
        }
    }

    /// Takes what arrived; `stamp` gives each frame its moment, which never goes back.
    pub(crate) fn put(&mut self, frames: Vec<Frame>, mut stamp: impl FnMut(&Frame) -> Instant) {
        for frame in frames {
            let earliest = self.queue.back().map(|(last, _)| *last);
            let at = stamp(&frame);
            self.bytes += frame.length();
            self.queue.push_back((earliest.map_or(at, |last| last.max(at)), frame));
        }
    }

    fn take_due(&mut self, now: Instant, delay: Duration) -> Vec<Frame> {
        let count = self.queue.partition_point(|(at, _)| *at + delay <= now);
        let due: Vec<_> = self.queue.drain(..count).map(|(_, frame)| frame).collect();
        self.bytes -= due.iter().map(Frame::length).sum::<usize>();
        due
    }

    /// Goes on by one event. Dropping the future loses nothing.
    pub(crate) async fn step(
        &mut self,
        inner: &mut dyn FrameReceiver,
        delay: Duration,
        stamp: impl FnMut(&Frame) -> Instant,
    ) -> Step {
        let due = self.take_due(Instant::now(), delay);
        if !due.is_empty() {
            return Step::Due(due);
        }
        let next = self.queue.front().map(|(at, _)| *at + delay);
        if next.is_none()
            && let Some(end) = self.end.take()
        {
            return Step::Ended(end);
        }
        let has_room = self.bytes < self.bytes_max && self.queue.len() < LINE_FRAMES_MAX;
        tokio::select! {
            biased;
            () = sleep_until(next) => {}
            arrived = inner.receive(), if has_room && self.end.is_none() => match arrived {
                Ok(Some(frames)) => self.put(frames, stamp),
                Ok(None) => self.end = Some(Ok(())),
                Err(error) => self.end = Some(Err(error)),
            },
        }
        Step::Again
    }
}

/// Sleeps until the moment given, or for ever.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
