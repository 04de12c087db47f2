//! trimmed ≤ checkpointed ≤ restored ≤ durable ≤ received, and horizon ≤ commit.

use super::{Broken, Verdict};
use crate::oracle::SITES;
use trefoil_core::model::Role;
use trefoil_site::GroupStatus;

/// Checks what a site says of itself.
pub fn check(site: usize, status: &GroupStatus) -> Verdict {
    let marks = status.marks;
    let trimmed = status.base <= marks.checkpointed || status.debt_bytes > 0;
    let horizon = status.role != Role::Primary || status.horizon <= status.commit;
    if marks.in_order() && trimmed && horizon {
        return Ok(());
    }
    let (base, commit, horizon) = (status.base, status.commit, status.horizon);
    let name = SITES[site];
    let what = format!("{name}: trimmed {base}, {marks:?}, horizon {horizon}, commit {commit}");
    Err(Broken::new("watermark_order", what))
}
