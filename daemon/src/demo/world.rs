//! Three sites in one process, wired through links that can be slowed and cut.

use super::named::{Book, Named};
use super::options::{Backend, Carrier};
use crate::builtin;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{Durability, Fence, GroupName, SiteName, VolumeName, VolumeSpec};
use trefoil_core::port::{BlockStore, JournalStore, Transport};
use trefoil_core::topology::ThreeSite;
use trefoil_core::{Error, Result};
use trefoil_site::registry::{JournalOptions, Registry, TlsPaths, TransportOptions, VolumeOptions};
use trefoil_site::{Group, GroupConfig, GroupParts, Limits, PeerLink, Site, Timing, Volume};
use trefoil_transports::tls::authority::{Authority, MachineNames, VALIDITY};
use trefoil_transports::{FaultyControl, FaultyOptions};

/// The longest time that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The names of the sites, by what they are at home: primary, mirror, third site.
pub(super) const SITES: [&str; 3] = ["a", "b", "c"];

/// The group of the demo.
pub(super) const GROUP: &str = "demo";
/// Its volume.
pub(super) const VOLUME: &str = "vol0";

/// What three sites are made of.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub transport: Carrier,
    pub backend: Backend,
    /// Size of the volume in bytes.
    pub volume_bytes: u64,
    /// Capacity of each journal in bytes.
    pub journal_bytes: u64,
    pub limits: Limits,
}

/// Three sites, some of them running, and the links between them.
pub(super) struct World {
    plan: Plan,
    /// The same words as in a configuration: transports and backends are opened by them.
    registry: Registry,
    /// Where backends with files keep them; removed when the world ends.
    directory: TempDir,
    book: Book,
    /// The fate of each link, whichever end looks at it.
    controls: BTreeMap<(&'static str, &'static str), FaultyControl>,
    sites: BTreeMap<&'static str, Site>,
}

/// The two sites of a link in the order of the alphabet.
fn pair(one: &'static str, other: &'static str) -> (&'static str, &'static str) {
    if one < other { (one, other) } else { (other, one) }
}

/// A name that is known to be well formed, as such.
pub(super) fn site_name(name: &str) -> Result<SiteName> {
    SiteName::new(name)
}

impl World {
    /// Wires the links; no site runs yet.
    ///
    /// # Errors
    /// When no temporary directory can be made.
    pub fn new(plan: Plan) -> Result<Self> {
        let links = [("a", "b"), ("a", "c"), ("b", "c")];
        Ok(Self {
            plan,
            registry: builtin::registry(),
            directory: temporary_directory()?,
            book: Book::default(),
            controls: links.into_iter().map(|link| (link, FaultyControl::default())).collect(),
            sites: BTreeMap::new(),
        })
    }

    /// Where the sites' certificates lie, if the transport needs any; made when first asked for.
    fn papers(&self) -> Result<Option<PathBuf>> {
        let dir = self.directory.path().join("tls");
        if !self.plan.transport.proves() {
            return Ok(None);
        }
        if !dir.exists() {
            let authority = Authority::init(&dir, VALIDITY)?;
            for site in SITES {
                authority.issue_site(&site_name(site)?, &MachineNames::default(), VALIDITY)?;
            }
        }
        Ok(Some(dir))
    }

    /// One end of a link.
    fn wire(&self, site: &'static str, peer: &'static str) -> Result<Arc<dyn Transport>> {
        let own = site_name(site)?;
        let options = TransportOptions {
            site: own.clone(),
            peer: Some(site_name(peer)?),
            peers: vec![site_name(peer)?],
            tls: self.papers()?.map(|dir| TlsPaths::within(&dir, &own)),
            insecure: false,
            timeout: CONNECT_TIMEOUT,
            settings: BTreeMap::new(),
        };
        let carrier = self.registry.transport_factory(self.plan.transport.word())?;
        let bind = (self.plan.transport != Carrier::Memory).then_some("127.0.0.1:0");
        let named = Named::new(carrier.open(&options)?, self.book.clone(), bind);
        Ok(Arc::new(self.link(site, peer)?.over(Arc::new(named), FaultyOptions::default())))
    }

    /// Starts a site and gives its group.
    ///
    /// # Errors
    /// Whatever its journal, its volume or its listeners say.
    pub fn start(&mut self, name: &'static str) -> Result<Group> {
        let mut builder = Site::builder(site_name(name)?);
        let mut peers = BTreeMap::new();
        for other in SITES.into_iter().filter(|other| *other != name) {
            let transport = self.wire(name, other)?;
            // One listener for each link, so that each link has its own fate.
            builder = builder.listen(transport.clone(), format!("{name}-for-{other}"));
            let address = format!("{other}-for-{name}");
            peers.insert(site_name(other)?, PeerLink::new(transport, address));
        }
        let config = self.config()?;
        let (journal, stores) = self.stores(name, &config)?;
        let builder = builder.group(GroupParts { config, journal, stores, peers, arbiter: None });
        let site = tokio::task::block_in_place(|| builder.start())?;
        let group = site.group(&GroupName::new(GROUP)?)?;
        self.sites.insert(name, site);
        Ok(group)
    }

    fn config(&self) -> Result<GroupConfig> {
        let name = VolumeName::new(VOLUME)?;
        let layout = ThreeSite::new(site_name("a")?, site_name("b")?, site_name("c")?)?;
        Ok(GroupConfig {
            group: GroupName::new(GROUP)?,
            volumes: vec![VolumeSpec { name, size: self.plan.volume_bytes }],
            topology: Arc::new(layout),
            durability: Durability::Flush,
            fence: Fence::Status,
            on_full: OnFull::Map,
            limits: self.plan.limits,
            timing: Timing::default(),
        })
    }

    #[expect(clippy::type_complexity, reason = "the two ports of a backend, named where they go")]
    fn stores(
        &self,
        site: &'static str,
        config: &GroupConfig,
    ) -> Result<(Box<dyn JournalStore>, Vec<Arc<dyn BlockStore>>)> {
        let (site, group) = (site_name(site)?, config.group.clone());
        let dir = self.directory.path().join(site.as_str());
        let backend = self.registry.backend_factory(self.plan.backend.word())?;
        let journal = backend.journal_store(&JournalOptions {
            site: site.clone(),
            group: group.clone(),
            dir: dir.join("journal"),
            capacity_bytes: self.plan.journal_bytes,
            settings: BTreeMap::new(),
        })?;
        let open = |volume: &VolumeSpec| {
            backend.block_store(&VolumeOptions {
                site: site.clone(),
                group: group.clone(),
                volume: volume.clone(),
                dir: dir.join("volumes"),
                settings: BTreeMap::new(),
            })
        };
        Ok((journal, config.volumes.iter().map(open).collect::<Result<_>>()?))
    }

    /// The directory of journals and volumes, where the backend has files.
    pub fn directory(&self) -> Option<&Path> {
        (self.plan.backend != Backend::Memory).then(|| self.directory.path())
    }

    /// Slows or cuts the link between two sites.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn link(&self, one: &'static str, other: &'static str) -> Result<&FaultyControl> {
        let control = self.controls.get(&pair(one, other));
        control.ok_or_else(|| Error::invalid(format!("find link {one}-{other}: there is none")))
    }

    /// Kills a site as a machine dies: its links end at once, and it answers nobody any more.
    /// Nothing of it runs when this returns.
    pub fn kill(&mut self, name: &'static str) {
        // The links first: this is all that the others can see of it.
        for (link, control) in &self.controls {
            if link.0 == name || link.1 == name {
                control.set_cut(true);
            }
        }
        if let Some(site) = self.sites.remove(name) {
            tokio::task::block_in_place(|| site.kill());
        }
    }

    /// Stops all sites that run, in order.
    ///
    /// # Errors
    /// The first thing that did not end well.
    pub fn stop(&mut self) -> Result<()> {
        let mut result = Ok(());
        for (_, site) in std::mem::take(&mut self.sites) {
            let stopped = tokio::task::block_in_place(|| site.stop());
            result = result.and(stopped);
        }
        result
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Sites that were not stopped end at once: an interrupted demo does not linger.
        for (_, site) in std::mem::take(&mut self.sites) {
            site.kill();
        }
    }
}

fn temporary_directory() -> Result<TempDir> {
    let made = tempfile::Builder::new().prefix("trefoil-demo-").tempdir();
    made.map_err(|source| {
        Error::io("make a temporary directory: set TMPDIR to one that is writable", source)
    })
}

/// The demo's volume of a group.
///
/// # Errors
/// When the group has none of that name.
pub(super) fn volume_of(group: &Group) -> Result<Volume> {
    group.volume(&VolumeName::new(VOLUME)?)
}
