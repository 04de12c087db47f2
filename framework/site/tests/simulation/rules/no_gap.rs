//! A journal is consecutive; a restored volume equals a prefix of the update order.

use super::{Broken, Verdict, explain};
use crate::model::image;
use crate::oracle::{Oracle, SITES, Seen};
use trefoil_core::model::{SiteState, UpdateNumber};
use trefoil_core::record::Record;

fn broken(what: String) -> Broken {
    Broken::new("no_gap", what)
}

/// Checks that a record is the next of the site's history.
pub fn check_append(seen: &Seen, site: usize, record: &Record) -> Verdict {
    let newest = seen.newest();
    if record.number() == newest.next() {
        return Ok(());
    }
    let name = SITES[site];
    Err(broken(format!("{name} appends {} right after {newest}", record.position())))
}

/// Checks what a saved checkpoint claims: its updates are durable in the volumes, and nothing is
/// there that the journal does not hold durably.
pub fn check_checkpoint(oracle: &Oracle, site: usize, state: &SiteState) -> Verdict {
    let seen = &oracle.sites[site];
    if seen.in_debt() || state.checkpoint == UpdateNumber::ZERO {
        return Ok(());
    }
    let durable = seen.disk.durable().number;
    let end = (durable.value() as usize).min(seen.history.len());
    let at = (state.checkpoint.value() as usize).min(end);
    let image = image(&seen.history[..at], &oracle.plan.volumes);
    for volume in 0..oracle.plan.volumes.len() {
        let bytes = oracle.stored(site, volume, true);
        let later = &seen.history[at..end];
        explain(&bytes, volume as u32, &image, later).map_err(|what| {
            let (name, checkpoint) = (SITES[site], state.checkpoint);
            broken(format!("{name} says that it is checkpointed at {checkpoint}: {what}"))
        })?;
    }
    Ok(())
}

/// Checks the image that a site keeps, by its saved state, while what it owes comes in: nothing of
/// that is in its volumes, be they synced or not.
pub fn check_stage(oracle: &Oracle, site: usize) -> Verdict {
    let Some(at) = oracle.sites[site].image() else { return Ok(()) };
    let image = oracle.image_at(site, at.number);
    for volume in 0..oracle.plan.volumes.len() {
        for durable in [false, true] {
            let bytes = oracle.stored(site, volume, durable);
            explain(&bytes, volume as u32, &image, &[]).map_err(|what| {
                broken(format!("{} says that it keeps the image of {at}: {what}", SITES[site]))
            })?;
        }
    }
    Ok(())
}

/// Checks that the volumes of a site show its history up to `restored`, which it said some time
/// ago, or something newer.
pub fn check_restored(oracle: &Oracle, site: usize, restored: UpdateNumber) -> Verdict {
    let seen = &oracle.sites[site];
    let image = oracle.image_at(site, restored);
    let at = (restored.value() as usize).min(seen.history.len());
    for volume in 0..oracle.plan.volumes.len() {
        let bytes = oracle.stored(site, volume, false);
        explain(&bytes, volume as u32, &image, &seen.history[at..])
            .map_err(|what| broken(format!("{} restored {restored}: {what}", SITES[site])))?;
    }
    Ok(())
}

/// Checks an image that a site gave as of a number.
pub fn check_image(
    oracle: &Oracle,
    site: usize,
    number: UpdateNumber,
    volumes: &[Vec<u8>],
) -> Verdict {
    let image = oracle.image_at(site, number);
    for (volume, bytes) in volumes.iter().enumerate() {
        explain(bytes, volume as u32, &image, &[])
            .map_err(|what| broken(format!("image of {} as of {number}: {what}", SITES[site])))?;
    }
    Ok(())
}
