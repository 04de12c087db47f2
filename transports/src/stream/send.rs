//! Sends frames over one stream, without copying what is in them.

use super::frame::{HEADER_BYTES, Header};
use super::lanes::{LaneKind, Lanes};
use crate::check::check_batch;
use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{ErrorKind as Io, IoSlice};
use std::sync::Arc;
use trefoil_core::port::{Frame, FrameSender};
use trefoil_core::{Error, ErrorKind, Result};

/// The most slices in one write: a few hundred records, and within every system's limit (1024).
const SLICES_MAX: usize = 256;

pub(crate) struct Sender {
    lanes: Arc<Lanes>,
    lane: LaneKind,
    /// What is still to be written. It is kept here so that a dropped `send` leaves no torn
    /// frame: the next call goes on where it stopped.
    outgoing: VecDeque<Bytes>,
    /// Whether the stream took something that it may not have handed to the system yet.
    unflushed: bool,
    closed: bool,
}

impl Sender {
    pub(crate) fn new(lanes: Arc<Lanes>, lane: LaneKind) -> Self {
        Self { lanes, lane, outgoing: VecDeque::new(), unflushed: false, closed: false }
    }

    fn queue(&mut self, frames: Vec<Frame>) {
        // One allocation for all headers of the batch.
        let mut headers = BytesMut::with_capacity(HEADER_BYTES * frames.len());
        for frame in frames {
            headers.extend_from_slice(&Header::of(&frame).encode());
            self.outgoing.push_back(headers.split().freeze());
            self.outgoing.extend(frame.parts.into_iter().filter(|part| !part.is_empty()));
        }
    }

    async fn flush(&mut self) -> Result<()> {
        let wire = self.lanes.wire(self.lane);
        while !self.outgoing.is_empty() {
            let written = poll_fn(|context| {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                wire.poll_write(context, fill(&mut slices, &self.outgoing))
            });
            self.unflushed = true;
            match written.await {
                Ok(0) => return Err(self.fail(Io::WriteZero.into())),
                Ok(count) => advance(&mut self.outgoing, count),
                Err(error) if error.kind() == Io::Interrupted => {}
                Err(error) => return Err(self.fail(error)),
            }
        }
        let flushed = poll_fn(|context| wire.poll_flush(context)).await;
        flushed.map_err(|error| self.fail(error))?;
        self.unflushed = false;
        Ok(())
    }

    fn fail(&mut self, error: std::io::Error) -> Error {
        // The reason is the end of the link, if it had ended before.
        let ended = self.lanes.check("send frames");
        let error = Error::io("send frames", error);
        self.lanes.end(error.kind(), "sending failed before");
        ended.err().unwrap_or(error)
    }
}

/// The first parts, as many as one write takes.
fn fill<'s, 'p>(
    slices: &'s mut [IoSlice<'p>; SLICES_MAX],
    parts: &'p VecDeque<Bytes>,
) -> &'s [IoSlice<'p>] {
    let mut used = 0;
    for (slice, part) in slices.iter_mut().zip(parts) {
        *slice = IoSlice::new(part);
        used += 1;
    }
    &slices[..used]
}

fn advance(outgoing: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(mut part) = outgoing.pop_front() {
        if part.len() > written {
            part.advance(written);
            outgoing.push_front(part);
            return;
        }
        written -= part.len();
        if written == 0 {
            return;
        }
    }
}

#[async_trait]
impl FrameSender for Sender {
    async fn send(&mut self, frames: Vec<Frame>) -> Result<()> {
        check_batch(&frames)?;
        self.lanes.check("send frames")?;
        if self.closed {
            return Err(Error::closed("send frames: this side has closed the lane"));
        }
        self.queue(frames);
        self.flush().await
    }

    async fn close(&mut self) -> Result<()> {
        self.lanes.check("close lane")?;
        if !self.closed {
            self.closed = true;
            self.outgoing.push_back(Bytes::copy_from_slice(&Header::End.encode()));
        }
        self.flush().await?;
        let wire = self.lanes.wire(self.lane);
        poll_fn(|context| wire.poll_close(context))
            .await
            .or_else(|error| if error.kind() == Io::NotConnected { Ok(()) } else { Err(error) })
            .map_err(|error| Error::io("close lane", error))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.closed || self.unflushed || !self.outgoing.is_empty() {
            self.lanes.end(ErrorKind::Closed, "this side dropped a sender");
        }
    }
}
