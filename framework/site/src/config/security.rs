//! Who may read what is on the wires: `[tls]`, `insecure`, and the hosts that are let in.
//!
//! Without certificates nothing leaves this host, unless the file says in so many words that it
//! may. A link's two ends are looked at, and where each of them listens.

use super::NbdAddress;
use super::file::{TlsTable, missing};
use super::links::Links;
use super::read::{Report, Spot};
use super::site_config::{GroupEntry, HostsEntry, LinkEntry, MachineEntry, SiteEntry};
use super::words::is_loopback;
use crate::registry::{Reach, Registry, TlsPaths};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use trefoil_core::model::{GroupName, SiteName};

const MAKE_CERTIFICATES: &str =
    "make certificates (`trefoil certs init`, `trefoil certs issue`) and add [tls]";

/// The files of the own site: those of the directory, and over them the ones that are named.
pub(super) fn resolve(
    table: Option<TlsTable>,
    site: Option<&SiteName>,
    report: &mut Report,
) -> Option<TlsPaths> {
    let TlsTable { dir, ca, cert, key, accepted } = table?;
    let site = site?;
    let within = dir.map(|dir| TlsPaths::within(&dir.value, site));
    let mut file = |named: Option<Spot<PathBuf>>, what: &str, usual: fn(&TlsPaths) -> &PathBuf| {
        let path = named.map(|named| named.value);
        let path = path.or_else(|| within.as_ref().map(usual).cloned());
        if path.is_none() && report.is_clean(&format!("tls.{what}")) {
            let help = "say where `trefoil certs` put the files (dir = \"tls\"), or name ca, cert \
                        and key";
            missing(report, &format!("tls.{what}"), help);
        }
        path
    };
    let ca = file(ca, "ca", |usual| &usual.ca);
    let cert = file(cert, "cert", |usual| &usual.cert);
    let key = file(key, "key", |usual| &usual.key);
    let accepted = accepted.map(|named| named.value);
    let accepted = accepted.or_else(|| within.and_then(|usual| usual.accepted));
    Some(TlsPaths { ca: ca?, cert: cert?, key: key?, accepted })
}

/// The lists of hosts of one group.
pub(super) fn hosts(
    writers: Option<Spot<Vec<String>>>,
    readers: Option<Spot<Vec<String>>>,
    report: &mut Report,
) -> HostsEntry {
    let mut read = |list: Option<Spot<Vec<String>>>| -> BTreeSet<String> {
        let Some(Spot { value, path }) = list else { return BTreeSet::new() };
        if value.is_empty() {
            let what = "an empty list of hosts: every host would be let in".to_owned();
            let help = "name the hosts, or leave the key out".to_owned();
            report.value("bad_value", &path, what, Some(help));
        }
        for name in &value {
            if let Err(error) = SiteName::new(name) {
                let what = error.to_string().trim_start_matches("site ").to_owned();
                report.value("bad_name", &path, what, None);
            }
        }
        value.into_iter().collect()
    };
    HostsEntry { writers: read(writers), readers: read(readers) }
}

/// Refuses what would go over a network unprotected without the file saying that it may.
pub(super) struct Rules<'a> {
    /// Whether there is a `[tls]`.
    pub(super) secured: bool,
    pub(super) sites: &'a BTreeMap<SiteName, SiteEntry>,
    pub(super) groups: &'a BTreeMap<GroupName, GroupEntry>,
    pub(super) links: &'a Links,
}

impl Rules<'_> {
    pub(super) fn check(&self, registry: &Registry, report: &mut Report) {
        for (ends, link) in &self.links.entries {
            let Ok(factory) = registry.transport_factory(&link.transport) else { continue };
            self.link(ends, link, factory.reach(), report);
        }
        for (name, site) in self.sites {
            for machine in &site.machines {
                nbd(self.secured, name, machine, report);
            }
        }
        for (name, group) in self.groups {
            self.hosts(name, &group.hosts, report);
        }
    }

    fn link(
        &self,
        ends: &(SiteName, SiteName),
        link: &LinkEntry,
        reach: Reach,
        report: &mut Report,
    ) {
        let (one, other) = ends;
        let path = self.links.paths.get(ends).cloned();
        let path = path.unwrap_or_else(|| format!("link.{one}_{other}"));
        if self.secured && link.insecure {
            let what = "`insecure` and `[tls]` contradict each other: with `[tls]` every link \
                        that crosses a network is secured";
            let help = "take one of the two out".to_owned();
            report.value("mixed", &format!("{path}.insecure"), what.to_owned(), Some(help));
        }
        let (Some(near), Some(far)) = (self.sites.get(one), self.sites.get(other)) else { return };
        let machines = near.machines.iter().chain(&far.machines);
        let mut addresses = machines.flat_map(|machine| [&machine.address, &machine.listen]);
        let out = addresses.find(|address| !is_loopback(address));
        match (reach, out) {
            (Reach::Secured, _) if !self.secured => {
                let what =
                    format!("transport `{}` carries nothing without certificates", link.transport);
                let help = format!("{MAKE_CERTIFICATES} with dir = \"tls\"");
                report.value("needs_tls", &format!("{path}.transport"), what, Some(help));
            }
            (Reach::Network, Some(address)) if !self.secured && !link.insecure => {
                let what = format!(
                    "updates between `{one}` and `{other}` would go to {address} in plain text: \
                     whoever is on the way can read them and pose as a site"
                );
                let help =
                    format!("{MAKE_CERTIFICATES}; or say insecure = true in this link's table");
                report.key("plain_link", &path, what, Some(help));
            }
            _ => {}
        }
    }

    fn hosts(&self, name: &GroupName, hosts: &HostsEntry, report: &mut Report) {
        let HostsEntry { writers, readers } = hosts;
        for (key, list) in [("hosts", writers), ("read_only_hosts", readers)] {
            if !self.secured && !list.is_empty() {
                let what = "hosts are told apart by their certificates, and there is no `[tls]`";
                let help = "add [tls] with dir = \"tls\", or take the list out".to_owned();
                let path = format!("group.{name}.{key}");
                report.value("needs_tls", &path, what.to_owned(), Some(help));
            }
        }
        if let Some(both) = writers.intersection(readers).next() {
            let what = format!("host `{both}` may write by `hosts`, and only read by this list");
            let help = "keep it in one of the two".to_owned();
            let path = format!("group.{name}.read_only_hosts");
            report.value("two_lists", &path, what, Some(help));
        }
    }
}

fn nbd(secured: bool, site: &SiteName, machine: &MachineEntry, report: &mut Report) {
    let Some(NbdAddress::Tcp(address)) = &machine.nbd else { return };
    if secured || machine.nbd_insecure || is_loopback(address) {
        return;
    }
    let what = format!(
        "hosts would read and write volumes at {address} in plain text: whoever reaches it can \
         do the same"
    );
    let help = format!(
        "{MAKE_CERTIFICATES}; or use a Unix socket or loopback; or say nbd_insecure = true"
    );
    report.value("plain_nbd", &format!("{}.nbd", machine.path(site)), what, Some(help));
}
