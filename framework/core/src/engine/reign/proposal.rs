//! Changing the charter: those who must agree record the new one, or the arbiter does.

use super::{Effect, Reign, Standing};
use crate::model::{Charter, SiteName};
use std::collections::BTreeSet;

/// How long to wait before asking the same sites again, in microseconds.
pub(super) const ASK_AGAIN_US: u64 = 300_000;

/// A charter on its way.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    /// The charter proposed. Where the sites decide, this one has recorded it already.
    pub charter: Charter,
    /// The other sites that recorded it.
    pub accepted: BTreeSet<SiteName>,
    /// The operator's consent stands in for a quorum.
    without_quorum: bool,
    /// The version of the arbiter's record that a candidate's proposal was made from.
    pub based_on: u64,
    /// Whether the arbiter has recorded it.
    pub recorded: bool,
    asked_at: u64,
}

impl Proposal {
    /// Whether this answer is about this proposal.
    pub fn is(&self, generation: crate::model::Generation, version: u64) -> bool {
        self.charter.rank() == (generation, version)
    }

    /// The sites without which it cannot be agreed on, and that did not answer.
    pub fn missing(&self) -> Vec<SiteName> {
        let voters = self.charter.voters_before.iter().chain(&self.charter.voters);
        voters.filter(|site| !self.accepted.contains(*site)).cloned().collect()
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
    /// The charter that is on its way, with what came of it so far.
    pub(super) fn proposal(&self) -> Option<&Proposal> {
        match &self.standing {
            Standing::Primary(primary) => primary.proposal(),
            Standing::Candidate(candidate) => candidate.proposal(),
            Standing::Secondary => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn proposal_mut(&mut self) -> Option<&mut Proposal> {
        match &mut self.standing {
            Standing::Primary(primary) => primary.proposal_mut(),
            Standing::Candidate(candidate) => candidate.proposal_mut(),
            Standing::Secondary => None,
        }
    }

    /// Records `charter` here, durably, and asks the others to. Where there is an arbiter it is
    /// asked, and nothing is recorded here before it has.
    pub(super) fn propose(
        &mut self,
        now: u64,
        charter: Charter,
        effects: &mut Vec<Effect>,
    ) -> Proposal {
        let (accepted, recorded, without_quorum) =
            (BTreeSet::new(), false, self.stands_without_quorum());
        let based_on = self.recorded_version().unwrap_or(0);
        let asked_at = now;
        let proposal = Proposal { charter, accepted, without_quorum, based_on, recorded, asked_at };
        if self.external.is_none() {
            let charter = Some(proposal.charter.clone());
            self.charter.clone_from(&charter);
            effects.push(Effect::Save { promised: self.promised, charter });
            self.ask_all(&proposal, effects);
        }
        proposal
    }

    /// Asks every reachable site that has not recorded `proposal` yet, if it is theirs to do.
    pub(super) fn ask_all(&self, proposal: &Proposal, effects: &mut Vec<Effect>) {
        if self.external.is_some() {
            return;
        }
        for (site, peer) in &self.peers {
            if peer.up && !proposal.accepted.contains(site) {
                let (to, charter) = (site.clone(), proposal.charter.clone());
                effects.push(Effect::Propose { to, charter });
            }
        }
    }

    /// Whether enough sites recorded it: by the rule of the charter before it, and by its own;
    /// or the arbiter did.
    /// (Where it names no voters any more, whoever goes by the old rule still needs those, who know
    /// better; a site that led alone waits until it does not.)
    pub(super) fn agreed(&self, proposal: &Proposal) -> bool {
        if self.external.is_some() {
            return proposal.recorded;
        }
        let accepted = |site: &SiteName| proposal.accepted.contains(site);
        if proposal.without_quorum {
            return self.is_everyone_heard(accepted);
        }
        let accepted = |site: &SiteName| accepted(site) && self.counts(site);
        let Charter { voters, voters_before, active, .. } = &proposal.charter;
        let alone = *voters_before == [self.config.site.clone()];
        let freed = *active && voters.is_empty() && !alone;
        self.is_quorum(voters_before, accepted) && (freed || self.is_quorum(voters, accepted))
    }

    /// Whether the operator's consent stands in for a quorum, up to when hosts are answered.
    pub(super) fn stands_without_quorum(&self) -> bool {
        match &self.standing {
            Standing::Candidate(candidate) => candidate.without_quorum,
            Standing::Primary(primary) => primary.without_quorum() && !primary.is_active(),
            Standing::Secondary => false,
        }
    }
}
