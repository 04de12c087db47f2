//! Arbiters for trefoil: who may lead, decided outside of the sites.
//!
//! [`Etcd`] keeps a group's charter in an etcd. It is proved by
//! [`trefoil_core::conformance::arbiter`] against a real one.

mod etcd;

pub use etcd::Etcd;
