//! Who follows whom, and how: pure planners.

mod cascade;
mod three_site;
mod two_site;

pub use cascade::Cascade;
pub use three_site::ThreeSite;
pub use two_site::TwoSite;

use crate::model::{LegMode, SiteName};
use std::collections::BTreeMap;

/// A layout of sites.
///
/// # To be correct
/// - It is a pure function: the same question has the same answer, always.
/// - Whoever of its sites leads, every other site follows, once, and nobody else does.
/// - Who mirrors whom is a property of the pair: a leg has the same mode in both directions.
/// - Whoever does not read from the primary reads from a site that does; whom the primary may wait
///   for reads from the primary itself.
///
/// `trefoil_core::conformance::topology` proves these.
pub trait Topology: Send + Sync {
    /// All sites of the group.
    fn sites(&self) -> Vec<SiteName>;

    /// The site that begins the first generation.
    fn home(&self) -> SiteName;

    /// The legs when `primary` leads, and their modes.
    fn legs(&self, primary: &SiteName) -> BTreeMap<SiteName, LegMode>;

    /// Whom `site` reads from while `primary` leads and all of them are well: the primary itself,
    /// or another follower, which passes on what it holds. A site whose source cannot be used
    /// reads from the primary meanwhile, where it can reach that.
    fn source(&self, primary: &SiteName, site: &SiteName) -> SiteName {
        let _ = site;
        primary.clone()
    }

    /// The layout in one line, for people.
    fn describe(&self) -> String;
}

/// For each site that may lead, whom `site` reads from instead, where that is not the leading site
/// itself.
pub fn relays(topology: &dyn Topology, site: &SiteName) -> BTreeMap<SiteName, SiteName> {
    let others = topology.sites().into_iter().filter(|primary| primary != site);
    let of = |primary: SiteName| {
        let source = topology.source(&primary, site);
        (source != primary && source != *site).then_some((primary, source))
    };
    others.filter_map(of).collect()
}
