//! The rules that always hold (DESIGN, section 7), checked after every step.

use crate::history;
use crate::world::{BLOCKS, SITES, World, index, site};
use std::collections::BTreeMap;
use trefoil_core::engine::volume::VolumeEngine;
use trefoil_core::model::{Chain, Generation, LegMode};

impl World {
    /// Checks every rule; the first that is broken is noted.
    pub fn check(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let found = self
            .one_primary()
            .or_else(|| self.same_number_same_update())
            .or_else(|| self.no_gap())
            .or_else(|| self.watermark_order())
            .or_else(|| self.sets())
            .or_else(|| self.acked_survives())
            .or_else(|| self.remote_behind_mirror());
        if let Some((rule, how)) = found {
            self.broke(rule, how);
        }
        for at in 0..SITES {
            let leads = self.run(at).and_then(|run| run.reign.leads());
            if let Some(generation) = leads.filter(|_| self.answers(at)) {
                self.host.answers_in = self.host.answers_in.max(generation);
            }
        }
    }

    fn one_primary(&self) -> Option<(&'static str, String)> {
        let answering: Vec<usize> = (0..SITES).filter(|at| self.answers(*at)).collect();
        if answering.len() > 1 {
            let names: Vec<_> = answering.iter().map(|at| site(*at)).collect();
            return Some(("one_primary", format!("{names:?} answer at once")));
        }
        let at = *answering.first()?;
        let generation = self.run(at)?.reign.leads().unwrap_or(Generation::NONE);
        let newest = self.host.answers_in;
        (generation < newest).then(|| {
            let name = site(at);
            ("one_primary", format!("{name} answers in {generation} after {newest} was"))
        })
    }

    /// Within a generation a number names the same bytes at every site.
    fn same_number_same_update(&self) -> Option<(&'static str, String)> {
        let mut seen: BTreeMap<(Generation, u64), (usize, Chain)> = BTreeMap::new();
        for at in 0..SITES {
            for entry in history::updates(self.sites[at].disk.newest()) {
                let (number, chain) = (entry.position.number.value(), entry.position.chain);
                let key = (entry.position.generation, number);
                match seen.get(&key) {
                    // All before it is the same as well.
                    Some((_, other)) if *other == chain => break,
                    Some((other, _)) => {
                        let (at, other) = (site(at), site(*other));
                        let how = format!("{at} and {other} differ at {}", entry.position);
                        return Some(("same_number_same_update", how));
                    }
                    None => drop(seen.insert(key, (at, chain))),
                }
            }
        }
        None
    }

    /// A journal is consecutive; a volume is a prefix of the update order, its debt aside.
    fn no_gap(&self) -> Option<(&'static str, String)> {
        for here in &self.sites {
            let name = here.name();
            let mut before = here.disk.base;
            for record in &here.disk.records {
                if let Err(error) = record.check_follows(&before) {
                    return Some(("no_gap", format!("{name}: {error}")));
                }
                before = record.position();
            }
            let Some(run) = &here.run else { continue };
            if run.resync.as_ref().is_some_and(|resync| resync.owed) {
                continue;
            }
            let newest = here.disk.newest();
            let restored = history::at(newest, run.restored.value())?;
            let told = history::content(restored);
            let debt = run.state.debt.as_ref();
            let owed = |block: usize| {
                debt.is_some_and(|debt| debt.extents.overlaps(crate::site::extent_of(block)))
            };
            // A copy may show a durable record that is not restored yet; it will be, in any case.
            let ahead = |block: usize, found: u64| {
                history::writes(newest).any(|entry| {
                    let number = entry.position.number;
                    let coming = number > run.restored && number <= here.disk.durable;
                    coming && entry.block == block && entry.id == found
                })
            };
            for block in (0..BLOCKS).filter(|block| !owed(*block)) {
                let found = here.disk.volume[block];
                if found != told[block] && !ahead(block, found) {
                    let how = format!(
                        "block {block} of {name} holds write {found}, as of {} it is {}",
                        run.restored, told[block]
                    );
                    return Some(("no_gap", how));
                }
            }
        }
        None
    }

    fn watermark_order(&self) -> Option<(&'static str, String)> {
        for here in &self.sites {
            let (marks, base) = (here.marks(), here.disk.base.number);
            let busy = here.run.as_ref().is_some_and(|run| run.resync.is_some());
            if !busy && here.run.is_some() && (!marks.in_order() || base > marks.checkpointed) {
                let how = format!("{}: {marks:?}, trimmed to {base}", here.name());
                return Some(("watermark_order", how));
            }
            let acking = here.run.as_ref().and_then(|run| run.volume.as_ref());
            let acking = acking.map(VolumeEngine::acking);
            if acking.is_some_and(|acking| acking.horizon() > acking.commit()) {
                return Some(("watermark_order", format!("{}: horizon", here.name())));
            }
        }
        None
    }

    /// The primary waits for whom the charter names, and for no site in debt.
    fn sets(&self) -> Option<(&'static str, String)> {
        for here in &self.sites {
            let Some(run) = here.run.as_ref().filter(|run| run.serving) else { continue };
            let (Some(volume), Some(charter)) = (&run.volume, &run.state.charter) else { continue };
            if !run.reign.serves() || charter.primary != here.name() {
                continue;
            }
            for member in &charter.in_sync {
                let waited = member.site == here.name() || volume.acking().contains(&member.site);
                if !waited {
                    let how = format!("{} does not wait for {}", here.name(), member.site);
                    return Some(("acking_covers_charter", how));
                }
                let there = &self.sites[index(&member.site)];
                let same = there.state().incarnation == member.incarnation;
                if same && there.state().debt.is_some() {
                    let how = format!("{} is named and in debt", member.site);
                    return Some(("no_member_in_debt", how));
                }
            }
        }
        None
    }

    /// A serving primary holds every answered write.
    fn acked_survives(&self) -> Option<(&'static str, String)> {
        for at in (0..SITES).filter(|at| self.answers(*at)) {
            let newest = self.sites[at].disk.newest();
            let held: Vec<u64> = history::writes(newest).map(|entry| entry.id).collect();
            let lost = self.host.answered.keys().find(|id| !held.contains(id));
            if let Some(id) = lost {
                let how = format!("{} serves without answered write {id}", site(at));
                return Some(("acked_survives", how));
            }
        }
        None
    }

    /// While the mirror is in sync, the third site holds nothing that it has not durably.
    fn remote_behind_mirror(&self) -> Option<(&'static str, String)> {
        for here in &self.sites {
            let Some(run) = here.run.as_ref().filter(|run| run.serving) else { continue };
            let Some(charter) = &run.state.charter else { continue };
            let modes = self.config(here.index).modes;
            let waited_for = |at: usize| {
                // What a sync leg was sent while it was waited for may come when it is not.
                modes.get(&site(at)) != Some(&LegMode::Async) || self.acking(here.index, at)
            };
            let third = self.sites.iter().filter(|third| {
                // One that promised a newer reign may roll forward to what a mirror holds.
                charter.member(&third.name()).is_none()
                    && !waited_for(third.index)
                    && third.state().promised == charter.generation
            });
            for third in third {
                let newest = third.disk.newest();
                if newest.generation != charter.generation || !charter.active {
                    continue;
                }
                for member in &charter.in_sync {
                    let there = &self.sites[index(&member.site)];
                    let intact =
                        there.disk.state.incarnation == member.incarnation && !there.disk.rebooted;
                    if intact && there.disk.durable < newest.number {
                        let how = format!(
                            "{} is at {newest}, {} is durable at {}",
                            third.name(),
                            member.site,
                            there.disk.durable
                        );
                        return Some(("remote_behind_mirror", how));
                    }
                }
            }
        }
        None
    }
}
