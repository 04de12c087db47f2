//! Where trefoil's sites keep their blocks and their journals.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@file`] | sparse volume files, and a journal in segment files |
//! | [`memory`] | stores and journals in memory: tests, and volumes that may be lost |
//! | [`mmap`] | the same files, written by copying into mapped memory |
//! | [`noop`] | nothing: what everything but the disk costs |
//! | [`faulty`] | wrappers that fail, wait or lie on order |
//! | [`simulated`] | a disk that loses power, tears writes and fails, from a seed |
//! | `uring` | volume files written by io_uring, with the feature of that name |
//!
//! Each but [`noop`] implements the ports [`BlockStore`](trefoil_core::port::BlockStore) and
//! [`JournalStore`](trefoil_core::port::JournalStore), and passes the suites in
//! `trefoil_core::conformance`.

pub mod faulty;
pub mod file;
pub mod memory;
pub mod mmap;
pub mod noop;
pub mod simulated;
#[cfg(feature = "uring")]
pub mod uring;

mod open_once;
mod range;
mod record_log;
mod sparse;
