//! What this site knows of all sites, and what follows from it: what a loss would mean now, and how
//! long the journal lasts.

use crate::actor::ReadRecords;
use crate::actor::reign_config;
use crate::crew::{Crew, CrewRef};
use crate::status::LegStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::oneshot;
use trefoil_core::engine::headroom::{FullForecast, Headroom, JournalFill};
use trefoil_core::engine::readiness::{Figures, Forecast, Pace, Situation, single_losses};
use trefoil_core::engine::reign::Known;
use trefoil_core::engine::retention::WaterMarks;
use trefoil_core::model::{Charter, Generation, SiteName, UpdateNumber};

/// Forecasts are at most this old, in microseconds, where that does not take too much of the
/// thread: else as many times as old as it takes to put them together.
const FORECAST_US: u64 = 250_000;
const FORECAST_COST: u64 = 64;

/// What would happen if a site were lost, as status shows it.
#[derive(Debug, Default)]
pub(crate) struct Forecasts {
    /// When they are to be put together again, by this site's clock.
    due_us: u64,
    /// The rank of the charter that it is about.
    charter: Option<(Generation, u64)>,
    pub all: Arc<[Forecast]>,
}

impl Forecasts {
    /// Whether they are still to be shown. Those of an earlier charter would name what a site was
    /// then: beside who leads now that is a contradiction.
    fn hold(&self, now_us: u64, charter: Option<(Generation, u64)>) -> bool {
        charter == self.charter && now_us < self.due_us
    }
}

/// The sites that are heard now, this one included.
pub(crate) fn known(crew: &Crew) -> BTreeMap<SiteName, Known> {
    let mut known = BTreeMap::new();
    for (site, seen) in crew.seen.borrow().iter().filter(|(_, seen)| seen.link_up) {
        let Some(view) = seen.view.clone() else { continue };
        let (lineage, maps) = (seen.lineage.clone(), seen.maps.clone());
        known.insert(site.clone(), Known { view, lineage, maps });
    }
    if crew.failed.borrow().is_none() {
        let (view, maps) = (crew.view(), crew.maps_for_peers());
        let lineage = crew.state.borrow().lineage.clone();
        known.insert(crew.site().clone(), Known { view, lineage, maps });
    }
    known
}

/// Asks what would happen by what this site knows now.
pub(crate) fn ask<T>(crew: &Crew, question: impl FnOnce(&Situation<'_>) -> T) -> T {
    let registered = crew.shared.config.topology.sites();
    question(&Situation {
        group: &crew.shared.config.group,
        known: &known(crew),
        config: &|site| reign_config(&crew.shared, site),
        registered: &registered,
        commit: crew.marks.commit.get(),
        now: crew.shared.clock.now_us(),
        figures: &Counted(crew),
    })
}

/// Brings up to date what status shows of it.
pub(crate) async fn refresh(crew: &CrewRef) {
    let now = crew.shared.clock.now_us();
    let appended = crew.shared.totals.read().appended_bytes;
    crew.fill_rate.borrow_mut().look(now, appended);
    let charter = crew.state.borrow().charter.as_ref().map(Charter::rank);
    if !crew.forecasts.borrow().hold(now, charter) {
        let all = ask(crew, single_losses).into();
        let took_us = crew.shared.clock.now_us().saturating_sub(now);
        let due_us = now + FORECAST_US.max(took_us.saturating_mul(FORECAST_COST));
        *crew.forecasts.borrow_mut() = Forecasts { due_us, charter, all };
    }
    let oldest = crew.marks.base.get().number.next();
    let there = oldest <= crew.marks.newest.get().number;
    if there && crew.oldest.get().0 != oldest {
        crew.oldest.set((oldest, time_of(crew, oldest).await));
    }
}

/// When a record was made; 0 where the journal cannot tell.
async fn time_of(crew: &CrewRef, number: UpdateNumber) -> u64 {
    let (reply, answer) = oneshot::channel();
    crew.to(&crew.journal, ReadRecords { from: number, up_to: number, bytes_max: 1, reply });
    let records = answer.await.ok().and_then(Result::ok).unwrap_or_default();
    records.first().map_or(0, trefoil_core::record::Record::time)
}

fn fill(crew: &Crew) -> JournalFill {
    let marks = &crew.marks;
    JournalFill {
        used: marks.journal_used.get(),
        capacity: marks.journal_capacity.get(),
        high_percent: WaterMarks::default().high_percent,
        base: marks.base.get().number,
        newest: marks.newest.get().number,
        on_full: crew.shared.config.on_full,
        bytes_per_second: crew.fill_rate.borrow().bytes_per_second(),
    }
}

fn floor(crew: &Crew, site: &SiteName) -> UpdateNumber {
    crew.state.borrow().floors.get(site).map(|floor| floor.number).unwrap_or_default()
}

/// How much more may be written before `site` cannot be brought its updates any more.
pub(crate) fn headroom(crew: &Crew, site: &SiteName) -> Headroom {
    let floor = floor(crew, site);
    fill(crew).headroom(floor, Counted(crew).bytes_after(floor))
}

/// What of the journal is needed, and how long the rest lasts.
pub(crate) struct Room {
    pub kept_bytes: u64,
    pub full: Option<FullForecast>,
}

/// The journal's room, the other sites being as in `legs`.
pub(crate) fn room(crew: &Crew, legs: &BTreeMap<SiteName, LegStatus>) -> Room {
    let passed = |site: &SiteName| crew.state.borrow().maps.contains_key(site);
    let held = legs.iter().filter(|(site, _)| !passed(site));
    let rooms: BTreeMap<SiteName, Headroom> =
        held.map(|(site, leg)| (site.clone(), leg.headroom)).collect();
    let durable = crew.marks.durable.get();
    let lagging = rooms.keys().filter(|site| floor(crew, site) < durable);
    let lagging: BTreeSet<SiteName> = lagging.cloned().collect();
    let kept = rooms.keys().map(|site| Counted(crew).bytes_after(floor(crew, site)));
    let kept_bytes = kept.max().unwrap_or(0).min(crew.marks.journal_used.get());
    Room { kept_bytes, full: fill(crew).full(&rooms, &lagging) }
}

/// What can be counted at this site.
pub(crate) struct Counted<'a>(pub &'a Crew);

impl Figures for Counted<'_> {
    fn bytes_after(&self, number: UpdateNumber) -> u64 {
        let crew = self.0;
        let history = crew.history.borrow();
        if number >= crew.marks.submitted.get().number {
            let unseen = crew.marks.commit.get().since(number);
            return fill(crew).mean().saturating_mul(unseen);
        }
        match history.reaches(number) {
            true => history.since(number, 0).1,
            false => fill(crew).bytes_after(number),
        }
    }

    fn age_after_us(&self, number: UpdateNumber) -> u64 {
        let crew = self.0;
        let now = crew.shared.clock.wall_us();
        let history = crew.history.borrow();
        let oldest = crew.oldest.get().1;
        match history.reaches(number) || oldest == 0 {
            true => history.since(number, now).0,
            false => now.saturating_sub(oldest),
        }
    }

    fn pace(&self, source: &SiteName, follower: &SiteName) -> Pace {
        let crew = self.0;
        let own = crew.site();
        let other = if source == own { follower } else { source };
        if source != own && follower != own {
            return Pace::default();
        }
        let rtt_us = crew.seen.borrow().get(other).map_or(0, |seen| seen.rtt_us);
        let ours = (source == own).then(|| crew.shared.lane(other).rate());
        Pace { bytes_per_second: ours.flatten(), rtt_us }
    }

    fn volume_bytes(&self) -> u64 {
        self.0.shared.volumes().sizes().iter().sum()
    }
}
