//! Received bytes, cut into requests and the data of writes.
//!
//! Requests come in batches through one buffer. The data of a write becomes its own allocation:
//! copied when it is in the buffer, received straight into place when it is not, so that no
//! write held by a journal pins a receive buffer.

use super::proto::REQUEST_BYTES;
use super::request::{Command, Refusal, Request};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The receive buffer of a connection: 60 requests of 4 KiB in one read.
const BUFFER_BYTES: usize = 256 << 10;

/// What to do with a request whose fixed part has arrived.
pub(super) enum Verdict {
    /// Room is reserved for it: receive its data and hand it out.
    Take(Command),
    /// No room yet: leave it where it is, read no further.
    Wait,
    /// Skip its data, then answer.
    Refuse(Refusal),
}

/// A request, complete.
#[derive(Debug)]
pub(super) enum Incoming {
    /// With its data (empty unless it is a write).
    Run(Request, Command, Bytes),
    Refuse(Request, Refusal),
}

enum State {
    /// Before a request.
    Head,
    /// Within the data of an admitted write.
    Data { request: Request, command: Command, data: BytesMut },
    /// Within the data of a refused write, `left` bytes of it.
    Skip { request: Request, refusal: Refusal, left: usize },
}

/// The receiving side of a connection.
pub(super) struct Intake {
    buffer: BytesMut,
    state: State,
    /// The judge said wait: to receive more would only grow the buffer.
    waiting: bool,
}

/// What is received is not NBD: the magic number of a request is wrong.
#[derive(Debug)]
pub(super) struct Garbage;

impl Intake {
    pub(super) fn new() -> Self {
        Self { buffer: BytesMut::with_capacity(BUFFER_BYTES), state: State::Head, waiting: false }
    }

    /// The next complete request. `None`: more bytes are needed, or the judge said wait.
    pub(super) fn next(
        &mut self,
        judge: impl FnOnce(&Request) -> Verdict,
    ) -> Result<Option<Incoming>, Garbage> {
        if matches!(self.state, State::Head) && !self.begin(judge)? {
            return Ok(None);
        }
        Ok(self.finish())
    }

    /// Takes the fixed part of a request; false when it is not there or has to wait.
    fn begin(&mut self, judge: impl FnOnce(&Request) -> Verdict) -> Result<bool, Garbage> {
        let Some(head) = self.buffer.first_chunk::<REQUEST_BYTES>() else {
            return Ok(false);
        };
        let request = Request::decode(head).ok_or(Garbage)?;
        let length = request.payload_bytes() as usize;
        self.waiting = false;
        self.state = match judge(&request) {
            Verdict::Wait => {
                self.waiting = true;
                return Ok(false);
            }
            Verdict::Take(command) => {
                // Bounded: the judge refuses what is longer than the request limit.
                State::Data { request, command, data: BytesMut::with_capacity(length) }
            }
            Verdict::Refuse(refusal) => State::Skip { request, refusal, left: length },
        };
        self.buffer.advance(REQUEST_BYTES);
        Ok(true)
    }

    /// Moves what the buffer has of the current data; the request when that completes it.
    fn finish(&mut self) -> Option<Incoming> {
        match &mut self.state {
            State::Head => return None,
            State::Data { request, data, .. } => {
                let missing = request.payload_bytes() as usize - data.len();
                let here = missing.min(self.buffer.len());
                data.extend_from_slice(&self.buffer[..here]);
                self.buffer.advance(here);
                if here < missing {
                    return None;
                }
            }
            State::Skip { left, .. } => {
                let here = (*left).min(self.buffer.len());
                self.buffer.advance(here);
                *left -= here;
                if *left > 0 {
                    return None;
                }
            }
        }
        match std::mem::replace(&mut self.state, State::Head) {
            State::Head => None,
            State::Data { request, command, data } => {
                Some(Incoming::Run(request, command, data.freeze()))
            }
            State::Skip { request, refusal, .. } => Some(Incoming::Refuse(request, refusal)),
        }
    }

    /// Receives once, at most a buffer full; 0 is the end of the stream.
    pub(super) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let State::Data { request, data, .. } = &mut self.state
            && self.buffer.is_empty()
        {
            let missing = request.payload_bytes() as usize - data.len();
            if missing > 0 {
                let mut rest = data.limit(missing);
                return pin!(stream.read_buf(&mut rest)).poll(cx);
            }
        }
        // Reclaims what was consumed; allocates only while an earlier piece is still held.
        if self.buffer.capacity() - self.buffer.len() < BUFFER_BYTES / 2 {
            self.buffer.reserve(BUFFER_BYTES - self.buffer.len().min(BUFFER_BYTES / 2));
        }
        let room = BUFFER_BYTES.saturating_sub(self.buffer.len()).max(REQUEST_BYTES);
        let mut rest = (&mut self.buffer).limit(room);
        pin!(stream.read_buf(&mut rest)).poll(cx)
    }

    /// Whether a request is here that the judge let wait.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether part of a request has arrived and the rest has not.
    pub(super) fn is_mid_request(&self) -> bool {
        !self.buffer.is_empty() || !matches!(self.state, State::Head)
    }

    /// Forgets what is received and not handed out.
    pub(super) fn clear(&mut self) {
        self.buffer = BytesMut::new();
        self.state = State::Head;
        self.waiting = false;
    }
}
