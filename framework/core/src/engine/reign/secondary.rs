//! A site that does not lead: it promises, records charters, grants leases, and follows.

use super::candidate::Candidate;
use super::cause::Cause;
use super::{Effect, Own, Reign, Standing};
use crate::model::{Charter, Generation, SiteName};
use crate::wire::{CharterReply, Heartbeat};

impl Reign {
    /// Answers a candidate. A promise refuses everything older from now on, so it is durable
    /// before evidence is given (rule R7).
    pub(super) fn promise_requested(
        &mut self,
        own: &Own,
        from: SiteName,
        generation: Generation,
        effects: &mut Vec<Effect>,
    ) {
        if generation != self.promised && generation.count <= self.promised.count {
            effects.push(Effect::RefusePromise { to: from, generation });
            return;
        }
        if generation != self.promised {
            self.promised = generation;
            self.stand_down(own, effects);
            let charter = self.charter.clone();
            effects.push(Effect::Save { promised: generation, charter });
        }
        // Giving evidence ends whatever is followed, be it the candidate itself, whose charter came
        // first: then it is followed anew.
        self.following = None;
        effects.push(Effect::Promise { to: from, generation });
    }

    /// Records a proposed charter, unless a newer generation was promised.
    pub(super) fn charter_proposed(
        &mut self,
        own: &Own,
        from: SiteName,
        charter: Charter,
        effects: &mut Vec<Effect>,
    ) {
        let (generation, version) = charter.rank();
        let reply = if generation < self.promised {
            CharterReply::Stale { promised: self.promised, charter: self.charter.clone() }
        } else {
            let first = charter.settled.is_none();
            self.adopt(own, charter, effects);
            self.witnessed(&from, first, effects);
            CharterReply::Accepted
        };
        effects.push(Effect::AnswerProposal { to: from, generation, version, reply });
    }

    /// Takes over what a newer charter says. Learning it from a third site is the same as hearing
    /// the proposal late: it was proposed, and nothing newer is promised here.
    pub(super) fn adopt(&mut self, own: &Own, charter: Charter, effects: &mut Vec<Effect>) {
        let known = self.charter.as_ref().map(Charter::rank);
        if charter.generation < self.promised || known >= Some(charter.rank()) {
            return;
        }
        let newer_reign = charter.generation > self.promised;
        let leads_elsewhere = charter.primary != self.config.site;
        self.promised = charter.generation;
        if newer_reign || (leads_elsewhere && !matches!(self.standing, Standing::Secondary)) {
            self.stand_down(own, effects);
        }
        if charter.active && leads_elsewhere {
            // Whoever was given time has come to lead.
            self.stand_not_before = own.now;
        }
        self.grant_as_voter(own, &charter);
        self.charter = Some(charter.clone());
        effects.push(Effect::Save { promised: self.promised, charter: Some(charter) });
    }

    /// Leads and stands for nothing any more.
    pub(super) fn stand_down(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.standing, Standing::Secondary) {
            Standing::Secondary => {}
            Standing::Candidate(candidate) => candidate.abandoned(self.promised, effects),
            Standing::Primary(primary) => {
                effects.push(Effect::Depose);
                primary.abandoned(self.promised, effects);
            }
        }
        if self.following.take().is_some() {
            effects.push(Effect::Unfollow);
        }
        self.lease = super::Lease::default();
        self.stand_not_before = own.now.saturating_add(self.config.deposed_pause_us);
    }

    /// Takes in what another site says of itself; answers, and grants the lease it asks for.
    pub(super) fn heartbeat(
        &mut self,
        own: &Own,
        from: SiteName,
        beat: Heartbeat,
        effects: &mut Vec<Effect>,
    ) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.heard_at = own.now;
        peer.view = Some(beat.view.clone());
        peer.silent_us.clone_from(&beat.silent_us);
        if let Some(charter) = beat.view.charter.clone() {
            self.adopt(own, charter, effects);
        }
        self.vouched(own, &from, &beat, effects);
        if beat.view.promised > self.promised && self.leads().is_some() {
            // Some site will not renew the lease again: make way for whoever it promised.
            self.stand_down(own, effects);
        }
        if beat.echo == 0 {
            let grants = beat
                .lease
                .is_some_and(|asked| self.grants.ask(&from, asked, self.promised, own.now));
            effects.push(Effect::AnswerHeartbeat { to: from, echo: beat.sent_at, grants });
        } else if beat.grants
            && self.leads().is_some()
            && !self.is_closed()
            && self.renews(&from)
            && self.counts(&from)
        {
            self.lease.renew(beat.echo, self.config.lease_us);
            effects.push(Effect::Lease { until: self.lease.until() });
        }
    }

    /// Stands as a candidate of its own accord, where the charter (or, before the first, the
    /// configuration) names this site and nobody knows better.
    pub(super) fn stand_if_due(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        let early =
            own.now < self.stand_not_before || self.goes_second(own) || !self.knows_record();
        if !matches!(self.standing, Standing::Secondary) || early || self.asked.is_some() {
            return;
        }
        let named = match &self.charter {
            Some(charter) => charter.primary == self.config.site,
            None => own.blank && self.config.home == self.config.site,
        };
        let heard = self.peers.values().any(|peer| peer.up && peer.view.is_some());
        if named && (heard || self.is_up_to_me()) && own.debt_bytes == 0 {
            self.stand(own, Cause::Named, effects);
        }
    }

    /// Becomes a candidate for a generation newer than any seen.
    pub(super) fn stand(&mut self, own: &Own, cause: Cause, effects: &mut Vec<Effect>) {
        if self.following.take().is_some() {
            effects.push(Effect::Unfollow);
        }
        let seen = self.peers.values().filter_map(|peer| peer.view.as_ref());
        let newest = seen.map(|view| view.promised).fold(self.promised, Ord::max);
        let generation = newest.succeed(own.random.max(1));
        self.promised = generation;
        self.trouble = None;
        effects.push(Effect::Save { promised: generation, charter: self.charter.clone() });
        self.standing =
            Standing::Candidate(Box::new(Candidate::new(generation, cause, own, self.novice)));
        self.ask_promises(effects);
    }

    /// Follows whom the charter names, as soon as it can be reached.
    pub(super) fn follow_charter(&mut self, effects: &mut Vec<Effect>) {
        if !matches!(self.standing, Standing::Secondary) || self.going_back.is_some() {
            return;
        }
        let wanted = self.charter.as_ref().filter(|charter| {
            charter.primary != self.config.site && charter.generation >= self.promised
        });
        let wanted =
            wanted.and_then(|charter| Some((self.source_under(charter)?, charter.generation)));
        if wanted == self.following {
            return;
        }
        self.following.clone_from(&wanted);
        match wanted {
            Some((source, generation)) => {
                // Whatever kept this site from leading is over.
                self.trouble = None;
                effects.push(Effect::Follow { source, generation, roll_forward: false });
            }
            None => effects.push(Effect::Unfollow),
        }
    }
}
