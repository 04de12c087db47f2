//! From a checked configuration to a site: opens what it stores, and starts it.

use super::site_config::{GroupEntry, LimitsEntry, MachineEntry, SiteConfig, TimingEntry};
use crate::registry::{BackendFactory, JournalOptions, Registry, TransportOptions, VolumeOptions};
use crate::volumes::VolumeOpener;
use crate::{GroupConfig, GroupParts, Limits, LinkRates, PeerLink, Site, SiteBuilder, Timing};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::Result;
use trefoil_core::model::{GroupName, SiteName, VolumeSpec};
use trefoil_core::port::{BlockStore, Transport};

/// The listening side has no link table: its connections are bounded like those of a link that
/// says nothing.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

impl Site {
    /// Opens everything that `config` names for its own site, or for its own machine of it, and
    /// starts it.
    ///
    /// # Errors
    /// What cannot be opened, or does not belong to this site; the message names it.
    pub fn from_config(config: &SiteConfig, registry: &Registry) -> Result<Self> {
        config.builder(registry)?.start()
    }
}

impl SiteConfig {
    /// A builder for the own site, with its journals and volumes opened: whatever the file cannot
    /// say is added to it before it is started.
    ///
    /// # Errors
    /// What cannot be opened, or does not belong to this site; the message names it.
    pub fn builder(&self, registry: &Registry) -> Result<SiteBuilder> {
        let own = self.own()?;
        let mut builder = Site::builder(self.site.clone());
        for word in self.listening_words() {
            let transport = self.open_transport(&word, None, registry)?;
            builder = builder.listen(transport, own.listen.clone());
        }
        for (name, group) in self.own_groups() {
            let (parts, opener) = self.group_parts(name, group, own, registry)?;
            builder = builder.group_opened_by(parts, Arc::new(opener));
        }
        Ok(builder)
    }

    /// The transports of the own links, each once.
    pub(super) fn listening_words(&self) -> BTreeSet<String> {
        let peers = self.peers();
        let links = peers.iter().filter_map(|peer| self.link(&self.site, peer));
        links.map(|link| link.transport.clone()).collect()
    }

    pub(super) fn open_transport(
        &self,
        word: &str,
        peer: Option<&SiteName>,
        registry: &Registry,
    ) -> Result<Arc<dyn Transport>> {
        let link = peer.and_then(|peer| self.link(&self.site, peer));
        let options = TransportOptions {
            site: self.site.clone(),
            peer: peer.cloned(),
            peers: peer.map_or_else(|| self.peers(), |peer| vec![peer.clone()]),
            tls: self.tls.clone(),
            insecure: link.is_some_and(|link| link.insecure),
            timeout: link.map_or(LISTEN_TIMEOUT, |link| link.timeout),
            settings: link.map(|link| link.settings.clone()).unwrap_or_default(),
        };
        let transport = registry.transport_factory(word)?.open(&options)?;
        registry.shape(transport, link.map(|link| link.shape).unwrap_or_default())
    }

    fn group_parts(
        &self,
        name: &GroupName,
        group: &GroupEntry,
        own: &MachineEntry,
        registry: &Registry,
    ) -> Result<(GroupParts, Opener)> {
        let backend = registry.backend_factory(&own.backend.word)?;
        let journal = backend.journal_store(&JournalOptions {
            site: self.site.clone(),
            group: name.clone(),
            dir: own.journal_dir.clone(),
            capacity_bytes: own.journal_capacity,
            settings: own.backend.settings.clone(),
        })?;
        let opener = Opener {
            backend,
            site: self.site.clone(),
            group: name.clone(),
            dir: own.volumes_dir.clone(),
            settings: own.backend.settings.clone(),
        };
        let mut peers = BTreeMap::new();
        for peer in group.sites().into_iter().filter(|site| **site != self.site) {
            let address = self.machine_of(peer, name)?.address.clone();
            let Some(link) = self.link(&self.site, peer) else { continue };
            let transport = self.open_transport(&link.transport, Some(peer), registry)?;
            let rates = LinkRates::new(link.traffic);
            peers.insert(peer.clone(), PeerLink::new(transport, address).with_rates(rates));
        }
        let arbiter = self.arbiter.as_ref().map(|arbiter| {
            let kept = (own.journal_dir.clone(), self.timing.over(Timing::default()).lease);
            let options = arbiter.options(&self.site, name, group, kept);
            registry.arbiter_factory(&arbiter.word)?.open(&options)
        });
        let (config, arbiter) = (self.group_config(name, group, registry)?, arbiter.transpose()?);
        Ok((GroupParts { config, journal, stores: Vec::new(), peers, arbiter }, opener))
    }

    fn group_config(
        &self,
        name: &GroupName,
        group: &GroupEntry,
        registry: &Registry,
    ) -> Result<GroupConfig> {
        // The objective is for metrics and alerts, the hosts are for the front end: the site itself
        // acts on neither.
        let topology = group.layout(registry)?;
        let GroupEntry {
            volumes,
            topology: _,
            primary: _,
            sync: _,
            r#async: _,
            durability,
            fence,
            recovery_point_objective: _,
            hosts: _,
        } = group.clone();
        Ok(GroupConfig {
            group: name.clone(),
            volumes,
            topology,
            durability,
            fence,
            on_full: self.limits.on_full,
            limits: self.limits.over(Limits::default()),
            timing: self.timing.over(Timing::default()),
        })
    }
}

/// Opens the volumes of a group where its configuration says.
struct Opener {
    backend: Arc<dyn BackendFactory>,
    site: SiteName,
    group: GroupName,
    dir: PathBuf,
    settings: BTreeMap<String, String>,
}

impl VolumeOpener for Opener {
    fn open(&self, volume: &VolumeSpec) -> Result<Arc<dyn BlockStore>> {
        self.backend.block_store(&VolumeOptions {
            site: self.site.clone(),
            group: self.group.clone(),
            volume: volume.clone(),
            dir: self.dir.clone(),
            settings: self.settings.clone(),
        })
    }
}

impl LimitsEntry {
    fn over(self, defaults: Limits) -> Limits {
        let Self { window, overlay, tail, credit, on_full: _ } = self;
        Limits {
            window_bytes: window.unwrap_or(defaults.window_bytes),
            overlay_bytes: overlay.unwrap_or(defaults.overlay_bytes),
            tail_bytes: tail.unwrap_or(defaults.tail_bytes),
            credit_bytes: credit.unwrap_or(defaults.credit_bytes),
        }
    }
}

impl TimingEntry {
    fn over(self, defaults: Timing) -> Timing {
        let Self {
            lease,
            heartbeat,
            idle_record,
            link_timeout,
            leg_grace,
            write_timeout,
            takeover_delay,
            busy_poll,
        } = self;
        Timing {
            lease: lease.unwrap_or(defaults.lease),
            heartbeat: heartbeat.unwrap_or(defaults.heartbeat),
            idle_record: idle_record.unwrap_or(defaults.idle_record),
            link_timeout: link_timeout.unwrap_or(defaults.link_timeout),
            leg_grace: leg_grace.unwrap_or(defaults.leg_grace),
            write_timeout: write_timeout.unwrap_or(defaults.write_timeout),
            takeover_delay,
            busy_poll: busy_poll.unwrap_or(defaults.busy_poll),
            // The others follow from these, or are not for tuning: their defaults hold.
            ..defaults
        }
    }
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
mod tests;
