//! Three sites: one serves, one mirrors synchronously, one follows by journal.

use super::Topology;
use crate::model::{LegMode, SiteName};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// Three sites: `primary` serves the host and copies synchronously to `sync` and asynchronously to
/// `r#async`. Whichever of the first two leads, the other is its mirror; a leg to or from the
/// third is asynchronous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreeSite {
    primary: SiteName,
    sync: SiteName,
    r#async: SiteName,
}

impl ThreeSite {
    /// The layout.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if one site has two roles.
    pub fn new(primary: SiteName, sync: SiteName, r#async: SiteName) -> Result<Self> {
        if primary == sync || sync == r#async || primary == r#async {
            return Err(Error::invalid(format!(
                "lay out three sites: primary {primary}, sync {sync} and async {async} must be \
                 three different sites"
            )));
        }
        Ok(Self { primary, sync, r#async })
    }
}

impl Topology for ThreeSite {
    fn sites(&self) -> Vec<SiteName> {
        vec![self.primary.clone(), self.sync.clone(), self.r#async.clone()]
    }

    fn home(&self) -> SiteName {
        self.primary.clone()
    }

    fn legs(&self, primary: &SiteName) -> BTreeMap<SiteName, LegMode> {
        let mode = |site: &SiteName| {
            if *primary == self.r#async || *site == self.r#async {
                LegMode::Async
            } else {
                LegMode::Sync
            }
        };
        let others = self.sites().into_iter().filter(|site| site != primary);
        others.map(|site| (site.clone(), mode(&site))).collect()
    }

    fn describe(&self) -> String {
        format!(
            "{} ═ {} (sync), {} ─ {} (async)",
            self.primary, self.sync, self.primary, self.r#async
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str) -> SiteName {
        SiteName::new(name).unwrap()
    }

    #[test]
    fn the_mirror_is_sync_whichever_of_the_pair_leads() {
        let layout = ThreeSite::new(site("a"), site("b"), site("c")).unwrap();
        assert_eq!(layout.legs(&site("a"))[&site("b")], LegMode::Sync);
        assert_eq!(layout.legs(&site("a"))[&site("c")], LegMode::Async);
        assert_eq!(layout.legs(&site("b"))[&site("a")], LegMode::Sync);
        assert_eq!(layout.legs(&site("c"))[&site("a")], LegMode::Async);
    }

    #[test]
    fn one_site_has_one_role() {
        assert!(ThreeSite::new(site("a"), site("b"), site("b")).is_err());
    }
}
