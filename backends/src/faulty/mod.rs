//! Wrappers that make any store or journal fail, wait or lie, by a handle: for tests of what lies
//! above.
//!
//! What fails on purpose never reaches what is wrapped. After a failed sync (and, of a journal, a
//! failed append that is not
//! [`Full`](trefoil_core::ErrorKind::Full)) everything goes on failing, as the ports demand, unless
//! [`Faults::forget_failures`] makes it a device that takes the next try for granted.

mod control;
mod journal;
mod store;

pub use control::{Faults, Operation};
pub use journal::FaultyJournal;
pub use store::FaultyStore;
