//! What the reign is told, and what it says is to be done.

use super::arbiter::{Question, Reply};
use super::cause::Cause;
use super::exchange::{Exchange, ExchangeEffect};
use super::{LegReport, TakeoverOptions};
use crate::model::{
    Charter, Generation, Handover, Incarnation, Lineage, Marks, Position, SiteName, UpdateNumber,
    Verdict,
};
use crate::wire::{CharterReply, Heartbeat, PromiseReply};
use std::collections::{BTreeMap, BTreeSet};

/// This site's own state, as of an event.
#[derive(Clone, Debug)]
pub struct Own {
    /// The clock that counts suspended time, in microseconds.
    pub now: u64,
    /// A fresh random number, for the id of a generation.
    pub random: u64,
    /// The end of the history.
    pub newest: Position,
    /// The reigns.
    pub lineage: Lineage,
    /// How far the site has come.
    pub marks: Marks,
    /// The number before the oldest record.
    pub base: UpdateNumber,
    /// Bytes owed.
    pub debt_bytes: u64,
    /// What the volumes still are, whole, while something is owed.
    pub image: Option<Position>,
    /// Whether nothing of the group was ever held here.
    pub blank: bool,
    /// The newest planned end of a reign on this site's history.
    pub handover: Option<Handover>,
}

/// What happens to a site.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time passed.
    Tick,
    /// The link to a site is up.
    LinkUp(SiteName),
    /// The link to a site is down.
    LinkDown(SiteName),
    /// A heartbeat came.
    Heartbeat(SiteName, Box<Heartbeat>),
    /// A candidate asks for a promise.
    PromiseRequest(SiteName, Generation),
    /// A site answers this candidate.
    PromiseReply(SiteName, Generation, PromiseReply),
    /// The leading site, or a candidate, proposes a charter.
    CharterProposal(SiteName, Charter),
    /// A site answers this site's proposal of that generation and version.
    CharterReply(SiteName, Generation, u64, CharterReply),
    /// The operator wants this site to lead.
    Takeover(TakeoverOptions),
    /// The roll-forward ended, well or not.
    RolledForward(bool),
    /// This site is what its image was: it owes nothing any more. Or the image was given up before.
    WentBack,
    /// This reign's Generation record has that number.
    Marked(UpdateNumber),
    /// A leg of this primary changed.
    Leg(SiteName, LegReport),
    /// Another site remembers this one further on than it is: it was set back.
    SetBack {
        /// The incarnation that it goes on in.
        incarnation: Incarnation,
        /// For the operator.
        why: String,
    },
    /// The operator wants exactly these legs of this site suspended; that is durable already.
    Suspended(BTreeSet<SiteName>),
    /// For each site that may lead, whom this one reads from instead of it, from now on.
    Relays(BTreeMap<SiteName, SiteName>),
    /// Roles are exchanged as planned.
    Exchange(Exchange),
    /// The arbiter answers the question of that number, or is not heard.
    Arbiter(u64, Reply),
}

/// What a site does about it, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make the promise and the charter durable; the next effect waits for it.
    Save {
        /// The newest generation promised.
        promised: Generation,
        /// The newest charter.
        charter: Option<Charter>,
    },
    /// Stop taking records, let what was taken settle durably, then send evidence.
    Promise {
        /// The candidate.
        to: SiteName,
        /// What is promised.
        generation: Generation,
    },
    /// Refuse a promise.
    RefusePromise {
        /// The candidate.
        to: SiteName,
        /// What it asked for.
        generation: Generation,
    },
    /// Ask for a promise.
    AskPromise {
        /// The site asked.
        to: SiteName,
        /// The generation wanted.
        generation: Generation,
    },
    /// Propose a charter.
    Propose {
        /// The site asked.
        to: SiteName,
        /// The charter.
        charter: Charter,
    },
    /// Answer a proposal.
    AnswerProposal {
        /// The proposer.
        to: SiteName,
        /// The generation proposed.
        generation: Generation,
        /// The version proposed.
        version: u64,
        /// The answer.
        reply: CharterReply,
    },
    /// Answer a heartbeat, and the lease it asked for.
    AnswerHeartbeat {
        /// Who sent it.
        to: SiteName,
        /// Its time.
        echo: u64,
        /// Whether the lease is granted.
        grants: bool,
    },
    /// This site's word counts from now on: durable before the effect after it is begun.
    Vouched,
    /// This site goes on in another incarnation, and its word counts for nothing: durable, and the
    /// other sites are greeted anew, before the effect after it is begun.
    SetBack {
        /// The incarnation.
        incarnation: Incarnation,
    },
    /// Drop everything after the image that the volumes still are, and the debt; go on as another
    /// incarnation: durable before [`Event::WentBack`].
    GoBack {
        /// The image.
        image: Position,
        /// The incarnation.
        incarnation: Incarnation,
    },
    /// Follow that site in that generation.
    Follow {
        /// The source.
        source: SiteName,
        /// The generation.
        generation: Generation,
        /// Only up to what the source holds: a candidate that rolls forward.
        roll_forward: bool,
    },
    /// Follow nobody.
    Unfollow,
    /// Answer no host; end all legs.
    Depose,
    /// Append the Generation record and let members follow; not yet serving.
    Lead {
        /// The reign.
        generation: Generation,
    },
    /// Wait for that site from now on.
    Join(SiteName),
    /// Do not wait for that site any more.
    Leave(SiteName),
    /// End the session of a leg that the operator suspended.
    StopServing(SiteName),
    /// Answer the host.
    Serve,
    /// Answer no host write, or do again: this site alone holds them (`fence = "data"`).
    Hold(bool),
    /// The lease was renewed until then.
    Lease {
        /// By this site's clock, in microseconds.
        until: u64,
    },
    /// Part of a planned exchange of roles.
    Exchange(ExchangeEffect),
    /// Ask the arbiter; an answer always comes, be it that nobody knows.
    AskArbiter {
        /// The number of the question.
        id: u64,
        /// The question.
        question: Question,
    },
    /// This site leads, with what is proved of losses: after a takeover, the operator's or an
    /// automatic one, or because the charter names it. Whoever can be told is told.
    TookOver(Box<Completed>),
    /// The operator's takeover failed.
    TakeoverFailed {
        /// Why.
        why: Refusal,
    },
}

/// A completed takeover.
#[derive(Clone, Debug, PartialEq)]
pub struct Completed {
    /// The reign.
    pub generation: Generation,
    /// Who wanted it.
    pub cause: Cause,
    /// Whether the operator's consent stood in for a quorum.
    pub without_quorum: bool,
    /// Where the history stood before it.
    pub newest: Position,
    /// What is known of losses.
    pub verdict: Verdict,
    /// What the sites that promised held.
    pub evidence: BTreeMap<SiteName, Position>,
    /// When it was begun, by this site's clock, in microseconds.
    pub begun_at: u64,
    /// When the old lease had run out, or the begin if that is later.
    pub clear_at: u64,
    /// Since when host writes waited for a planned exchange of roles, by this site's clock.
    pub hosts_wait_since: Option<u64>,
}

impl Completed {
    /// Whether it needed the operator's consent.
    pub fn by_consent(&self) -> bool {
        matches!(self.verdict, Verdict::Unknown(_)) && matches!(self.cause, Cause::Operator(_))
    }
}

/// Why a takeover was refused: whether time may help, and the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// True: nobody could be reached. False: a rule says no.
    pub unreachable: bool,
    /// For the operator, with the remedy.
    pub why: String,
}
