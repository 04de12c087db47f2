//! With faults gone, somebody leads, the host can write, and every leg returns to paired.

use super::{Broken, Verdict};
use crate::oracle::{Oracle, SITES};
use trefoil_core::model::UpdateNumber;

/// Whether `site` has everything that `leader` had at `number`.
pub fn has_caught_up(oracle: &Oracle, site: usize, leader: usize, number: UpdateNumber) -> bool {
    let entry = oracle.sites[leader].at(number);
    !oracle.sites[site].in_debt()
        && entry.is_some_and(|entry| oracle.sites[site].holds(entry.generation, number))
}

/// Nobody leads.
pub fn nobody_leads(waited_ms: u64, troubles: &str) -> Verdict {
    Err(Broken::new(
        "heals",
        format!("nobody leads {waited_ms} ms after the last fault: {troubles}"),
    ))
}

/// A leg does not pair.
pub fn not_paired(site: usize, leader: usize, why: &str) -> Verdict {
    let (site, leader) = (SITES[site], SITES[leader]);
    Err(Broken::new("heals", format!("{site} does not pair with {leader}: {why}")))
}
