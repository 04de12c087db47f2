//! Public suites that prove an adapter correct, whoever wrote it.
//!
//! | kit | proves | is given |
//! |---|---|---|
//! | [`transport`] | `port::Transport` and its links | a [`transport::Subject`] |
//! | [`block_store`] | `port::BlockStore` | a [`block_store::BlockStoreBench`] |
//! | [`journal_store`] | `port::JournalStore` | a [`journal_store::JournalStoreBench`] |
//! | [`arbiter`] | `port::Arbiter` | an [`arbiter::ArbiterBench`] |
//! | [`topology`] | `topology::Topology` | the topology itself |
//!
//! All have one shape: `CLAIMS` are the names of what is proved, in order; `prove_all` tries them
//! one after the other, `prove` one by its name; a [`Violation`] names the claim that does not
//! hold and says what was seen instead. None needs a runtime: a claim is one future (a topology
//! is proved without any), and everything that differs between adapters comes from the bench.
//!
//! ```
//! use trefoil_core::conformance::topology;
//! use trefoil_core::model::SiteName;
//! use trefoil_core::topology::ThreeSite;
//!
//! let site = |name| SiteName::new(name);
//! let layout = ThreeSite::new(site("a")?, site("b")?, site("c")?)?;
//! assert_eq!(topology::prove_all(&layout), Ok(()));
//! assert!(topology::CLAIMS.contains(&"home_is_one_of_the_sites"));
//! # Ok::<(), trefoil_core::Error>(())
//! ```

pub mod arbiter;
pub mod block_store;
pub mod journal_store;
pub mod topology;
pub mod transport;

mod suite;
mod together;

pub use suite::Violation;
use suite::{Claim, break_claim, names, prove_claim, prove_claims};
