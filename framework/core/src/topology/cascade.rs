//! Three sites in a line: the last one reads from the one in the middle.

use super::{ThreeSite, Topology};
use crate::Result;
use crate::model::{LegMode, SiteName};
use std::collections::BTreeMap;

/// Three sites as in [`ThreeSite`], where what goes between the two ends passes through the middle:
/// the primary sends everything once, and the far site costs it nothing. The middle passes on only
/// what it holds durably, and what the primary said is durable wherever it waits for it.
///
/// Whoever leads, the line stays the same: with the middle leading both ends read from it, with the
/// far end leading the home site is the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cascade {
    roles: ThreeSite,
    line: [SiteName; 3],
}

impl Cascade {
    /// The line from `primary` over `middle`, its mirror, to `far`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if one site has two places.
    pub fn new(primary: SiteName, middle: SiteName, far: SiteName) -> Result<Self> {
        let line = [primary.clone(), middle.clone(), far.clone()];
        Ok(Self { roles: ThreeSite::new(primary, middle, far)?, line })
    }

    fn place(&self, site: &SiteName) -> Option<usize> {
        self.line.iter().position(|other| other == site)
    }
}

impl Topology for Cascade {
    fn sites(&self) -> Vec<SiteName> {
        self.roles.sites()
    }

    fn home(&self) -> SiteName {
        self.roles.home()
    }

    fn legs(&self, primary: &SiteName) -> BTreeMap<SiteName, LegMode> {
        self.roles.legs(primary)
    }

    fn source(&self, primary: &SiteName, site: &SiteName) -> SiteName {
        let ends = self.place(primary).zip(self.place(site));
        match ends {
            Some((one, other)) if one.abs_diff(other) == 2 => self.line[1].clone(),
            _ => primary.clone(),
        }
    }

    fn describe(&self) -> String {
        let [first, middle, far] = &self.line;
        format!("{first} ═ {middle} (sync) ─ {far} (async)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::relays;

    #[test]
    fn only_the_ends_read_from_the_middle_and_only_of_each_other() {
        let site = |name| SiteName::new(name).unwrap();
        let layout = Cascade::new(site("a"), site("b"), site("c")).unwrap();
        assert_eq!(relays(&layout, &site("c")), BTreeMap::from([(site("a"), site("b"))]));
        assert_eq!(relays(&layout, &site("a")), BTreeMap::from([(site("c"), site("b"))]));
        assert_eq!(relays(&layout, &site("b")), BTreeMap::new());
        assert_eq!(layout.source(&site("b"), &site("c")), site("b"));
    }
}
