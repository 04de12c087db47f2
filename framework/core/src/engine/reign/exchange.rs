//! The planned exchange of roles: the primary ends its reign itself, in favour of another site.
//!
//! ```text
//!  target                                primary
//!  ask ────────────────────────────────▶ pause host writes ▸ drain ▸ close: Handover record
//!      ◀──────────────── handed over ─── once the target holds it durably
//!  promise ▸ fence ▸ … ▸ serve           follows, by the charter
//! ```
//!
//! Until the record is made the primary may call it off and go on. From then on it answers nobody
//! in that generation, whoever dies: it makes the record only after it stopped, and no generation
//! is resumed. So whoever holds the record need not wait for the lease of that generation.

use super::cause::Cause;
use super::{Effect, Own, Refusal, Reign, Standing, TakeoverOptions};
use crate::model::{Charter, Fence, Generation, Handover, LegMode, SiteName, UpdateNumber};
use crate::wire::HandoverReply;

/// What happens in a planned exchange of roles.
#[derive(Clone, Debug)]
pub enum Exchange {
    /// The operator wants this site to lead next.
    Wanted,
    /// A site asks this one, which leads that generation, to hand over.
    Requested(SiteName, Generation),
    /// The leading site of that generation answers.
    Answered(SiteName, Generation, HandoverReply),
    /// Host writes wait at this primary; the newest number assigned.
    Paused(UpdateNumber),
}

/// What a site does in a planned exchange of roles.
#[derive(Clone, Debug, PartialEq)]
pub enum ExchangeEffect {
    /// Ask the leading site to hand over.
    Ask {
        /// The leading site.
        to: SiteName,
        /// Its reign.
        generation: Generation,
    },
    /// Answer a site that asked.
    Answer {
        /// The site.
        to: SiteName,
        /// The reign that it spoke of.
        generation: Generation,
        /// The answer.
        reply: HandoverReply,
    },
    /// Number no host write any more, and say what was numbered last.
    Pause,
    /// Go on numbering host writes.
    Resume,
    /// Answer no host any more; note the end durably, then make its record.
    Close(Handover),
}

impl From<ExchangeEffect> for Effect {
    fn from(effect: ExchangeEffect) -> Self {
        Self::Exchange(effect)
    }
}

/// The target's part: it has asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    from: SiteName,
    generation: Generation,
    until: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Until no more is numbered.
    Pausing,
    /// Until all that is waited for hold this durably.
    Draining(UpdateNumber),
    /// Until the target holds the Handover record, which has that number.
    Closing(UpdateNumber),
    /// The target was told.
    Closed,
}

/// The primary's part.
#[derive(Clone, Debug)]
pub(super) struct Handing {
    to: SiteName,
    phase: Phase,
    since: u64,
    /// When it is called off or, once it is closed, when this site looks after the group itself.
    until: u64,
}

impl Handing {
    /// Whether this reign answers no host any more.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closing(_) | Phase::Closed)
    }

    /// The site that is to lead next.
    pub(super) fn to(&self) -> &SiteName {
        &self.to
    }
}

impl Reign {
    /// Takes one event of an exchange.
    pub(super) fn exchange(&mut self, own: &Own, event: Exchange, effects: &mut Vec<Effect>) {
        match event {
            Exchange::Wanted => self.exchange_wanted(own, effects),
            Exchange::Requested(from, generation) => {
                self.handover_requested(own, from, generation, effects);
            }
            Exchange::Answered(from, generation, reply) => {
                self.handover_answered(own, &from, generation, reply, effects);
            }
            Exchange::Paused(last) => {
                if let Some(handing) = self.handing_mut()
                    && handing.phase == Phase::Pausing
                {
                    handing.phase = Phase::Draining(last);
                }
            }
        }
    }

    /// Whatever can be done now about an exchange, at either end.
    pub(super) fn go_on_exchanging(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        self.go_on_asking(own, effects);
        self.go_on_handing(own, effects);
    }

    /// The reign that the newest charter knows of ended by a Handover that this site holds: nobody
    /// uses a lease any more.
    pub(super) fn signed_off(&self, own: &Own, charter: Option<&Charter>) -> bool {
        let ended = own.handover.as_ref().map(|handover| handover.generation);
        ended.is_some() && ended == charter.map(|charter| charter.settled)
    }

    /// Whether the group was handed over to this site, and it was not taken up yet.
    pub(super) fn is_mine_to_take(&self, own: &Own) -> bool {
        let mine = own.handover.as_ref().filter(|handover| {
            handover.to == self.config.site && handover.number <= own.marks.durable
        });
        mine.is_some() && self.signed_off(own, self.charter.as_ref())
    }

    /// Whether the group was handed over to another site, which goes first for a while.
    pub(super) fn goes_second(&self, own: &Own) -> bool {
        let to_other = own.handover.as_ref().is_some_and(|end| end.to != self.config.site);
        let pause = self.config.deposed_pause_us;
        to_other
            && self.signed_off(own, self.charter.as_ref())
            && own.now < self.started_at.saturating_add(pause)
    }

    fn exchange_wanted(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        if self.is_mine_to_take(own) && matches!(self.standing, Standing::Secondary) {
            return self.take_up(own, own.now, effects);
        }
        let asked = self.whom_to_ask(own);
        match asked {
            Ok((to, generation)) => {
                let limit = self.config.handover_limit_us + self.config.deposed_pause_us;
                let until = own.now.saturating_add(limit);
                self.asked = Some(Asked { from: to.clone(), generation, until });
                effects.push(ExchangeEffect::Ask { to, generation }.into());
            }
            Err(why) => effects.push(Effect::TakeoverFailed { why }),
        }
    }

    /// The primary that can hand over to this site.
    pub(super) fn whom_to_ask(&self, own: &Own) -> Result<(SiteName, Generation), Refusal> {
        let site = &self.config.site;
        let refused = |why: String| Err(Refusal { unreachable: false, why });
        let named = self.charter.as_ref().is_some_and(|charter| charter.primary == *site);
        if named || !matches!(self.standing, Standing::Secondary) {
            return refused(format!("site {site} leads already, or is about to; see `status`"));
        }
        if let Some(why) = self.arbiter_away() {
            return Err(Refusal { unreachable: true, why });
        }
        if own.debt_bytes > 0 {
            let debt = own.debt_bytes;
            return refused(format!("site {site} still owes {debt} bytes: let the copy finish"));
        }
        let Some(charter) = self.charter.as_ref().filter(|charter| charter.active) else {
            return refused("no site leads, so there is nobody to exchange roles with".into());
        };
        let primary = &charter.primary;
        if self.peers.get(primary).is_none_or(|peer| !peer.up) {
            let why = format!(
                "site {primary} leads generation {} and cannot be reached from site {site}: bring \
                 the link back, or, if site {primary} is lost, use `trefoil takeover --at {site}`",
                charter.generation
            );
            return Err(Refusal { unreachable: true, why });
        }
        Ok((primary.clone(), charter.generation))
    }

    fn handover_answered(
        &mut self,
        own: &Own,
        from: &SiteName,
        generation: Generation,
        reply: HandoverReply,
        effects: &mut Vec<Effect>,
    ) {
        let current = |asked: &&Asked| asked.from == *from && asked.generation == generation;
        if self.asked.as_ref().filter(current).is_none() {
            return;
        }
        match reply {
            HandoverReply::HandedOver { paused_us } if self.is_mine_to_take(own) => {
                self.take_up(own, own.now.saturating_sub(paused_us), effects);
            }
            // The record is durable here, as the primary heard; it shows in a moment.
            HandoverReply::HandedOver { .. } => {}
            HandoverReply::Refused { why } => {
                self.asked = None;
                let why = Refusal { unreachable: false, why };
                effects.push(Effect::TakeoverFailed { why });
            }
        }
    }

    /// Leads what was handed over, in the ordinary two phases. Hosts wait since `waited_since`.
    fn take_up(&mut self, own: &Own, waited_since: u64, effects: &mut Vec<Effect>) {
        self.asked = None;
        self.stand(own, Cause::Operator(TakeoverOptions::default()), effects);
        if let Standing::Candidate(candidate) = &mut self.standing {
            candidate.hosts_wait_since = Some(waited_since);
        }
    }

    fn go_on_asking(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        let Some(asked) = &self.asked else { return };
        let Asked { from, generation, until } = asked;
        let up = self.peers.get(from).is_some_and(|peer| peer.up);
        let overtaken = self.promised > *generation;
        if up && !overtaken && own.now < *until {
            return;
        }
        if !overtaken && self.is_mine_to_take(own) {
            // Its answer is lost, its end is not.
            return self.take_up(own, own.now, effects);
        }
        let why = match (overtaken, up) {
            (true, _) => format!("generation {} was begun meanwhile; see `status`", self.promised),
            (_, false) => format!(
                "the link to site {from} was lost, which goes on by itself; run the verb again \
                 once it is back"
            ),
            (_, true) => format!("site {from} gave no answer; see `status`, and run it again"),
        };
        self.asked = None;
        let why = Refusal { unreachable: !overtaken, why };
        effects.push(Effect::TakeoverFailed { why });
    }

    /// Whether this site's reign was handed over, and answers no host any more.
    pub(super) fn is_closed(&self) -> bool {
        matches!(&self.standing, Standing::Primary(primary) if primary.is_closed())
    }

    /// The site to which this one hands the group over.
    pub fn hands_to(&self) -> Option<&SiteName> {
        match &self.standing {
            Standing::Primary(primary) if primary.is_closed() => {
                primary.handing.as_ref().map(Handing::to)
            }
            _ => None,
        }
    }

    fn handing_mut(&mut self) -> Option<&mut Handing> {
        match &mut self.standing {
            Standing::Primary(primary) => primary.handing.as_mut(),
            _ => None,
        }
    }

    fn handover_requested(
        &mut self,
        own: &Own,
        from: SiteName,
        generation: Generation,
        effects: &mut Vec<Effect>,
    ) {
        let refusal = self.handover_refusal(own, &from, generation);
        if let Some(why) = refusal {
            let reply = HandoverReply::Refused { why };
            effects.push(ExchangeEffect::Answer { to: from, generation, reply }.into());
            return;
        }
        let until = own.now.saturating_add(self.config.handover_limit_us);
        let Standing::Primary(primary) = &mut self.standing else { return };
        match &mut primary.handing {
            Some(handing) if handing.phase == Phase::Closed => {
                let reply = handed_over(own, handing);
                effects.push(ExchangeEffect::Answer { to: from, generation, reply }.into());
            }
            // It is under way, and answered when it is done.
            Some(_) => {}
            None => {
                let (phase, since) = (Phase::Pausing, own.now);
                primary.handing = Some(Handing { to: from, phase, since, until });
                effects.push(ExchangeEffect::Pause.into());
            }
        }
    }

    /// Why the group is not handed over to `to`, with figures.
    pub(super) fn handover_refusal(
        &self,
        own: &Own,
        to: &SiteName,
        generation: Generation,
    ) -> Option<String> {
        let site = &self.config.site;
        let Standing::Primary(primary) = &self.standing else {
            return Some(format!("site {site} does not lead any more; see `status`"));
        };
        if primary.generation != generation || !primary.is_active() {
            let leads = primary.generation;
            return Some(format!("site {site} leads generation {leads}, not {generation} now"));
        }
        if !self.counts(to) {
            return Some(format!(
                "site {to} began with nothing, or was set back, and its word does not count yet: \
                 site {site} vouches for it within its lease of {} ms; run it again then",
                self.config.lease_us / 1000
            ));
        }
        if let Some(handing) = &primary.handing {
            let busy = || format!("an exchange of roles with site {} is under way", handing.to);
            return (handing.to != *to).then(busy);
        }
        if let Some(why) = self.arbiter_away() {
            return Some(why);
        }
        if self.suspended.contains(to) {
            return Some(format!(
                "the leg from site {site} to site {to} is suspended: `trefoil pair resume --site \
                 {site} --to {to}` first"
            ));
        }
        let report = primary.report(to);
        let lacks = own.newest.number.since(report.marks.received);
        let sync = self.config.modes.get(to) == Some(&LegMode::Sync);
        let named = self.charter.as_ref().is_some_and(|charter| charter.member(to).is_some());
        let ready = report.connected
            && report.debt_bytes == 0
            && lacks <= self.config.join_updates_max
            && (named || !sync || self.config.fence == Fence::Never);
        (!ready).then(|| {
            let how = if report.connected { "" } else { " and does not follow now" };
            format!(
                "site {to} is not in sync with site {site}: it lacks {lacks} of {} updates, owes \
                 {} bytes of a copy{how}; `trefoil wait --at {to} --update latest`, then run it \
                 again",
                own.newest.number, report.debt_bytes
            )
        })
    }

    fn go_on_handing(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        let Standing::Primary(primary) = &self.standing else { return };
        let Some(handing) = &primary.handing else { return };
        let late = own.now >= handing.until;
        let report = primary.report(&handing.to);
        let there = |number| report.marks.durable >= number && own.marks.durable >= number;
        match handing.phase {
            Phase::Pausing | Phase::Draining(_) if !report.connected => {
                let why = format!("the session of site {} ended", handing.to);
                self.call_off(&why, effects);
            }
            Phase::Draining(last) if there(last) && primary.all_hold(last) => {
                self.close(own, last, effects);
            }
            Phase::Pausing | Phase::Draining(_) if late => {
                let seconds = self.config.handover_limit_us / 1_000_000;
                let (newest, durable) = (own.newest.number, report.marks.durable);
                let why = format!(
                    "after {seconds} s site {} holds {durable} of {newest} updates durably",
                    handing.to
                );
                self.call_off(&why, effects);
            }
            Phase::Closing(number) if there(number) => self.tell_closed(own, effects),
            Phase::Closing(_) | Phase::Closed if late => {
                let why = format!(
                    "site {} did not begin to lead: site {} goes on in a generation of its own",
                    handing.to, self.config.site
                );
                self.stand_down(own, effects);
                self.trouble = Some(why);
                self.stand_not_before = own.now;
            }
            _ => {}
        }
    }

    /// The host goes on in this reign.
    fn call_off(&mut self, why: &str, effects: &mut Vec<Effect>) {
        let Standing::Primary(primary) = &mut self.standing else { return };
        let Some(handing) = primary.handing.take() else { return };
        let (to, generation) = (handing.to, primary.generation);
        let why = format!("called off, site {} goes on: {why}", self.config.site);
        let reply = HandoverReply::Refused { why };
        effects.push(ExchangeEffect::Resume.into());
        effects.push(ExchangeEffect::Answer { to, generation, reply }.into());
    }

    /// Ends the reign: `last` is held by everyone that was waited for.
    fn close(&mut self, own: &Own, last: UpdateNumber, effects: &mut Vec<Effect>) {
        let until = own.now.saturating_add(self.config.deposed_pause_us);
        let Standing::Primary(primary) = &mut self.standing else { return };
        let generation = primary.generation;
        let Some(handing) = &mut primary.handing else { return };
        let number = last.next();
        handing.phase = Phase::Closing(number);
        handing.until = until;
        let end = Handover { generation, number, to: handing.to.clone() };
        effects.push(ExchangeEffect::Close(end).into());
        self.lease = super::Lease::default();
    }

    fn tell_closed(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        let Standing::Primary(primary) = &mut self.standing else { return };
        let generation = primary.generation;
        let Some(handing) = &mut primary.handing else { return };
        handing.phase = Phase::Closed;
        let (to, reply) = (handing.to.clone(), handed_over(own, handing));
        effects.push(ExchangeEffect::Answer { to, generation, reply }.into());
    }
}

fn handed_over(own: &Own, handing: &Handing) -> HandoverReply {
    HandoverReply::HandedOver { paused_us: own.now.saturating_sub(handing.since) }
}
