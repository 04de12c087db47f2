//! How the other sites would follow, once one of them leads.

use super::Figures;
use crate::engine::judge::{FollowerView, Plan, PlanKind, SourceView, judge};
use crate::engine::reign::{Completed, Known, Own};
use crate::model::{
    Chain, Changed, Debt, Extent, ExtentSet, Generation, Lineage, MissedMap, Position, SiteName,
    UpdateNumber, VolumeId,
};
use crate::wire::MapView;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a leg is assumed to take where it was never measured, in bytes a second: 1 Gbit/s.
const ASSUMED_BYTES_PER_SECOND: u64 = 117 << 20;

/// How fast a leg is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second, where that was measured or is limited.
    pub bytes_per_second: Option<u64>,
    /// The round trip, in microseconds; 0 where it is not known.
    pub rtt_us: u64,
}

impl Pace {
    /// About how long `bytes` take, in microseconds.
    pub fn takes_us(&self, bytes: u64) -> u64 {
        let rate = self.bytes_per_second.unwrap_or(ASSUMED_BYTES_PER_SECOND).max(1);
        let us = u128::from(bytes) * 1_000_000 / u128::from(rate);
        u64::try_from(us).unwrap_or(u64::MAX).saturating_add(2 * self.rtt_us)
    }
}

/// How one site would be brought to another's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resync {
    /// The site that follows.
    pub follower: SiteName,
    /// The site that leads.
    pub source: SiteName,
    /// By what.
    pub kind: PlanKind,
    /// How many updates are streamed.
    pub updates: u64,
    /// About how many bytes travel.
    pub bytes: u64,
    /// About how long that takes, in microseconds: at the measured pace of the link, or at
    /// 1 Gbit/s where there is none.
    pub takes_us: u64,
    /// Why this, and why nothing cheaper.
    pub why: String,
}

impl Resync {
    /// A plan in figures.
    pub fn of(plan: &Plan, source: &SiteName, follower: &SiteName, figures: &dyn Figures) -> Self {
        let bytes = plan.bytes.unwrap_or_else(|| {
            let records = figures.bytes_after(plan.base.number);
            let copied = match plan.debt {
                crate::model::PlanDebt::Everything => figures.volume_bytes(),
                crate::model::PlanDebt::Extents(ref extents) => extents.bytes(),
                crate::model::PlanDebt::Nothing => 0,
            };
            records.saturating_add(copied)
        });
        Self {
            follower: follower.clone(),
            source: source.clone(),
            kind: plan.kind.clone(),
            updates: plan.updates,
            bytes,
            takes_us: figures.pace(source, follower).takes_us(bytes),
            why: plan.why.clone(),
        }
    }
}

/// How `others` would follow `leader`, whose takeover completed so, and which ends at `own`.
pub fn resyncs(
    figures: &dyn Figures,
    leader: &SiteName,
    own: &Own,
    completed: &Completed,
    maps: &BTreeMap<SiteName, MapView>,
    others: &BTreeMap<SiteName, Known>,
) -> Vec<Resync> {
    let mut lineage = own.lineage.clone();
    let first = own.newest.number.next();
    // A generation that is not newer than the last cannot come out of a takeover.
    let _ = lineage.begin(completed.generation, first);
    let charter = others.values().filter_map(|known| known.view.charter.as_ref());
    let consented = charter.map(|charter| charter.consented).max().unwrap_or_default();
    let consented = if completed.by_consent() { completed.generation } else { consented };
    let leads = Leads { site: leader, own, generation: completed.generation, consented, lineage };
    let each = others.iter().map(|(site, known)| {
        let plan = judge(&leads.view(known, maps.get(site), figures), &follower(site, known));
        Resync::of(&plan, leader, site, figures)
    });
    each.collect()
}

/// The site that would lead.
struct Leads<'a> {
    site: &'a SiteName,
    own: &'a Own,
    generation: Generation,
    consented: Generation,
    lineage: Lineage,
}

impl Leads<'_> {
    /// What it would say of itself for one follower. Chains are not told in heartbeats: where the
    /// reigns say that a point is on both histories, it is taken to be proven.
    fn view(&self, known: &Known, map: Option<&MapView>, figures: &dyn Figures) -> SourceView {
        let newest = self.own.newest.number.next();
        let base = self.own.base;
        let theirs = known.view.newest;
        let at = |number: UpdateNumber| Position {
            generation: self.lineage.generation_at(number),
            number,
            chain: if number == theirs.number { theirs.chain } else { Chain::START },
        };
        let fork = self.lineage.fork(newest, &known.lineage, theirs.number);
        let reaches = |number: UpdateNumber| number >= base && number <= newest;
        SourceView {
            site: self.site.clone(),
            generation: self.generation,
            lineage: self.lineage.clone(),
            newest,
            base: at(base),
            chain_at_follower: reaches(theirs.number).then_some(theirs.chain),
            fork: reaches(fork).then(|| at(fork)),
            consented: self.consented,
            copy_base: None,
            map: map.map(stand_in),
            owing: None,
            debt: self.own.debt_bytes > 0,
            bytes_between: Some(figures.bytes_after(theirs.number)),
            volume_bytes: figures.volume_bytes(),
        }
    }
}

/// A map of as many bytes: only their number is known.
fn stand_in(map: &MapView) -> MissedMap {
    let changed = match map.bytes {
        Some(bytes) => Changed::Extents(some(bytes)),
        None => Changed::Everything,
    };
    MissedMap { from: map.from, changed }
}

/// A set of so many bytes.
fn some(bytes: u64) -> ExtentSet {
    ExtentSet::from_iter([Extent { volume: VolumeId(0), offset: 0, length: bytes }])
}

/// What a site would say of itself in its `Follow`.
fn follower(site: &SiteName, known: &Known) -> FollowerView {
    let view = &known.view;
    let debt = (view.debt_bytes > 0).then(|| Debt::of(site.clone(), some(view.debt_bytes)));
    let exact = known.maps.values().filter(|map| map.bytes.is_some());
    FollowerView {
        site: site.clone(),
        lineage: known.lineage.clone(),
        newest: view.newest,
        base: view.base,
        debt,
        maps_from: exact.map(|map| map.from).min(),
        discards_tail: false,
        blank: view.blank,
        holds: !view.blank,
    }
}
