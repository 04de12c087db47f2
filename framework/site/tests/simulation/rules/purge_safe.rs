//! Nothing is trimmed that a registered site lacks, unless it is in that site's durable map; and
//! nothing that is not checkpointed durably.

use super::{Broken, Verdict};
use crate::oracle::{Oracle, SITES};
use trefoil_core::model::UpdateNumber;

fn broken(what: String) -> Broken {
    Broken::new("purge_safe", what)
}

/// Checks a trim up to `up_to` at a site.
pub fn check(oracle: &Oracle, site: usize, up_to: UpdateNumber) -> Verdict {
    let (seen, name) = (&oracle.sites[site], SITES[site]);
    let Some(state) = &seen.state else { return Ok(()) };
    if up_to > state.checkpoint {
        let checkpoint = state.checkpoint;
        return Err(broken(format!("{name} trims {up_to}, its saved checkpoint is {checkpoint}")));
    }
    let Some(entry) = seen.at(up_to) else { return Ok(()) };
    for index in oracle.plan.layout.sites().filter(|index| *index != site) {
        let other = &oracle.sites[index];
        let mapped = state.maps.iter().any(|(x, _)| x.as_str() == SITES[index]);
        let held = other.holds(entry.generation, up_to)
            && (other.disk.durable().number >= up_to || other.tail_lost);
        // A site whose disk had to be given a new history lacks nothing of the old one; nor one
        // that forgot all, which is filled.
        if !mapped && !held && !other.in_debt() && !other.forgot {
            let newest = other.newest();
            let (peer, floors, maps) = (SITES[index], &state.floors, &state.maps);
            let what = format!(
                "{name} trims {up_to}; {peer} holds {newest}; floors {floors:?}, maps {maps:?}"
            );
            return Err(broken(what));
        }
    }
    Ok(())
}
