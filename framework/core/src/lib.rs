//! The decisions of trefoil: what an update is, who holds what, who may lead, and what a
//! follower lacks.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time, identity and results
//! come in with the call, decisions go out as values. That is what lets the whole system run in
//! a seeded simulation, and it is checked by the build (`make verify` runs `cargo tree`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`model`] | numbers, generations, positions, lineage, extents, charter |
//! | [`record`] | the update record: one format for disk and wire |
//! | [`wire`] | frames and messages between sites |
//! | [`port`] | the traits that transports and backends implement |
//! | [`engine`] | the decisions, in the order a write travels |
//! | [`topology`] | who follows whom, and how |
//! | [`conformance`] | kits that prove a third party's transport, backend, arbiter or topology |

pub mod conformance;
pub mod engine;
pub mod model;
pub mod port;
pub mod record;
pub mod topology;
pub mod wire;

mod error;

pub use error::{Error, ErrorKind, Result};
