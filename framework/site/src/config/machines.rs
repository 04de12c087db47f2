//! The machines of each site: which groups each of them runs, where it is, and where it stores.
//!
//! A site on one machine has one without a name, which runs every group of the site. A spread one
//! has a table for each: they are the directory in which every other site looks its groups up.

use super::conflicts;
use super::file::{BackendTable, MachineTable, SiteTable, missing};
use super::read::{Report, Spot, meant};
use super::site_config::{BackendEntry, GroupEntry, MachineEntry, SiteEntry};
use super::words::socket;
use crate::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use trefoil_core::model::{GroupName, MachineName, SiteName};

/// The most machines of one site.
const MACHINES_MAX: usize = 64;
const JOURNAL_CAPACITY: u64 = 1 << 30;
const VOLUMES_ROOT: &str = "/var/lib/trefoil";
const CONTROL_ROOT: &str = "/run/trefoil";

/// What is known of the rest of the file.
pub(super) struct Known<'a> {
    pub(super) registry: &'a Registry,
    pub(super) backends: BTreeMap<String, BackendTable>,
    pub(super) journal_capacity: Option<u64>,
    /// Every group in the file, also those with something wrong in them.
    pub(super) group_names: Vec<GroupName>,
    pub(super) groups: &'a BTreeMap<GroupName, GroupEntry>,
}

/// The sites, each with its machines; those with something wrong in them are left out.
pub(super) fn resolve(
    sites: BTreeMap<SiteName, SiteTable>,
    known: Known<'_>,
    report: &mut Report,
) -> BTreeMap<SiteName, SiteEntry> {
    let mut context = Context { known, report };
    context.unused_kinds();
    let mut entries = BTreeMap::new();
    for (name, SiteTable { own, machines }) in sites {
        let machines = match machines.is_empty() {
            true => context.only(&name, own).into_iter().collect(),
            false => context.spread(&name, own, machines),
        };
        if !machines.is_empty() {
            entries.insert(name, SiteEntry { machines });
        }
    }
    conflicts::check(&entries, context.report);
    entries
}

/// The machine that this is, if it is said and the own site has it.
pub(super) fn own(
    machine: Option<Spot<String>>,
    site: Option<&SiteName>,
    sites: &BTreeMap<SiteName, SiteEntry>,
    report: &mut Report,
) -> Option<MachineName> {
    let Spot { value, path } = machine?;
    let site = site?;
    let entry = sites.get(site)?;
    let named = entry.machines.iter().filter_map(|machine| machine.name.as_ref());
    let found = named.into_iter().find(|name| name.as_str() == value);
    if found.is_none() {
        let known = entry.names();
        let (what, help) = match known.is_empty() {
            true => (
                format!("site `{site}` is on one machine, which has no name; found `{value}`"),
                Some(format!("leave it out, or add [sites.{site}.machines.{value}]")),
            ),
            false => (format!("site `{site}` has no machine `{value}`"), meant(&value, &known)),
        };
        report.value("unknown_machine", &path, what, help);
    }
    found.cloned()
}

struct Context<'a, 'r> {
    known: Known<'a>,
    report: &'r mut Report,
}

impl Context<'_, '_> {
    /// The machine of a site that is not spread.
    fn only(&mut self, site: &SiteName, table: MachineTable) -> Option<MachineEntry> {
        let groups = self.groups_at(site);
        self.machine(site, None, groups, table)
    }

    /// The machines of a spread site.
    fn spread(
        &mut self,
        site: &SiteName,
        common: MachineTable,
        tables: BTreeMap<MachineName, MachineTable>,
    ) -> Vec<MachineEntry> {
        if tables.len() > MACHINES_MAX {
            let what = format!("{} machines, expected at most {MACHINES_MAX}", tables.len());
            self.report.key("too_many", &format!("{}.machines", common.path), what, None);
        }
        self.belongs_to_a_machine(&common);
        let mut owners: BTreeMap<GroupName, MachineName> = BTreeMap::new();
        let mut machines = Vec::new();
        for (name, mut table) in tables {
            let groups = self.claimed(site, &name, &mut table, &mut owners);
            inherit(&name, &mut table, &common);
            machines.extend(self.machine(site, Some(name), groups, table));
        }
        let unowned = self.groups_at(site).into_iter().filter(|name| !owners.contains_key(name));
        for group in unowned.collect::<Vec<_>>() {
            let what = format!("group `{group}` is on no machine of site `{site}`");
            let help = format!("add \"{group}\" to `groups` of one of them");
            self.report.key("no_machine", &format!("{}.machines", common.path), what, Some(help));
        }
        machines
    }

    /// The groups in which `site` has a role.
    fn groups_at(&self, site: &SiteName) -> BTreeSet<GroupName> {
        let groups = self.known.groups.iter();
        let groups = groups.filter(|(_, group)| group.sites().contains(&site));
        groups.map(|(name, _)| name.clone()).collect()
    }

    /// What one machine has for itself cannot be said for all of them.
    fn belongs_to_a_machine(&mut self, common: &MachineTable) {
        let MachineTable {
            path,
            groups: _,
            address,
            listen,
            dir: _,
            volumes_dir,
            journal_dir,
            nbd,
            nbd_insecure: _,
            metrics,
            control,
            backend: _,
            journal_capacity: _,
        } = common;
        let said = [
            ("address", address.is_some()),
            ("listen", listen.is_some()),
            ("volumes_dir", volumes_dir.is_some()),
            ("journal_dir", journal_dir.is_some()),
            ("nbd", nbd.is_some()),
            ("metrics", metrics.is_some()),
            ("control", control.is_some()),
        ];
        for (key, _) in said.into_iter().filter(|(_, said)| *said) {
            let what = "the site is spread over machines: each has its own".to_owned();
            let help = format!("move it to the table of a machine: [{path}.machines.…]");
            self.report.key("of_a_machine", &format!("{path}.{key}"), what, Some(help));
        }
    }

    /// The groups that a machine says it runs: known ones, of its site, and of no other machine.
    fn claimed(
        &mut self,
        site: &SiteName,
        machine: &MachineName,
        table: &mut MachineTable,
        owners: &mut BTreeMap<GroupName, MachineName>,
    ) -> BTreeSet<GroupName> {
        let at = format!("{}.groups", table.path);
        let Some(Spot { value: listed, path }) = table.groups.take() else {
            if self.report.is_clean(&at) {
                missing(self.report, &at, "say which groups it runs: groups = [\"orders\"]");
            }
            return BTreeSet::new();
        };
        if listed.is_empty() {
            let what = "an empty list: the machine would run nothing".to_owned();
            let help = "name its groups, or take the machine out".to_owned();
            self.report.value("bad_value", &path, what, Some(help));
        }
        let mut groups = BTreeSet::new();
        for text in listed {
            let Some(group) = self.group_at(site, &text, &path) else { continue };
            if let Some(other) = owners.insert(group.clone(), machine.clone()) {
                let what = match other == *machine {
                    true => format!("group `{group}` is named twice"),
                    false => format!("group `{group}` is on machine `{other}` too"),
                };
                let help = "a group is on one machine of each site".to_owned();
                self.report.value("two_machines", &path, what, Some(help));
            }
            groups.insert(group);
        }
        groups
    }

    /// The group with this name, if the file has it and the site has a role in it.
    fn group_at(&mut self, site: &SiteName, text: &str, path: &str) -> Option<GroupName> {
        let Known { group_names, groups, .. } = &self.known;
        let Some(name) = group_names.iter().find(|name| name.as_str() == text) else {
            let known: Vec<_> = group_names.iter().map(GroupName::as_str).collect();
            let (what, help) = (format!("no group named `{text}`"), meant(text, &known));
            self.report.value("unknown_group", path, what, help);
            return None;
        };
        if groups.get(name).is_some_and(|group| !group.sites().contains(&site)) {
            let what = format!("site `{site}` has no role in group `{name}`");
            let help = "take it out of the list, or give the site a role".to_owned();
            self.report.value("no_role", path, what, Some(help));
            return None;
        }
        Some(name.clone())
    }

    fn machine(
        &mut self,
        site: &SiteName,
        name: Option<MachineName>,
        groups: BTreeSet<GroupName>,
        table: MachineTable,
    ) -> Option<MachineEntry> {
        let MachineTable {
            path,
            groups: _,
            address,
            listen,
            dir,
            volumes_dir,
            journal_dir,
            nbd,
            nbd_insecure,
            metrics,
            control,
            backend,
            journal_capacity,
        } = table;
        if address.is_none() && self.report.is_clean(&format!("{path}.address")) {
            let help = "say where other sites connect to: address = \"127.0.0.1:7447\"";
            missing(self.report, &format!("{path}.address"), help);
        }
        let backend = self.backend(backend, &path);
        let within = |root: &str| match &name {
            Some(name) => Path::new(root).join(site.as_str()).join(name.as_str()),
            None => Path::new(root).join(site.as_str()),
        };
        let root = dir.map_or_else(|| within(VOLUMES_ROOT), |dir| dir.value);
        let below = |dir: Option<Spot<PathBuf>>, name: &str| {
            dir.map_or_else(|| root.join(name), |dir| dir.value)
        };
        let control = control.map_or_else(
            || socket(within(CONTROL_ROOT).with_extension("sock")).ok(),
            |control| Some(control.value),
        );
        let address = address?.value;
        Some(MachineEntry {
            name,
            groups,
            listen: listen.map_or_else(|| address.clone(), |listen| listen.value),
            address,
            volumes_dir: below(volumes_dir, "volumes"),
            journal_dir: below(journal_dir, "journal"),
            nbd: nbd.map(|nbd| nbd.value),
            nbd_insecure: nbd_insecure.is_some_and(|insecure| insecure.value),
            metrics: metrics.map(|metrics| metrics.value),
            control: control?,
            backend: backend?,
            journal_capacity: journal_capacity
                .or(self.known.journal_capacity)
                .unwrap_or(JOURNAL_CAPACITY),
        })
    }

    /// A named `[backend.…]` table, or a registered word with its defaults.
    fn backend(&mut self, backend: Option<Spot<String>>, table: &str) -> Option<BackendEntry> {
        let Spot { value, path } = backend
            .unwrap_or_else(|| Spot { value: "file".to_owned(), path: format!("{table}.backend") });
        let Known { backends, registry, .. } = &self.known;
        if let Some(BackendTable { path: _, kind, settings }) = backends.get(&value) {
            let word = kind.as_ref()?.value.clone();
            return Some(BackendEntry { word, settings: settings.clone() });
        }
        match registry.backend_factory(&value) {
            Ok(_) => Some(BackendEntry { word: value, settings: BTreeMap::new() }),
            Err(error) => {
                let words = registry.backend_words();
                let tables = backends.keys().map(String::as_str);
                let known: Vec<_> = tables.chain(words).collect();
                let help = meant(&value, &known);
                self.report.value("unknown_backend", &path, error.to_string(), help);
                None
            }
        }
    }

    /// A backend table without a known kind is wrong even where no machine uses it.
    fn unused_kinds(&mut self) {
        let Known { backends, registry, .. } = &self.known;
        let words = registry.backend_words();
        for BackendTable { path, kind, settings: _ } in backends.values() {
            let at = format!("{path}.kind");
            match kind {
                None if self.report.is_clean(&at) => {
                    let help = format!("say how it stores: kind = one of {}", words.join(", "));
                    missing(self.report, &at, &help);
                }
                None => {}
                Some(kind) => {
                    if let Err(error) = registry.backend_factory(&kind.value) {
                        let help = meant(&kind.value, &words);
                        self.report.value("unknown_backend", &at, error.to_string(), help);
                    }
                }
            }
        }
    }
}

/// Fills in what the site's own table says for all of its machines. Each has a directory of its
/// own in the common one, so that two of them may be on one computer.
fn inherit(name: &MachineName, table: &mut MachineTable, common: &MachineTable) {
    if table.dir.is_none() {
        table.dir = common
            .dir
            .clone()
            .map(|Spot { value, path }| Spot { value: value.join(name.as_str()), path });
    }
    if table.nbd_insecure.is_none() {
        table.nbd_insecure.clone_from(&common.nbd_insecure);
    }
    if table.backend.is_none() {
        table.backend.clone_from(&common.backend);
    }
    table.journal_capacity = table.journal_capacity.or(common.journal_capacity);
}
