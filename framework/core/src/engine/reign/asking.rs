//! Whom a candidate asks for promises, and when again.

use super::candidate::Phase;
use super::{Effect, Own, Reign, Standing};
use crate::model::SiteName;

impl Reign {
    /// Asks every reachable site that has not promised yet.
    pub(super) fn ask_promises(&self, effects: &mut Vec<Effect>) {
        let Standing::Candidate(candidate) = &self.standing else { return };
        let generation = candidate.generation;
        for (site, peer) in &self.peers {
            if peer.up && !candidate.evidence.contains_key(site) {
                effects.push(Effect::AskPromise { to: site.clone(), generation });
            }
        }
    }

    /// A site that came back is asked what it was not asked while it was away.
    pub(super) fn ask_again(&self, site: &SiteName, effects: &mut Vec<Effect>) {
        match &self.standing {
            Standing::Candidate(candidate) => {
                let generation = candidate.generation;
                if !candidate.evidence.contains_key(site) {
                    effects.push(Effect::AskPromise { to: site.clone(), generation });
                }
                if let Phase::Fencing(proposal) = &candidate.phase
                    && self.external.is_none()
                {
                    let charter = proposal.charter.clone();
                    effects.push(Effect::Propose { to: site.clone(), charter });
                }
            }
            Standing::Primary(primary) => {
                if let Some(charter) = primary.proposed().filter(|_| self.external.is_none()) {
                    effects.push(Effect::Propose { to: site.clone(), charter: charter.clone() });
                }
            }
            Standing::Secondary => {}
        }
    }

    /// Sites whose word is missing are asked from time to time in every phase: one that could not
    /// answer at first may settle what is unproven.
    pub(super) fn ask_the_silent(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        let Standing::Candidate(candidate) = &mut self.standing else { return };
        let due = candidate.asked_at.saturating_add(self.config.promise_timeout_us);
        if own.now >= due && !matches!(candidate.phase, Phase::Promising) {
            candidate.asked_at = own.now;
            self.ask_promises(effects);
        }
    }
}
