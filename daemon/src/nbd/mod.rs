//! The NBD front end: serves exports to hosts over the Network Block Device protocol.
//!
//! The protocol is that of the NBD project's `doc/proto.md`: fixed newstyle handshake, simple
//! and structured replies, the `base:allocation` context. A host uses `nbd-client`, qemu, libnbd
//! or fio; nothing of trefoil is needed on its side.
//!
//! | file | the journey of a request |
//! |---|---|
//! | `address`, `listener`, `server` | where it is heard, and who may connect |
//! | `guard` | who the host is, by its certificate |
//! | `portable` | which thread goes on with it: the export's own, if it has one |
//! | `handshake`, `options` | which export it is for, and what was agreed |
//! | `intake`, `request` | bytes become a checked command, within the limits |
//! | `execute` | the command meets the [`Export`] |
//! | `reply`, `outbox` | the answer, and the batch it leaves in |
//! | `connection` | drives all of it: one task a connection, no lock, no task a request |
//!
//! Requests of one connection run side by side and are answered in the order they finish. What
//! was admitted is finished even when the client hangs up.

mod address;
mod connection;
mod counters;
mod execute;
mod export;
mod guard;
mod handshake;
mod intake;
mod limits;
mod listener;
mod options;
mod outbox;
mod portable;
mod proto;
mod reply;
mod request;
mod server;

pub use address::NbdAddress;
pub use counters::NbdCounters;
pub use export::{Export, Exports, Work};
pub use guard::{HostTls, NbdGuard};
pub use limits::NbdLimits;
pub use server::NbdServer;
