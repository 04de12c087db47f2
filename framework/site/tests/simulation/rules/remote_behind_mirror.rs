//! While a mirror is in sync, the third site's newest update is at most what the mirror holds
//! durably.

use super::{Broken, Verdict};
use crate::model::Entry;
use crate::oracle::{Oracle, SITES};
use trefoil_core::model::UpdateNumber;
use trefoil_core::record::RecordKind;

/// Checks what was appended at a site against every member of the newest charter.
pub fn check(oracle: &Oracle, site: usize) -> Verdict {
    let charters = oracle.sites.iter().filter_map(|seen| seen.charter());
    let Some(charter) = charters.max_by_key(|charter| charter.rank()) else { return Ok(()) };
    let named = |index: usize| charter.in_sync.iter().any(|m| m.site.as_str() == SITES[index]);
    // Cut off from a newer reign it still numbers what its host writes, answered or not.
    let own = oracle.sites[site].charter().unwrap_or(charter);
    let leads = [charter, own].iter().any(|known| known.primary.as_str() == SITES[site]);
    if !charter.active || named(site) || leads || SITES[site] != "c" {
        return Ok(());
    }
    // What it numbered itself it did not receive: the mark of a reign that never became active,
    // and what was on its way to its disk when it was deposed.
    let led = |entry: &Entry| oracle.begun.get(&entry.generation).is_some_and(|b| b.site == site);
    let own = |entry: &&Entry| entry.kind == RecordKind::Generation || led(entry);
    let own = oracle.sites[site].history.iter().rev().take_while(own).count();
    let newest = oracle.sites[site].newest().value().saturating_sub(own as u64);
    let newest = UpdateNumber::new(newest);
    let Some(entry) = oracle.sites[site].at(newest) else { return Ok(()) };
    for member in &charter.in_sync {
        let index = SITES.iter().position(|name| *name == member.site.as_str()).unwrap_or(0);
        let seen = &oracle.sites[index];
        if !seen.is_intact(member) {
            continue;
        }
        let durable = seen.disk.durable().number;
        if durable < newest || !seen.holds(entry.generation, newest) {
            let what = format!(
                "{} received {newest}; member {} is durable at {durable}",
                SITES[site], member.site
            );
            return Err(Broken::new("remote_behind_mirror", what));
        }
    }
    Ok(())
}
