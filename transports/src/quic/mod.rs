//! Links through QUIC: one connection per link, each lane a stream of its own.
//!
//! ```text
//! dialer                                       listener
//!   connect, TLS 1.3 both ways ──────────────▶   unvalidated addresses retry under load
//!   open two streams, one byte each: which lane ─▶ takes both, within the handshake's time
//!           ◀── one byte: the link has a place ───  hands the link to accept()
//!   frames  ◀───────────────────────────────▶    as over TCP, with header and CRC-32C
//! ```
//!
//! A lost packet holds up the lane that it belongs to and no other, so acknowledgements do not
//! wait for data that is sent again; and a link outlives a change of either side's address. That
//! is what QUIC is for: far and lossy ways. On a short and good one TCP is several times cheaper.
//!
//! Bounds: the windows let [`QuicOptions::bandwidth`] flow over [`QuicOptions::round_trip`]; what a
//! side holds for a lane that nobody reads is at most one window, and as much at the sender. Two
//! streams are all that a connection may open; datagrams, early data and resumption are off.

mod accept;
mod connect;
mod endpoint;
mod handshake;
mod wire;

use crate::stream::Counters;
use crate::tls::{Credentials, Peers};
use async_trait::async_trait;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::port::{Link, Listener, Transport};
use trefoil_core::{Error, Result};

/// The word by which configurations name this transport.
pub const WORD: &str = "quic";

/// The payloads of UDP that may be configured, in bytes. Larger ones break the library beneath.
pub const MTU_BYTES: RangeInclusive<u16> = 1200..=8952;

/// The largest window, in bytes: two windows and a read buffer stay under what the port allows to
/// be on its way.
const WINDOW_BYTES_MAX: u64 = 28 << 20;
/// The smallest window, in bytes: a frame of the longest kind.
const WINDOW_BYTES_MIN: u64 = 4 << 20;

/// The limits of the QUIC transport.
#[derive(Clone, Debug)]
pub struct QuicOptions {
    /// How long connecting may take in all. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a listener gives a connection to become a link. Default 10 s.
    pub handshake_timeout: Duration,
    /// The most connections that have not become a link yet; from half of it on an address must
    /// prove itself first, and beyond it the oldest is closed. At least 2. Default 64.
    pub handshakes_max: usize,
    /// The most links that wait for `accept`. At least 1. Default 16.
    pub backlog_links_max: usize,
    /// The bandwidth of the way in bytes a second. Default 125 MB/s, which is 1 Gbit/s.
    pub bandwidth: u64,
    /// The longest round trip over which that bandwidth is to be filled. Default 100 ms.
    pub round_trip: Duration,
    /// After how much silence a side asks whether the other is there. Default 2 s.
    pub keep_alive: Duration,
    /// After how much silence the link ends. Default 10 s.
    pub idle_timeout: Duration,
    /// The payload of a packet in bytes, within [`MTU_BYTES`]; `None`: found out, up to 1452.
    /// Larger ones need a way that carries them, and the same setting at both ends.
    pub mtu: Option<u16>,
}

impl Default for QuicOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 64,
            backlog_links_max: 16,
            bandwidth: 125_000_000,
            round_trip: Duration::from_millis(100),
            keep_alive: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(10),
            mtu: None,
        }
    }
}

impl QuicOptions {
    /// Checks that they make sense.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid), naming the option and its bounds.
    pub fn check(&self) -> Result<()> {
        if let Some(mtu) = self.mtu
            && !MTU_BYTES.contains(&mtu)
        {
            let (least, most) = (MTU_BYTES.start(), MTU_BYTES.end());
            return Err(Error::invalid(format!(
                "check QUIC options: mtu is {mtu}, it must be within {least} and {most}"
            )));
        }
        if self.keep_alive >= self.idle_timeout {
            return Err(Error::invalid(
                "check QUIC options: keep_alive must be shorter than idle_timeout",
            ));
        }
        Ok(())
    }

    /// The window that lets the bandwidth flow over the round trip, twice over: acknowledgements
    /// come late and in bursts. Within 4 and 28 MiB.
    pub fn window_bytes(&self) -> u64 {
        let milliseconds = u64::try_from(self.round_trip.as_millis()).unwrap_or(u64::MAX);
        let on_the_way = self.bandwidth.saturating_mul(milliseconds) / 1000;
        on_the_way.saturating_mul(2).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX)
    }
}

/// What went wrong so far at one [`QuicTransport`] and its listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuicCounts {
    /// Connections whose handshake failed: no trefoil, another version, a refused certificate.
    pub refused: u64,
    /// Connections that did not become a link in time.
    pub expired: u64,
    /// Connections that were closed to make room for newer ones.
    pub evicted: u64,
    /// Links that ended because a frame was damaged or over the limit.
    pub corrupt: u64,
}

/// Carries frames through QUIC. Addresses are `host:port`; port 0 listens on a free one.
///
/// Each link that is dialled has a socket of its own, whose work is done on the runtime that
/// dialled; a listener's links are worked on by the runtime that listens. A link ends with its
/// runtime.
#[derive(Clone)]
pub struct QuicTransport(Shared);

/// What the dialling and the listening side share.
#[derive(Clone)]
struct Shared {
    options: QuicOptions,
    credentials: Arc<Credentials>,
    peers: Peers,
    counters: Arc<Counters>,
}

impl QuicTransport {
    /// A transport with these limits: this side shows `credentials`, and only `peers` are let in
    /// or connected to.
    ///
    /// # Errors
    /// As [`QuicOptions::check`].
    pub fn new(options: QuicOptions, credentials: Arc<Credentials>, peers: Peers) -> Result<Self> {
        options.check()?;
        Ok(Self(Shared { options, credentials, peers, counters: Arc::default() }))
    }

    /// What went wrong so far.
    pub fn counts(&self) -> QuicCounts {
        let Counters { refused, expired, evicted, corrupt } = &*self.0.counters;
        let [refused, expired, evicted, corrupt] =
            [refused, expired, evicted, corrupt].map(Counters::read);
        QuicCounts { refused, expired, evicted, corrupt }
    }
}

#[async_trait]
impl Transport for QuicTransport {
    async fn connect(&self, address: &str) -> Result<Link> {
        connect::connect(&self.0, address).await
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        Ok(Box::new(accept::listen(&self.0, address).await?))
    }

    fn describe(&self) -> String {
        WORD.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_fills_the_way_it_is_sized_for_and_stays_within_bounds() {
        let options = QuicOptions::default();
        assert_eq!(options.window_bytes(), 25_000_000);
        let slow = QuicOptions { bandwidth: 1000, ..QuicOptions::default() };
        assert_eq!(slow.window_bytes(), WINDOW_BYTES_MIN);
        let fast = QuicOptions { bandwidth: u64::MAX, ..QuicOptions::default() };
        assert_eq!(fast.window_bytes(), WINDOW_BYTES_MAX);
    }

    #[test]
    fn options_that_would_break_a_link_are_refused_with_their_bounds() {
        let large = QuicOptions { mtu: Some(16_384), ..QuicOptions::default() };
        assert!(large.check().unwrap_err().to_string().contains("within 1200 and 8952"));
        let quiet = QuicOptions { keep_alive: Duration::from_secs(10), ..QuicOptions::default() };
        assert!(quiet.check().is_err());
    }
}
