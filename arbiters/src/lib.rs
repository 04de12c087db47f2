//! Arbiters for trefoil: who may lead, where it is not two promises of sites alone.
//!
//! [`Etcd`] keeps a group's charter in an etcd outside of the sites, [`Raft`] in the sites
//! themselves. Both are proved by [`trefoil_core::conformance::arbiter`], the first against a real
//! etcd.

mod etcd;
mod raft;

pub use etcd::Etcd;
pub use raft::{Raft, RaftOptions};
