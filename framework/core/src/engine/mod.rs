//! The decisions, in the order a write travels.
