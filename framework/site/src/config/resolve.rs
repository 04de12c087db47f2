//! Checks a file for sense, and fills in what it leaves out.

use super::arbiter;
use super::file::{File, GroupTable, LimitsTable, Takeover, TimingTable, missing};
use super::layout;
use super::links;
use super::machines;
use super::read::{Report, Spot, meant};
use super::security;
use super::site_config::{GroupEntry, LimitsEntry, SiteConfig, TimingEntry};
use super::words::show;
use crate::Timing;
use crate::registry::{Registry, TopologyOptions};
use std::collections::BTreeMap;
use std::time::Duration;
use trefoil_core::model::{Fence, GroupName, SiteName, VOLUMES_MAX, VolumeName, VolumeSpec};

/// The most sites in one file.
const SITES_MAX: usize = 64;
/// The most groups in one file: each has its own journal, links and files.
const GROUPS_MAX: usize = 1024;
/// The largest volume, in bytes.
const VOLUME_BYTES_MAX: u64 = 1 << 50;
/// How long an in-sync site waits for a silent primary before it takes over by itself.
const TAKEOVER_DELAY: Duration = Duration::from_secs(10);

/// The checked configuration; `None` when a problem was reported.
pub(super) fn resolve(file: File, registry: &Registry, report: &mut Report) -> Option<SiteConfig> {
    let File {
        site,
        machine,
        sites,
        groups,
        backends,
        links,
        journal_capacity,
        on_full,
        limits,
        arbiter,
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
    for (what, count, most) in
        [("sites", names.len(), SITES_MAX), ("group", groups.len(), GROUPS_MAX)]
    {
        if count > most {
            let text = format!("{count} tables, expected at most {most}");
            report.key("too_many", what, text, None);
        }
    }
    let site = own_site(site, &names, report);
    let group_names: Vec<GroupName> = groups.keys().cloned().collect();
    let mut all = BTreeMap::new();
    for (name, table) in groups {
        if let Some(group) = group(&name, table, (&names, registry), report) {
            all.insert(name, group);
        }
    }
    let known = machines::Known { registry, backends, journal_capacity, group_names, groups: &all };
    let entries = machines::resolve(sites, known, report);
    let machine = machines::own(machine, site.as_ref(), &entries, report);
    let links = links::resolve(links, &names, &all, registry, report);
    let secured = tls.is_some();
    let tls = security::resolve(tls, site.as_ref(), report);
    security::Rules { secured, sites: &entries, groups: &all, links: &links }
        .check(registry, report);
    let links = links.entries;
    let LimitsTable { window, overlay, tail, credit } = limits;
    let arbiter = arbiter::resolve(arbiter, site.as_ref(), &all, registry, report);
    arbiter::check_fences(arbiter.as_ref(), &all, report);
    let timing = times(timing, report);
    if !report.is_empty() {
        return None;
    }
    let limits = LimitsEntry { window, overlay, tail, credit, on_full };
    let (site, sites, groups) = (site?, entries, all);
    Some(SiteConfig { site, machine, sites, groups, links, limits, arbiter, timing, tls })
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
pub(super) fn known_site(
    text: &str,
    path: &str,
    names: &[SiteName],
    report: &mut Report,
) -> Option<SiteName> {
    let found = names.iter().find(|name| name.as_str() == text);
    if found.is_none() {
        let known: Vec<_> = names.iter().map(SiteName::as_str).collect();
        let what = format!("no site named `{text}`");
        report.value("unknown_site", path, what, meant(text, &known));
    }
    found.cloned()
}

fn group(
    name: &GroupName,
    table: GroupTable,
    (names, registry): (&[SiteName], &Registry),
    report: &mut Report,
) -> Option<GroupEntry> {
    let GroupTable {
        path,
        topology,
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
    let fence = fence(level, report);
    let roles = layout::Roles { topology, primary, sync, r#async };
    let around = layout::Around { group: name, path: &path, sites: names, registry };
    let layout = layout::resolve(roles, &around, report);
    let volumes = volume_specs(&path, volumes, report);
    let hosts = security::hosts(hosts, read_only_hosts, report);
    let (layout, fence) = (layout?, fence?);
    let TopologyOptions { primary, sync, r#async } = layout.sites;
    Some(GroupEntry {
        volumes,
        topology: layout.word,
        primary,
        sync,
        r#async,
        durability,
        fence,
        recovery_point_objective,
        hosts,
    })
}

fn fence(level: Option<Spot<String>>, report: &mut Report) -> Option<Fence> {
    let Some(Spot { value, path }) = level else { return Some(Fence::Status) };
    match value.as_str() {
        "data" => return Some(Fence::Data),
        "status" => return Some(Fence::Status),
        "never" => return Some(Fence::Never),
        _ => {}
    }
    let what = format!("found `{value}`, expected `data`, `status` or `never`");
    let help = "when the sync site is lost, host writes go on once two of three sites recorded it \
                (`status`), wait and fail in the end (`data`), or go on at once, and a takeover \
                cannot prove zero loss (`never`)";
    report.value("bad_value", &path, what, Some(help.to_owned()));
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
    let TimingTable {
        lease,
        takeover,
        takeover_delay,
        heartbeat,
        idle_record,
        link_timeout,
        leg_grace,
        write_timeout,
        busy_poll,
    } = table;
    let longest = link_timeout.into_iter().chain(lease).min();
    if let (Some(heartbeat), Some(longest)) = (heartbeat, longest)
        && heartbeat * 2 > longest
    {
        let what = "heartbeats this rare would let a lease or a link run out".to_owned();
        let help = "at most half of `arbiter.lease` and of `timing.link_timeout`".to_owned();
        report.value("bad_value", "timing.heartbeat", what, Some(help));
    }
    let takeover_delay = takeover_delay_of(takeover, takeover_delay, lease, report);
    TimingEntry {
        lease,
        heartbeat,
        idle_record,
        link_timeout,
        leg_grace,
        write_timeout,
        takeover_delay,
        busy_poll,
    }
}

/// After which silence a site takes over by itself, if it does at all.
fn takeover_delay_of(
    takeover: Takeover,
    delay: Option<Spot<Duration>>,
    lease: Option<Duration>,
    report: &mut Report,
) -> Option<Duration> {
    let lease = lease.unwrap_or(Timing::default().lease);
    let Some(Spot { value, path }) = delay else {
        return (takeover == Takeover::Automatic).then_some(TAKEOVER_DELAY.max(lease));
    };
    if takeover == Takeover::Manual {
        let what = "only automatic takeovers have a delay".to_owned();
        let help = "take it out, or say takeover = \"automatic\"".to_owned();
        report.value("no_takeover", &path, what, Some(help));
    } else if value < lease {
        let what = "a primary may be silent for as long as its lease, and still answer".to_owned();
        let help = "at least `arbiter.lease`".to_owned();
        report.value("bad_value", &path, what, Some(help));
    }
    Some(value)
}
