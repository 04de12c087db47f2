//! Nothing is dropped from the end of a journal before it was set aside, and before the intent to
//! drop it is durable (rule R11).

use super::{Broken, Verdict};
use crate::oracle::{SITES, Seen};
use trefoil_core::model::UpdateNumber;

/// Checks a truncation after `after` at a site.
pub fn check(seen: &Seen, site: usize, after: UpdateNumber) -> Verdict {
    let (name, broken) = (SITES[site], |what: String| Broken::new("tail_kept", what));
    if seen.state.as_ref().is_none_or(|state| state.intent.is_none()) {
        return Err(broken(format!("{name} truncates after {after} without a durable intent")));
    }
    let dropped = seen.disk.received_records();
    for record in dropped.iter().filter(|record| record.number() > after) {
        let position = record.position();
        if !seen.disk.is_set_aside(&position) {
            return Err(broken(format!("{name} drops {position}, which is kept nowhere")));
        }
    }
    Ok(())
}
