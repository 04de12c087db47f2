//! Changing the charter: two of three sites record the new one.

use super::{Effect, Reign};
use crate::model::{Charter, SiteName};
use std::collections::BTreeSet;

/// How long to wait before asking the same sites again, in microseconds.
const ASK_AGAIN_US: u64 = 300_000;

/// A charter on its way.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    /// The charter proposed; this site has recorded it.
    pub charter: Charter,
    /// The other sites that recorded it.
    pub accepted: BTreeSet<SiteName>,
    asked_at: u64,
}

impl Proposal {
    /// Whether this answer is about this proposal.
    pub fn is(&self, generation: crate::model::Generation, version: u64) -> bool {
        self.charter.rank() == (generation, version)
    }

    /// Whether it is time to ask the silent ones again; if so, notes that they were asked.
    pub fn ask_again_due(&mut self, now: u64) -> bool {
        if now < self.asked_at.saturating_add(ASK_AGAIN_US) {
            return false;
        }
        self.asked_at = now;
        true
    }
}

impl Reign {
    /// Records `charter` here, durably, and asks the others to.
    pub(super) fn propose(
        &mut self,
        now: u64,
        charter: Charter,
        effects: &mut Vec<Effect>,
    ) -> Proposal {
        self.charter = Some(charter.clone());
        effects.push(Effect::Save { promised: self.promised, charter: Some(charter.clone()) });
        let proposal = Proposal { charter, accepted: BTreeSet::new(), asked_at: now };
        self.ask_all(&proposal, effects);
        proposal
    }

    /// Asks every reachable site that has not recorded `proposal` yet.
    pub(super) fn ask_all(&self, proposal: &Proposal, effects: &mut Vec<Effect>) {
        for (site, peer) in &self.peers {
            if peer.up && !proposal.accepted.contains(site) {
                let (to, charter) = (site.clone(), proposal.charter.clone());
                effects.push(Effect::Propose { to, charter });
            }
        }
    }

    /// Whether enough sites recorded it.
    pub(super) fn agreed(&self, proposal: &Proposal) -> bool {
        proposal.accepted.len() >= self.others_needed()
    }
}
