//! How frames travel between sites: in memory, through TCP, and wrapped to misbehave on purpose.
//!
//! | module | what it is |
//! |---|---|
//! | [`memory`] | links inside one process, for embedding, examples and tests |
//! | [`simulated`] | the same links with delay, partition and death, from a seed |
//!
//! Every transport here passes `trefoil_core::conformance::transport`.

pub mod memory;
pub mod simulated;

mod check;
mod seed;

pub use memory::{MemoryNetwork, MemoryTransport};
pub use simulated::{SimulatedNetwork, SimulatedOptions, SimulatedTransport};
