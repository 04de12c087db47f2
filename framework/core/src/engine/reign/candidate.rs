//! A site on its way to lead: promise, fence, roll forward, verdict, wait for the lease.

use super::cause::Cause;
use super::primary::Primary;
use super::proposal::Proposal;
use super::{Completed, Effect, Own, Refusal, Reign, Standing};
use crate::engine::takeover::Assessment;
use crate::model::{Charter, Generation, Position, SiteName, Verdict};
use crate::wire::{Evidence, PromiseReply};
use std::collections::BTreeMap;

/// How far a candidacy has come.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Collecting promises.
    Promising,
    /// Recording the fence charter at two of three sites.
    Fencing(Proposal),
    /// Reading what another site holds more.
    RollingForward(SiteName),
    /// Asking: may this site lead?
    Assessing,
    /// Waiting for the old lease to run out.
    WaitingForLease(Verdict),
}

/// A candidacy.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) generation: Generation,
    pub(super) cause: Cause,
    begun_at: u64,
    pub(super) asked_at: u64,
    pub(super) phase: Phase,
    pub(super) evidence: BTreeMap<SiteName, Evidence>,
    /// When every lease known to be granted to others has run out.
    lease_clear_at: u64,
    /// When every lease of an older reign that the arbiter granted has run out, once it said so.
    pub(super) arbiter_clear_at: Option<u64>,
    /// Whether this site held nothing when it began to stand, or was set back.
    pub(super) began_blank: bool,
    /// How often a roll-forward failed.
    pub(super) failures: u32,
    /// Since when host writes wait for a planned exchange of roles.
    pub(super) hosts_wait_since: Option<u64>,
    /// The operator's consent stands in for a quorum.
    pub(super) without_quorum: bool,
}

impl Candidate {
    pub(super) fn new(generation: Generation, cause: Cause, own: &Own, novice: bool) -> Self {
        Self {
            generation,
            cause,
            begun_at: own.now,
            asked_at: own.now,
            phase: Phase::Promising,
            evidence: BTreeMap::new(),
            lease_clear_at: own.now,
            arbiter_clear_at: None,
            began_blank: own.blank || novice,
            failures: 0,
            hosts_wait_since: None,
            without_quorum: false,
        }
    }

    pub(super) fn begun_at(&self) -> u64 {
        self.begun_at
    }

    /// Whether the arbiter is to say how long the leases of older reigns may still be in use: once
    /// the fence is recorded it grants them no more.
    pub(super) fn asks_how_long(&self) -> bool {
        let fenced = !matches!(self.phase, Phase::Promising | Phase::Fencing(_));
        fenced && self.arbiter_clear_at.is_none()
    }

    /// The charter that is on its way.
    pub(super) fn proposal(&self) -> Option<&Proposal> {
        match &self.phase {
            Phase::Fencing(proposal) => Some(proposal),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn proposal_mut(&mut self) -> Option<&mut Proposal> {
        match &mut self.phase {
            Phase::Fencing(proposal) => Some(proposal),
            _ => None,
        }
    }

    /// Another site goes first: tells the operator.
    pub(super) fn abandoned(self, newer: Generation, effects: &mut Vec<Effect>) {
        if self.cause.options().is_some() {
            let why = format!("generation {newer} was begun elsewhere meanwhile; see `status`");
            effects.push(Effect::TakeoverFailed { why: Refusal { unreachable: false, why } });
        }
    }
}

impl Reign {
    /// Takes in a promise with its evidence, or a refusal.
    pub(super) fn promise_answered(
        &mut self,
        own: &Own,
        from: SiteName,
        generation: Generation,
        reply: PromiseReply,
    ) {
        let Standing::Candidate(candidate) = &mut self.standing else { return };
        if candidate.generation != generation {
            return;
        }
        match reply {
            PromiseReply::Promised(evidence) => {
                let left_us = evidence.lease_left_ms.saturating_mul(1000);
                let clear_at = own.now.saturating_add(left_us);
                candidate.lease_clear_at = candidate.lease_clear_at.max(clear_at);
                candidate.evidence.insert(from, *evidence);
                if matches!(candidate.phase, Phase::RollingForward(_)) {
                    return;
                }
                if !matches!(candidate.phase, Phase::Promising | Phase::Fencing(_)) {
                    // Late evidence may show a site that is further on.
                    candidate.phase = Phase::Assessing;
                }
            }
            PromiseReply::Refused { promised } => {
                self.trouble = Some(format!(
                    "site {from} promised generation {promised} to another candidate"
                ));
                if let Some(view) = self.peers.get_mut(&from).and_then(|peer| peer.view.as_mut()) {
                    view.promised = view.promised.max(promised);
                }
            }
        }
    }

    /// Goes from phase to phase as far as possible.
    pub(super) fn go_on_as_candidate(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        self.ask_the_silent(own, effects);
        self.may_give_up_on_arbiter(own, effects);
        loop {
            let Standing::Candidate(candidate) = &mut self.standing else { return };
            let phase = std::mem::replace(&mut candidate.phase, Phase::Promising);
            let next = match phase {
                Phase::Promising => self.promising(own, effects),
                Phase::Fencing(proposal) => self.fencing(own, proposal, effects),
                Phase::RollingForward(from) => self.rolling_forward(from),
                Phase::Assessing => self.assessing(own, effects),
                Phase::WaitingForLease(verdict) => self.waiting_for_lease(own, verdict, effects),
            };
            let Standing::Candidate(candidate) = &mut self.standing else { return };
            let (phase, again) = next;
            candidate.phase = phase;
            if !again {
                return;
            }
        }
    }

    fn promising(&mut self, own: &Own, effects: &mut Vec<Effect>) -> (Phase, bool) {
        let enough = self.has_quorum();
        let refused = self.promised_elsewhere() > self.promised;
        let missing = self.peers.keys().filter(|site| !self.has_promised(site));
        let heard = !missing.into_iter().any(|site| self.is_awaited(own, site));
        let Standing::Candidate(candidate) = &mut self.standing else {
            return (Phase::Promising, false);
        };
        let asked_us = own.now.saturating_sub(candidate.asked_at);
        let late = asked_us >= self.config.promise_timeout_us;
        let everyone = self.peers.keys().all(|site| candidate.evidence.contains_key(site));
        // A site whose link is down now may come up in a moment, so a candidate that the charter
        // names waits for its word; nobody wants to wait for a site that burned down.
        let settled = everyone || late || (heard && candidate.cause != Cause::Named);
        if enough && settled {
            return self.fence(own, effects);
        }
        // Consent stands in for whoever cannot be heard. Who was heard, and promised to another
        // candidate, may be led by that one soon.
        if late && candidate.cause.consents_to_anything() && !refused {
            candidate.without_quorum = true;
            return self.fence(own, effects);
        }
        if late {
            candidate.asked_at = own.now;
            if candidate.cause.options().is_some() {
                let why = if refused { self.outrun() } else { self.lacks_quorum() };
                return self.give_up(own, Refusal { unreachable: !refused, why }, effects);
            }
            if candidate.cause == Cause::Automatic {
                self.trouble = Some("too few sites promised to let this one take over".into());
                self.back_off(own);
                return (Phase::Promising, false);
            }
            if refused {
                self.standing = Standing::Secondary;
                self.stand_not_before = own.now.saturating_add(self.config.deposed_pause_us);
                return (Phase::Promising, false);
            }
            self.ask_promises(effects);
        }
        (Phase::Promising, false)
    }

    /// The newest generation that another site promised, as far as it said so.
    fn promised_elsewhere(&self) -> Generation {
        let views = self.peers.values().filter_map(|peer| peer.view.as_ref());
        views.map(|view| view.promised).max().unwrap_or(Generation::NONE)
    }

    /// Why this candidate cannot go on where a site that was heard promised to another.
    fn outrun(&self) -> String {
        let site = &self.config.site;
        let newer = self.promised_elsewhere();
        format!(
            "another site stands too, for generation {newer}: see `status` whether it leads, and \
             if it does not, run `trefoil takeover --at {site}` again"
        )
    }

    /// Fails the operator's takeover, or goes on waiting if there is no operator.
    pub(super) fn give_up(
        &mut self,
        own: &Own,
        why: Refusal,
        effects: &mut Vec<Effect>,
    ) -> (Phase, bool) {
        let Standing::Candidate(candidate) = &self.standing else {
            return (Phase::Promising, false);
        };
        self.trouble = Some(why.why.clone());
        if candidate.cause.options().is_some() {
            effects.push(Effect::TakeoverFailed { why });
            self.standing = Standing::Secondary;
            self.stand_not_before = own.now.saturating_add(self.config.deposed_pause_us);
        }
        (Phase::Promising, false)
    }

    /// The newest charter that anyone in this candidacy knows; where an arbiter recorded one, that.
    pub(super) fn newest_charter(&self) -> Option<&Charter> {
        let Standing::Candidate(candidate) = &self.standing else { return self.charter.as_ref() };
        if let Some(recorded) = self.recorded_charter() {
            return Some(recorded);
        }
        let theirs = candidate.evidence.values().filter_map(|their| their.view.charter.as_ref());
        theirs.chain(self.charter.as_ref()).max_by_key(|charter| charter.rank())
    }

    /// Phase 1 of a takeover: the charter says that this site is about to lead; the set of those
    /// who hold what was answered stays as it is.
    fn fence(&mut self, own: &Own, effects: &mut Vec<Effect>) -> (Phase, bool) {
        let Standing::Candidate(candidate) = &self.standing else {
            return (Phase::Promising, false);
        };
        let (generation, cause) = (candidate.generation, candidate.cause);
        if !self.knows_record() {
            return (Phase::Promising, false);
        }
        if self.recorded_charter().is_some_and(|held| held.generation == generation) {
            // Recorded before a roll-forward that failed: nothing of it changes.
            return (Phase::Assessing, true);
        }
        if let Some(why) = self.may_not_fence(own) {
            self.charter = self.newest_charter().cloned();
            let charter = self.charter.clone();
            effects.push(Effect::Save { promised: self.promised, charter });
            self.back_off(own);
            self.trouble = Some(why);
            return (Phase::Promising, false);
        }
        let lost = self.record_lost();
        if let Some(why) = lost.clone().filter(|_| !cause.accepts_loss()) {
            return self.begin_no_record(own, why, effects);
        }
        let old = self.newest_charter();
        let settled = old.map_or(Generation::NONE, |charter| charter.settled);
        let in_sync = old.map_or_else(|| vec![self.member()], |charter| charter.in_sync.clone());
        // The set stays as it is, so what is not told of it stays untold.
        let untold = old.and_then(|charter| charter.untold.clone());
        let untold = lost.map(Verdict::Unknown).or(untold);
        let consented = old.map_or(Generation::NONE, |charter| charter.consented);
        let kept = old.filter(|_| !candidate.without_quorum);
        let voters = kept.map(|charter| charter.voters.clone()).unwrap_or_default();
        let voters_before = kept.map(|charter| charter.voters_before.clone()).unwrap_or_default();
        let charter = Charter {
            generation,
            version: 1,
            primary: self.config.site.clone(),
            active: false,
            settled,
            in_sync,
            fence: self.config.fence,
            voters,
            voters_before,
            untold,
            consented,
        };
        let proposal = self.propose(own.now, charter, effects);
        (Phase::Fencing(proposal), true)
    }

    fn fencing(
        &mut self,
        own: &Own,
        mut proposal: Proposal,
        effects: &mut Vec<Effect>,
    ) -> (Phase, bool) {
        if self.agreed(&proposal) {
            self.gain_word(effects);
            return (Phase::Assessing, true);
        }
        if self.recorded_version().is_some_and(|version| version != proposal.based_on) {
            // Another change was first: the fence is made from that, or not at all.
            return self.fence(own, effects);
        }
        if proposal.ask_again_due(own.now) {
            self.ask_all(&proposal, effects);
        }
        (Phase::Fencing(proposal), false)
    }

    fn assessing(&mut self, own: &Own, effects: &mut Vec<Effect>) -> (Phase, bool) {
        let Standing::Candidate(candidate) = &self.standing else {
            return (Phase::Promising, false);
        };
        match self.without_quorum(self.assess(own, candidate)) {
            Assessment::RollForward { from, .. } => {
                let (source, generation) = (from.clone(), candidate.generation);
                effects.push(Effect::Follow { source, generation, roll_forward: true });
                (Phase::RollingForward(from), false)
            }
            Assessment::GiveWay { to, why } => {
                let remedy = match to {
                    Some(site) => format!("`trefoil takeover --at {site}` instead"),
                    None => "bring another site back".into(),
                };
                let why = format!("{why}; {remedy}");
                let _ = self.give_up(own, Refusal { unreachable: false, why }, effects);
                // Of its own accord it stays, and looks again with every event.
                (Phase::Assessing, false)
            }
            Assessment::Eligible(verdict) => self.eligible(own, verdict, effects),
        }
    }

    fn eligible(
        &mut self,
        own: &Own,
        verdict: Verdict,
        effects: &mut Vec<Effect>,
    ) -> (Phase, bool) {
        let Standing::Candidate(candidate) = &self.standing else {
            return (Phase::Promising, false);
        };
        let consent = candidate.cause.accepts_loss();
        let unproved = match &verdict {
            Verdict::Zero => None,
            Verdict::Flushed => (candidate.cause == Cause::Automatic).then(|| verdict.to_string()),
            Verdict::Unknown(facts) => (!consent).then(|| facts.clone()),
        };
        if let Some(facts) = unproved {
            let why = format!(
                "zero loss is not proved: {facts}; bring a site that is not heard back, or accept \
                 the loss with `trefoil takeover --at {} --accept-loss`",
                self.config.site
            );
            let _ = self.give_up(own, Refusal { unreachable: false, why }, effects);
            // Of its own accord it waits for more evidence, which begins the assessment again.
            return (Phase::Assessing, false);
        }
        (Phase::WaitingForLease(verdict), true)
    }

    fn waiting_for_lease(
        &mut self,
        own: &Own,
        verdict: Verdict,
        effects: &mut Vec<Effect>,
    ) -> (Phase, bool) {
        let own_grant = self.grants.left(&self.config.site, self.newest_charter(), own.now);
        let signed_off = self.signed_off(own, self.newest_charter());
        let outside = self.external.is_some();
        let Standing::Candidate(candidate) = &mut self.standing else {
            return (Phase::Promising, false);
        };
        let clear_at = candidate.lease_clear_at.max(own.now.saturating_add(own_grant));
        candidate.lease_clear_at = clear_at;
        let by_word = candidate.cause.fenced();
        let fenced = by_word || signed_off;
        if outside && !fenced && candidate.arbiter_clear_at.is_none() {
            return (Phase::WaitingForLease(verdict), false);
        }
        let clear_at = clear_at.max(candidate.arbiter_clear_at.unwrap_or(0));
        if own.now < clear_at && !fenced {
            return (Phase::WaitingForLease(verdict), false);
        }
        let evidence: BTreeMap<SiteName, Position> = candidate
            .evidence
            .iter()
            .map(|(site, their)| (site.clone(), their.view.newest))
            .collect();
        let completed = Completed {
            generation: candidate.generation,
            cause: candidate.cause,
            without_quorum: candidate.without_quorum,
            newest: own.newest,
            verdict,
            evidence,
            begun_at: candidate.begun_at,
            clear_at: if fenced { candidate.begun_at } else { clear_at },
            hosts_wait_since: candidate.hosts_wait_since,
        };
        self.begin_reign(own, completed, effects);
        (Phase::Promising, false)
    }

    /// Phase 2: appends the Generation record and lets the members come along.
    fn begin_reign(&mut self, own: &Own, completed: Completed, effects: &mut Vec<Effect>) {
        let generation = completed.generation;
        let carry_until = own.now.saturating_add(self.config.carry_grace_us);
        let members = self.charter.as_ref().map(|charter| charter.in_sync.clone());
        let carry = members.unwrap_or_default();
        let mirrors = carry.into_iter().filter(|member| member.site != self.config.site);
        let carry = mirrors.filter(|_| self.names_mirrors()).collect();
        let primary = Primary::new(completed, carry, carry_until);
        self.standing = Standing::Primary(Box::new(primary));
        self.trouble = None;
        effects.push(Effect::Lead { generation });
    }
}
