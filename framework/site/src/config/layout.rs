//! Which sites a group is held by, and the layout that is made of them.

use super::file::missing;
use super::read::{Report, Spot, meant};
use super::resolve::known_site;
use super::site_config::GroupEntry;
use crate::registry::{Registry, TopologyOptions};
use std::sync::Arc;
use trefoil_core::Result;
use trefoil_core::model::{GroupName, SiteName};
use trefoil_core::topology::Topology;

/// The layout of a group that names none.
const TOPOLOGY: &str = "three_site";

/// What a group's table says of its layout.
pub(super) struct Roles {
    pub(super) topology: Option<Spot<String>>,
    pub(super) primary: Option<Spot<String>>,
    pub(super) sync: Option<Spot<String>>,
    pub(super) r#async: Option<Spot<String>>,
}

/// A layout by its word, and the sites of its roles.
pub(super) struct Layout {
    pub(super) word: String,
    pub(super) sites: TopologyOptions,
}

/// Where a group's table is, and what it may name.
pub(super) struct Around<'a> {
    pub(super) group: &'a GroupName,
    pub(super) path: &'a str,
    pub(super) sites: &'a [SiteName],
    pub(super) registry: &'a Registry,
}

/// Finds the sites, and lets the layout say whether they are the right ones.
pub(super) fn resolve(roles: Roles, around: &Around<'_>, report: &mut Report) -> Option<Layout> {
    let Roles { topology, primary, sync, r#async } = roles;
    let (word, at) = match topology {
        Some(Spot { value, path }) => (value, path),
        None => (TOPOLOGY.to_owned(), format!("{}.topology", around.path)),
    };
    let known = around.registry.topology_words();
    let factory = around.registry.topology_factory(&word);
    if let Err(error) = &factory {
        report.value("unknown_topology", &at, error.to_string(), meant(&word, &known));
    }
    let mut taken: Vec<(&str, SiteName)> = Vec::new();
    let mut whole = true;
    for (role, site) in [("primary", primary), ("sync", sync), ("async", r#async)] {
        let place = format!("{}.{role}", around.path);
        let Some(site) = site else {
            let needed = role == "primary" || factory.is_err() || needs_three(&word);
            if needed && report.is_clean(&place) {
                missing(report, &place, &format!("name the site of this role: {role} = \"a\""));
            }
            whole &= !needed;
            continue;
        };
        let Some(site) = known_site(&site.value, &place, around.sites, report) else {
            whole = false;
            continue;
        };
        if let Some((other, _)) = taken.iter().find(|(_, other)| *other == site) {
            let what = format!("site `{site}` is already {other} of group `{}`", around.group);
            let help = "each role of a group is another site's".to_owned();
            report.value("two_roles", &place, what, Some(help));
            whole = false;
        }
        taken.push((role, site));
    }
    let site = |role| taken.iter().find(|(own, _)| *own == role).map(|(_, site)| site.clone());
    let sites =
        TopologyOptions { primary: site("primary")?, sync: site("sync"), r#async: site("async") };
    if let (true, Ok(factory)) = (whole, factory)
        && let Err(error) = factory(&sites)
    {
        report.value("bad_topology", &at, error.to_string(), None);
    }
    Some(Layout { word, sites })
}

/// Whether the word is one of ours that needs all three roles.
fn needs_three(word: &str) -> bool {
    matches!(word, TOPOLOGY | "cascade")
}

impl GroupEntry {
    /// The layout of the group's sites.
    ///
    /// # Errors
    /// What the layout says of the sites that it is made of.
    pub fn layout(&self, registry: &Registry) -> Result<Arc<dyn Topology>> {
        registry.topology_factory(&self.topology)?(&TopologyOptions {
            primary: self.primary.clone(),
            sync: self.sync.clone(),
            r#async: self.r#async.clone(),
        })
    }

    /// Its sites: primary, sync, async; those that it has.
    pub fn sites(&self) -> Vec<&SiteName> {
        [Some(&self.primary), self.sync.as_ref(), self.r#async.as_ref()]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The role that the file gives to `site`.
    pub fn home_role(&self, site: &SiteName) -> Option<&'static str> {
        let roles = [
            ("primary", Some(&self.primary)),
            ("sync", self.sync.as_ref()),
            ("async", self.r#async.as_ref()),
        ];
        roles.into_iter().find(|(_, name)| *name == Some(site)).map(|(role, _)| role)
    }
}
