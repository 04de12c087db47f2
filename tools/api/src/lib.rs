//! Lists the public interface of a library from its sources, as docs/api has it.
//!
//! The sources are parsed, so the stock toolchain is enough. Re-exports are followed to what they
//! name; bodies, private fields and documentation are left out. What a macro makes is not seen.

mod crates;
mod shown;
mod trim;

pub use crates::Crate;
pub use shown::Surface;
