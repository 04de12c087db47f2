//! What sites say to each other.

use super::compare::CompareBlock;
use crate::model::{
    Changed, Charter, Claim, Debt, Durability, Extent, Generation, GroupName, Incarnation, Lineage,
    Marks, MissedMap, Plan, Position, Replaced, SessionId, SiteName, UpdateNumber, VolumeSpec,
};
use crate::port::Content;
use crate::record::Record;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The first frame on a new link's control lane, from both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The protocol version spoken.
    pub protocol: u16,
    /// The group that the link is for.
    pub group: GroupName,
    /// Who greets.
    pub from: SiteName,
    /// Who is meant.
    pub to: SiteName,
    /// How far the greeter has come, and in which incarnation.
    pub claim: Claim,
    /// The volumes that it has, for people.
    pub volumes: Vec<VolumeSpec>,
    /// Which kind of arbiter keeps the charter, if not the sites: both ask the same, or none does.
    pub arbiter: Option<String>,
    /// Which link this is: drawn at random by who dialled, repeated by who answers.
    pub link: u64,
    /// The link that is up and that this one takes the place of, lane by lane: what was sent on
    /// that one is read to its end first. `None` for a link of its own.
    pub replaces: Option<u64>,
}

/// What a site knows of itself; part of evidence and of heartbeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteView {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The newest generation it promised.
    pub promised: Generation,
    /// The newest charter it has seen.
    pub charter: Option<Charter>,
    /// The end of its history, as appended.
    pub newest: Position,
    /// How far it has come.
    pub marks: Marks,
    /// The number before the oldest record in its journal.
    pub base: UpdateNumber,
    /// Bytes that its block store still owes; 0 when it is consistent.
    pub debt_bytes: u64,
    /// What its block store still is, whole, while it owes: it can go back to that.
    pub image: Option<Position>,
    /// Whether it has ever held anything of this group.
    pub blank: bool,
    /// Whether it began with nothing, or was set back, and nobody vouched for it since: its word
    /// counts for nothing.
    pub novice: bool,
}

/// The sender's state, sent when idle and with every beat; carries the lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The sender's state.
    pub view: SiteView,
    /// The sender's monotonic clock when it was sent, in microseconds; echoed by the answer.
    pub sent_at: u64,
    /// The receiver's `sent_at` of the newest heartbeat that this one answers; 0 if none.
    pub echo: u64,
    /// Whether the echo also grants the lease that the echoed heartbeat asked for.
    pub grants: bool,
    /// The generation of the lease that is asked for; `None` when the sender does not lead.
    pub lease: Option<Generation>,
    /// Whether the sender leads with a lease that is valid: whoever hears that knows of the newest
    /// reign, whatever was promised before.
    pub vouches: bool,
    /// Highest number that all of the acking set holds (primary only).
    pub commit: UpdateNumber,
    /// Highest number that all of the acking set holds durably (primary only).
    pub horizon: UpdateNumber,
    /// Everything up to here was answered to hosts, as far as the sender knows.
    pub answered: UpdateNumber,
    /// What the sender knows durable on its own history at each other site.
    pub floors: BTreeMap<SiteName, Position>,
    /// The sender's reigns: with them every site can tell what a takeover elsewhere would cost.
    pub lineage: Lineage,
    /// What the sender trimmed that another site lacks.
    pub maps: BTreeMap<SiteName, MapView>,
    /// How long the sender has not heard each other site, in microseconds: two sites must agree
    /// that the primary is silent before one takes over by itself.
    pub silent_us: BTreeMap<SiteName, u64>,
    /// The sites that were replaced for good, as the sender has it durably.
    pub replaced: Replaced,
}

/// How much a site's map of what another one lacks names, without naming it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapView {
    /// The map covers a follower at this number or later.
    pub from: UpdateNumber,
    /// How many bytes may differ; `None`: all of every volume.
    pub bytes: Option<u64>,
}

impl From<&MissedMap> for MapView {
    fn from(map: &MissedMap) -> Self {
        let bytes = match &map.changed {
            Changed::Extents(extents) => Some(extents.bytes()),
            Changed::Everything => None,
        };
        Self { from: map.from, bytes }
    }
}

/// What a site is asked for a plan: it answers as it would decide, and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Would the leading site of that reign hand the group over to the one that asks?
    Handover {
        /// The reign that would end.
        generation: Generation,
    },
    /// How would the leading site serve this follower?
    Follow(Box<Follow>),
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The group would be handed over.
    Willing {
        /// How many updates the site that asks does not hold durably yet.
        lacks: u64,
        /// About how many bytes those are.
        bytes: u64,
    },
    /// The follower would be served so.
    Plan(Box<Plan>),
    /// No.
    Refused {
        /// Why, in words with figures and the next command.
        why: String,
    },
}

/// A follower asks to be judged and served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// The session that begins, drawn by the follower.
    pub session: SessionId,
    /// The generation that the follower obeys: the source must serve in it.
    pub generation: Generation,
    /// Whether the follower is a candidate that rolls forward, not a follower of a primary.
    pub roll_forward: bool,
    /// The follower's incarnation.
    pub incarnation: Incarnation,
    /// Its reigns.
    pub lineage: Lineage,
    /// The end of its history, as appended.
    pub newest: Position,
    /// How far it has come.
    pub marks: Marks,
    /// The number before the oldest record in its journal.
    pub base: UpdateNumber,
    /// What its block store owes.
    pub debt: Option<Debt>,
    /// The earliest number from which its own maps name what the records changed that it trimmed.
    pub maps_from: Option<UpdateNumber>,
    /// Whether its operator chose the source's history over its own tail.
    pub discards_tail: bool,
    /// Whether it never held anything of this group.
    pub blank: bool,
    /// Whether its volumes hold data, of this group or not.
    pub holds: bool,
    /// Bytes it takes before the first [`Progress`].
    pub credit: u64,
}

/// How far a follower has come in a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The session.
    pub session: SessionId,
    /// The follower's marks; its newest record lies on the source's history.
    pub marks: Marks,
    /// The position of `marks.durable`.
    pub durable: Position,
    /// Bytes of debt left.
    pub debt_bytes: u64,
    /// Bytes of records and copies that the follower takes in this session, from its begin.
    pub credit: u64,
}

/// What a site tells a candidate together with its promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its state; frozen, since it refuses all older generations from now on.
    pub view: SiteView,
    /// Its reigns.
    pub lineage: Lineage,
    /// How long a lease that it granted may still be in use, in milliseconds.
    pub lease_left_ms: u64,
}

/// The answer to a promise request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromiseReply {
    /// Promised, durably.
    Promised(Box<Evidence>),
    /// Already promised to a newer or rival generation.
    Refused {
        /// That generation.
        promised: Generation,
    },
}

/// The answer to a charter proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CharterReply {
    /// Recorded, durably.
    Accepted,
    /// Refused: a newer generation was promised or chartered.
    Stale {
        /// The newest generation promised.
        promised: Generation,
        /// The newest charter seen.
        charter: Option<Charter>,
    },
}

/// The answer to a site that asks to lead next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandoverReply {
    /// The reign is over, and the site that asked holds all of it durably.
    HandedOver {
        /// For how long host writes have been waiting when this was sent, in microseconds.
        paused_us: u64,
    },
    /// Not handed over: the reign goes on.
    Refused {
        /// Why, in words with figures.
        why: String,
    },
}

/// Why a source ended a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// The session.
    pub session: SessionId,
    /// In words.
    pub why: String,
    /// Whether following again at once makes sense; else back off.
    pub again: bool,
}

/// Messages on the control lane: small, never behind data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlMessage {
    /// The first message.
    Greeting(Greeting),
    /// The greeting is refused, in words; the link ends.
    Goodbye(String),
    /// The receiver was set back: the sender remembers it further on than it says it is. The link
    /// ends.
    SetBack(Claim),
    /// State, lease, liveness.
    Heartbeat(Box<Heartbeat>),
    /// Asks for a promise of `generation`, and for evidence.
    PromiseRequest {
        /// The generation wanted.
        generation: Generation,
    },
    /// Answers a promise request.
    PromiseReply {
        /// The generation that was asked for.
        generation: Generation,
        /// Promised or refused.
        reply: PromiseReply,
    },
    /// Proposes a charter; two of three sites make it the charter.
    CharterProposal(Charter),
    /// Answers a proposal.
    CharterReply {
        /// The generation of the proposal.
        generation: Generation,
        /// The version of the proposal.
        version: u64,
        /// Accepted or refused.
        reply: CharterReply,
    },
    /// Asks the leading site to hand the group over to the sender.
    HandoverRequest {
        /// The reign that is to end.
        generation: Generation,
    },
    /// Answers a handover request.
    HandoverReply {
        /// The reign that was to end.
        generation: Generation,
        /// Handed over or refused.
        reply: HandoverReply,
    },
    /// Asks to be served.
    Follow(Box<Follow>),
    /// How far the follower has come.
    Progress(Progress),
    /// The follower ends the session.
    Unfollow {
        /// The session.
        session: SessionId,
    },
    /// The source wants everything up to `number` durable soon: a host flush waits.
    SyncTo {
        /// The session.
        session: SessionId,
        /// Up to where.
        number: UpdateNumber,
    },
    /// The follower holds other content in these ranges than the hashes of the source say: it
    /// wants their content.
    Differs {
        /// The session.
        session: SessionId,
        /// The ranges.
        extents: Vec<Extent>,
    },
    /// The source ended the session.
    StreamEnd(StreamEnd),
    /// Asks the primary for its newest position.
    NewestRequest {
        /// Echoed by the reply.
        id: u64,
    },
    /// Answers a newest request.
    NewestReply {
        /// Of the request.
        id: u64,
        /// The newest position; `None` if the site does not lead.
        newest: Option<Position>,
    },
    /// Asks for a part of a plan.
    PlanRequest {
        /// Echoed by the reply.
        id: u64,
        /// What is asked.
        question: Question,
    },
    /// Answers a plan request.
    PlanReply {
        /// Of the request.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// What the part of an arbiter at one site says to the part at another.
    Arbiter(Bytes),
}

/// One copied range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyBlock {
    /// The session.
    pub session: SessionId,
    /// The volume.
    pub volume: crate::model::VolumeId,
    /// Where it starts, in bytes.
    pub offset: u64,
    /// Its content.
    pub content: Content,
    /// The source's newest number when the read began: the follower must not hold a newer one.
    pub low: UpdateNumber,
    /// The source's newest position when the read ended: the copy may show updates up to here.
    pub high: Position,
}

/// Messages on the data lane, in the order of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataMessage {
    /// The source's verdict on a `Follow`, then the stream.
    Plan {
        /// The session.
        session: SessionId,
        /// The plan.
        plan: Box<Plan>,
        /// The source's reigns up to the plan's base.
        lineage: Lineage,
        /// Whether the follower makes everything durable at once.
        durability: Durability,
        /// The volumes at the plan's base.
        volumes: Vec<VolumeSpec>,
    },
    /// Consecutive records.
    Records {
        /// The session.
        session: SessionId,
        /// The records, unchanged.
        records: Vec<Record>,
    },
    /// A copied range.
    Copy(CopyBlock),
    /// A range to compare.
    Compare(CompareBlock),
}
