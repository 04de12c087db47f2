//! Two processes on one computer must not share an address, a socket or a directory.

use super::read::Report;
use super::site_config::{MachineEntry, SiteEntry};
use super::words::{host, overlap};
use std::collections::BTreeMap;
use std::path::Path;
use trefoil_core::model::SiteName;

type Process<'a> = (&'a SiteName, &'a MachineEntry);

/// Reports every two that would get in each other's way.
pub(super) fn check(sites: &BTreeMap<SiteName, SiteEntry>, report: &mut Report) {
    let mut all: Vec<Process<'_>> = Vec::new();
    for (name, site) in sites {
        all.extend(site.machines.iter().map(|machine| (name, machine)));
    }
    for (index, one) in all.iter().enumerate() {
        for other in &all[..index] {
            between(*one, *other, report);
        }
    }
}

fn between((site, one): Process<'_>, (other_site, other): Process<'_>, report: &mut Report) {
    let mut clash = |key: &str, value: &str| {
        let what = match &other.name {
            None => format!("site `{other_site}` on the same host has {value} too"),
            Some(name) => {
                format!("machine `{name}` of site `{other_site}` on the same host has {value} too")
            }
        };
        let help = match &one.name {
            None => format!("give `{site}` one of its own"),
            Some(name) => format!("give `{name}` one of its own"),
        };
        report.value("conflict", &format!("{}.{key}", one.path(site)), what, Some(help));
    };
    if one.address == other.address {
        clash("address", &one.address);
        return;
    }
    if host(&one.address) != host(&other.address) {
        return;
    }
    match (&one.nbd, &other.nbd) {
        (Some(nbd), Some(taken)) if nbd == taken => clash("nbd", &nbd.to_string()),
        _ => {}
    }
    match (&one.metrics, &other.metrics) {
        (Some(metrics), Some(taken)) if metrics == taken => clash("metrics", metrics),
        _ => {}
    }
    if one.control == other.control {
        clash("control", &shown(&other.control));
    }
    if overlap(&one.volumes_dir, &other.volumes_dir) {
        clash("volumes_dir", &shown(&other.volumes_dir));
    }
    if overlap(&one.journal_dir, &other.journal_dir) {
        clash("journal_dir", &shown(&other.journal_dir));
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
