//! Two sites: one serves, the other mirrors it, or follows by journal.

use super::Topology;
use crate::model::{LegMode, SiteName};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// Two sites. There is no third to say which of them is cut off, so the charter's primary alone
/// decides, and the other leads without its word only by the operator's: that the old primary is
/// fenced, and that what it may have answered alone is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwoSite {
    primary: SiteName,
    other: SiteName,
    mode: LegMode,
}

impl TwoSite {
    /// The layout; `mode` is that of the leg, in both directions.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if both are the same site.
    pub fn new(primary: SiteName, other: SiteName, mode: LegMode) -> Result<Self> {
        if primary == other {
            return Err(Error::invalid(format!(
                "lay out two sites: {primary} cannot follow itself, name another site"
            )));
        }
        Ok(Self { primary, other, mode })
    }
}

impl Topology for TwoSite {
    fn sites(&self) -> Vec<SiteName> {
        vec![self.primary.clone(), self.other.clone()]
    }

    fn home(&self) -> SiteName {
        self.primary.clone()
    }

    fn legs(&self, primary: &SiteName) -> BTreeMap<SiteName, LegMode> {
        let others = self.sites().into_iter().filter(|site| site != primary);
        others.map(|site| (site, self.mode)).collect()
    }

    fn describe(&self) -> String {
        let line = if self.mode == LegMode::Sync { "═" } else { "─" };
        format!("{} {line} {} ({})", self.primary, self.other, self.mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leg_has_its_mode_whoever_leads() {
        let site = |name| SiteName::new(name).unwrap();
        for mode in [LegMode::Sync, LegMode::Async] {
            let layout = TwoSite::new(site("a"), site("b"), mode).unwrap();
            assert_eq!(layout.legs(&site("a")), BTreeMap::from([(site("b"), mode)]));
            assert_eq!(layout.legs(&site("b")), BTreeMap::from([(site("a"), mode)]));
        }
        assert!(TwoSite::new(site("a"), site("a"), LegMode::Sync).is_err());
    }
}
