//! A write answered to the host is readable at the new primary after the loss of any one site.
//!
//! Checked at its root, when the answer comes: every member of the in-sync set holds it. And at
//! its end: a read shows what was answered before, or something newer.

use super::{Broken, Verdict};
use crate::model::{Entry, SECTOR, Span, tag_of};
use crate::oracle::{Oracle, SITES};
use trefoil_core::model::UpdateNumber;

fn broken(what: String) -> Broken {
    Broken::new("acked_survives", what)
}

/// Checks that every intact member of the answering site's charter holds the update.
pub fn check_answer(oracle: &Oracle, site: usize, entry: &Entry) -> Verdict {
    let charter = oracle.sites[site].charter();
    let Some(charter) = charter.filter(|c| c.active && c.generation == entry.generation) else {
        return Ok(());
    };
    for member in &charter.in_sync {
        let Some(index) = SITES.iter().position(|name| *name == member.site.as_str()) else {
            continue;
        };
        let seen = &oracle.sites[index];
        if seen.is_intact(member) && !seen.holds(entry.generation, entry.number) {
            let (number, newest) = (entry.number, seen.newest());
            return Err(broken(format!(
                "{} answered {number}; member {} is at {newest}",
                SITES[site], member.site
            )));
        }
    }
    Ok(())
}

/// Checks what a read at a leading site shows: as of `at_least`, or newer.
pub fn check_read(
    oracle: &Oracle,
    site: usize,
    span: Span,
    at_least: UpdateNumber,
    data: &[u8],
) -> Verdict {
    let history = &oracle.sites[site].history;
    let settled = (at_least.value() as usize).min(history.len());
    for (sector, bytes) in span.sectors().zip(data.chunks(SECTOR as usize)) {
        let found = tag_of(bytes, span.volume, sector);
        let covers = |entry: &&Entry| entry.covers(span.volume, sector);
        let base = history[..settled].iter().rev().find(covers).map_or(0, |entry| entry.tag);
        let newer = || history[settled..].iter().filter(covers).any(|e| found == Some(e.tag));
        let pending = || {
            oracle.pending.iter().any(|(tag, pending)| {
                pending.covers(span.volume, sector) && (found == Some(*tag) || found == Some(0))
            })
        };
        if found != Some(base) && !newer() && !pending() {
            return Err(broken(format!(
                "read at {} of {}/{sector} shows {found:?}, as of {at_least} it is write {base}",
                SITES[site], span.volume
            )));
        }
    }
    Ok(())
}
