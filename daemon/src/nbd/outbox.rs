//! Replies on their way out, in batches of one vectored write.

use super::reply::Reply;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Pieces of one vectored write: 32 replies with data.
const SLICES_MAX: usize = 64;

/// The sending side of a connection; bounded by the connection's window, not here.
#[derive(Default)]
pub(super) struct Outbox {
    queue: VecDeque<Reply>,
    /// Bytes of the front reply that are sent.
    sent: usize,
    /// Written and not yet flushed (a no-op on bare sockets, not on a wrapped one).
    dirty: bool,
}

impl Outbox {
    pub(super) fn push(&mut self, reply: Reply) {
        self.queue.push_back(reply);
    }

    /// Everything pushed has left.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && !self.dirty
    }

    /// Gives up what has not left, for a client that is gone.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Reply> + '_ {
        self.sent = 0;
        self.dirty = false;
        self.queue.drain(..)
    }

    /// Sends once as much as the socket takes; each reply that has left goes to `gone`.
    pub(super) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        gone: impl FnMut(Reply),
    ) -> Poll<io::Result<()>> {
        if self.queue.is_empty() {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.dirty = false;
            return Poll::Ready(Ok(()));
        }
        let sent = {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = self.gather(&mut slices);
            ready!(Pin::new(stream).poll_write_vectored(cx, &slices[..used]))?
        };
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.dirty = true;
        self.consume(sent, gone);
        Poll::Ready(Ok(()))
    }

    /// Fills `slices` from the front; how many are used.
    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut skip = self.sent;
        let pieces = self.queue.iter().flat_map(|reply| [reply.head(), &reply.body[..]]);
        let pieces = pieces.filter_map(|piece| {
            let here = skip.min(piece.len());
            skip -= here;
            (here < piece.len()).then(|| &piece[here..])
        });
        let mut used = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            used += 1;
        }
        used
    }

    fn consume(&mut self, sent: usize, mut gone: impl FnMut(Reply)) {
        self.sent += sent;
        while let Some(front) = self.queue.front()
            && front.len() <= self.sent
        {
            self.sent -= front.len();
            if let Some(reply) = self.queue.pop_front() {
                gone(reply);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn replies_arrive_whole_and_in_order_over_a_socket_that_takes_a_few_bytes() {
        let (mut near, mut far) = tokio::io::duplex(7);
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        for n in 0..100_u8 {
            let body = Bytes::from(vec![n; usize::from(n)]);
            let reply = Reply::data(n % 2 == 0, u64::from(n), 0, body);
            expected.extend_from_slice(reply.head());
            expected.extend_from_slice(&reply.body);
            outbox.push(reply);
        }
        let mut left = 0;
        let send = async {
            while !outbox.is_empty() {
                std::future::poll_fn(|cx| outbox.poll_send(&mut near, cx, |_| left += 1))
                    .await
                    .unwrap();
            }
            drop(near);
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(send, far.read_to_end(&mut received));
        read.unwrap();
        assert_eq!(left, 100);
        assert!(received == expected);
    }
}
