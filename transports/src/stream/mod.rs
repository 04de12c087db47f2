//! Frames over byte streams: what TCP, TLS and QUIC have in common.
//!
//! A link is two byte streams, one for each lane. `frame` says how a frame lies in one, `send` and
//! `receive` are the halves of a lane, `lanes` holds both streams and how the link ends. What the
//! streams are made of is behind [`Wire`].

mod frame;
mod lanes;
mod receive;
mod room;
mod send;

pub(crate) use frame::crc_of;
pub(crate) use lanes::{Counters, LaneKind, Lanes};
pub use room::READ_BYTES;

use bytes::BytesMut;
use std::io::{IoSlice, Result};
use std::task::{Context, Poll};

/// One byte stream in both directions. One task reads and one task writes it at a time.
pub(crate) trait Wire: Send + Sync {
    /// Reads what has come into the room that `buffer` has; 0: nothing comes any more.
    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<Result<usize>>;

    /// Writes some of it. What was taken is sent sooner or later, at the latest by a flush.
    fn poll_write(&self, context: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<Result<usize>>;

    /// Hands all that was taken to the system.
    fn poll_flush(&self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Ends this side's direction in order, after all that was taken.
    fn poll_close(&self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Ends both directions at once. Whoever waits here or at the other side is woken.
    fn end(&self);

    /// The current runtime waits for the system from now on. Nobody else uses it meanwhile.
    fn move_here(&self) {}
}
