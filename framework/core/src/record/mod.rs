//! The update record: one format for journal and wire, encoded once, at the primary.

mod header;
mod kind;
mod scan;

pub use header::{HEADER_BYTES, PAYLOAD_BYTES_MAX, Record};
pub use kind::{GenerationMark, RecordKind};
pub use scan::{Scan, scan};
