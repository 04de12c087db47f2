//! The decisions, in the order a write travels.

mod batch;
pub mod judge;
pub mod overlay;
mod pieces;
mod plan;
pub mod restorer;
