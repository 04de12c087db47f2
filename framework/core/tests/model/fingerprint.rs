//! What makes two states the same: everything but how late it is.

use crate::site::Site;
use crate::world::{BEGIN, Mail, UNIT, World};
use std::fmt::{self, Write};
use trefoil_core::wire::DataMessage;
use xxhash_rust::xxh3::Xxh3;

/// A hash over text in which every number that is a time of this world counts by its distance
/// from now, and what lies long ago counts as equally long ago.
struct Relative {
    hash: Xxh3,
    now: u64,
}

/// Nothing in a state waits longer than that.
const LONG_AGO: u64 = 4 * UNIT;

/// How many digits a time of this world has; a number comes in one piece.
const DIGITS: usize = 13;

impl Write for Relative {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let number = if text.len() == DIGITS { text.parse().ok() } else { None };
        match number.filter(|number| (BEGIN..BEGIN << 1).contains(number)) {
            Some(at) if at <= self.now => {
                self.hash.update(&((self.now - at).min(LONG_AGO) | 1 << 62).to_le_bytes());
            }
            Some(at) => self.hash.update(&((at - self.now) | 1 << 63).to_le_bytes()),
            None => self.hash.update(text.as_bytes()),
        }
        Ok(())
    }
}

impl World {
    /// Equal for states from which the same can happen.
    pub fn fingerprint(&self) -> u64 {
        let mut out = Relative { hash: Xxh3::new(), now: self.now };
        let told = self.sites.iter().try_for_each(|site| tell_site(&mut out, site));
        let lanes = self.lanes.iter().flatten().flatten();
        let mail = lanes.flat_map(|lane| lane.iter().map(Some).chain([None]));
        let sent = told.and_then(|()| {
            for mail in mail {
                tell_mail(&mut out, mail)?;
            }
            write!(out, "{:?}{:?}{}{:?}", self.cut, self.host, self.destroyed, self.filled)
        });
        debug_assert!(sent.is_ok(), "a hash takes everything");
        out.hash.digest()
    }
}

fn tell_site(out: &mut Relative, site: &Site) -> fmt::Result {
    let disk = &site.disk;
    write!(out, "{:?}{:?}{:?}", disk.state, disk.base, disk.durable)?;
    write!(out, "{:?}{:?}{}", disk.volume, disk.stored, disk.rebooted)?;
    for record in &disk.records {
        write!(out, "{:?}", record.position())?;
    }
    let Some(run) = &site.run else { return Ok(()) };
    write!(out, "{:?}{:?}{:?}", run.state, run.reign, run.retention)?;
    write!(out, "{:?}{:?}{:?}{:?}", run.restored, run.copies, run.copied, run.volume)?;
    write!(out, "{}{}{:?}{:?}", run.serving, run.paused, run.mark, run.reports)?;
    write!(out, "{:?}{:?}{}", run.told, run.session, run.streaming)?;
    write!(out, "{}{:?}", run.discards_tail, run.resync)?;
    for (site, leg) in &run.legs {
        write!(out, "{site}{:?}{:?}{:?}", leg.engine, leg.last, leg.mark)?;
    }
    Ok(())
}

fn tell_mail(out: &mut Relative, mail: Option<&Mail>) -> fmt::Result {
    match mail {
        None => out.write_str("|"),
        Some(Mail::Control(message)) => write!(out, "{message:?}"),
        Some(Mail::Data(DataMessage::Records { session, records })) => {
            write!(out, "{session:?}")?;
            records.iter().try_for_each(|record| write!(out, "{:?}", record.position()))
        }
        Some(Mail::Plan(session, plan, _)) => write!(out, "{session:?}{plan:?}"),
        Some(Mail::Data(message)) => write!(out, "{message:?}"),
    }
}
