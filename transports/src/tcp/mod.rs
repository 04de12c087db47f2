//! Links through TCP: two connections per link, one for each lane, so that acknowledgements
//! never wait behind data.
//!
//! ```text
//! dialer                                  listener
//!   connect ×2, preamble (token, lane) ──▶  pairs the two by token, within a deadline
//!           ◀── answer ×2 ──────────────    hands the link to accept()
//!   frames  ◀──────────────────────────▶    each with header, CRC-32C of header and body
//! ```
//!
//! A frame's parts are written where they lie (`writev`, many frames per call). What is received
//! is cut from the read buffer without copying: a small frame that is kept for long keeps up to
//! [`READ_BYTES`] (or the longest frame read with it) alive, so copy what you keep.
//!
//! [`TcpTransport::secured`] puts both connections into TLS 1.3, and each side proves by a
//! certificate which site it is. [`TcpTransport::new`] leaves the bytes as they are, neither
//! encrypted nor authenticated: use it on a network that only the sites are on.

mod accept;
mod connect;
mod movable;
mod preamble;
mod secure;
mod socket;

pub use crate::stream::READ_BYTES;

use crate::stream::Counters;
use crate::tls::{Credentials, Peers};
use async_trait::async_trait;
use secure::Guard;
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::Result;
use trefoil_core::port::{Link, Listener, Transport};

/// The word by which configurations name this transport.
pub const WORD: &str = "tcp";

/// The limits of the TCP transport.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// How long connecting may take in all: name, both connections, both answers. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a listener gives a connection to say what it is and to be paired. Default 10 s.
    pub handshake_timeout: Duration,
    /// The most connections that have not become part of a link yet; beyond it the oldest of
    /// them is closed. At least 2. Default 64.
    pub handshakes_max: usize,
    /// The most links that wait for `accept`. At least 1. Default 16.
    pub backlog_links_max: usize,
    /// After how much silence the kernel asks whether the other side is there. Default 5 s.
    pub keep_alive_idle: Duration,
    /// How long between two such questions; the third without an answer ends the link.
    /// Default 2 s.
    pub keep_alive_interval: Duration,
    /// How long what was sent may stay unacknowledged before the link ends. A side that takes
    /// nothing at all for that long, while more is sent than the kernels hold, loses the link,
    /// too. Default 10 s.
    pub user_timeout: Duration,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 64,
            backlog_links_max: 16,
            keep_alive_idle: Duration::from_secs(5),
            keep_alive_interval: Duration::from_secs(2),
            user_timeout: Duration::from_secs(10),
        }
    }
}

/// What went wrong so far at one [`TcpTransport`] and its listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounts {
    /// Connections that were closed because their preamble was not ours, or of another version.
    pub refused: u64,
    /// Connections that were closed because they were not paired in time.
    pub expired: u64,
    /// Connections that were closed to make room for newer ones.
    pub evicted: u64,
    /// Links that ended because a frame was damaged or over the limit.
    pub corrupt: u64,
}

/// Carries frames through TCP. Addresses are `host:port`; port 0 listens on a free one.
#[derive(Clone)]
pub struct TcpTransport(Shared);

/// What the dialling and the listening side share.
#[derive(Clone)]
struct Shared {
    options: TcpOptions,
    guard: Guard,
    counters: Arc<Counters>,
}

impl TcpTransport {
    /// A transport with these limits, whose bytes go as they are.
    pub fn new(options: TcpOptions) -> Self {
        Self(Shared { options, guard: Guard::Plain, counters: Arc::default() })
    }

    /// A transport with these limits inside TLS 1.3: this side shows `credentials`, and only
    /// `peers` are let in or connected to.
    pub fn secured(options: TcpOptions, credentials: Arc<Credentials>, peers: Peers) -> Self {
        let guard = Guard::Proven(credentials, peers);
        Self(Shared { options, guard, counters: Arc::default() })
    }

    /// What went wrong so far.
    pub fn counts(&self) -> TcpCounts {
        let Counters { refused, expired, evicted, corrupt } = &*self.0.counters;
        let [refused, expired, evicted, corrupt] =
            [refused, expired, evicted, corrupt].map(Counters::read);
        TcpCounts { refused, expired, evicted, corrupt }
    }
}

impl Default for TcpTransport {
    fn default() -> Self {
        Self::new(TcpOptions::default())
    }
}

#[async_trait]
impl Transport for TcpTransport {
    async fn connect(&self, address: &str) -> Result<Link> {
        connect::connect(&self.0, address).await
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        let listener = accept::listen(&self.0, address).await?;
        Ok(Box::new(listener))
    }

    fn describe(&self) -> String {
        match self.0.guard {
            Guard::Plain => WORD.to_owned(),
            Guard::Proven(..) => format!("{WORD}+tls"),
        }
    }
}
