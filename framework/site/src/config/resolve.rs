//! Checks a file for sense, and fills in what it leaves out.

use super::file::{BackendTable, File, GroupTable, LimitsTable, SiteTable, TimingTable, missing};
use super::links;
use super::read::{Report, Spot, meant};
use super::security;
use super::site_config::{
    BackendEntry, GroupEntry, LimitsEntry, SiteConfig, SiteEntry, TimingEntry,
};
use super::words::{host, overlap, show, socket};
use crate::registry::Registry;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use trefoil_core::model::{Fence, GroupName, SiteName, VolumeName, VolumeSpec};

/// The most volumes that a group has.
const VOLUMES_MAX: usize = 256;
/// The most sites and groups in one file.
const TABLES_MAX: usize = 64;
/// The largest volume, in bytes.
const VOLUME_BYTES_MAX: u64 = 1 << 50;
const JOURNAL_CAPACITY: u64 = 1 << 30;
const VOLUMES_ROOT: &str = "/var/lib/trefoil";
const CONTROL_ROOT: &str = "/run/trefoil";

/// The checked configuration; `None` when a problem was reported.
pub(super) fn resolve(file: File, registry: &Registry, report: &mut Report) -> Option<SiteConfig> {
    let File {
        site,
        sites,
        groups,
        backends,
        links,
        journal_capacity,
        on_full,
        limits,
        timing,
        tls,
    } = file;
    let names: Vec<SiteName> = sites.keys().cloned().collect();
    if names.is_empty() {
        missing(report, "sites", "name the sites: [sites.a] with address = \"host:port\"");
    }
    if groups.is_empty() {
        missing(report, "group", "name a group of volumes: [group.orders]");
    }
    for (what, count) in [("sites", names.len()), ("group", groups.len())] {
        if count > TABLES_MAX {
            let text = format!("{count} tables, expected at most {TABLES_MAX}");
            report.key("too_many", what, text, None);
        }
    }
    let site = own_site(site, &names, report);
    let mut context = Context { registry, backends: &backends, journal_capacity, report };
    unused_kinds(&mut context);
    let mut entries = BTreeMap::new();
    for (name, table) in sites {
        if let Some(entry) = context.site(&name, table) {
            entries.insert(name, entry);
        }
    }
    let report = context.report;
    conflicts(&entries, report);
    let mut all = BTreeMap::new();
    for (name, table) in groups {
        if let Some(group) = group(&name, table, &names, report) {
            all.insert(name, group);
        }
    }
    let links = links::resolve(links, &names, &all, registry, report);
    let secured = tls.is_some();
    let tls = security::resolve(tls, site.as_ref(), report);
    security::Rules { secured, sites: &entries, groups: &all, links: &links }
        .check(registry, report);
    let links = links.entries;
    let LimitsTable { window, overlay, tail, credit } = limits;
    let timing = times(timing, report);
    if !report.is_empty() {
        return None;
    }
    let limits = LimitsEntry { window, overlay, tail, credit, on_full };
    Some(SiteConfig { site: site?, sites: entries, groups: all, links, limits, timing, tls })
}

fn own_site(
    site: Option<Spot<SiteName>>,
    names: &[SiteName],
    report: &mut Report,
) -> Option<SiteName> {
    let Some(Spot { value, path }) = site else {
        if report.is_clean("site") {
            let help = "say which site this is: site = \"a\", TREFOIL__SITE=a or --site a";
            missing(report, "site", help);
        }
        return None;
    };
    known_site(value.as_str(), &path, names, report)
}

/// The site with this name, if the file has it.
fn known_site(text: &str, path: &str, names: &[SiteName], report: &mut Report) -> Option<SiteName> {
    let found = names.iter().find(|name| name.as_str() == text);
    if found.is_none() {
        let known: Vec<_> = names.iter().map(SiteName::as_str).collect();
        let what = format!("no site named `{text}`");
        report.value("unknown_site", path, what, meant(text, &known));
    }
    found.cloned()
}

struct Context<'a> {
    registry: &'a Registry,
    backends: &'a BTreeMap<String, BackendTable>,
    journal_capacity: Option<u64>,
    report: &'a mut Report,
}

impl Context<'_> {
    fn site(&mut self, name: &SiteName, table: SiteTable) -> Option<SiteEntry> {
        let SiteTable {
            path,
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
        let root = dir.map_or_else(|| Path::new(VOLUMES_ROOT).join(name.as_str()), |dir| dir.value);
        let below = |dir: Option<Spot<PathBuf>>, name: &str| {
            dir.map_or_else(|| root.join(name), |dir| dir.value)
        };
        let control = control.map_or_else(
            || socket(Path::new(CONTROL_ROOT).join(format!("{name}.sock"))).ok(),
            |control| Some(control.value),
        );
        let address = address?.value;
        Some(SiteEntry {
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
                .or(self.journal_capacity)
                .unwrap_or(JOURNAL_CAPACITY),
        })
    }

    /// A named `[backend.…]` table, or a registered word with its defaults.
    fn backend(&mut self, backend: Option<Spot<String>>, site: &str) -> Option<BackendEntry> {
        let Spot { value, path } = backend
            .unwrap_or_else(|| Spot { value: "file".to_owned(), path: format!("{site}.backend") });
        if let Some(BackendTable { path: _, kind, settings }) = self.backends.get(&value) {
            let word = kind.as_ref()?.value.clone();
            return Some(BackendEntry { word, settings: settings.clone() });
        }
        match self.registry.backend_factory(&value) {
            Ok(_) => Some(BackendEntry { word: value, settings: BTreeMap::new() }),
            Err(error) => {
                let words = self.registry.backend_words();
                let tables = self.backends.keys().map(String::as_str);
                let known: Vec<_> = tables.chain(words).collect();
                let help = meant(&value, &known);
                self.report.value("unknown_backend", &path, error.to_string(), help);
                None
            }
        }
    }
}

/// A backend table without a known kind is wrong even where no site uses it.
fn unused_kinds(context: &mut Context<'_>) {
    let words = context.registry.backend_words();
    for BackendTable { path, kind, settings: _ } in context.backends.values() {
        let at = format!("{path}.kind");
        match kind {
            None if context.report.is_clean(&at) => {
                let help = format!("say how it stores: kind = one of {}", words.join(", "));
                missing(context.report, &at, &help);
            }
            None => {}
            Some(kind) => {
                if let Err(error) = context.registry.backend_factory(&kind.value) {
                    let help = meant(&kind.value, &words);
                    context.report.value("unknown_backend", &at, error.to_string(), help);
                }
            }
        }
    }
}

/// Two sites on one host must not share an address, a socket or a directory.
fn conflicts(sites: &BTreeMap<SiteName, SiteEntry>, report: &mut Report) {
    let all: Vec<_> = sites.iter().collect();
    for (index, (name, site)) in all.iter().enumerate() {
        for (other_name, other) in &all[..index] {
            let mut clash = |key: &str, value: &str| {
                let what = format!("site `{other_name}` on the same host has {value} too");
                let help = format!("give `{name}` one of its own");
                report.value("conflict", &format!("sites.{name}.{key}"), what, Some(help));
            };
            if site.address == other.address {
                clash("address", &site.address);
                continue;
            }
            if host(&site.address) != host(&other.address) {
                continue;
            }
            match (&site.nbd, &other.nbd) {
                (Some(one), Some(two)) if one == two => clash("nbd", &one.to_string()),
                _ => {}
            }
            match (&site.metrics, &other.metrics) {
                (Some(one), Some(two)) if one == two => clash("metrics", one),
                _ => {}
            }
            if site.control == other.control {
                clash("control", &site.control.display().to_string());
            }
            if overlap(&site.volumes_dir, &other.volumes_dir) {
                clash("volumes_dir", &other.volumes_dir.display().to_string());
            }
            if overlap(&site.journal_dir, &other.journal_dir) {
                clash("journal_dir", &other.journal_dir.display().to_string());
            }
        }
    }
}

fn group(
    name: &GroupName,
    table: GroupTable,
    names: &[SiteName],
    report: &mut Report,
) -> Option<GroupEntry> {
    let GroupTable {
        path,
        topology: shape,
        primary,
        sync,
        r#async,
        fence: level,
        durability,
        recovery_point_objective,
        hosts,
        read_only_hosts,
        volumes,
    } = table;
    topology(shape, report);
    let fence = fence(level, report);
    let roles = [("primary", primary), ("sync", sync), ("async", r#async)];
    let mut sites: Vec<(&str, SiteName)> = Vec::new();
    for (role, site) in roles {
        let at = format!("{path}.{role}");
        let Some(site) = site else {
            if report.is_clean(&at) {
                missing(report, &at, &format!("name the site of this role: {role} = \"a\""));
            }
            continue;
        };
        let Some(site) = known_site(&site.value, &at, names, report) else { continue };
        if let Some((taken, _)) = sites.iter().find(|(_, other)| *other == site) {
            let what = format!("site `{site}` is already {taken} of group `{name}`");
            let help = "a group is held by three different sites".to_owned();
            report.value("two_roles", &at, what, Some(help));
        }
        sites.push((role, site));
    }
    let volumes = volume_specs(&path, volumes, report);
    let hosts = security::hosts(hosts, read_only_hosts, report);
    let [(_, primary), (_, sync), (_, r#async)] = <[_; 3]>::try_from(sites).ok()?;
    let fence = fence?;
    Some(GroupEntry {
        volumes,
        primary,
        sync,
        r#async,
        durability,
        fence,
        recovery_point_objective,
        hosts,
    })
}

fn topology(topology: Option<Spot<String>>, report: &mut Report) {
    let Some(Spot { value, path }) = topology else { return };
    match value.as_str() {
        "three_site" => {}
        "two_site" | "cascade" => {
            let what = format!("topology `{value}` is not in this release");
            report.value("not_yet", &path, what, Some("use `three_site`".to_owned()));
        }
        other => {
            let what = format!("no topology named `{other}`; registered: three_site");
            report.value("unknown_topology", &path, what, meant(other, &["three_site"]));
        }
    }
}

fn fence(level: Option<Spot<String>>, report: &mut Report) -> Option<Fence> {
    let Some(Spot { value, path }) = level else { return Some(Fence::Status) };
    let (code, what) = match value.as_str() {
        "status" => return Some(Fence::Status),
        "data" | "never" => ("not_yet", format!("fence level `{value}` is not in this release")),
        _ => ("bad_value", format!("found `{value}`, expected `status`")),
    };
    let help = "use `status`: host writes go on once two of three sites recorded that the sync \
                site is out";
    report.value(code, &path, what, Some(help.to_owned()));
    None
}

fn volume_specs(
    path: &str,
    volumes: BTreeMap<VolumeName, Option<Spot<u64>>>,
    report: &mut Report,
) -> Vec<VolumeSpec> {
    let at = format!("{path}.volume");
    if volumes.is_empty() && report.is_clean(&at) {
        let group = path.rsplit('.').next().unwrap_or_default();
        missing(report, &at, &format!("name a volume: [group.{group}.volume.db0]"));
    }
    if volumes.len() > VOLUMES_MAX {
        let what = format!("{} volumes, expected at most {VOLUMES_MAX}", volumes.len());
        report.key("too_many", &at, what, Some("spread them over several groups".to_owned()));
    }
    let mut specs = Vec::new();
    for (name, size) in volumes {
        let Some(Spot { value: size, path }) = size else { continue };
        if size == 0 || size % 512 != 0 || size > VOLUME_BYTES_MAX {
            let what = format!(
                "a volume of {size} bytes; expected a positive multiple of 512, at most {}",
                show(VOLUME_BYTES_MAX)
            );
            report.value("bad_value", &path, what, None);
        }
        specs.push(VolumeSpec { name, size });
    }
    specs
}

fn times(table: TimingTable, report: &mut Report) -> TimingEntry {
    let TimingTable { arbiter, lease, heartbeat, idle_record, link_timeout, leg_grace } = table;
    if let Some(Spot { value, path }) = arbiter {
        let help = Some("use `manual`: takeovers are started by `trefoil takeover`".to_owned());
        match value.as_str() {
            "manual" => {}
            "raft" | "etcd" => {
                let what = format!("arbiter `{value}` is not in this release");
                report.value("not_yet", &path, what, help);
            }
            other => {
                let what = format!("no arbiter named `{other}`; registered: manual");
                report.value("unknown_arbiter", &path, what, help);
            }
        }
    }
    let longest = link_timeout.into_iter().chain(lease).min();
    if let (Some(heartbeat), Some(longest)) = (heartbeat, longest)
        && heartbeat * 2 > longest
    {
        let what = "heartbeats this rare would let a lease or a link run out".to_owned();
        let help = "at most half of `arbiter.lease` and of `timing.link_timeout`".to_owned();
        report.value("bad_value", "timing.heartbeat", what, Some(help));
    }
    TimingEntry { lease, heartbeat, idle_record, link_timeout, leg_grace }
}
