//! How much a server takes on: every bound of the front end in one place.

use std::time::Duration;
use trefoil_core::{Error, Result};

/// The bounds of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NbdLimits {
    /// Connections at once, over all exports; one more is closed at once. Default 256.
    pub connections_max: u32,
    /// From accept to the chosen export, all options included. Default 10 s.
    pub handshake_deadline: Duration,
    /// Data of one handshake option, in bytes. Default 64 KiB.
    pub option_bytes_max: u32,
    /// Data of one read or write, in bytes; told to hosts as the maximum block size. A power of
    /// two, at least 64 KiB. Default 32 MiB.
    pub request_bytes_max: u32,
    /// Requests of one connection between admission and sent reply. Default 64.
    pub inflight_requests_max: usize,
    /// Data of those requests, in bytes, at least one request's. This is the memory that a
    /// connection can hold. Default 64 MiB.
    pub inflight_bytes_max: u64,
    /// How long a stopping server waits for what is in flight. Default 10 s.
    pub drain_deadline: Duration,
}

impl Default for NbdLimits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            handshake_deadline: Duration::from_secs(10),
            option_bytes_max: 64 << 10,
            request_bytes_max: 32 << 20,
            inflight_requests_max: 64,
            inflight_bytes_max: 64 << 20,
            drain_deadline: Duration::from_secs(10),
        }
    }
}

impl NbdLimits {
    /// Checks that they fit together.
    ///
    /// # Errors
    /// `Invalid`, naming the limit and what it must be.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::invalid(format!("check NBD limits: {what}")));
        if self.connections_max == 0 || self.connections_max > 1 << 16 {
            return wrong("connections_max must be 1 to 65536");
        }
        if self.option_bytes_max < 8 << 10 {
            return wrong("option_bytes_max must be at least 8 KiB, so that a name fits");
        }
        if !self.request_bytes_max.is_power_of_two() || self.request_bytes_max < 64 << 10 {
            return wrong("request_bytes_max must be a power of two of at least 64 KiB");
        }
        if self.request_bytes_max > 1 << 30 {
            return wrong("request_bytes_max must be at most 1 GiB");
        }
        if self.inflight_requests_max == 0 {
            return wrong("inflight_requests_max must be at least 1");
        }
        if self.inflight_bytes_max < u64::from(self.request_bytes_max) {
            return wrong("inflight_bytes_max must be at least request_bytes_max");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_together_and_a_window_smaller_than_a_request_does_not() {
        assert!(NbdLimits::default().check().is_ok());
        let small = NbdLimits { inflight_bytes_max: 1 << 20, ..NbdLimits::default() };
        let error = small.check().unwrap_err();
        assert!(error.doing().contains("inflight_bytes_max"), "{error}");
        let odd = NbdLimits { request_bytes_max: 100_000, ..NbdLimits::default() };
        assert!(odd.check().is_err());
    }
}
