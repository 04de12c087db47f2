//! A backend that keeps nothing: for measuring what everything but the disk costs.
//!
//! Volumes read as zeroes whatever was written; the journal and the state are in memory and gone
//! with the handle. What a site over it serves is **not** what its hosts wrote. It breaks the first
//! claim of [`BlockStore`](trefoil_core::port::BlockStore) on purpose, says so in `describe` and
//! warns when it is opened.

mod journal;
mod store;

pub use journal::NoopJournal;
pub use store::NoopStore;
