//! The host, and the oracle: what was answered, and what a site that begins to serve must hold.

use crate::history;
use crate::site::Waiter;
use crate::world::{SITES, World, site};
use std::collections::BTreeMap;
use trefoil_core::engine::volume::Change;
use trefoil_core::model::{Generation, UpdateNumber, Verdict, VolumeId};
use trefoil_core::port::Content;

/// What the host knows, and what the oracle adds.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// How many writes it made; their ids count from 1.
    pub written: u64,
    /// Answered writes that nobody was told to be lost, and whether they were flushed.
    pub answered: BTreeMap<u64, bool>,
    /// The newest generation in which any site answered.
    pub answers_in: Generation,
    /// The sites that lost power, as bits.
    pub power_lost: u8,
    /// How many losses were told.
    pub told: u64,
}

impl World {
    /// A host writes; the outcome comes later.
    pub fn write(&mut self, at: usize, block: usize) {
        self.host.written += 1;
        let id = self.host.written;
        let Some(run) = self.run_mut(at).filter(|run| run.serving && !run.paused) else { return };
        let Some(volume) = &mut run.volume else { return };
        let mut records = Vec::new();
        let content = Content::Data(bytes::Bytes::copy_from_slice(&id.to_le_bytes()));
        let offset = block as u64 * crate::world::BLOCK;
        let change = Change { volume: VolumeId(0), offset, content };
        let admitted = volume.admit(change, id, Waiter::Write(id), &mut records);
        if admitted.is_ok() {
            self.append(at, records);
        }
    }

    /// A host flushes.
    pub fn flush(&mut self, at: usize) {
        let Some(run) = self.run_mut(at).filter(|run| run.serving) else { return };
        if let Some(volume) = &mut run.volume {
            volume.flush(Waiter::Flush);
        }
    }

    /// A write is answered: every intact member of the charter must hold it.
    pub fn answered(&mut self, at: usize, number: UpdateNumber, id: u64) {
        self.host.answered.insert(id, false);
        let Some(charter) = self.sites[at].state().charter.clone() else { return };
        for member in &charter.in_sync {
            let there = &self.sites[crate::world::index(&member.site)];
            let intact = there.disk.state.incarnation == member.incarnation;
            if charter.active && intact && !there.disk.rebooted && !there.holds(id) {
                let (at, member) = (site(at), &member.site);
                let how = format!("{at} answers {number}, member {member} does not hold it");
                self.broke("acked_survives", how);
            }
        }
    }

    /// A flush is answered: what was answered before is durable at every member.
    pub fn flushed(&mut self, at: usize, number: UpdateNumber) {
        let newest = self.sites[at].disk.newest();
        let covered = history::writes(newest).filter(|entry| entry.position.number <= number);
        let covered: Vec<u64> = covered.map(|entry| entry.id).collect();
        for id in covered {
            if let Some(flushed) = self.host.answered.get_mut(&id) {
                *flushed = true;
            }
        }
        let Some(charter) = self.sites[at].state().charter.clone() else { return };
        for member in &charter.in_sync {
            let there = &self.sites[crate::world::index(&member.site)];
            let intact = there.disk.state.incarnation == member.incarnation;
            if charter.active && intact && there.disk.durable < number {
                let how = format!(
                    "{} answers a flush of {number}, {} is durable at {}",
                    site(at),
                    member.site,
                    there.disk.durable
                );
                self.broke("flushed_survives", how);
            }
        }
    }

    /// A site begins to serve, with that verdict (`None`: it was not told, so it must be one that
    /// needs no consent).
    pub fn check_begin(&mut self, at: usize, verdict: Option<&Verdict>) {
        let here = &self.sites[at];
        let held: Vec<u64> = history::writes(here.disk.newest()).map(|entry| entry.id).collect();
        let missing = self.host.answered.iter().filter(|(id, _)| !held.contains(*id));
        let missing: Vec<(u64, bool)> = missing.map(|(id, flushed)| (*id, *flushed)).collect();
        if missing.is_empty() {
            return;
        }
        let name = site(at);
        let elsewhere = |id: u64| (0..SITES).find(|other| self.sites[*other].holds(id));
        match verdict {
            Some(Verdict::Unknown(_)) => {
                self.host.told += 1;
                for (id, _) in missing {
                    self.host.answered.remove(&id);
                }
            }
            Some(Verdict::Zero) => {
                let how = format!("{name} serves with ZERO without the writes {missing:?}");
                self.broke("no_silent_loss", how);
            }
            Some(Verdict::Flushed) | None => {
                let kept = missing.iter().find_map(|(id, flushed)| match elsewhere(*id) {
                    Some(other) => Some(format!("write {id} is at {}", site(other))),
                    None => flushed.then(|| format!("write {id} was flushed")),
                });
                if let Some(how) = kept {
                    let how = format!("{name} serves ({verdict:?}) without a write: {how}");
                    return self.broke("no_silent_loss", how);
                }
                // Answered, not flushed, and gone with the power of every site that had it.
                for (id, _) in missing {
                    self.host.answered.remove(&id);
                }
            }
        }
    }
}
