//! What the parts of the arbiter say to each other, and what its log holds.

use super::machine::Lease;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{LogId, Vote};
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::time::Duration;
use trefoil_core::model::Charter;
use trefoil_core::port::Recorded;

/// A site, by its place among the group's sites in alphabetic order.
pub(super) type Place = u64;

openraft::declare_raft_types!(
    /// What Raft carries here.
    pub(super) Types:
        D = Command,
        R = Verdict,
        NodeId = Place,
        Node = openraft::EmptyNode,
);

pub(super) type Entry = openraft::Entry<Types>;
pub(super) type Index = LogId<Place>;
pub(super) type Ballot = Vote<Place>;

/// A change, as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Command {
    /// Records a charter if `expected` is the version that is recorded.
    Change { expected: u64, charter: Charter },
    /// Grants a lease to the recorded primary.
    Grant(Lease),
}

/// A charter and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub version: u64,
    pub charter: Charter,
}

impl From<Kept> for Recorded {
    fn from(Kept { version, charter }: Kept) -> Self {
        Self { version, charter }
    }
}

/// What became of a command. It follows from the log alone, so it is the same everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    /// An entry that changes nothing here.
    Nothing,
    /// The charter is recorded, under this version.
    Won(u64),
    /// Another version is recorded.
    Lost(Option<Kept>),
    /// The charter does not rank above what is recorded.
    Refused(String),
    /// Granted for so long.
    Granted(Duration),
    /// The recorded primary is another.
    Fenced(String),
}

/// What a site asks of the arbiter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Call {
    Read,
    Wait,
    Command(Command),
}

/// What it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Recorded(Option<Kept>),
    Waits(Duration),
    Verdict(Verdict),
    /// Nothing was done, and why; another try may do it.
    Undone(String),
    /// Nobody knows whether it was done.
    Unknown(String),
}

/// What a blank part asks the others before it joins in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// The newest ballot it took part in.
    pub ballot: Option<Ballot>,
    /// The end of its log.
    pub last: Option<Index>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    Standing,
    Vote(VoteRequest<Place>),
    Append(AppendEntriesRequest<Types>),
    Snapshot(InstallSnapshotRequest<Types>),
    /// `passed`: it came to the asking site from another one, and is passed on no further.
    Call {
        call: Call,
        passed: bool,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Tell {
    Standing(Standing),
    Vote(VoteResponse<Place>),
    Append(AppendEntriesResponse<Place>),
    Snapshot(InstallSnapshotResponse<Place>),
    Answer(Answer),
    /// It is not answered, and why.
    No(String),
}

/// One message between two sites. An answer bears the number of its question.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    Ask(u64, Ask),
    Tell(u64, Tell),
}

/// Snapshots as Raft hands them around.
pub(super) type SnapshotBytes = Cursor<Vec<u8>>;
