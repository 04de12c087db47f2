//! What a record says.

use crate::model::{Generation, Position, SiteName};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What a record says. The number is the format's: it never changes meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum RecordKind {
    /// The payload replaces the extent.
    Write = 1,
    /// The extent reads as zeroes.
    Zero = 2,
    /// Nothing newer than its time: keeps lags true and idle pairs delta-ready.
    Heartbeat = 3,
    /// The first record of a reign; the payload is a [`GenerationMark`].
    Generation = 4,
    /// The last record of a reign whose primary gave the group to another site; the payload is
    /// that site's name. Whoever made it answers no host in that generation any more.
    Handover = 5,
    /// The group's volumes from here on; the payload is all of them, by index.
    Volumes = 6,
}

impl RecordKind {
    /// The kind with this number.
    pub(super) fn parse(value: u16) -> Result<Self> {
        match value {
            1 => Ok(Self::Write),
            2 => Ok(Self::Zero),
            3 => Ok(Self::Heartbeat),
            4 => Ok(Self::Generation),
            5 => Ok(Self::Handover),
            6 => Ok(Self::Volumes),
            _ => Err(Error::corrupt(format!(
                "read record: kind {value} is not known here; a newer version may have written it"
            ))),
        }
    }
}

/// The payload of a [`RecordKind::Generation`] record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationMark {
    /// The reign that begins.
    pub generation: Generation,
    /// The end of the history that it goes on from.
    pub parent: Position,
    /// The site that leads.
    pub primary: SiteName,
}
