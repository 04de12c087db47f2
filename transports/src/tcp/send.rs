//! Sends frames over one connection, without copying what is in them.

use super::frame::{HEADER_BYTES, Header};
use super::preamble::LaneKind;
use super::socket::Sockets;
use crate::check::check_batch;
use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use std::collections::VecDeque;
use std::io::{ErrorKind as Io, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use trefoil_core::port::{Frame, FrameSender};
use trefoil_core::{Error, ErrorKind, Result};

/// The most slices in one write: a few hundred records, and within every system's limit (1024).
const SLICES_MAX: usize = 256;

pub(crate) struct Sender {
    sockets: Arc<Sockets>,
    lane: LaneKind,
    /// What is still to be written. It is kept here so that a dropped `send` leaves no torn
    /// frame: the next call goes on where it stopped.
    outgoing: VecDeque<Bytes>,
    closed: bool,
}

impl Sender {
    pub(crate) fn new(sockets: Arc<Sockets>, lane: LaneKind) -> Self {
        Self { sockets, lane, outgoing: VecDeque::new(), closed: false }
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
        let stream = self.sockets.stream(self.lane);
        while !self.outgoing.is_empty() {
            let written = match stream.writable().await {
                Ok(()) => write_some(stream, &self.outgoing),
                Err(error) => Err(error),
            };
            match written {
                Ok(count) => advance(&mut self.outgoing, count),
                Err(error) if error.kind() == Io::WouldBlock || error.kind() == Io::Interrupted => {
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: std::io::Error) -> Error {
        // The reason is the end of the link, if it had ended before.
        let ended = self.sockets.check("send frames");
        let error = Error::io("send frames", error);
        self.sockets.end(error.kind(), "sending failed before");
        ended.err().unwrap_or(error)
    }
}

fn write_some(stream: &tokio::net::TcpStream, from: &VecDeque<Bytes>) -> std::io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut used = 0;
    for (slice, part) in slices.iter_mut().zip(from) {
        *slice = IoSlice::new(part);
        used += 1;
    }
    stream.try_write_vectored(&slices[..used])
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
        self.sockets.check("send frames")?;
        if self.closed {
            return Err(Error::closed("send frames: this side has closed the lane"));
        }
        self.queue(frames);
        self.flush().await
    }

    async fn close(&mut self) -> Result<()> {
        self.sockets.check("close lane")?;
        if !self.closed {
            self.closed = true;
            self.outgoing.push_back(Bytes::copy_from_slice(&Header::End.encode()));
        }
        self.flush().await?;
        SockRef::from(self.sockets.stream(self.lane))
            .shutdown(Shutdown::Write)
            .or_else(|error| if error.kind() == Io::NotConnected { Ok(()) } else { Err(error) })
            .map_err(|error| Error::io("close lane", error))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.closed || !self.outgoing.is_empty() {
            self.sockets.end(ErrorKind::Closed, "this side dropped a sender");
        }
    }
}
