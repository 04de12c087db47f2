//! A TCP connection as a stream of frames: plain, or inside TLS.

use super::TcpOptions;
use super::movable::{Movable, lost};
use crate::stream::Wire;
use bytes::BytesMut;
use parking_lot::Mutex;
use socket2::{SockRef, Socket, TcpKeepalive};
use std::io::{ErrorKind as Io, IoSlice};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use trefoil_core::{Error, Result};

/// Questions without an answer after which the kernel gives the connection up.
const KEEP_ALIVE_PROBES: u32 = 3;

/// Sets a connection up: no delay, and death of the other side is noticed.
pub(crate) fn tune(stream: &TcpStream, options: &TcpOptions) -> Result<()> {
    let io = |error| Error::io("set socket options", error);
    stream.set_nodelay(true).map_err(io)?;
    let socket = SockRef::from(stream);
    let keep_alive = TcpKeepalive::new()
        .with_time(options.keep_alive_idle)
        .with_interval(options.keep_alive_interval)
        .with_retries(KEEP_ALIVE_PROBES);
    socket.set_tcp_keepalive(&keep_alive).map_err(io)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(options.user_timeout)).map_err(io)?;
    Ok(())
}

/// A new connection, while it becomes part of a link.
pub(crate) enum Connection {
    /// As it is.
    Plain(Movable),
    /// Inside TLS; the handshake is done.
    Secure(Box<TlsStream<Movable>>),
}

impl Connection {
    /// What a lane is made of.
    ///
    /// # Errors
    /// When the system has no file descriptor left.
    pub(crate) fn into_wire(self) -> Result<Box<dyn Wire>> {
        match self {
            Self::Plain(stream) => Ok(Box::new(stream)),
            Self::Secure(stream) => Ok(Box::new(Secure::new(*stream)?)),
        }
    }

    fn inner(&mut self) -> Pin<&mut (dyn Duplex + '_)> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Secure(stream) => Pin::new(&mut **stream),
        }
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.inner().poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.inner().poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.inner().poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.inner().poll_shutdown(context)
    }
}

/// Ends a connection for both sides, whatever state it is in.
fn end(socket: SockRef<'_>) {
    // It fails where the connection is gone already, which is what is wanted.
    if let Err(error) = socket.shutdown(Shutdown::Both) {
        tracing::trace!(%error, "shut down a connection that had ended");
    }
}

impl Wire for Movable {
    fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<std::io::Result<usize>> {
        let stream = self.lock();
        let stream = stream.as_ref().ok_or_else(lost)?;
        loop {
            ready!(stream.poll_read_ready(context))?;
            match stream.try_read_buf(buffer) {
                Err(error) if error.kind() == Io::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    fn poll_write(
        &self,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let stream = self.lock();
        let stream = stream.as_ref().ok_or_else(lost)?;
        loop {
            ready!(stream.poll_write_ready(context))?;
            match stream.try_write_vectored(from) {
                Err(error) if error.kind() == Io::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let stream = self.lock();
        let stream = stream.as_ref().ok_or_else(lost)?;
        Poll::Ready(SockRef::from(stream).shutdown(Shutdown::Write))
    }

    fn end(&self) {
        if let Some(stream) = &*self.lock() {
            end(SockRef::from(stream));
        }
    }

    fn move_here(&self) {
        Movable::move_here(self);
    }
}

/// A connection inside TLS. Reading and writing take turns in the session; neither waits for the
/// other, since both only poll.
struct Secure {
    session: Mutex<TlsStream<Movable>>,
    /// The same connection: it is ended without waiting for the session.
    socket: Socket,
}

impl Secure {
    fn new(stream: TlsStream<Movable>) -> Result<Self> {
        let socket = match &*stream.get_ref().0.lock() {
            Some(connection) => connection.as_fd().try_clone_to_owned(),
            None => Err(lost()),
        };
        let socket = socket.map_err(|error| Error::io("take a connection in", error))?;
        Ok(Self { session: Mutex::new(stream), socket: Socket::from(socket) })
    }
}

impl Wire for Secure {
    fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<std::io::Result<usize>> {
        let mut session = self.session.lock();
        // The future holds nothing between two polls: what came is in the session or the buffer.
        match pin!(session.read_buf(buffer)).poll(context) {
            // Whether the end was meant is told by the frames, not by TLS.
            Poll::Ready(Err(error)) if error.kind() == Io::UnexpectedEof => Poll::Ready(Ok(0)),
            polled => polled,
        }
    }

    fn poll_write(
        &self,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.session.lock()).poll_write_vectored(context, from)
    }

    fn poll_flush(&self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.session.lock()).poll_flush(context)
    }

    fn poll_close(&self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.session.lock()).poll_shutdown(context)
    }

    fn end(&self) {
        end(SockRef::from(&self.socket));
    }

    fn move_here(&self) {
        self.session.lock().get_ref().0.move_here();
    }
}
