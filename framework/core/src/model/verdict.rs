//! What is known of losses when a site begins to lead.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is known of losses when a site begins to lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything that was answered to the host is here: proved.
    Zero,
    /// Every site lost its unsynced tail and is back: every flushed write is here.
    Flushed,
    /// Nothing is proved; the facts, in words. Leading so needs consent.
    Unknown(String),
}

impl Verdict {
    /// The verdict of a site that stands on a reign whose own verdict nobody was told of: what was
    /// lost then is lost now, whatever is proved of the time since.
    #[must_use]
    pub fn with_untold(self, untold: &Self) -> Self {
        match (self, untold) {
            (Self::Unknown(facts), Self::Unknown(_)) => {
                Self::Unknown(format!("{facts}; an earlier takeover, which was not told, lost too"))
            }
            (unknown @ Self::Unknown(_), _) => unknown,
            (_, unknown @ Self::Unknown(_)) => unknown.clone(),
            (Self::Zero, Self::Zero) => Self::Zero,
            _ => Self::Flushed,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("ZERO: nothing that was answered is lost"),
            Self::Flushed => f.write_str("FLUSHED: every flushed write is here"),
            Self::Unknown(facts) => write!(f, "UNKNOWN: {facts}"),
        }
    }
}
