//! Public suites that prove a transport or a backend correct, whoever wrote it.

pub mod block_store;
pub mod journal_store;
pub mod transport;

mod suite;

pub use suite::Broken;
use suite::{Claim, break_claim, run_claims};
