//! No queue, overlay or journal exceeds its stated limit.

use super::{Broken, Verdict};
use crate::oracle::SITES;
use trefoil_site::GroupStatus;

/// What one batch in flight may add on top of a limit, in bytes.
const SLACK: u64 = 4 << 20;

/// Checks what a site says of itself.
pub fn check(site: usize, status: &GroupStatus) -> Verdict {
    let (overlay, most) = (status.overlay_bytes, status.overlay_bytes_max);
    let (used, capacity) = (status.journal_used_bytes, status.journal_capacity_bytes);
    if overlay <= most + SLACK && used <= capacity {
        return Ok(());
    }
    let what = format!("{}: overlay {overlay}/{most}, journal {used}/{capacity}", SITES[site]);
    Err(Broken::new("limits", what))
}
