//! What a long way needs: how data lanes are packed, paced and cut into batches.
//!
//! | file | what it is |
//! |---|---|
//! | `traffic` | what a configuration says about a link's data: a cell that a reload changes |
//! | `pack` | a message to a frame and back, with the library that the frame names |
//! | `lane` | the sender of a data lane: packs the next batch while the one before is sent |

mod lane;
mod pack;
mod traffic;

pub(crate) use lane::{Lane, send_data};
pub(crate) use pack::unpack;
pub use traffic::{BATCH_BYTES_MAX, BATCH_BYTES_MIN, Compression, LinkRates, Traffic};
