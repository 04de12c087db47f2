//! Who follows whom, and how: pure planners.

mod three_site;

pub use three_site::ThreeSite;

use crate::model::{LegMode, SiteName};
use std::collections::BTreeMap;

/// A layout of sites.
///
/// # To be correct
/// - It is a pure function: the same question has the same answer, always.
/// - Whoever of its sites leads, every other site follows, once, and nobody else does.
/// - Who mirrors whom is a property of the pair: a leg has the same mode in both directions.
///
/// `trefoil_core::conformance::topology` proves these.
pub trait Topology: Send + Sync {
    /// All sites of the group.
    fn sites(&self) -> Vec<SiteName>;

    /// The site that begins the first generation.
    fn home(&self) -> SiteName;

    /// The legs when `primary` leads, and their modes.
    fn legs(&self, primary: &SiteName) -> BTreeMap<SiteName, LegMode>;

    /// The layout in one line, for people.
    fn describe(&self) -> String;
}
