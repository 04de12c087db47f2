//! How frames travel between sites: in memory, through TCP, and wrapped to misbehave on purpose.
//!
//! | module | what it is |
//! |---|---|
//! | [`memory`] | links inside one process, for embedding, examples and tests |
//! | [`simulated`] | the same links with delay, partition and death, from a seed |
//! | [`tcp`] | two connections per link, frames with checksums; plain, or inside TLS 1.3 |
//! | [`quic`] | one connection per link, a stream for each lane, always with certificates |
//! | [`tls`] | who is at the other end: certificates of a private authority |
//! | [`shaped`] | any transport, with distance: delay, jitter, bandwidth, cuts |
//! | [`faulty`] | any transport, cut at random or by hand |
//!
//! Every transport here passes `trefoil_core::conformance::transport`.

pub mod faulty;
pub mod memory;
pub mod quic;
pub mod shaped;
pub mod simulated;
pub mod tcp;
pub mod tls;

mod check;
mod handshakes;
mod line;
mod resolve;
mod seed;
mod stream;

pub use faulty::{Faulty, FaultyControl, FaultyOptions};
pub use memory::{MemoryNetwork, MemoryTransport};
pub use quic::{QuicCounts, QuicOptions, QuicTransport};
pub use shaped::Shaped;
pub use simulated::{SimulatedNetwork, SimulatedOptions, SimulatedTransport};
pub use tcp::{TcpCounts, TcpOptions, TcpTransport};
