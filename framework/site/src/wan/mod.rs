//! What a long way needs: how data lanes are packed, paced and cut into batches.
//!
//! | file | what it is |
//! |---|---|
//! | `traffic` | what a configuration says about a link's data, and the cell that a reload changes |

mod traffic;

pub use traffic::{BATCH_BYTES_MAX, BATCH_BYTES_MIN, Compression, LinkRates, Traffic};
