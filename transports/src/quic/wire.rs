//! A stream of a QUIC connection as a lane.

use crate::stream::Wire;
use bytes::BytesMut;
use parking_lot::Mutex;
use quinn::{Connection, RecvStream, SendStream, StoppedError, VarInt};
use std::future::Future;
use std::io::{Error, ErrorKind as Io, IoSlice, Result};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt;

/// "The link ended", as the other side is told.
const ENDED: VarInt = VarInt::from_u32(0);

type Stopped =
    Pin<Box<dyn Future<Output = std::result::Result<Option<VarInt>, StoppedError>> + Send>>;

/// One lane: both directions of a stream.
pub(super) struct QuicWire {
    connection: Connection,
    send: Mutex<Sending>,
    receive: Mutex<RecvStream>,
}

struct Sending {
    stream: SendStream,
    /// Once the direction was ended: until the other side has everything.
    closing: Option<Stopped>,
}

impl QuicWire {
    pub(super) fn new(connection: Connection, send: SendStream, receive: RecvStream) -> Self {
        let send = Mutex::new(Sending { stream: send, closing: None });
        Self { connection, send, receive: Mutex::new(receive) }
    }
}

impl Wire for QuicWire {
    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<Result<usize>> {
        let mut receive = self.receive.lock();
        // The future holds nothing between two polls: what came is in the stream or the buffer.
        pin!(receive.read_buf(buffer)).poll(context)
    }

    fn poll_write(&self, context: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        let mut sending = self.send.lock();
        let mut taken = 0;
        // Copied into the connection's buffers part by part: the first that finds no room waits,
        // unless something was taken before it.
        for part in from {
            match Pin::new(&mut sending.stream).poll_write(context, part) {
                Poll::Ready(Ok(count)) => {
                    taken += count;
                    if count < part.len() {
                        break;
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending if taken == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<Result<()>> {
        // The connection sends by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_close(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let mut sending = self.send.lock();
        if sending.closing.is_none() {
            sending.stream.finish().map_err(|error| Error::new(Io::NotConnected, error))?;
            // A connection that is let go drops what the other side has not taken yet.
            sending.closing = Some(Box::pin(sending.stream.stopped()));
        }
        let Some(closing) = &mut sending.closing else { return Poll::Ready(Ok(())) };
        match ready!(closing.as_mut().poll(context)) {
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(Error::new(Io::NotConnected, error))),
        }
    }

    fn end(&self) {
        self.connection.close(ENDED, b"the link ended");
    }
}
