//! .
pub mod nbd;
