//! A flushed write survives the power loss of all sites at once.
//!
//! Checked at its root, when the flush is answered: it is durable at every member of the in-sync
//! set. And at its end, by [`no_silent_loss`](super::no_silent_loss): nobody leads without it.

use super::{Broken, Verdict};
use crate::oracle::{Oracle, SITES};
use trefoil_core::model::UpdateNumber;

/// Checks that every intact member of the answering site's charter is durable at `number`.
pub fn check_answer(oracle: &Oracle, site: usize, number: UpdateNumber) -> Verdict {
    let generation = oracle.sites[site].reign();
    let charter = oracle.sites[site].charter();
    let Some(charter) = charter.filter(|c| c.active && c.generation == generation) else {
        return Ok(());
    };
    for member in &charter.in_sync {
        let index = SITES.iter().position(|name| *name == member.site.as_str()).unwrap_or(0);
        let seen = &oracle.sites[index];
        let durable = seen.disk.durable().number;
        if seen.is_intact(member) && durable < number {
            let what = format!(
                "{} answered a flush of {number}; member {} is durable at {durable}",
                SITES[site], member.site
            );
            return Err(Broken::new("flushed_survives", what));
        }
    }
    Ok(())
}
