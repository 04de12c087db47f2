//! Which machine of a site has which group, as a checked configuration says.

use super::site_config::{GroupEntry, MachineEntry, SiteConfig, SiteEntry};
use std::collections::BTreeSet;
use trefoil_core::model::{GroupName, SiteName};
use trefoil_core::{Error, Result};

impl SiteConfig {
    /// The machine that this is.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid) where the own site is spread over
    /// several and it was not said which one this is.
    pub fn own(&self) -> Result<&MachineEntry> {
        let site = self.entry(&self.site)?;
        let found = match (&self.machine, site.machines.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (name, all) => all.iter().find(|machine| machine.name == *name),
        };
        found.ok_or_else(|| {
            let known = site.names().join(", ");
            Error::invalid(format!(
                "find machine: site `{}` is spread over {known}; say which one this is",
                self.site
            ))
        })
    }

    /// The entry of `site`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid), with the known sites.
    pub fn entry(&self, site: &SiteName) -> Result<&SiteEntry> {
        self.sites.get(site).ok_or_else(|| {
            let known: Vec<_> = self.sites.keys().map(SiteName::as_str).collect();
            let known = known.join(", ");
            Error::invalid(format!("find site: no site named `{site}`; configured: {known}"))
        })
    }

    /// The machine of `site` that has `group`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid) where there is no such site, or it
    /// has no role in the group.
    pub fn machine_of(&self, site: &SiteName, group: &GroupName) -> Result<&MachineEntry> {
        self.entry(site)?.machine_of(group).ok_or_else(|| {
            Error::invalid(format!("find machine: group `{group}` is not at site `{site}`"))
        })
    }

    /// The groups in which `site` has a role.
    pub fn groups_of(&self, site: &SiteName) -> impl Iterator<Item = (&GroupName, &GroupEntry)> {
        self.groups.iter().filter(move |(_, group)| group.sites().contains(&site))
    }

    /// The groups that the own machine runs; those of the whole site where it was not said which
    /// machine this is.
    pub fn own_groups(&self) -> impl Iterator<Item = (&GroupName, &GroupEntry)> {
        let own = self.own().ok();
        let here = move |name: &GroupName| own.is_none_or(|own| own.groups.contains(name));
        self.groups_of(&self.site).filter(move |(name, _)| here(name))
    }

    /// The sites that share a group with the own machine, in order.
    pub fn peers(&self) -> Vec<SiteName> {
        let all: BTreeSet<_> = self.own_groups().flat_map(|(_, group)| group.sites()).collect();
        all.into_iter().filter(|site| **site != self.site).cloned().collect()
    }
}

impl SiteEntry {
    /// The machine that has `group`, if the site has a role in it.
    pub fn machine_of(&self, group: &GroupName) -> Option<&MachineEntry> {
        self.machines.iter().find(|machine| machine.groups.contains(group))
    }

    /// The names of its machines; none where it has one only.
    pub fn names(&self) -> Vec<&str> {
        let names = self.machines.iter().filter_map(|machine| machine.name.as_ref());
        names.map(trefoil_core::model::MachineName::as_str).collect()
    }
}

impl MachineEntry {
    /// What it is called in words: `a`, or `a/a1` where `site` is spread.
    pub fn shown(&self, site: &SiteName) -> String {
        match &self.name {
            Some(name) => format!("{site}/{name}"),
            None => site.to_string(),
        }
    }

    /// Where it stands in the configuration: `sites.a`, or `sites.a.machines.a1`.
    pub fn path(&self, site: &SiteName) -> String {
        match &self.name {
            Some(name) => format!("sites.{site}.machines.{name}"),
            None => format!("sites.{site}"),
        }
    }
}
