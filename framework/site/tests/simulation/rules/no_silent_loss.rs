//! A takeover proves that nothing is lost, or names what is lost and needs consent.

use super::{Broken, Verdict};
use crate::oracle::{Answered, Oracle, SITES};
use std::ops::Bound;
use trefoil_core::engine::takeover;
use trefoil_core::model::Generation;
use trefoil_site::Certificate;

fn describe(oracle: &Oracle, write: &Answered) -> String {
    let held = |site: &&usize| oracle.sites[**site].holds(write.generation, write.number);
    let holders: Vec<&str> = [0, 1, 2].iter().filter(held).map(|site| SITES[*site]).collect();
    format!(
        "write {} = {}.{}, answered by {}, flushed {}, held by {holders:?}",
        write.tag, write.generation, write.number, SITES[write.site], write.flushed
    )
}

/// Checks a reign that began without anybody's consent to a loss: what it lacks was never flushed,
/// every site that had it has lost power since, and no site holds it any more.
pub fn check_unasked(oracle: &Oracle, site: usize, lacks: &[Answered]) -> Verdict {
    for write in lacks {
        let gone = |x: usize| {
            let seen = &oracle.sites[x];
            let lost_power = seen.power_losses > write.power_losses[x];
            !seen.holds(write.generation, write.number) && (!write.holders[x] || lost_power)
        };
        let excused = !write.flushed && (0..3).all(gone);
        if !excused {
            let what = format!("{} serves without {}", SITES[site], describe(oracle, write));
            let rule = if write.flushed { "flushed_survives" } else { "acked_survives" };
            return Err(Broken::new(rule, what));
        }
    }
    Ok(())
}

/// Checks a certificate against what the reign lacked when it began.
pub fn check(oracle: &Oracle, generation: Generation, verdict: &takeover::Verdict) -> Verdict {
    let Some(begun) = oracle.begun.get(&generation) else { return Ok(()) };
    let silent = match verdict {
        takeover::Verdict::Zero => begun.lacks.first(),
        takeover::Verdict::Flushed => begun.lacks.iter().find(|write| write.flushed),
        takeover::Verdict::Unknown(_) => None,
    };
    match silent {
        Some(write) => {
            let what = format!("{verdict}, but it lacks {}", describe(oracle, write));
            Err(Broken::new("no_silent_loss", what))
        }
        None => Ok(()),
    }
}

/// Checks the writes in doubt of a certificate: of the reign before, whatever is kept and was not
/// answered is among them (E29), where its host was not told that it failed.
pub fn check_doubt(oracle: &Oracle, site: usize, certificate: &Certificate) -> Verdict {
    let Some(doubt) = &certificate.in_doubt else { return Ok(()) };
    let newest = certificate.newest;
    // Where another reign served in between, what was before it was in doubt when that began.
    let between = (Bound::Excluded(newest.generation), Bound::Excluded(certificate.generation));
    if newest.generation >= certificate.generation || oracle.begun.range(between).next().is_some() {
        return Ok(());
    }
    for tag in oracle.pending.keys().filter(|tag| !oracle.failed.contains(tag)) {
        let Some((generation, number)) = oracle.registry.of_tag(*tag) else { continue };
        let kept = oracle.sites[site].holds(generation, number) && number <= newest.number;
        if kept && generation == newest.generation && number <= doubt.after {
            let (after, write) = (doubt.after, format!("write {tag} = {generation}.{number}"));
            let what = format!("{write} was not answered; in doubt are those after {after}");
            return Err(Broken::new("no_silent_loss", what));
        }
    }
    Ok(())
}
