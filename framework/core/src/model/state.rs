//! What a site keeps durably beside its journal, for one group.

use super::{
    Charter, Claim, Debt, Generation, GroupName, Handover, Incarnation, Lineage, MissedMap,
    Position, Replaced, SiteName, UpdateNumber, VolumeName, VolumeSets,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// When a host write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// When every in-sync site's journal has it (survives killed processes); FLUSH and FUA wait
    /// until it is durable there. The block-device contract, kept across sites.
    #[default]
    Flush,
    /// When it is durable at every in-sync site.
    Write,
}

/// A volume of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Its name.
    pub name: VolumeName,
    /// Its size in bytes: a positive multiple of 512; 0 once it was removed.
    pub size: u64,
}

/// A change of the journal's end that was begun: a restart completes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Where the journal ends from now on, or begins anew.
    pub base: Position,
    /// The reigns up to there.
    pub lineage: Lineage,
    /// Whether the records up to the base are kept, and only those behind it dropped.
    pub keep: bool,
}

/// What a site keeps durably beside its journal, for one group. Saved whole, in two alternating
/// slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteState {
    /// The group it belongs to.
    pub group: GroupName,
    /// The site it belongs to.
    pub site: SiteName,
    /// The volumes, by index, and since when.
    pub volumes: VolumeSets,
    /// This site's durable identity.
    pub incarnation: Incarnation,
    /// The incarnation in which it began with nothing: by that its media are known for good.
    pub born: Incarnation,
    /// The kernel boot during which the journal was last written; another boot means that the
    /// unsynced tail may be gone.
    pub boot: String,
    /// The newest number known durable when this was saved: a shorter journal has lost something.
    pub durable_mark: UpdateNumber,
    /// The newest generation promised: everything older is refused.
    pub promised: Generation,
    /// The newest charter seen or made.
    pub charter: Option<Charter>,
    /// The reigns that this site's history went through.
    pub lineage: Lineage,
    /// Everything up to here is durable in the block store.
    pub checkpoint: UpdateNumber,
    /// What the block store owes; `None` when it is what the journal says.
    pub debt: Option<Debt>,
    /// A change of the journal's end that was begun and may not be finished.
    pub intent: Option<Intent>,
    /// For every other registered site, the last durable position known to lie on this history.
    pub floors: BTreeMap<SiteName, Position>,
    /// For every other registered site, what was trimmed here that it lacked.
    pub maps: BTreeMap<SiteName, MissedMap>,
    /// The newest planned end of a reign that this site made or was sent; saved before its record
    /// is in the journal, so it counts only where the journal has that record.
    pub closed: Option<Handover>,
    /// The sites that are not served by the operator's word while this site leads.
    pub suspended: BTreeSet<SiteName>,
    /// Whether the site began with nothing, or was set back, and no site that leads has vouched
    /// for it since: it may have promised what it does not know of, so its word counts for nothing
    /// (rule R17).
    pub novice: bool,
    /// What each other site said last of how far it had come.
    pub claims: BTreeMap<SiteName, Claim>,
    /// Sites that were replaced for good: what they were born as, which must not come back.
    pub replaced: Replaced,
}

impl SiteState {
    /// The state of a site that holds nothing yet.
    pub fn blank(
        group: GroupName,
        site: SiteName,
        volumes: Vec<VolumeSpec>,
        incarnation: Incarnation,
        boot: String,
    ) -> Self {
        Self {
            group,
            site,
            volumes: VolumeSets::of(volumes),
            incarnation,
            born: incarnation,
            boot,
            durable_mark: UpdateNumber::ZERO,
            promised: Generation::NONE,
            charter: None,
            lineage: Lineage::new(),
            checkpoint: UpdateNumber::ZERO,
            debt: None,
            intent: None,
            floors: BTreeMap::new(),
            maps: BTreeMap::new(),
            closed: None,
            suspended: BTreeSet::new(),
            novice: true,
            claims: BTreeMap::new(),
            replaced: Replaced::default(),
        }
    }

    /// The planned end of a reign that is on this site's history, which ends at `newest`.
    pub fn handover(&self, newest: UpdateNumber) -> Option<Handover> {
        let there = |closed: &&Handover| {
            closed.number <= newest
                && self.lineage.generation_at(closed.number) == closed.generation
        };
        self.closed.as_ref().filter(there).cloned()
    }

    /// What the block store still is, whole, although it owes.
    pub fn image(&self) -> Option<Position> {
        self.debt.as_ref().and_then(|debt| debt.image)
    }

    /// Notes that the change which was begun is done: the history ends at its base, and what the
    /// block store lacks of it is in the debt.
    pub fn complete_intent(&mut self) {
        if let Some(Intent { base, lineage, .. }) = self.intent.take() {
            self.lineage = lineage;
            self.checkpoint = base.number;
            self.durable_mark = base.number;
        }
    }
}
