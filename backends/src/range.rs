//! Checks of byte ranges, the same for every block store.

use trefoil_core::port::BlockWrite;
use trefoil_core::{Error, Result};

/// Checks that `length` bytes at `offset` lie inside a volume of `size` bytes.
pub(crate) fn check_range(what: &str, size: u64, offset: u64, length: u64) -> Result<()> {
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::invalid(format!(
            "{what} {length} bytes at {offset}: the volume has {size} bytes"
        ))),
    }
}

/// Checks that a whole batch lies inside a volume of `size` bytes, before anything of it is
/// written.
pub(crate) fn check_batch(size: u64, batch: &[BlockWrite]) -> Result<()> {
    batch
        .iter()
        .try_for_each(|write| check_range("write", size, write.offset, write.content.length()))
}
