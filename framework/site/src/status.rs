//! What a site shows of a group: one document behind table, JSON and metrics.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use trefoil_core::engine::headroom::{FullForecast, Headroom};
use trefoil_core::engine::judge::Plan;
use trefoil_core::engine::readiness::Forecast;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{
    Charter, Durability, Generation, GroupName, LegMode, LegState, Marks, Position, Role, SiteName,
    UpdateNumber, VolumeName, VolumeSpec,
};
use trefoil_core::port::Security;
use trefoil_core::wire::MapView;

/// The state of one group as one site sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// The group.
    pub group: GroupName,
    /// The site that speaks.
    pub site: SiteName,
    /// When this was put together, in microseconds since 1970 by this site's clock.
    pub as_of_us: u64,
    /// What this site does.
    pub role: Role,
    /// Whether host reads and writes are answered here now.
    pub serving: bool,
    /// The generation that this site obeys.
    pub generation: Generation,
    /// The newest charter seen.
    pub charter: Option<Charter>,
    /// When a host write is answered.
    pub durability: Durability,
    /// The volumes that are open here, by index; one that was removed has no bytes.
    pub volumes: Arc<[VolumeSpec]>,
    /// The volumes that the group has at the end of this site's history, while others are open
    /// here; empty when they are the same.
    #[serde(default)]
    pub volumes_to_come: Vec<VolumeSpec>,
    /// The end of this site's history.
    pub newest: Position,
    /// How far this site has come.
    pub marks: Marks,
    /// The number before the oldest record in the journal.
    pub base: UpdateNumber,
    /// Highest number held by all of the acking set; a secondary repeats what its source said.
    pub commit: UpdateNumber,
    /// Highest number held durably by all of the acking set; ditto.
    pub horizon: UpdateNumber,
    /// When the newest restored record was made, by the primary's clock, in microseconds since
    /// 1970; 0 before the first. What this site could serve is as of then.
    pub recovery_point_us: u64,
    /// Bytes of the journal in use.
    pub journal_used_bytes: u64,
    /// Size of the journal in bytes.
    pub journal_capacity_bytes: u64,
    /// Bytes of updates in memory that the block store does not have yet.
    pub overlay_bytes: u64,
    /// The limit for those.
    pub overlay_bytes_max: u64,
    /// Bytes that the block store owes; 0 when it is consistent.
    pub debt_bytes: u64,
    /// While it owes: the update as of which the volumes still are a consistent image, kept until
    /// all that is owed is here. `None`: they are changed in place.
    pub image: Option<UpdateNumber>,
    /// While it owes and the volumes are changed in place: the update up to which they are not
    /// consistent, as far as is known yet.
    pub inconsistent_until: Option<UpdateNumber>,
    /// The lease on answering the host, in milliseconds; 0 when not leading.
    pub lease_left_ms: u64,
    /// The source that this site follows, and the plan by which it does.
    pub follows: Option<FollowStatus>,
    /// The other sites, by name.
    pub legs: BTreeMap<SiteName, LegStatus>,
    /// What stops this site from doing its job, in words, with the remedy; `None` when nothing.
    pub trouble: Option<String>,
    /// Whether this site takes over by itself, and why not now, in words.
    #[serde(default)]
    pub automatic_takeover: String,
    /// Whether an async leg that lags may hold the host back when the journal is full.
    #[serde(default)]
    pub on_full: OnFull,
    /// How fast the journal fills, in bytes a second, averaged over some ten seconds.
    #[serde(default)]
    pub journal_bytes_per_second: u64,
    /// Bytes of the journal that some other site lacks still: the rest is kept so that later
    /// resyncs are deltas.
    #[serde(default)]
    pub journal_kept_bytes: u64,
    /// When the oldest record in the journal was made, by the primary's clock, in microseconds
    /// since 1970; 0 while that is not known.
    #[serde(default)]
    pub journal_oldest_us: u64,
    /// When the journal is full, if the site that lags most stood still; `None` when none lags.
    #[serde(default)]
    pub journal_full: Option<FullForecast>,
    /// What would happen for every single loss, by what this site knows.
    #[serde(default)]
    pub forecasts: Arc<[Forecast]>,
    /// The arbiter that keeps the charter; `None` where the sites decide among themselves.
    #[serde(default)]
    pub arbiter: Option<ArbiterStatus>,
    /// Totals since the site was started.
    pub totals: Totals,
}

/// What a site sees of the arbiter that keeps the charter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArbiterStatus {
    /// What it is: `etcd http://10.0.0.9:2379`.
    pub arbiter: String,
    /// Whether it answered the newest question.
    pub reachable: bool,
    /// When it answered last, in microseconds since 1970 by this site's clock; 0: never since the
    /// site was started.
    pub last_answer_us: u64,
    /// Why it does not answer now.
    pub away: Option<String>,
    /// How often the charter was changed there; 0 while that is not known.
    pub version: u64,
}

/// How this site follows its source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FollowStatus {
    /// The source.
    pub source: SiteName,
    /// The state of the session.
    pub state: LegState,
    /// The plan of the newest session.
    pub plan: Option<Plan>,
    /// What was fetched by that plan so far.
    pub fetched: Fetched,
    /// Where updates are kept that this site dropped last, because the history went on without
    /// them; `None` when it dropped none since it was started.
    #[serde(default)]
    pub set_aside: Option<String>,
}

/// What a follower fetched in one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// Records made before the plan's target, that one included.
    pub delta_updates: u64,
    /// Their encoded bytes.
    pub delta_bytes: u64,
    /// Records made before the source's own reign began: after a takeover, exactly what this site
    /// lacked at the fence.
    #[serde(default)]
    pub inherited_updates: u64,
    /// Their encoded bytes.
    #[serde(default)]
    pub inherited_bytes: u64,
    /// Bytes of blocks copied: only what travelled.
    pub copied_bytes: u64,
    /// Bytes of blocks of which only hashes travelled at first; what differed was copied, too.
    #[serde(default)]
    pub compared_bytes: u64,
}

/// What this site knows of another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LegStatus {
    /// How the leg would be run from here.
    pub mode: LegMode,
    /// The follower that this leg reads from instead of this site, where the layout says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<SiteName>,
    /// The state of the leg as this site sees it; meaningful at the source.
    pub state: LegState,
    /// Whether the link is up.
    pub link_up: bool,
    /// By which transport: the one in use, or the one that is dialled.
    pub transport: String,
    /// How far the link can be trusted.
    #[serde(default)]
    pub security: LinkSecurity,
    /// The way that the configuration asks for, while the link is up by another one.
    #[serde(default)]
    pub way_wanted: Option<String>,
    /// Why the link does not go that way yet.
    #[serde(default)]
    pub way_refused: Option<String>,
    /// The newest measured round trip in microseconds; 0 before the first.
    pub rtt_us: u64,
    /// When the other site was last heard, microseconds since 1970 by this site's clock.
    pub last_heard_us: u64,
    /// How far the other site has come, as last heard.
    pub marks: Marks,
    /// The generation of its newest record.
    pub generation: Generation,
    /// The generation that it promised.
    pub promised: Generation,
    /// Bytes that it owes.
    pub debt_bytes: u64,
    /// Whether it is in the acking set.
    pub acking: bool,
    /// Updates committed here and not restored there.
    pub lag_updates: u64,
    /// Encoded bytes of those, where the journal can tell.
    pub lag_bytes: u64,
    /// Age of the oldest of those by this site's clock, in microseconds; 0 when there is none.
    pub lag_us: u64,
    /// Bytes sent to it on data lanes, before they were packed.
    #[serde(default)]
    pub payload_bytes: u64,
    /// Bytes of the frames that carried them.
    #[serde(default)]
    pub wire_bytes: u64,
    /// Whether this site's journal still holds every update that the other lacks.
    pub delta_possible: bool,
    /// How much more may be written here before it does not any more, the other site standing
    /// still.
    #[serde(default)]
    pub headroom: Headroom,
}

/// What a site's journal holds, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalView {
    /// The point right before the oldest record.
    pub base: Position,
    /// The end of the history, as appended.
    pub newest: Position,
    /// How far the site has come.
    pub marks: Marks,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Size in bytes.
    pub capacity_bytes: u64,
    /// When the oldest record was made, by the primary's clock, in microseconds since 1970; 0 while
    /// that is not known.
    pub oldest_us: u64,
    /// The last durable position that each other site is known to have on this history: what comes
    /// after it is kept for that site.
    pub floors: BTreeMap<SiteName, Position>,
    /// What was let go that a site lacked: only that is copied to it, not everything.
    pub maps: BTreeMap<SiteName, MapView>,
}

/// How far the link to another site can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkSecurity {
    /// There is no link now.
    #[default]
    None,
    /// Frames do not leave the process.
    Inside,
    /// Neither encrypted nor authenticated.
    Plain,
    /// Encrypted, and the other site has proven who it is.
    Proven,
}

impl From<&Security> for LinkSecurity {
    fn from(security: &Security) -> Self {
        match security {
            Security::Inside => Self::Inside,
            Security::Plain => Self::Plain,
            Security::Proven(_) => Self::Proven,
        }
    }
}

/// Totals since the site was started. Monotone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Host writes answered.
    pub writes: u64,
    /// Bytes of those.
    pub write_bytes: u64,
    /// Host reads answered.
    pub reads: u64,
    /// Bytes of those.
    pub read_bytes: u64,
    /// Host flushes answered.
    pub flushes: u64,
    /// Host requests answered with an error.
    pub errors: u64,
    /// Records appended to the journal here.
    pub appended_updates: u64,
    /// Bytes of those.
    pub appended_bytes: u64,
    /// Syncs of the journal.
    pub journal_syncs: u64,
    /// Updates applied to the block store.
    pub restored_updates: u64,
    /// Batches in which they were applied.
    pub restored_batches: u64,
    /// Updates of those of which nothing was written, since later ones of their batch cover them.
    #[serde(default)]
    pub coalesced_updates: u64,
    /// Bytes of the journal let go.
    pub trimmed_bytes: u64,
    /// Records sent to followers.
    pub shipped_updates: u64,
    /// Bytes of those.
    pub shipped_bytes: u64,
    /// Bytes of blocks copied to followers.
    pub copied_bytes: u64,
    /// Bytes of blocks of which hashes were sent to followers.
    #[serde(default)]
    pub compared_bytes: u64,
    /// Links re-established.
    pub reconnects: u64,
    /// Messages refused because their generation or session was old.
    pub stale_refused: u64,
    /// Takeovers completed here that an operator started.
    pub takeovers: u64,
    /// Takeovers completed here that nobody started.
    #[serde(default)]
    pub automatic_takeovers: u64,
}

/// Proof of a completed takeover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The reign that began.
    pub generation: Generation,
    /// The site that leads.
    pub primary: SiteName,
    /// Where its history stood when it began, before its own Generation record.
    pub newest: Position,
    /// What is known of losses.
    pub verdict: trefoil_core::engine::takeover::Verdict,
    /// The positions of the sites that promised, at the fence.
    pub evidence: BTreeMap<SiteName, Position>,
    /// From the verb (or the end of the old lease, if later) to the first moment a host write can
    /// be answered, in microseconds.
    pub took_us: u64,
    /// The whole time from the verb on, the wait for the old lease included, in microseconds.
    pub total_us: u64,
    /// After a planned exchange of roles: how long host writes waited, from the pause at the old
    /// primary to the first moment at which they can be answered here, in microseconds.
    #[serde(default)]
    pub hosts_waited_us: Option<u64>,
    /// Host writes that are kept, and of which nobody knows whether a host was told: it may ask to
    /// write them again. `None` after a planned exchange of roles, where there are none, and where
    /// this site has not heard what was answered since it started.
    #[serde(default)]
    pub in_doubt: Option<InDoubt>,
}

/// At most so many ranges of writes in doubt are listed.
pub const DOUBT_RANGES_MAX: usize = 64;

/// Host writes that may or may not have been answered before a takeover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InDoubt {
    /// Up to here hosts were told what became of their writes, as far as this site has heard. (That
    /// may be an error, where a write was given up; then the host knows that it is in doubt.)
    pub after: UpdateNumber,
    /// The newest of them may be this one.
    pub up_to: UpdateNumber,
    /// How many writes.
    pub writes: u64,
    /// How many bytes they change, each counted once.
    pub bytes: u64,
    /// What they change, in order of volume and place: the first ranges.
    pub ranges: Vec<DoubtRange>,
    /// How many ranges more there are.
    pub more_ranges: u64,
}

/// A range of a volume that writes in doubt change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtRange {
    /// The volume.
    pub volume: VolumeName,
    /// Its first byte.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}
