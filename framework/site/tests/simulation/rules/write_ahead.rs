//! A block store never holds an update that its journal had not made durable.

use super::{Broken, Verdict, explain};
use crate::model::{SECTOR, image, tag_of};
use crate::oracle::{Oracle, SITES};
use trefoil_core::model::UpdateNumber;
use trefoil_core::port::{BlockWrite, Content};

fn broken(what: String) -> Broken {
    Broken::new("write_ahead", what)
}

/// Checks a batch on its way to a volume. A site in debt is filled by copies, which no journal
/// brings.
pub fn check_batch(oracle: &Oracle, site: usize, volume: u32, batch: &[BlockWrite]) -> Verdict {
    let (seen, name) = (&oracle.sites[site], SITES[site]);
    if let Some(image) = seen.image() {
        return Err(broken(format!("{name} keeps the image of {image}, and stores something")));
    }
    if seen.in_debt() {
        return Ok(());
    }
    let durable = seen.disk.durable().number;
    for write in batch {
        let first = write.offset / SECTOR;
        match &write.content {
            Content::Data(data) => {
                for (sector, bytes) in (first..).zip(data.chunks(SECTOR as usize)) {
                    let tag = tag_of(bytes, volume, sector).ok_or_else(|| {
                        broken(format!("{name} stores what no host wrote at {volume}/{sector}"))
                    })?;
                    let Some((generation, number)) = oracle.registry.of_tag(tag) else { continue };
                    if !seen.holds(generation, number) || number > durable {
                        let position = format!("write {tag} = {generation}.{number}");
                        return Err(broken(format!(
                            "{name} is durable at {durable}, stores {position}"
                        )));
                    }
                }
            }
            Content::Zero(length) => zeroes(oracle, site, volume, first, length / SECTOR, durable)?,
        }
    }
    Ok(())
}

/// Zeroes come from a durable record of zeroes, or replace what never was anything else.
fn zeroes(
    oracle: &Oracle,
    site: usize,
    volume: u32,
    first: u64,
    count: u64,
    durable: UpdateNumber,
) -> Verdict {
    let seen = &oracle.sites[site];
    let end = (durable.value() as usize).min(seen.history.len());
    for sector in [first, first + count.saturating_sub(1)] {
        let from = |entry: &&crate::model::Entry| entry.tag == 0 && entry.covers(volume, sector);
        if !seen.history[..end].iter().rev().any(|entry| from(&entry)) {
            let name = SITES[site];
            return Err(broken(format!("{name} stores zeroes at {volume}/{sector} by no update")));
        }
    }
    Ok(())
}

/// Checks what a dead site left: its volumes show only durable updates.
pub fn check_crash(oracle: &Oracle, site: usize) -> Verdict {
    let seen = &oracle.sites[site];
    let explains = !seen.in_debt() && !seen.forgot;
    let Some(state) = seen.state.as_ref().filter(|_| explains) else { return Ok(()) };
    let end = (seen.disk.durable().number.value() as usize).min(seen.history.len());
    let at = (state.checkpoint.value() as usize).min(end);
    let image = image(&seen.history[..at], &oracle.plan.volumes);
    for volume in 0..oracle.plan.volumes.len() {
        let bytes = oracle.stored(site, volume, false);
        explain(&bytes, volume as u32, &image, &seen.history[at..end]).map_err(|what| {
            let (name, checkpoint) = (SITES[site], state.checkpoint);
            broken(format!("{name} died with checkpoint {checkpoint}, durable {end}: {what}"))
        })?;
    }
    Ok(())
}
