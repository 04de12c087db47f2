//! What travels over the control socket: requests, answers and problems, as JSON.
//!
//! The answers are versioned by their `schema`; within a version fields are only added. Units are
//! in the names: `_us` microseconds, `_ms` milliseconds, `_bytes` bytes, `…_us` of a moment counts
//! from 1970 by the clock of the site that speaks.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use trefoil_core::engine::headroom::{FullForecast, Headroom};
use trefoil_core::engine::readiness::Forecast;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{
    Extent, GroupName, Incarnation, MachineName, Position, SiteName, UpdateNumber, VolumeName,
    VolumeSpec,
};
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind};
use trefoil_site::status::{FollowStatus, JournalView};
use trefoil_site::{Certificate, GroupStatus, VerbPlan};

/// The schema of [`StatusDocument`].
pub const STATUS_SCHEMA: &str = "trefoil.status/1";
/// The schema of [`RejoinDocument`].
pub const REJOIN_SCHEMA: &str = "trefoil.rejoin/1";
/// The schema of [`TakeoverDocument`].
pub const TAKEOVER_SCHEMA: &str = "trefoil.takeover/1";
/// The schema of [`SwapDocument`].
pub const SWAP_SCHEMA: &str = "trefoil.swap/1";
/// The schema of [`PairDocument`].
pub const PAIR_SCHEMA: &str = "trefoil.pair/1";
/// The schema of [`ReplaceDocument`].
pub const REPLACE_SCHEMA: &str = "trefoil.replace/1";
/// The schema of [`WaitDocument`].
pub const WAIT_SCHEMA: &str = "trefoil.wait/1";
/// The schema of [`ExportDocument`].
pub const EXPORT_SCHEMA: &str = "trefoil.export/1";

/// The schema of [`PlanDocument`].
pub const PLAN_SCHEMA: &str = "trefoil.plan/1";
/// The schema of [`LossDocument`].
pub const LOSS_SCHEMA: &str = "trefoil.loss/1";
/// The schema of [`VolumesDocument`].
pub const VOLUMES_SCHEMA: &str = "trefoil.volumes/1";
/// The schema of [`JournalDocument`].
pub const JOURNAL_SCHEMA: &str = "trefoil.journal/1";

/// The schema of [`ReloadDocument`].
pub const RELOAD_SCHEMA: &str = "trefoil.reload/1";

/// The answer to `POST /v1/actions/reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadDocument {
    /// [`RELOAD_SCHEMA`].
    pub schema: String,
    /// The site that read its configuration again.
    pub site: SiteName,
    /// What it took over.
    pub live: Vec<String>,
    /// What it uses from its next start on.
    pub restart: Vec<String>,
}

/// `GET /v1/status`: everything that a site knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusDocument {
    /// [`STATUS_SCHEMA`].
    pub schema: String,
    /// The version of the daemon.
    pub version: String,
    /// The site that speaks.
    pub site: SiteName,
    /// Which of its machines; `None` where it has one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineName>,
    /// Its process.
    pub pid: u32,
    /// When this was put together, RFC 3339, UTC.
    pub as_of: String,
    /// What it serves over NBD.
    pub exports: Vec<ExportUri>,
    /// What weakens its protection, in plain words; empty when nothing does.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Its groups.
    pub groups: Vec<GroupDocument>,
}

/// A group in a [`StatusDocument`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupDocument {
    /// The state as the site sees it.
    #[serde(flatten)]
    pub status: GroupStatus,
    /// The configured objective for the age of the recovery point, in seconds.
    pub recovery_point_objective_seconds: Option<f64>,
    /// How old the recovery point is, in seconds, by this site's clock; `None` before the first.
    pub recovery_point_age_seconds: Option<f64>,
}

/// Where one volume is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportUri {
    /// The group.
    pub group: GroupName,
    /// The volume.
    pub volume: VolumeName,
    /// The name of the export.
    pub export: String,
    /// What NBD clients take: `nbd://127.0.0.1:10809/orders/db0`.
    pub uri: String,
}

/// `POST /v1/groups/{group}/actions/takeover`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakeoverRequest {
    /// Consent to the loss that cannot be ruled out.
    #[serde(default)]
    pub accept_loss: bool,
    /// The operator states that the old primary cannot answer hosts any more.
    #[serde(default)]
    pub primary_is_fenced: bool,
}

/// The answer to a [`TakeoverRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TakeoverDocument {
    /// [`TAKEOVER_SCHEMA`].
    pub schema: String,
    /// The group.
    pub group: GroupName,
    /// The proof.
    pub certificate: Certificate,
    /// Where the host finds the volumes now.
    pub exports: Vec<ExportUri>,
}

/// The answer to `POST /v1/groups/{group}/actions/swap`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SwapDocument {
    /// [`SWAP_SCHEMA`].
    pub schema: String,
    /// The group.
    pub group: GroupName,
    /// The site that leads now.
    pub site: SiteName,
    /// The proof that nothing is lost; `None` if the site led already.
    pub certificate: Option<Certificate>,
    /// Where the host finds the volumes now.
    pub exports: Vec<ExportUri>,
}

/// The answer to `POST /v1/groups/{group}/actions/rejoin`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RejoinDocument {
    /// [`REJOIN_SCHEMA`].
    pub schema: String,
    /// The group.
    pub group: GroupName,
    /// The site that came back.
    pub site: SiteName,
    /// How it follows now, and where it set its own updates aside.
    pub follows: FollowStatus,
}

/// `POST /v1/groups/{group}/actions/suspend` and `…/resume`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairRequest {
    /// The site at the other end of the leg.
    pub to: SiteName,
}

/// The answer to a [`PairRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairDocument {
    /// [`PAIR_SCHEMA`].
    pub schema: String,
    /// The group.
    pub group: GroupName,
    /// The site that the leg begins at.
    pub site: SiteName,
    /// The site at its other end.
    pub to: SiteName,
    /// Whether it is suspended by the operator now.
    pub suspended: bool,
}

/// `POST /v1/groups/{group}/actions/replace`, at the site that leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaceRequest {
    /// The site whose machine is gone for good.
    pub site: SiteName,
    /// What only that site has may be lost.
    #[serde(default)]
    pub accept_loss: bool,
}

/// The answer to a [`ReplaceRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaceDocument {
    /// [`REPLACE_SCHEMA`].
    pub schema: String,
    /// The group.
    pub group: GroupName,
    /// The site that leads.
    pub site: SiteName,
    /// The site that was replaced.
    pub replaced: SiteName,
    /// What the one that never comes back was born as.
    pub born: Incarnation,
    /// Where that one was last.
    pub last: Position,
    /// How many updates it lacked then.
    pub lacked: u64,
}

/// The answer to `GET /v1/groups/{group}/plans/{verb}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanDocument {
    /// [`PLAN_SCHEMA`].
    pub schema: String,
    /// What the verb would do.
    #[serde(flatten)]
    pub plan: VerbPlan,
}

/// `GET /v1/groups/{group}/plans/loss`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossQuery {
    /// The sites that would be lost, with commas between; all single and double losses if not said.
    pub of: Option<String>,
}

/// The answer to a [`LossQuery`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossDocument {
    /// [`LOSS_SCHEMA`].
    pub schema: String,
    /// The group.
    pub group: GroupName,
    /// The site that speaks, by what it knows.
    pub site: SiteName,
    /// What would happen.
    pub forecasts: Vec<Forecast>,
}

/// `GET /v1/groups/{group}/journal`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalQuery {
    /// The first record to list; the newest ones if not said.
    pub from: Option<u64>,
    /// How many records to list.
    #[serde(default)]
    pub limit: u64,
}

/// The answer to a [`JournalQuery`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalDocument {
    /// [`JOURNAL_SCHEMA`].
    pub schema: String,
    /// The group.
    pub group: GroupName,
    /// The site whose journal it is.
    pub site: SiteName,
    /// What it holds, and for whom.
    #[serde(flatten)]
    pub journal: JournalView,
    /// What happens when it is full.
    pub on_full: OnFull,
    /// How fast it fills, in bytes a second.
    pub bytes_per_second: u64,
    /// When it is full, if the site that lags most stood still.
    pub full: Option<FullForecast>,
    /// How much more may be written before each other site cannot be brought its updates.
    pub headroom: BTreeMap<SiteName, Headroom>,
    /// The records that were asked for.
    pub records: Vec<RecordDocument>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordDocument {
    /// Its place in the history, the chain after it included.
    pub position: Position,
    /// When it was made, by the primary's clock, in microseconds since 1970.
    pub time_us: u64,
    /// What it is.
    pub kind: String,
    /// What it changes, if it changes a volume.
    pub extent: Option<Extent>,
    /// Its encoded bytes.
    pub bytes: u64,
}

impl From<&Record> for RecordDocument {
    fn from(record: &Record) -> Self {
        Self {
            position: record.position(),
            time_us: record.time(),
            kind: format!("{:?}", record.kind()).to_lowercase(),
            extent: record.extent(),
            bytes: record.encoded_bytes() as u64,
        }
    }
}

/// The answer to `POST /v1/groups/{group}/actions/volume`, whose request is a `VolumeChange`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesDocument {
    /// [`VOLUMES_SCHEMA`].
    pub schema: String,
    /// The group.
    pub group: GroupName,
    /// The site that leads.
    pub site: SiteName,
    /// The update that changed the volumes: from there on every site has these.
    pub update: UpdateNumber,
    /// The volumes now.
    pub volumes: Vec<VolumeSpec>,
    /// Where hosts find them.
    pub exports: Vec<ExportUri>,
}

/// `GET /v1/groups/{group}/wait`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    /// The site that is waited for.
    pub at: SiteName,
    /// An update number, or `latest`: the primary's newest when asked.
    pub update: String,
    /// `durable` or `restored`.
    pub point: String,
    /// The most milliseconds to wait.
    pub timeout_ms: u64,
}

/// The answer to a [`WaitQuery`] that came true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitDocument {
    /// [`WAIT_SCHEMA`].
    pub schema: String,
    /// The group.
    pub group: GroupName,
    /// The site that was waited for.
    pub at: SiteName,
    /// The update that is there.
    pub update: UpdateNumber,
    /// `durable` or `restored`.
    pub point: String,
}

/// `POST /v1/groups/{group}/actions/export`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// The directory, absolute, on the daemon's host. Made if it is missing.
    pub dir: PathBuf,
    /// As of which update; the newest restored one if not said.
    pub update: Option<UpdateNumber>,
}

/// The answer to an [`ExportRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportDocument {
    /// [`EXPORT_SCHEMA`].
    pub schema: String,
    /// The group.
    pub group: GroupName,
    /// The site whose images these are.
    pub site: SiteName,
    /// The one position at which all images were taken.
    pub position: Position,
    /// One image per volume.
    pub images: Vec<ImageDocument>,
}

/// One raw image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageDocument {
    /// The volume.
    pub volume: VolumeName,
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// How many of them were written; the others are holes.
    pub data_bytes: u64,
    /// The BLAKE3 hash of the whole image, in hex.
    pub blake3: String,
}

/// An error, as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDocument {
    /// The HTTP status.
    pub status: u16,
    /// What a caller can do about it; one word, stable.
    pub code: String,
    /// What is wrong, for people.
    pub detail: String,
}

/// The words for error kinds, and the HTTP status that each travels with.
const CODES: [(ErrorKind, &str, u16); 9] = [
    (ErrorKind::Invalid, "invalid", 400),
    (ErrorKind::Refused, "refused", 409),
    (ErrorKind::Fenced, "fenced", 409),
    (ErrorKind::Unavailable, "unavailable", 503),
    (ErrorKind::Full, "full", 507),
    (ErrorKind::Timeout, "timeout", 504),
    (ErrorKind::Corrupt, "corrupt", 500),
    (ErrorKind::Io, "io", 500),
    (ErrorKind::Closed, "closed", 503),
];

impl From<&Error> for ProblemDocument {
    fn from(error: &Error) -> Self {
        let found = CODES.iter().find(|(kind, _, _)| *kind == error.kind());
        let (code, status) = found.map_or(("failed", 500), |(_, code, status)| (*code, *status));
        Self { status, code: code.to_owned(), detail: error.to_string() }
    }
}

impl From<ProblemDocument> for Error {
    fn from(problem: ProblemDocument) -> Self {
        let found = CODES.iter().find(|(_, code, _)| *code == problem.code);
        Self::new(found.map_or(ErrorKind::Io, |(kind, _, _)| *kind), problem.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_kind_and_its_words_over_the_socket() {
        for (kind, _, status) in CODES {
            let sent = ProblemDocument::from(&Error::new(kind, "do it: it is wrong"));
            assert_eq!(sent.status, status);
            let text = serde_json::to_string(&sent).unwrap();
            let received = Error::from(serde_json::from_str::<ProblemDocument>(&text).unwrap());
            assert_eq!(received.kind(), kind);
            assert_eq!(received.to_string(), "do it: it is wrong");
        }
    }
}
