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
    /// Everything that was to be fetched since the debt began: what has to be fetched again when
    /// what came so far is of a branch that is left behind.
    pub extents: ExtentSet,
    /// What is not fetched yet, as of the last checkpoint.
    pub missing: ExtentSet,
    /// The highest position as of which a block was copied; [`Position::START`] when none was.
    pub until: Position,
    /// The end of the tail that was dropped for this debt, if one was: up to there the debt covers
    /// whatever the records behind the fork changed (rule R16).
    pub rewound: Option<Position>,
    /// Whether what is missing may be here already, as far as anybody knows: then it is compared
    /// by hashes, and only what differs is fetched.
    pub compare: bool,
    /// The volumes still are, whole, what they were at this position: what comes of the debt, and
    /// every record since, waits beside them until all of it is here. `None`: they are changed in
    /// place, and are consistent only when the debt has ended.
    pub image: Option<Position>,
}

impl Debt {
    /// The debt of a site that fetches `missing` from `source`, and owed nothing before.
    pub fn of(source: SiteName, missing: ExtentSet) -> Self {
        let (extents, until) = (missing.clone(), Position::START);
        Self { source, extents, missing, until, rewound: None, compare: false, image: None }
    }

    /// The same debt with `more` to be fetched as well.
    #[must_use]
    pub fn and(mut self, more: &ExtentSet) -> Self {
        for set in [&mut self.extents, &mut self.missing] {
            set.add_all(more);
            set.bridge(super::RANGES_MAX);
        }
        self
    }
}
