//! A site that leads: carries members over, activates, serves, and keeps acking set and charter in
//! step (rules R5 and R6: the acking set always contains the charter's).

mod in_sync;

use super::cause::Cause;
use super::exchange::Handing;
use super::leg::{Leg, LegReport};
use super::proposal::Proposal;
use super::{Completed, Effect, Own, Refusal, Reign, Standing};
use crate::model::{
    Charter, Generation, Incarnation, LegMode, Member, SiteName, UpdateNumber, Verdict,
};
use crate::wire::CharterReply;
use crate::{Error, Result};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// The Generation record is on its way; members come along.
    Carrying,
    /// The active charter is being recorded.
    Activating,
    /// The host is answered.
    Serving,
}

/// A reign from the inside.
#[derive(Clone, Debug)]
pub(super) struct Primary {
    pub(super) generation: Generation,
    phase: Phase,
    completed: Completed,
    /// The number of the Generation record, once durable.
    mark: Option<UpdateNumber>,
    /// Members of the old charter that may be carried over.
    carry: Vec<Member>,
    carry_until: u64,
    legs: BTreeMap<SiteName, Leg>,
    proposal: Option<Proposal>,
    /// The group is being handed over to another site.
    pub(super) handing: Option<Handing>,
    /// Hosts are not answered: nobody else holds what they write (`fence = "data"`).
    pub(super) held: bool,
    /// Whoever began this reign wanted it though nobody else is in sync.
    pub(super) alone_by_word: bool,
    /// Nobody needs to renew the lease: nobody else can have it.
    pub(super) alone: bool,
}

impl Primary {
    pub(super) fn new(completed: Completed, carry: Vec<Member>, carry_until: u64) -> Self {
        Self {
            generation: completed.generation,
            phase: Phase::Carrying,
            completed,
            mark: None,
            carry,
            carry_until,
            legs: BTreeMap::new(),
            proposal: None,
            handing: None,
            held: false,
            alone_by_word: false,
            alone: false,
        }
    }

    /// How it came to be.
    pub(super) fn completed(&self) -> &Completed {
        &self.completed
    }

    pub(super) fn cause(&self) -> Cause {
        self.completed.cause
    }

    /// Whether the operator's consent stood in for a quorum.
    pub(super) fn without_quorum(&self) -> bool {
        self.completed.without_quorum
    }

    /// A site whose word a charter on its way needs, and that is silent for longer than `grace_us`.
    pub(super) fn missing_voter(&self, now: u64, grace_us: u64) -> Option<SiteName> {
        let named = self.proposal.as_ref().map(|proposal| proposal.missing()).unwrap_or_default();
        let members = self.legs.iter().filter(|(_, leg)| leg.acking && leg.proposed);
        let waited_for = members.map(|(site, _)| site);
        let silent = |site: &SiteName| {
            self.legs
                .get(site)
                .is_some_and(|leg| leg.lost_at.is_some() && leg.overdue(now, grace_us))
        };
        named.into_iter().chain(waited_for.cloned()).find(|site| silent(site))
    }

    /// Whether a site promised before this reign began.
    pub(super) fn has_word_of(&self, site: &SiteName) -> bool {
        self.completed.evidence.contains_key(site)
    }

    pub(super) fn is_active(&self) -> bool {
        self.phase == Phase::Serving
    }

    pub(super) fn serves(&self) -> bool {
        self.is_active() && !self.is_closed()
    }

    /// Whether it was handed over: no host is answered in this reign any more.
    pub(super) fn is_closed(&self) -> bool {
        self.handing.as_ref().is_some_and(Handing::is_closed)
    }

    /// Whether it is waited for.
    pub(super) fn is_acking(&self, site: &SiteName) -> bool {
        self.legs.get(site).is_some_and(|leg| leg.acking)
    }

    /// What was last seen of a leg.
    pub(super) fn report(&self, site: &SiteName) -> LegReport {
        self.legs.get(site).map(|leg| leg.report).unwrap_or_default()
    }

    /// Whether every site that is waited for holds `number` durably.
    pub(super) fn all_hold(&self, number: UpdateNumber) -> bool {
        let waited_for = self.legs.values().filter(|leg| leg.acking);
        waited_for.into_iter().all(|leg| leg.report.marks.durable >= number)
    }

    /// The charter that is on its way.
    pub(super) fn proposed(&self) -> Option<&Charter> {
        self.proposal.as_ref().map(|proposal| &proposal.charter)
    }

    /// The same, with what came of it so far.
    pub(super) fn proposal(&self) -> Option<&Proposal> {
        self.proposal.as_ref()
    }

    pub(super) fn proposal_mut(&mut self) -> Option<&mut Proposal> {
        self.proposal.as_mut()
    }

    /// A newer generation is there.
    pub(super) fn abandoned(self, newer: Generation, effects: &mut Vec<Effect>) {
        if self.cause().options().is_some() && !self.is_active() {
            let why = format!("generation {newer} was begun elsewhere meanwhile; see `status`");
            effects.push(Effect::TakeoverFailed { why: Refusal { unreachable: false, why } });
        }
    }

    pub(super) fn disconnected(&mut self, site: &SiteName, now: u64) {
        if let Some(leg) = self.legs.get_mut(site) {
            leg.report.connected = false;
            leg.lost_at.get_or_insert(now);
        }
    }

    /// Whether `from` may follow now: not while another incarnation of it is a member.
    pub(super) fn may_serve(
        &mut self,
        from: &SiteName,
        incarnation: Incarnation,
        charter: Option<&Charter>,
    ) -> Result<()> {
        let member = charter.and_then(|charter| charter.member(from)).map(|m| m.incarnation);
        let leg = self.legs.entry(from.clone()).or_default();
        let waited_for = leg.acking.then_some(leg.report.incarnation);
        let other = |known: Option<Incarnation>| known.is_some_and(|known| known != incarnation);
        if self.phase == Phase::Serving && (other(member) || other(waited_for)) {
            leg.replaced = true;
            // What was reported belongs to the incarnation that is gone.
            leg.report.connected = false;
            return Err(Error::unavailable(format!(
                "site {from} came back without its unsynced tail and is taken out of the in-sync \
                 set first"
            )));
        }
        Ok(())
    }
}

impl Reign {
    /// The Generation record is durable here.
    pub(super) fn marked(&mut self, number: UpdateNumber) {
        if let Standing::Primary(primary) = &mut self.standing {
            primary.mark = Some(number);
        }
    }

    /// A leg changed.
    pub(super) fn leg(&mut self, own: &Own, site: SiteName, report: LegReport) {
        let Standing::Primary(primary) = &mut self.standing else { return };
        let leg = primary.legs.entry(site).or_default();
        let came_further = report.marks.received > leg.report.marks.received
            || report.marks.durable > leg.report.marks.durable;
        if came_further || !leg.report.connected {
            leg.moved_at = own.now;
        }
        if report.connected {
            leg.back |= leg.lost_at.take().is_some();
        } else {
            leg.lost_at.get_or_insert(own.now);
        }
        leg.left &= report.may_include;
        leg.report = report;
    }

    /// Takes in an answer to a proposal, whoever made it: candidate or primary.
    pub(super) fn charter_answered(
        &mut self,
        own: &Own,
        from: SiteName,
        generation: Generation,
        version: u64,
        reply: CharterReply,
        effects: &mut Vec<Effect>,
    ) {
        match reply {
            CharterReply::Accepted => {
                let proposal = self.proposal_mut().filter(|p| p.is(generation, version));
                if let Some(proposal) = proposal {
                    proposal.accepted.insert(from.clone());
                    self.has_witnessed(&from);
                }
            }
            CharterReply::Stale { promised, charter } => {
                if promised > self.promised && generation == self.promised {
                    self.stand_down(own, effects);
                }
                if let Some(charter) = charter {
                    self.adopt(own, charter, effects);
                }
            }
        }
    }

    /// Whatever the leading site can do now.
    pub(super) fn go_on_as_primary(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        let Standing::Primary(primary) = &mut self.standing else { return };
        for leg in primary.legs.values_mut() {
            if leg.report.marks.durable >= own.newest.number {
                leg.moved_at = own.now;
            }
        }
        if let Some(proposal) = primary.proposal.take() {
            self.go_on_proposing(own, proposal, effects);
        }
        let known = self.knows_record();
        let Standing::Primary(primary) = &mut self.standing else { return };
        if primary.proposal.is_some() || !known {
            return;
        }
        match primary.phase {
            Phase::Carrying => self.carrying(own, effects),
            // Nobody joins or leaves while the group is handed over.
            _ if primary.handing.is_some() => {}
            Phase::Activating | Phase::Serving => self.keep_set(own, effects),
        }
    }

    fn go_on_proposing(&mut self, own: &Own, mut proposal: Proposal, effects: &mut Vec<Effect>) {
        if self.agreed(&proposal) {
            self.enacted(own, &proposal.charter, effects);
            return;
        }
        if proposal.ask_again_due(own.now) {
            self.ask_all(&proposal, effects);
        }
        if let Standing::Primary(primary) = &mut self.standing {
            primary.proposal = Some(proposal);
        }
    }

    /// The charter holds now.
    fn enacted(&mut self, own: &Own, charter: &Charter, effects: &mut Vec<Effect>) {
        if let Standing::Primary(primary) = &mut self.standing
            && primary.phase == Phase::Activating
        {
            primary.alone_by_word = primary.cause() != Cause::Named;
        }
        self.hold_unless(self.is_mirrored(charter), effects);
        let Standing::Primary(primary) = &mut self.standing else { return };
        for (site, leg) in &mut primary.legs {
            let named = charter.member(site).is_some();
            if leg.acking && leg.proposed && !named {
                leg.leave();
                leg.proposed = false;
                effects.push(Effect::Leave(site.clone()));
            }
            if !named {
                leg.replaced = false;
                leg.report.must_leave = false;
            }
        }
        if primary.phase == Phase::Activating {
            primary.phase = Phase::Serving;
            effects.push(Effect::Serve);
            let mut completed = primary.completed.clone();
            completed.clear_at = completed.clear_at.min(own.now);
            effects.push(Effect::TookOver(Box::new(completed)));
        }
    }

    /// Waits for the Generation record, and (not for long) for the members to have it too.
    fn carrying(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        let awaited: Vec<SiteName> =
            self.peers.keys().filter(|site| self.is_awaited(own, site)).cloned().collect();
        let Standing::Primary(primary) = &mut self.standing else { return };
        let Some(mark) = primary.mark else { return };
        let mut waiting = false;
        let mut in_sync =
            vec![Member { site: self.config.site.clone(), incarnation: self.incarnation }];
        for member in &primary.carry {
            let sync = self.config.modes.get(&member.site) == Some(&LegMode::Sync);
            if !sync || self.suspended.contains(&member.site) {
                continue;
            }
            let leg = primary.legs.entry(member.site.clone()).or_default();
            let here = leg.report.connected
                && leg.report.incarnation == member.incarnation
                && leg.report.debt_bytes == 0;
            if here && leg.report.marks.durable >= mark {
                if !leg.acking {
                    leg.acking = true;
                    leg.back = false;
                    leg.report.may_include = false;
                    effects.push(Effect::Join(member.site.clone()));
                }
                leg.proposed = true;
                in_sync.push(member.clone());
            } else {
                waiting |= awaited.contains(&member.site);
            }
        }
        if waiting && own.now < primary.carry_until {
            return;
        }
        primary.phase = Phase::Activating;
        for (site, leg) in &mut primary.legs {
            // Joined in an earlier round and gone since: no charter names it yet.
            if leg.acking && !in_sync.iter().any(|member| &member.site == site) {
                leg.leave();
                leg.proposed = false;
                effects.push(Effect::Leave(site.clone()));
            }
        }
        self.propose_set(own, in_sync, effects);
    }

    /// Proposes an active charter of this reign with that in-sync set.
    fn propose_set(&mut self, own: &Own, in_sync: Vec<Member>, effects: &mut Vec<Effect>) {
        let Standing::Primary(primary) = &self.standing else { return };
        let generation = primary.generation;
        let version = self.charter.as_ref().map_or(0, |charter| charter.version) + 1;
        let (primary, fence) = (self.config.site.clone(), self.config.fence);
        let charter = Charter {
            generation,
            version,
            primary,
            active: true,
            settled: generation,
            in_sync,
            fence,
            voters: Vec::new(),
            voters_before: self.charter.as_ref().map(|old| old.voters.clone()).unwrap_or_default(),
            untold: self.untold(),
            consented: self.consented(),
        };
        let charter = Charter { voters: self.voters_of(&charter, own.now), ..charter };
        let proposal = self.propose(own.now, charter, effects);
        if let Standing::Primary(primary) = &mut self.standing {
            primary.proposal = Some(proposal);
        }
    }

    /// What nobody was told of losses yet: nothing once the host is answered, for what is known of
    /// them was told with that. Until then all that this reign knows of them, for its charter may
    /// outlive it.
    fn untold(&self) -> Option<Verdict> {
        let Standing::Primary(primary) = &self.standing else { return None };
        let verdict = &primary.completed.verdict;
        (!primary.serves() && *verdict != Verdict::Zero).then(|| verdict.clone())
    }

    /// The newest reign begun by consent, this one included.
    fn consented(&self) -> Generation {
        let before = self.charter.as_ref().map_or(Generation::NONE, |charter| charter.consented);
        match &self.standing {
            Standing::Primary(primary) if primary.completed.by_consent() => primary.generation,
            _ => before,
        }
    }
}
