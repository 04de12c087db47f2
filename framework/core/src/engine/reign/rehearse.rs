//! A takeover in the mind: the same state machine, answered as the other sites would by what is
//! known of them. Nothing is sent, nothing saved, nothing promised.

use super::TakeoverOptions;
use super::{Completed, Effect, Event, Own, Refusal, Reign, ReignConfig, Standing};
use crate::model::{Generation, Incarnation, Lineage, Marks, Position, SiteName, UpdateNumber};
use crate::wire::{CharterReply, Evidence, MapView, PromiseReply, SiteView};
use std::collections::{BTreeMap, VecDeque};

/// What is known of a site, by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its state.
    pub view: SiteView,
    /// Its reigns.
    pub lineage: Lineage,
    /// What it trimmed that others lack.
    pub maps: BTreeMap<SiteName, MapView>,
}

impl Known {
    /// Of a site that never held anything.
    pub fn blank() -> Self {
        let view = SiteView {
            incarnation: Incarnation::default(),
            promised: Generation::NONE,
            charter: None,
            newest: Position::START,
            marks: Marks::default(),
            base: UpdateNumber::ZERO,
            debt_bytes: 0,
            image: None,
            blank: true,
            novice: true,
        };
        Self { view, lineage: Lineage::new(), maps: BTreeMap::new() }
    }

    /// The state of that site as of `now`, for its own reign.
    pub fn own(&self, now: u64) -> Own {
        let view = &self.view;
        Own {
            now,
            random: 1,
            newest: view.newest,
            lineage: self.lineage.clone(),
            marks: view.marks,
            base: view.base,
            debt_bytes: view.debt_bytes,
            image: view.image,
            blank: view.blank,
            handover: None,
        }
    }

    /// What that site would say with a promise.
    fn evidence(&self) -> Evidence {
        // The lease that it granted is as long as the candidate's own grant is assumed to be.
        Evidence { view: self.view.clone(), lineage: self.lineage.clone(), lease_left_ms: 0 }
    }
}

/// How a takeover would end.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// The completed takeover, or why there would be none.
    pub outcome: Result<Completed, Refusal>,
    /// What would be read from whom first, and up to where.
    pub reads: Vec<(SiteName, UpdateNumber)>,
    /// The site's own state then.
    pub own: Own,
    /// How long promises and leases would be waited for, in microseconds.
    pub waits_us: u64,
}

/// After so many turns a rehearsal has no end.
const TURNS_MAX: u32 = 400;

/// The rehearsed site, and what it waits for.
struct Stage<'a> {
    reign: Reign,
    own: Own,
    others: &'a BTreeMap<SiteName, Known>,
    events: VecDeque<Event>,
    reads: Vec<(SiteName, UpdateNumber)>,
    outcome: Option<Result<Completed, Refusal>>,
}

impl Reign {
    /// The reign of a site that is not this one, by what is known of it and of those that it would
    /// reach: as after a restart, so its leases are waited for in full.
    pub fn imagined(
        config: ReignConfig,
        known: &Known,
        others: &BTreeMap<SiteName, Known>,
        now: u64,
    ) -> Self {
        let view = &known.view;
        let (promised, charter) = (view.promised, view.charter.clone());
        let mut reign = Self::new(config, view.incarnation, promised, charter, now);
        // It was there all the time: nothing that it would do of its own accord is due.
        reign.stand_not_before = u64::MAX;
        for (site, peer) in &mut reign.peers {
            peer.view = others.get(site).map(|other| other.view.clone());
            peer.up = peer.view.is_some();
        }
        reign
    }

    /// How a takeover at this site, which is at `own`, would end if it reached exactly `others`.
    /// This reign stays as it is.
    pub fn rehearse_takeover(
        &self,
        own: &Own,
        others: &BTreeMap<SiteName, Known>,
        options: TakeoverOptions,
    ) -> Rehearsed {
        let mut events = VecDeque::new();
        for (site, peer) in &self.peers {
            if peer.up && !others.contains_key(site) {
                events.push_back(Event::LinkDown(site.clone()));
            }
        }
        events.push_back(Event::Takeover(options));
        let (reign, reads) = (self.clone().without_questions(), Vec::new());
        let mut stage = Stage { reign, own: own.clone(), others, events, reads, outcome: None };
        let outcome = stage.play(self.config.lease_us / 8);
        let waits_us = stage.own.now.saturating_sub(own.now);
        Rehearsed { outcome, reads: stage.reads, own: stage.own, waits_us }
    }
}

/// What the target of an exchange would do first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstStep {
    /// Ask the site that leads that generation.
    Ask(SiteName, Generation),
    /// Take up what was handed over to it before.
    TakeUp,
}

impl Reign {
    /// What this site would do first if its operator wanted an exchange of roles.
    ///
    /// # Errors
    /// Why it would not even ask.
    pub fn rehearse_exchange(&self, own: &Own) -> Result<FirstStep, Refusal> {
        if self.is_mine_to_take(own) && matches!(self.standing, Standing::Secondary) {
            return Ok(FirstStep::TakeUp);
        }
        self.whom_to_ask(own).map(|(site, generation)| FirstStep::Ask(site, generation))
    }

    /// Whether this site would hand the group over to `to`; how many updates that one lacks.
    ///
    /// # Errors
    /// Why not, with figures.
    pub fn rehearse_handover(
        &self,
        own: &Own,
        to: &SiteName,
        generation: Generation,
    ) -> Result<UpdateNumber, String> {
        if let Some(why) = self.handover_refusal(own, to, generation) {
            return Err(why);
        }
        match &self.standing {
            Standing::Primary(primary) => Ok(primary.report(to).marks.durable),
            _ => Ok(own.newest.number),
        }
    }
}

impl Stage<'_> {
    /// Lets the site do what it does until it leads or gives up; time moves by `step_us` whenever
    /// there is nothing else.
    fn play(&mut self, step_us: u64) -> Result<Completed, Refusal> {
        for _ in 0..TURNS_MAX {
            let event = self.events.pop_front().unwrap_or_else(|| {
                self.own.now = self.own.now.saturating_add(step_us.max(1));
                Event::Tick
            });
            for effect in self.reign.on(&self.own, event) {
                self.carry_out(effect);
                if let Some(outcome) = self.outcome.take() {
                    return outcome;
                }
            }
        }
        let trouble = self.reign.trouble().unwrap_or("it would wait without an end");
        Err(Refusal { unreachable: true, why: trouble.to_owned() })
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::AskPromise { to, generation } => {
                let Some(known) = self.others.get(&to) else { return };
                let promised = known.view.promised;
                let reply = match generation.count > promised.count {
                    true => PromiseReply::Promised(Box::new(known.evidence())),
                    false => PromiseReply::Refused { promised },
                };
                self.events.push_back(Event::PromiseReply(to, generation, reply));
            }
            Effect::Propose { to, charter } if self.others.contains_key(&to) => {
                let (generation, version) = charter.rank();
                let accepted = CharterReply::Accepted;
                self.events.push_back(Event::CharterReply(to, generation, version, accepted));
            }
            Effect::AskArbiter { id, question } => {
                let reply = self.reign.imagined_reply(question);
                self.events.push_back(Event::Arbiter(id, reply));
            }
            Effect::GoBack { image, .. } => self.go_back(image),
            Effect::Follow { source, roll_forward: true, .. } => self.roll_forward(source),
            Effect::Lead { .. } => self.outcome = self.completed().map(Ok),
            Effect::TakeoverFailed { why } => self.outcome = Some(Err(why)),
            _ => {}
        }
    }

    /// What was fetched since the image is dropped.
    fn go_back(&mut self, image: Position) {
        self.own.lineage = self.own.lineage.up_to(image.number);
        (self.own.newest, self.own.base) = (image, image.number);
        self.own.marks = Marks::at(image.number);
        (self.own.debt_bytes, self.own.image) = (0, None);
        self.events.push_back(Event::WentBack);
    }

    /// Everything that the source holds is read.
    fn roll_forward(&mut self, source: SiteName) {
        let well = match self.others.get(&source) {
            Some(known) => {
                self.own.newest = known.view.newest;
                self.own.lineage = known.lineage.clone();
                self.own.marks = Marks::at(known.view.newest.number);
                self.own.blank = false;
                self.reads.push((source, known.view.newest.number));
                true
            }
            None => false,
        };
        self.events.push_back(Event::RolledForward(well));
    }

    fn completed(&self) -> Option<Completed> {
        match &self.reign.standing {
            Standing::Primary(primary) => Some(primary.completed().clone()),
            _ => None,
        }
    }
}
