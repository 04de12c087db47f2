//! What the front end counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one server since it was bound; all but `open` only grow. Read them at any time.
#[derive(Debug, Default)]
pub struct NbdCounters {
    /// Connections accepted, those refused for their number included.
    pub connections: AtomicU64,
    /// Connections closed at once because `connections_max` were open.
    pub refused: AtomicU64,
    /// Hosts that have proven who they are.
    pub tls_hosts: AtomicU64,
    /// TLS handshakes that failed, certificates that were refused among them.
    pub tls_failures: AtomicU64,
    /// Options refused, or connections closed, because TLS has to come first.
    pub tls_required: AtomicU64,
    /// Connections open now, the ones in handshake included.
    pub open: AtomicU64,
    /// Requests received, DISC excluded.
    pub requests: AtomicU64,
    /// Requests answered with an error, and handshakes that failed.
    pub errors: AtomicU64,
    /// Bytes of data read by hosts, in successful replies.
    pub bytes_read: AtomicU64,
    /// Bytes of data written by hosts, in admitted writes.
    pub bytes_written: AtomicU64,
}

impl NbdCounters {
    /// One more; statistics order nothing, so relaxed.
    pub(super) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}
