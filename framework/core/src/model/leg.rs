//! Roles of a site, and the state of a secondary's relation to its source.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a site does for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Follows the primary, or looks for one.
    Secondary,
    /// Fenced a new generation and is on its way to lead it.
    Candidate,
    /// Leads: numbers updates and answers the host.
    Primary,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Secondary => "secondary",
            Self::Candidate => "candidate",
            Self::Primary => "primary",
        })
    }
}

/// Whether the host's answer waits for a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegMode {
    /// The primary's commit waits for it once it is paired.
    Sync,
    /// The host never waits for it; it reads up to the horizon.
    Async,
}

impl fmt::Display for LegMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sync => "sync",
            Self::Async => "async",
        })
    }
}

/// The state of one secondary's relation to its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// No session yet.
    Connecting,
    /// Blocks are copied; the follower is in debt.
    Copying,
    /// Records are streamed, the follower is not close yet.
    CatchingUp,
    /// The follower keeps up; a sync leg is in the acking set.
    Paired,
    /// Stopped, with the reason.
    Suspended(String),
}

impl fmt::Display for LegState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.pad("connecting"),
            Self::Copying => f.pad("copying"),
            Self::CatchingUp => f.pad("catching up"),
            Self::Paired => f.pad("paired"),
            Self::Suspended(why) => write!(f, "suspended ({why})"),
        }
    }
}
