//! A TCP connection that can change the runtime which waits for it.
//!
//! A connection belongs to the runtime that made it: that one's poll of the kernel is where its
//! readiness is noticed. Where another thread uses it, each thing that comes wakes two threads.
//! A listener hands its connections to whoever uses them, so they move once, before they are used.

use parking_lot::{RwLock, RwLockReadGuard};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP connection that belongs to one runtime at a time; `None` only where moving it failed.
#[derive(Debug)]
pub(crate) struct Movable(RwLock<Option<TcpStream>>);

impl Movable {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(RwLock::new(Some(stream)))
    }

    /// The connection, to be polled.
    pub(crate) fn lock(&self) -> RwLockReadGuard<'_, Option<TcpStream>> {
        self.0.read()
    }

    /// The current runtime waits for it from now on. Whoever waited before is not woken: it moves
    /// before it is used. Outside of a runtime nothing happens.
    pub(crate) fn move_here(&self) {
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let mut slot = self.0.write();
        let moved = slot.take().map(|stream| stream.into_std().and_then(TcpStream::from_std));
        match moved {
            Some(Ok(stream)) => *slot = Some(stream),
            // The link ends with its next use, and is dialled anew.
            Some(Err(error)) => tracing::warn!(%error, "a connection was lost between threads"),
            None => {}
        }
    }

    fn inner(&mut self) -> Result<Pin<&mut TcpStream>> {
        self.0.get_mut().as_mut().map(Pin::new).ok_or_else(lost)
    }
}

/// The error of a connection that could not be moved.
pub(crate) fn lost() -> Error {
    Error::new(ErrorKind::NotConnected, "the connection was lost between threads")
}

impl AsyncRead for Movable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        match self.inner() {
            Ok(stream) => stream.poll_read(context, buffer),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for Movable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        match self.inner() {
            Ok(stream) => stream.poll_write(context, bytes),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        match self.inner() {
            Ok(stream) => stream.poll_write_vectored(context, from),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match self.inner() {
            Ok(stream) => stream.poll_flush(context),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match self.inner() {
            Ok(stream) => stream.poll_shutdown(context),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::runtime::Builder;

    #[test]
    fn a_moved_connection_does_not_need_the_runtime_that_made_it() {
        let maker = Builder::new_current_thread().enable_all().build().unwrap();
        let (near, mut far) = maker.block_on(async {
            let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let far = TcpStream::connect(door.local_addr().unwrap()).await.unwrap();
            (Movable::new(door.accept().await.unwrap().0), far.into_std().unwrap())
        });
        far.set_nonblocking(false).unwrap();
        let user = Builder::new_current_thread().enable_all().build().unwrap();
        user.block_on(async {
            let mut near = near;
            near.move_here();
            maker.shutdown_background();
            near.write_all(b"from here").await.unwrap();
            let mut said = [0; 9];
            std::io::Read::read_exact(&mut far, &mut said).unwrap();
            assert_eq!(&said, b"from here");
            let answer = std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                std::io::Write::write_all(&mut far, b"from there").unwrap();
            });
            // Waits: who wakes it can only be the runtime that it moved to.
            let mut heard = [0; 10];
            near.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"from there");
            answer.join().unwrap();
        });
    }
}
