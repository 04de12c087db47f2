//! How a follower is brought to its source's history.

use super::{Extent, ExtentSet, Position, UpdateNumber, VolumeId, VolumeSpec};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a plan, from the cheapest to none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// Nothing is lacking.
    InSync,
    /// The records that the follower lacks are streamed.
    Delta,
    /// A tail that the source never had is set aside and dropped; what it changed is owed. Then the
    /// follower asks again.
    Rewind,
    /// The extents of trimmed records are copied, then records streamed.
    Map,
    /// Everything that may differ is compared by hashes, what does differ copied, then records
    /// streamed.
    Compare,
    /// Blocks are copied, then records streamed.
    Copy,
    /// Nothing is done; the operator decides.
    Refuse {
        /// What can be done, each a sentence.
        choices: Vec<String>,
    },
}

impl fmt::Display for PlanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::InSync => "in sync",
            Self::Delta => "delta",
            Self::Rewind => "rewind",
            Self::Map => "map",
            Self::Compare => "compare",
            Self::Copy => "copy",
            Self::Refuse { .. } => "refuse",
        })
    }
}

/// Which blocks of the follower are to be copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanDebt {
    /// None.
    #[default]
    Nothing,
    /// These.
    Extents(ExtentSet),
    /// All of every volume.
    Everything,
}

impl PlanDebt {
    /// Whether the follower is in debt once it executes the plan. A debt without extents is one
    /// too: it waits for its `until`.
    pub fn is_debt(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// The extents that are to be copied, in a group of these volumes.
    pub fn extents(&self, volumes: &[VolumeSpec]) -> ExtentSet {
        match self {
            Self::Nothing => ExtentSet::new(),
            Self::Extents(extents) => extents.clone(),
            Self::Everything => (0..)
                .zip(volumes)
                .map(|(index, volume)| Extent {
                    volume: VolumeId(index),
                    offset: 0,
                    length: volume.size,
                })
                .collect(),
        }
    }
}

/// How a follower is brought to its source's history: truncate to `drop_to`, owe `debt`, stream
/// from right after `base` (a reset of the journal, where `base` is not `drop_to`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The name of the plan.
    pub kind: PlanKind,
    /// The highest number up to which both histories are the same.
    pub fork: UpdateNumber,
    /// The follower keeps its own records up to here.
    pub drop_to: UpdateNumber,
    /// What is to be copied.
    pub debt: PlanDebt,
    /// The stream begins right after this point.
    pub base: Position,
    /// The source's newest update when it judged.
    pub target: UpdateNumber,
    /// How many updates are to be streamed up to `target`.
    pub updates: u64,
    /// About how many bytes are to be sent; `None` when that is not known.
    pub bytes: Option<u64>,
    /// Why this plan, and why no cheaper one.
    pub why: String,
}

impl Plan {
    /// Whether the follower is in debt once it executes the plan: then it must not be one that the
    /// host waits for (rule R6).
    pub fn leaves_debt(&self) -> bool {
        self.debt.is_debt() || self.kind == PlanKind::Rewind
    }
}
