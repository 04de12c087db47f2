//! What of the journal may go, and who would lack it.
//!
//! A record may go when it is checkpointed here and every other registered site, the own source
//! included, has it durably. What another site has is its *floor*: the last durable position of
//! that site known to lie on this site's own history. If space forces records out earlier, what
//! they changed goes first into the maps of the sites that lack them.

use crate::model::{
    Chain, Changed, Generation, Lineage, MissedMap, Position, SiteName, UpdateNumber,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What happens when the journal is nearly full because a site lags that nobody waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// Records go; the site gets a map, and later a copy instead of a delta. The host is never
    /// held back for it.
    #[default]
    Map,
    /// The host waits for the site.
    Pace,
}

/// When trimming begins, in percent of the journal's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaterMarks {
    /// Below this nothing is trimmed: what is kept makes later resyncs deltas.
    pub low_percent: u8,
    /// From here on, lagging sites no longer hold records back (with [`OnFull::Map`]).
    pub high_percent: u8,
}

impl Default for WaterMarks {
    fn default() -> Self {
        Self { low_percent: 50, high_percent: 85 }
    }
}

/// What [`Retention::trim_decision`] goes by.
#[derive(Clone, Copy, Debug)]
pub struct TrimInput<'a> {
    /// Everything up to here is durable in the own block stores.
    pub checkpoint: UpdateNumber,
    /// The number right before the oldest record in the journal.
    pub base: UpdateNumber,
    /// Bytes in use in the journal.
    pub used: u64,
    /// How many bytes it holds.
    pub capacity: u64,
    /// The sites whose durable position is never passed: those that the charter names. The own
    /// site may be among them.
    pub members: &'a BTreeSet<SiteName>,
    /// Whether a plan is being executed whose first steps need the own records: then nothing goes.
    pub frozen: bool,
}

/// What to do about the journal's space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrimDecision {
    /// Nothing is to be done, or nothing may go and there is room yet.
    Nothing,
    /// Trim up to and including this number. What the records changed is entered into the maps of
    /// the sites that lack them first ([`Retention::missed`], then save the state).
    Trim {
        /// The last record that goes.
        up_to: UpdateNumber,
        /// The sites that lack some of it.
        passed: Vec<SiteName>,
    },
    /// The journal is nearly full and nothing may go: accept no more updates (host writes at a
    /// primary, credit elsewhere) until this changes.
    HostMustWait {
        /// What is waited for.
        why: String,
    },
}

/// What every other registered site holds of this site's history, and the maps of those that were
/// passed.
///
/// Only the generation and number of a floor count; its chain is [`Chain::START`] where the floor
/// was lowered to a point whose chain is not at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    own: SiteName,
    marks: WaterMarks,
    on_full: OnFull,
    floors: BTreeMap<SiteName, Position>,
    maps: BTreeMap<SiteName, MissedMap>,
    /// The highest number that a finished trim was asked for. The journal may have kept more
    /// (whole segments); asking again would free nothing.
    trimmed: UpdateNumber,
}

impl Retention {
    /// The retention of site `own`, with the floors and maps of its saved state. `registered` are
    /// all sites of the group; one without a floor never had anything ([`Position::START`]), and
    /// floors and maps of sites that are no longer registered are forgotten.
    pub fn new(
        own: SiteName,
        registered: impl IntoIterator<Item = SiteName>,
        saved_floors: &BTreeMap<SiteName, Position>,
        saved_maps: &BTreeMap<SiteName, MissedMap>,
        marks: WaterMarks,
        on_full: OnFull,
    ) -> Self {
        let mut floors = BTreeMap::new();
        let mut maps = BTreeMap::new();
        for site in registered.into_iter().filter(|site| *site != own) {
            if let Some(map) = saved_maps.get(&site) {
                maps.insert(site.clone(), map.clone());
            }
            let floor = saved_floors.get(&site).copied().unwrap_or(Position::START);
            floors.insert(site, floor);
        }
        Self { own, marks, on_full, floors, maps, trimmed: UpdateNumber::ZERO }
    }

    /// The floors, to save in the state.
    pub fn floors(&self) -> &BTreeMap<SiteName, Position> {
        &self.floors
    }

    /// The maps, to save in the state.
    pub fn maps(&self) -> &BTreeMap<SiteName, MissedMap> {
        &self.maps
    }

    /// The floor of `site`; [`Position::START`] for one that is not registered.
    pub fn floor(&self, site: &SiteName) -> Position {
        self.floors.get(site).copied().unwrap_or(Position::START)
    }

    /// Raises the floor of `site` to a durable position that was heard in a session of this
    /// history: its own `Progress`, or what the source says of it. Never beyond the own `newest`,
    /// never down, and never to a point of another history (H11, H12): a point beyond `newest`
    /// counts as far as there only in the generation of `newest`. Returns whether it rose.
    pub fn raise(
        &mut self,
        site: &SiteName,
        position: Position,
        lineage: &Lineage,
        newest: &Position,
    ) -> bool {
        let Some(floor) = self.floors.get_mut(site) else { return false };
        let shared = position.number.min(newest.number);
        let on_history = lineage.generation_at(shared) == position.generation;
        let reached = if position.number > newest.number { *newest } else { position };
        let rises = on_history && reached.number > floor.number;
        if rises {
            *floor = reached;
        }
        rises
    }

    /// Lowers every floor to where its site left the own history, which ends at `newest` now.
    /// Call it whenever that shrinks (power loss, a dropped tail) and before activation (H12): the
    /// numbers beyond may soon mean other updates.
    pub fn clip(&mut self, newest: &Position, lineage: &Lineage) {
        for floor in self.floors.values_mut() {
            lower(floor, last_of(floor.generation, newest, lineage), lineage);
        }
        self.trimmed = self.trimmed.min(newest.number);
    }

    /// Lowers the floor of `site`, which begins to follow, to the fork of both histories; before
    /// the plan is sent (H12). A handshake only lowers a floor, progress only raises it.
    pub fn follow(&mut self, site: &SiteName, fork: UpdateNumber, lineage: &Lineage) {
        if let Some(floor) = self.floors.get_mut(site) {
            lower(floor, fork, lineage);
        }
    }

    /// Notes that `site` was replaced for good: nothing is kept for it any more. Whoever comes in
    /// its place has nothing, so its map says that everything may differ; that holds no record
    /// back, and ends once it was filled. Save the state next.
    pub fn release(&mut self, site: &SiteName) {
        let Some(floor) = self.floors.get_mut(site) else { return };
        *floor = Position::START;
        let nothing_held = MissedMap { from: UpdateNumber::ZERO, changed: Changed::Everything };
        self.maps.insert(site.clone(), nothing_held);
    }

    /// Notes that the own journal, whose base is `old_base`, is about to begin anew right after
    /// `base`, on a history shared with the old one up to `fork`: floors go down to the fork, and
    /// what `changed` up to the new base goes into the map of every site below it, since this site
    /// cannot bring it the records in between (H19). Save the state before the reset.
    pub fn reset(
        &mut self,
        fork: UpdateNumber,
        (old_base, base): (UpdateNumber, UpdateNumber),
        lineage: &Lineage,
        changed: &Changed,
    ) {
        for floor in self.floors.values_mut() {
            lower(floor, fork, lineage);
        }
        self.missed(base, old_base, changed);
        self.trimmed = base;
    }

    /// Enters what the records from the `base` of the journal to `up_to` changed into the maps of
    /// the sites that lack some of them; save the state before they are trimmed.
    pub fn missed(&mut self, up_to: UpdateNumber, base: UpdateNumber, changed: &Changed) {
        for (site, floor) in self.floors.iter().filter(|(_, floor)| floor.number < up_to) {
            // What went before the base is in the map already, or the site had it once.
            let from = floor.number.max(base);
            let begun = || MissedMap { from, changed: Changed::NOTHING };
            self.maps.entry(site.clone()).or_insert_with(begun).changed.add(changed);
        }
    }

    /// Whether the maps of these sites name extents that a trim has to add to: a map that says
    /// "everything" says all.
    pub fn wants_extents(&self, passed: &[SiteName]) -> bool {
        let exact = |site: &SiteName| {
            !matches!(self.maps.get(site), Some(MissedMap { changed: Changed::Everything, .. }))
        };
        passed.iter().any(exact)
    }

    /// Ends the maps of sites that have everything up to `base`, the number right before the
    /// oldest record. Returns whether any ended; the state may be saved at leisure.
    pub fn end_maps(&mut self, base: UpdateNumber) -> bool {
        let before = self.maps.len();
        let floors = &self.floors;
        self.maps.retain(|site, map| {
            let floor = floors.get(site).map(|floor| floor.number);
            // Whoever has nothing at all is filled, however far back the journal reaches.
            let nothing = map.changed == Changed::Everything && floor == Some(UpdateNumber::ZERO);
            nothing || floor.is_some_and(|floor| floor < base)
        });
        self.maps.len() < before
    }

    /// Notes that a trim up to `up_to` was done, however much the journal let go.
    pub fn trimmed(&mut self, up_to: UpdateNumber) {
        self.trimmed = self.trimmed.max(up_to);
    }

    /// Decides what may go. Trims lazily: what is kept makes a later resync a delta.
    pub fn trim_decision(&self, input: &TrimInput<'_>) -> TrimDecision {
        let fill = percent(input.used, input.capacity);
        if fill < u64::from(self.marks.low_percent) {
            return TrimDecision::Nothing;
        }
        let full = fill >= u64::from(self.marks.high_percent);
        if input.frozen {
            return wait_if(full, || "a resync that needs the own records to begin".into());
        }
        let strange = |site: &&SiteName| **site != self.own && !self.floors.contains_key(*site);
        if let Some(site) = input.members.iter().find(strange) {
            return wait_if(full, || format!("{site}, which is in sync but not registered here"));
        }
        let gone = input.base.max(self.trimmed);
        let holders = self.holders();
        let lowest = holders.iter().map(|(_, floor)| *floor).min();
        let ordinary = lowest.unwrap_or(UpdateNumber::MAX).min(input.checkpoint);
        if ordinary > gone {
            return TrimDecision::Trim { up_to: ordinary, passed: self.lacking(ordinary) };
        }
        if !full {
            return TrimDecision::Nothing;
        }
        self.force(input, gone, &holders)
    }

    /// The sites that hold records back, with their floors: all but those that were passed before,
    /// whose map takes up whatever goes.
    fn holders(&self) -> Vec<(&SiteName, UpdateNumber)> {
        let unmapped = self.floors.iter().filter(|(site, _)| !self.maps.contains_key(*site));
        unmapped.map(|(site, floor)| (site, floor.number)).collect()
    }

    /// The sites that lack some of what goes up to `up_to`.
    fn lacking(&self, up_to: UpdateNumber) -> Vec<SiteName> {
        let lacks = self.floors.iter().filter(|(_, floor)| floor.number < up_to);
        lacks.map(|(site, _)| site.clone()).collect()
    }

    /// Passes as few sites as free anything: the one that is furthest behind first.
    fn force(
        &self,
        input: &TrimInput<'_>,
        gone: UpdateNumber,
        holders: &[(&SiteName, UpdateNumber)],
    ) -> TrimDecision {
        if input.checkpoint <= gone {
            return wait_if(true, || format!("the checkpoint, which is at {}", input.checkpoint));
        }
        let member = holders
            .iter()
            .filter(|(site, _)| input.members.contains(*site))
            .min_by_key(|(_, floor)| *floor);
        if let Some((site, floor)) = member.filter(|(_, floor)| *floor <= gone) {
            return wait_if(true, || format!("{site}, which is in sync and durable at {floor}"));
        }
        if self.on_full == OnFull::Pace {
            let behind = holders.iter().min_by_key(|(_, floor)| *floor);
            let behind = behind.map(|(site, floor)| format!("{site}, which is durable at {floor}"));
            return wait_if(true, || behind.unwrap_or_else(|| "room in the journal".into()));
        }
        let still_held = holders.iter().map(|(_, floor)| *floor).filter(|floor| *floor > gone);
        let up_to = still_held.min().unwrap_or(input.checkpoint).min(input.checkpoint);
        TrimDecision::Trim { up_to, passed: self.lacking(up_to) }
    }
}

/// The last number of `generation` on the own history: its newest, if a newer generation made
/// what was lost; zero, if the generation is of another branch.
fn last_of(generation: Generation, newest: &Position, lineage: &Lineage) -> UpdateNumber {
    let reigns = lineage.reigns();
    match reigns.iter().position(|reign| reign.generation == generation) {
        Some(at) => {
            let next = reigns.get(at + 1).map(|next| next.first.previous());
            next.unwrap_or(UpdateNumber::MAX).min(newest.number)
        }
        None if generation > newest.generation => newest.number,
        None => UpdateNumber::ZERO,
    }
}

/// Lowers a floor to `number`, if it is higher.
fn lower(floor: &mut Position, number: UpdateNumber, lineage: &Lineage) {
    if floor.number > number {
        let generation = lineage.generation_at(number);
        *floor = Position { generation, number, chain: Chain::START };
    }
}

fn wait_if(full: bool, why: impl FnOnce() -> String) -> TrimDecision {
    if full {
        TrimDecision::HostMustWait {
            why: format!("the journal is nearly full; waiting for {}", why()),
        }
    } else {
        TrimDecision::Nothing
    }
}

/// How full the journal is; one without capacity is full.
fn percent(used: u64, capacity: u64) -> u64 {
    if capacity == 0 {
        return 100;
    }
    let percent = u128::from(used) * 100 / u128::from(capacity);
    u64::try_from(percent).unwrap_or(u64::MAX)
}
