//! What of a site's volumes is not yet what its journal says.

use super::{ExtentSet, Position, SiteName};
use serde::{Deserialize, Serialize};

/// The extents of a site's volumes whose content is not what its journal says, because they are
/// to be copied from a source.
///
/// It is durable at the debtor before anything is touched and travels in its `Follow` until it is
/// paid, so that an interrupted resync can never be mistaken for a finished one. It ends only as a
/// whole (rule `debt_until_tag`): when nothing is missing and the journal is durable past `until`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// Where the copies come from.
    pub source: SiteName,
    /// What is not fetched yet, as of the last checkpoint.
    pub missing: ExtentSet,
    /// The highest position as of which a block was copied; [`Position::START`] when none was.
    pub until: Position,
}
