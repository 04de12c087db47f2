//! The decisions, in the order a write travels.

pub mod judge;
pub mod overlay;
mod pieces;
pub mod restorer;
