//! From the configuration that runs to the one in the file: what a running site takes over, and
//! what waits for a restart.

use super::site_config::{LinkEntry, MachineEntry, SiteConfig};
use crate::registry::Registry;
use crate::{PeerLink, Site};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trefoil_core::model::{GroupName, SiteName};
use trefoil_core::port::Transport;
use trefoil_core::topology::Topology;
use trefoil_core::{Error, Result};

/// What differs between the configuration that runs and another one; each item for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What was taken over.
    pub live: Vec<String>,
    /// What is used from the next start on.
    pub restart: Vec<String>,
}

/// A way to another site for one group, opened and not in use yet.
struct Route {
    peer: SiteName,
    group: GroupName,
    way: PeerLink,
}

impl Site {
    /// Takes over from `next` what a running site can change: addresses, the machine of each group
    /// at other sites, and the transport and settings of links, without ending a session. Returns
    /// the configuration that runs from then on, and what changed. Blocks until new listeners
    /// listen.
    ///
    /// A transport that no link is configured for any more is listened by on while a link uses it:
    /// until a later reload finds it changed again, or the site is restarted.
    ///
    /// # Errors
    /// Where a transport cannot be opened or listened by; then nothing was changed.
    pub fn reload(
        &self,
        running: &SiteConfig,
        next: &SiteConfig,
        registry: &Registry,
    ) -> Result<(SiteConfig, Changes)> {
        let (this, that) = (running.own()?.shown(&running.site), next.own()?.shown(&next.site));
        if this != that {
            return Err(Error::refused(format!(
                "reload configuration: this is site {this}, the file is now that of site {that}; \
                 restart it, or name it by --site and --machine"
            )));
        }
        let taken = running.with_live(next, registry)?;
        let live = running.live_changes(&taken)?;
        let restart = taken.other_changes(next);
        let routes = running.changed_routes(&taken, registry)?;
        let layouts = running.changed_layouts(&taken, registry)?;
        self.listen_as(running, &taken, registry)?;
        for (group, layout) in layouts {
            self.group(&group)?.set_topology(layout)?;
        }
        for Route { peer, group, way } in routes {
            self.group(&group)?.change_link(&peer, way)?;
        }
        self.send_as(&taken);
        self.close_unused(running, &taken, registry)?;
        Ok((taken, Changes { live, restart }))
    }

    /// Opens what `taken` listens on and `running` does not. All of it, or none.
    fn listen_as(
        &self,
        running: &SiteConfig,
        taken: &SiteConfig,
        registry: &Registry,
    ) -> Result<()> {
        let before = running.listens()?;
        let mut opened: Vec<(String, String)> = Vec::new();
        for (word, address) in taken.listens()?.difference(&before) {
            let transport = taken.open_transport(word, None, registry)?;
            let described = transport.describe();
            if let Err(error) = self.listen(transport, address) {
                for (word, address) in opened {
                    self.stop_listening(&word, &address)?;
                }
                return Err(error);
            }
            opened.push((described, address.clone()));
        }
        Ok(())
    }

    /// Sends data from the next batch on as `taken` says.
    fn send_as(&self, taken: &SiteConfig) {
        for group in self.groups() {
            for peer in taken.peers() {
                let link = taken.link(&taken.site, &peer);
                if let (Some(link), Some(rates)) = (link, group.link_rates(&peer)) {
                    rates.set(link.traffic);
                }
            }
        }
    }

    /// Closes what is not configured any more, unless a link still goes that way.
    fn close_unused(
        &self,
        running: &SiteConfig,
        taken: &SiteConfig,
        registry: &Registry,
    ) -> Result<()> {
        let used: BTreeSet<String> = self
            .groups()
            .iter()
            .flat_map(|group| group.status().legs.clone().into_values())
            .filter(|leg| leg.link_up)
            .map(|leg| leg.transport)
            .collect();
        for (word, address) in running.listens()?.difference(&taken.listens()?) {
            let transport: Arc<dyn Transport> = running.open_transport(word, None, registry)?;
            let word = transport.describe();
            if used.contains(&word) {
                tracing::info!(%word, %address, "a link still uses it: it is listened by on");
            } else {
                self.stop_listening(&word, address)?;
            }
        }
        Ok(())
    }
}

impl SiteConfig {
    /// This configuration with everything from `next` that a running site can take over.
    fn with_live(&self, next: &Self, registry: &Registry) -> Result<Self> {
        let mut taken = self.clone();
        for (name, group) in &mut taken.groups {
            if let Some(new) = next.groups.get(name)
                && same_but_sources(&*group.layout(registry)?, &*new.layout(registry)?)
            {
                group.topology.clone_from(&new.topology);
            }
        }
        for (ends, link) in &mut taken.links {
            if let Some(new) = next.links.get(ends) {
                link.clone_from(new);
            }
        }
        // Of other sites only the directory is of use here: where each group is.
        for (site, entry) in &mut taken.sites {
            if let Some(new) = next.sites.get(site).filter(|_| *site != self.site) {
                entry.clone_from(new);
            }
        }
        if let (Some(own), Ok(new)) = (taken.own_mut(), next.own()) {
            own.address.clone_from(&new.address);
            own.listen.clone_from(&new.listen);
        }
        Ok(taken)
    }

    /// The groups of which sites read from each other otherwise in `taken`.
    fn changed_layouts(
        &self,
        taken: &Self,
        registry: &Registry,
    ) -> Result<Vec<(GroupName, Arc<dyn Topology>)>> {
        let mut layouts = Vec::new();
        for (name, group) in self.own_groups() {
            if let Some(new) = taken.groups.get(name).filter(|new| new.topology != group.topology) {
                layouts.push((name.clone(), new.layout(registry)?));
            }
        }
        Ok(layouts)
    }

    fn own_mut(&mut self) -> Option<&mut MachineEntry> {
        let name = self.own().ok()?.name.clone();
        let entry = self.sites.get_mut(&self.site)?;
        entry.machines.iter_mut().find(|machine| machine.name == name)
    }

    /// What this site listens on: transport and address.
    fn listens(&self) -> Result<BTreeSet<(String, String)>> {
        let address = &self.own()?.listen;
        let words = self.listening_words().into_iter();
        Ok(words.map(|word| (word, address.clone())).collect())
    }

    /// In words, what this site took over.
    fn live_changes(&self, taken: &Self) -> Result<Vec<String>> {
        let mut changes = Vec::new();
        for peer in self.peers() {
            let (before, after) = (self.link(&self.site, &peer), taken.link(&self.site, &peer));
            if let (Some(before), Some(after)) = (before, after) {
                changes.extend(link_change(&self.site, &peer, before, after));
            }
            let moves = self.own_groups().filter_map(|(group, _)| {
                let before = self.entry(&peer).ok()?.machine_of(group)?;
                let after = taken.entry(&peer).ok()?.machine_of(group)?;
                moved(&peer, group, before, after)
            });
            // Groups of one machine move together.
            changes.extend(moves.collect::<BTreeSet<_>>());
        }
        for (name, group) in self.own_groups() {
            let (was, is) = (&group.topology, taken.groups.get(name).map(|new| &new.topology));
            if let Some(is) = is.filter(|is| *is != was) {
                changes.push(format!("group.{name}.topology: {was} -> {is}"));
            }
        }
        let own = self.own()?;
        let (before, after) = (&own.listen, &taken.own()?.listen);
        if before != after {
            changes.push(format!("{}.listen: {before} -> {after}", own.path(&self.site)));
        }
        Ok(changes)
    }

    /// The ways of links that are another one in `taken`, opened.
    fn changed_routes(&self, taken: &Self, registry: &Registry) -> Result<Vec<Route>> {
        let mut routes = Vec::new();
        for (group, entry) in self.own_groups() {
            for peer in entry.sites().into_iter().filter(|site| **site != self.site) {
                let (before, after) = (self.link(&self.site, peer), taken.link(&self.site, peer));
                let machine = |config: &Self| {
                    let machine = config.machine_of(peer, group).ok();
                    machine.map(|machine| machine.address.clone())
                };
                // A group that the file has no more runs on where it is, until a restart.
                let (Some(link), Some(address)) = (after, machine(taken)) else { continue };
                let same = before.is_some_and(|before| goes_alike(before, link));
                if same && machine(self).as_ref() == Some(&address) {
                    continue;
                }
                let transport = taken.open_transport(&link.transport, Some(peer), registry)?;
                let way = PeerLink::new(transport, address);
                routes.push(Route { peer: peer.clone(), group: group.clone(), way });
            }
        }
        Ok(routes)
    }

    /// In words, what differs and concerns this site. Destructured, so that a new part does not
    /// compile until it is decided here.
    fn other_changes(&self, next: &Self) -> Vec<String> {
        let Self { site, machine: _, sites, groups, links, limits, arbiter, timing, tls } = self;
        let mut changes = named("sites", sites.keys(), next.sites.keys());
        if let (Ok(mine), Ok(new)) = (self.own(), next.own()) {
            changes.extend(own_changes(site, mine, new));
        }
        changes.extend(named("group", groups.keys(), next.groups.keys()));
        for (name, group) in groups {
            if next.groups.get(name).is_some_and(|new| new != group) {
                changes.push(format!("group.{name}"));
            }
        }
        let ends = |(one, other): &(SiteName, SiteName)| format!("{one}_{other}");
        let (mine, new): (Vec<_>, Vec<_>) =
            (links.keys().map(ends).collect(), next.links.keys().map(ends).collect());
        changes.extend(named("link", mine.iter(), new.iter()));
        let rest = [
            ("limits", *limits != next.limits),
            ("arbiter", *arbiter != next.arbiter),
            ("timing", *timing != next.timing),
            ("tls", *tls != next.tls),
        ];
        changes.extend(rest.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).into()));
        changes
    }
}

/// Whether two layouts differ at most in who reads from whom: then a running site can change.
fn same_but_sources(one: &dyn Topology, other: &dyn Topology) -> bool {
    let legs = |layout: &dyn Topology| -> Vec<_> {
        layout.sites().iter().map(|site| layout.legs(site)).collect()
    };
    one.sites() == other.sites() && one.home() == other.home() && legs(one) == legs(other)
}

/// Whether two entries are the same way: how much is sent on it makes no difference.
fn goes_alike(one: &LinkEntry, other: &LinkEntry) -> bool {
    let LinkEntry { transport, timeout, shape, traffic: _, insecure, settings } = one;
    *transport == other.transport
        && *timeout == other.timeout
        && *shape == other.shape
        && *insecure == other.insecure
        && *settings == other.settings
}

/// In words, how a link changed.
fn link_change(
    one: &SiteName,
    other: &SiteName,
    before: &LinkEntry,
    after: &LinkEntry,
) -> Option<String> {
    let (was, is) = (&before.transport, &after.transport);
    match before == after {
        true => None,
        false if was != is => Some(format!("link {one}-{other}: transport {was} -> {is}")),
        false if goes_alike(before, after) => Some(format!("link {one}-{other}: how data is sent")),
        false => Some(format!("link {one}-{other}: settings")),
    }
}

/// What was added and what was taken away.
fn named<'a, T: Ord + std::fmt::Display + 'a>(
    what: &str,
    before: impl Iterator<Item = &'a T>,
    after: impl Iterator<Item = &'a T>,
) -> Vec<String> {
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (before.collect(), after.collect());
    let gone = before.difference(&after).map(|name| format!("{what}.{name}: taken out"));
    let new = after.difference(&before).map(|name| format!("{what}.{name}: added"));
    gone.chain(new).collect()
}

/// In words, where a group of another site is now.
fn moved(
    peer: &SiteName,
    group: &GroupName,
    before: &MachineEntry,
    after: &MachineEntry,
) -> Option<String> {
    let (was, is) = (&before.address, &after.address);
    if before.name != after.name {
        let (from, to) = (before.shown(peer), after.shown(peer));
        return Some(format!("group {group}: from {from} ({was}) to {to} ({is})"));
    }
    (was != is).then(|| format!("{}.address: {was} -> {is}", after.path(peer)))
}

/// What differs in the own machine's entry and is used from the next start on.
fn own_changes(site: &SiteName, mine: &MachineEntry, new: &MachineEntry) -> Vec<String> {
    let MachineEntry {
        name,
        groups,
        address: _,
        listen: _,
        volumes_dir,
        journal_dir,
        nbd,
        nbd_insecure,
        metrics,
        control,
        backend,
        journal_capacity,
    } = mine;
    let differs = BTreeMap::from([
        // Of a site on one machine it is no key: the groups themselves tell.
        ("groups", name.is_some() && *groups != new.groups),
        ("volumes_dir", *volumes_dir != new.volumes_dir),
        ("journal_dir", *journal_dir != new.journal_dir),
        ("nbd", *nbd != new.nbd),
        ("nbd_insecure", *nbd_insecure != new.nbd_insecure),
        ("metrics", *metrics != new.metrics),
        ("control", *control != new.control),
        ("backend", *backend != new.backend),
        ("journal_capacity", *journal_capacity != new.journal_capacity),
    ]);
    let changed = differs.into_iter().filter(|(_, differs)| *differs);
    changed.map(|(key, _)| format!("{}.{key}", mine.path(site))).collect()
}
