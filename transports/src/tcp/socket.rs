//! The two sockets of a link, what they are set to, and how the link ends.

use super::preamble::LaneKind;
use super::receive::Receiver;
use super::send::Sender;
use super::{TcpCounts, TcpOptions};
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpStream;
use trefoil_core::port::{Lane, Link, Security};
use trefoil_core::{Error, ErrorKind, Result};

/// Questions without an answer after which the kernel gives the connection up.
const KEEP_ALIVE_PROBES: u32 = 3;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) refused: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) corrupt: AtomicU64,
}

impl Counters {
    pub(crate) fn counts(&self) -> TcpCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TcpCounts {
            refused: read(&self.refused),
            expired: read(&self.expired),
            evicted: read(&self.evicted),
            corrupt: read(&self.corrupt),
        }
    }

    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

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

/// Both connections of a link; its four halves share it.
pub(crate) struct Sockets {
    control: TcpStream,
    data: TcpStream,
    /// Why the link ended, once it has.
    ended: Mutex<Option<(ErrorKind, String)>>,
    pub(crate) counters: Arc<Counters>,
}

impl Sockets {
    pub(crate) fn link(
        control: TcpStream,
        data: TcpStream,
        peer: String,
        counters: Arc<Counters>,
    ) -> Link {
        let sockets = Arc::new(Self { control, data, ended: Mutex::new(None), counters });
        let lane = |kind| Lane {
            sender: Box::new(Sender::new(sockets.clone(), kind)),
            receiver: Box::new(Receiver::new(sockets.clone(), kind)),
        };
        Link {
            control: lane(LaneKind::Control),
            data: lane(LaneKind::Data),
            peer,
            security: Security::Plain,
        }
    }

    pub(crate) fn stream(&self, lane: LaneKind) -> &TcpStream {
        match lane {
            LaneKind::Control => &self.control,
            LaneKind::Data => &self.data,
        }
    }

    /// The error of a link that has ended.
    pub(crate) fn check(&self, doing: &str) -> Result<()> {
        match &*self.ended.lock() {
            None => Ok(()),
            Some((kind, why)) => Err(Error::new(*kind, format!("{doing}: {why}"))),
        }
    }

    /// Ends the link for both sides. The first reason stays; shutting the sockets down wakes
    /// every half that waits here, and the other side reads the end.
    pub(crate) fn end(&self, kind: ErrorKind, why: &str) {
        {
            let mut ended = self.ended.lock();
            if ended.is_some() {
                return;
            }
            *ended = Some((kind, why.to_owned()));
        }
        for stream in [&self.control, &self.data] {
            // It fails where the connection is gone already, which is what is wanted.
            if let Err(error) = SockRef::from(stream).shutdown(Shutdown::Both) {
                tracing::trace!(%error, "shut down a connection that had ended");
            }
        }
    }
}
