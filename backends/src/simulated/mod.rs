//! A disk that loses power, tears writes and fails, all of it from a seed.
//!
//! A [`SimulatedDisk`] belongs to the simulation, the handles that it gives out belong to the site
//! under test. It keeps apart what was *written* (it survives the death of the process) and what
//! is *durable* (it survives a power loss), and decides the rest by its seed: how much of an
//! unsynced tail is left, which sectors of an unsynced write, whether a state that was being saved
//! is the old one or the new.
//!
//! It uses no thread, no real time and no other randomness, so that the same seed and the same
//! calls give the same disk. Latency passes through `tokio::time`, whose clock a simulation pauses.
//!
//! What it does not do: move a write to another place, or lose trimmed records again.

mod disk;
mod faults;
mod flight;
mod journal;
mod store;
mod volume;

pub use disk::SimulatedDisk;
pub use faults::Latency;
pub use journal::SimulatedJournal;
pub use store::SimulatedStore;

/// The unit in which a power loss tears writes, in bytes.
pub const SECTOR_BYTES: u64 = 512;
