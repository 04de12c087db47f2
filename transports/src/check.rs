//! What every sender checks before it takes a batch.

use trefoil_core::port::{FRAME_BYTES_MAX, FRAME_PARTS_MAX, Frame};
use trefoil_core::{Error, Result};

/// Refuses the whole batch when one frame is over a limit, so that nothing of it is sent.
pub(crate) fn check_batch(frames: &[Frame]) -> Result<()> {
    for frame in frames {
        let length = frame.length();
        if length > FRAME_BYTES_MAX {
            return Err(Error::invalid(format!(
                "send frame: it has {length} bytes, the limit is {FRAME_BYTES_MAX}; split it"
            )));
        }
        let parts = frame.parts.len();
        if parts > FRAME_PARTS_MAX {
            return Err(Error::invalid(format!(
                "send frame: it has {parts} parts, the limit is {FRAME_PARTS_MAX}; join some"
            )));
        }
    }
    Ok(())
}
