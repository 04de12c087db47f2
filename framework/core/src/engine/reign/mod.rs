//! Who leads: promises, charter, lease, takeover. Rules R5, R7, R8 and R9 as one state machine.
//!
//! ```text
//!            charter names me, or `takeover`
//!  Secondary ───────────────────────────────▶ Candidate: promise ▸ fence ▸ roll forward ▸ verdict
//!      ▲                                          │                          ▸ wait for the lease
//!      │ a newer generation is seen               ▼
//!      └──────────────────────────────────── Primary: mark ▸ carry over ▸ activate ▸ serve
//! ```
//!
//! Events come in one at a time, with the time and the site's own state; effects go out in order.
//! An [`Effect::Save`] is durable before the effect after it is begun: that is what makes a
//! promise a promise.

mod arbiter;
mod asking;
mod automatic;
mod candidate;
mod cause;
mod events;
mod exchange;
mod fence;
mod go_back;
mod leg;
mod novice;
mod operator;
mod pair;
mod primary;
mod proposal;
mod quorum;
mod rehearse;
mod relay;
mod roll_forward;
mod secondary;
mod suspend;

use super::lease::{Grants, Lease};
use crate::model::{Charter, Fence, Generation, Incarnation, LegMode, Member, Role, SiteName};
use crate::wire::{Evidence, SiteView};
use crate::{Error, Result};
use arbiter::External;
use candidate::Candidate;
use primary::Primary;
use std::collections::{BTreeMap, BTreeSet};

pub use arbiter::{ArbiterSeen, Question, Reply};
pub use automatic::StandsBy;
pub use cause::Cause;
pub use events::{Completed, Effect, Event, Own, Refusal};
pub use exchange::{Exchange, ExchangeEffect};
pub use leg::LegReport;
pub use rehearse::{FirstStep, Known, Rehearsed};

/// What is configured.
#[derive(Clone, Debug)]
pub struct ReignConfig {
    /// This site.
    pub site: SiteName,
    /// All sites of the group, this one included.
    pub registered: Vec<SiteName>,
    /// The site that begins generation 1.
    pub home: SiteName,
    /// The mode of each leg when this site leads.
    pub modes: BTreeMap<SiteName, LegMode>,
    /// The fence level.
    pub fence: Fence,
    /// The length of a lease, in microseconds.
    pub lease_us: u64,
    /// How long a candidate waits for promises, in microseconds.
    pub promise_timeout_us: u64,
    /// How long a new primary waits for the members to come along, in microseconds.
    pub carry_grace_us: u64,
    /// How long a member may be silent before it is excluded, in microseconds.
    pub leg_grace_us: u64,
    /// How long a deposed primary waits for the site that deposed it, in microseconds.
    pub deposed_pause_us: u64,
    /// How long host writes may wait for an exchange of roles before it is called off, in
    /// microseconds.
    pub handover_limit_us: u64,
    /// A leg is close enough to be waited for when it lacks at most this many updates.
    pub join_updates_max: u64,
    /// After how long a silence of the primary an in-sync site takes over by itself, in
    /// microseconds; `None`: only an operator starts a takeover.
    pub takeover_delay_us: Option<u64>,
}

impl ReignConfig {
    /// How many of the other sites must agree beside one: two of three in all.
    pub fn others_needed(&self) -> usize {
        self.registered.len() / 2
    }
}

/// What the operator allows with a takeover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakeoverOptions {
    /// Lead even where nothing is proved.
    pub accept_loss: bool,
    /// The old primary cannot answer any more: do not wait for its lease.
    pub primary_is_fenced: bool,
}

/// What is known of another site.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    up: bool,
    view: Option<SiteView>,
    heard_at: u64,
    /// How long it had not heard each other site when it was last heard, in microseconds.
    silent_us: BTreeMap<SiteName, u64>,
}

#[derive(Clone, Debug)]
enum Standing {
    Secondary,
    Candidate(Box<Candidate>),
    Primary(Box<Primary>),
}

/// Who leads, as one site sees it and takes part in it.
#[derive(Clone, Debug)]
pub struct Reign {
    config: ReignConfig,
    incarnation: Incarnation,
    promised: Generation,
    charter: Option<Charter>,
    standing: Standing,
    peers: BTreeMap<SiteName, Peer>,
    grants: Grants,
    lease: Lease,
    following: Option<(SiteName, Generation)>,
    /// No candidacy of its own accord before this.
    stand_not_before: u64,
    /// When this site stands in the place of a silent primary, once all speaks for it.
    takes_over_at: Option<u64>,
    started_at: u64,
    /// This site asked the leading one to hand over.
    asked: Option<exchange::Asked>,
    /// The sites that are not served by the operator's word.
    suspended: BTreeSet<SiteName>,
    /// For each site that may lead: whom this one reads from instead of it.
    relays: BTreeMap<SiteName, SiteName>,
    /// Since when the one of them that counts now lacks the beginning of the reign.
    relay_lacks_since: Option<u64>,
    /// It does for so long that this site reads from the leading one.
    relay_is_late: bool,
    /// The arbiter outside of the sites, if there is one.
    external: Option<External>,
    /// What the operator allowed with the takeover that waits until this site went back.
    going_back: Option<TakeoverOptions>,
    /// Its word counts for nothing yet.
    novice: bool,
    trouble: Option<String>,
}

impl Reign {
    /// The state after a start at `now`, from what was durable.
    pub fn new(
        config: ReignConfig,
        incarnation: Incarnation,
        promised: Generation,
        charter: Option<Charter>,
        now: u64,
    ) -> Self {
        let others = config.registered.iter().filter(|site| **site != config.site);
        let peer = || Peer { heard_at: now, ..Peer::default() };
        let peers = others.map(|site| (site.clone(), peer())).collect();
        let grants = Grants::new(config.lease_us, now, promised.is_none());
        Self {
            config,
            incarnation,
            promised,
            charter,
            standing: Standing::Secondary,
            peers,
            grants,
            lease: Lease::default(),
            following: None,
            stand_not_before: now,
            takes_over_at: None,
            started_at: now,
            asked: None,
            suspended: BTreeSet::new(),
            relays: BTreeMap::new(),
            relay_lacks_since: None,
            relay_is_late: false,
            external: None,
            going_back: None,
            novice: false,
            trouble: None,
        }
    }

    /// What this site does.
    pub fn role(&self) -> Role {
        match &self.standing {
            Standing::Secondary => Role::Secondary,
            Standing::Candidate(_) => Role::Candidate,
            Standing::Primary(_) => Role::Primary,
        }
    }

    /// The generation that this site serves in, once it has begun one.
    pub fn leads(&self) -> Option<Generation> {
        match &self.standing {
            Standing::Primary(primary) => Some(primary.generation),
            _ => None,
        }
    }

    /// Whether this site's charter is active, though a handover may have closed the reign.
    pub fn is_active(&self) -> bool {
        matches!(&self.standing, Standing::Primary(primary) if primary.is_active())
    }

    /// Whether host I/O may be answered, the lease aside.
    pub fn serves(&self) -> bool {
        matches!(&self.standing, Standing::Primary(primary) if primary.serves())
    }

    /// Whether nothing is under way that goes on by time alone, deadlines of seconds aside.
    pub fn is_settled(&self) -> bool {
        match &self.standing {
            Standing::Secondary => self.asked.is_none() && self.takes_over_at.is_none(),
            Standing::Candidate(_) => false,
            Standing::Primary(primary) => primary.serves(),
        }
    }

    /// The newest generation promised.
    pub fn promised(&self) -> Generation {
        self.promised
    }

    /// The newest charter.
    pub fn charter(&self) -> Option<&Charter> {
        self.charter.as_ref()
    }

    /// Until when the lease lets this site answer.
    pub fn lease_until(&self) -> u64 {
        self.lease.until()
    }

    /// What keeps this site from its job, in words.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref().or_else(|| self.arbiter_trouble())
    }

    /// What another site last said of itself.
    pub fn view_of(&self, site: &SiteName) -> Option<&SiteView> {
        self.peers.get(site)?.view.as_ref()
    }

    /// What this site says of itself.
    pub fn view(&self, own: &Own) -> SiteView {
        SiteView {
            incarnation: self.incarnation,
            promised: self.promised,
            charter: self.charter.clone(),
            newest: own.newest,
            marks: own.marks,
            base: own.base,
            debt_bytes: own.debt_bytes,
            image: own.image,
            blank: own.blank,
            novice: self.novice,
        }
    }

    /// What this site tells `candidate` with its promise.
    pub fn evidence(&self, candidate: &SiteName, own: &Own) -> Evidence {
        let left_us = self.grants.left(candidate, self.charter.as_ref(), own.now);
        Evidence {
            view: self.view(own),
            lineage: own.lineage.clone(),
            lease_left_ms: left_us.div_ceil(1000),
        }
    }

    /// Whether `from` may be served as a follower in `generation` now.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](crate::ErrorKind::Fenced) or
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable), in words for the follower.
    pub fn may_serve(
        &mut self,
        from: &SiteName,
        generation: Generation,
        incarnation: Incarnation,
        roll_forward: bool,
    ) -> Result<()> {
        if roll_forward {
            return if generation == self.promised && self.leads().is_none() {
                Ok(())
            } else {
                Err(Error::fenced(format!("the newest promise here is {}", self.promised)))
            };
        }
        let Standing::Primary(primary) = &self.standing else {
            return self.may_relay(from, generation);
        };
        if primary.generation != generation {
            return Err(Error::fenced(format!("site leads generation {}", primary.generation)));
        }
        self.check_suspended(from)?;
        let Standing::Primary(primary) = &mut self.standing else { return Ok(()) };
        primary.may_serve(from, incarnation, self.charter.as_ref())
    }

    /// Takes one event, and says what to do.
    pub fn on(&mut self, own: &Own, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Tick => self.take_over_if_due(own, &mut effects),
            Event::LinkUp(site) => self.link_up(own, site, &mut effects),
            Event::LinkDown(site) => self.link_down(own, &site),
            Event::Heartbeat(site, beat) => self.heartbeat(own, site, *beat, &mut effects),
            Event::PromiseRequest(site, generation) => {
                self.promise_requested(own, site, generation, &mut effects);
            }
            Event::PromiseReply(site, generation, reply) => {
                self.promise_answered(own, site, generation, reply);
            }
            Event::CharterProposal(site, charter) => {
                self.charter_proposed(own, site, charter, &mut effects);
            }
            Event::CharterReply(site, generation, version, reply) => {
                self.charter_answered(own, site, generation, version, reply, &mut effects);
            }
            Event::Takeover(options) => self.takeover(own, options, &mut effects),
            Event::WentBack => self.went_back(own, &mut effects),
            Event::RolledForward(well) => self.rolled_forward(own, well, &mut effects),
            Event::Marked(number) => self.marked(number),
            Event::Leg(site, report) => self.leg(own, site, report),
            Event::SetBack { incarnation, why } => {
                self.set_back(own, incarnation, why, &mut effects);
            }
            Event::Suspended(sites) => self.suspended = sites,
            Event::Relays(relays) => self.relays = relays,
            Event::Exchange(event) => self.exchange(own, event, &mut effects),
            Event::Arbiter(id, reply) => self.arbiter_answered(own, id, reply, &mut effects),
        }
        self.go_on(own, &mut effects);
        effects
    }

    /// Whatever can be done now, in whichever role.
    fn go_on(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        self.stand_if_due(own, effects);
        self.go_on_as_candidate(own, effects);
        self.go_on_as_primary(own, effects);
        self.hold_by_word(own, effects);
        self.go_on_alone(effects);
        self.renew_alone(own, effects);
        self.go_on_exchanging(own, effects);
        self.stop_suspended(effects);
        self.watch_relay(own);
        self.follow_charter(effects);
        self.ask_arbiter(own, effects);
    }

    fn link_up(&mut self, own: &Own, site: SiteName, effects: &mut Vec<Effect>) {
        if let Some(peer) = self.peers.get_mut(&site) {
            peer.up = true;
            peer.heard_at = own.now;
        }
        self.ask_again(&site, effects);
    }

    fn link_down(&mut self, own: &Own, site: &SiteName) {
        if let Some(peer) = self.peers.get_mut(site) {
            peer.up = false;
        }
        if self.following.as_ref().is_some_and(|(source, _)| source == site) {
            // The follower noticed by itself; it is told anew when the link is back.
            self.following = None;
        }
        if let Standing::Primary(primary) = &mut self.standing {
            primary.disconnected(site, own.now);
        }
    }

    fn member(&self) -> Member {
        Member { site: self.config.site.clone(), incarnation: self.incarnation }
    }
}
