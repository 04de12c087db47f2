//! At most one site answers host I/O per generation and at any moment, and no site answers in a
//! generation older than one it promised.

use super::{Broken, Verdict};
use crate::oracle::{Oracle, SITES};
use trefoil_core::model::{Generation, SiteState};

fn broken(what: String) -> Broken {
    Broken::new("one_primary", what)
}

/// Checks an answer of a site in a generation, now.
pub fn check_answer(oracle: &Oracle, site: usize, generation: Generation, now: u64) -> Verdict {
    let name = SITES[site];
    let begun = oracle.begun.get(&generation);
    if let Some(other) = begun.filter(|begun| begun.site != site) {
        let other = SITES[other.site];
        return Err(broken(format!("{name} and {other} both answer in generation {generation}")));
    }
    let (newest, since) = oracle.newest_answer;
    // An answer of this millisecond may have left before the other one's.
    if generation < newest && since < now {
        return Err(broken(format!(
            "{name} answers in generation {generation}, {newest} answers since {since} ms"
        )));
    }
    let seen = &oracle.sites[site];
    let promised = seen.state.as_ref().map_or(Generation::NONE, |state| state.promised);
    if generation < promised && seen.promised_ms < now {
        return Err(broken(format!(
            "{name} answers in generation {generation} and promised {promised}"
        )));
    }
    Ok(())
}

/// Checks that a promise is never taken back.
pub fn check_promise(before: Option<&SiteState>, after: &SiteState, site: usize) -> Verdict {
    let Some(before) = before.filter(|before| before.promised > after.promised) else {
        return Ok(());
    };
    let (name, old, new) = (SITES[site], before.promised, after.promised);
    Err(broken(format!("{name} promised generation {old} and now only {new}")))
}
