//! What the benchmarks share: three sites in one process, and a way to time things fairly.

pub mod hot;
pub mod load;
pub mod prototype;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trefoil_backends::file::{FileJournal, FileStore};
use trefoil_backends::memory::MemoryDisk;
use trefoil_core::Result;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{Durability, Fence, GroupName, SiteName, VolumeName, VolumeSpec};
use trefoil_core::port::{BlockStore, JournalStore, Transport};
use trefoil_core::topology::ThreeSite;
use trefoil_site::{
    Group, GroupConfig, GroupParts, Limits, PeerLink, Site, SiteBuilder, Timing, Volume,
};
use trefoil_transports::memory::MemoryNetwork;
use trefoil_transports::tcp::{TcpOptions, TcpTransport};

/// Size of the benchmark's volume in bytes.
pub const VOLUME_BYTES: u64 = 256 << 20;
/// Size of each journal in bytes.
pub const JOURNAL_BYTES: u64 = 256 << 20;
/// How long the sites may take to pair.
const PAIRING_TIMEOUT: Duration = Duration::from_secs(60);

/// What the sites are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup<'a> {
    /// Over TCP on loopback; else in memory.
    pub tcp: bool,
    /// Files below this directory; else in memory.
    pub dir: Option<&'a Path>,
    /// When a write is answered.
    pub durability: Durability,
    /// Whether site C runs; else it is never reached.
    pub third: bool,
}

/// Sites in one process.
#[derive(Debug)]
pub struct World {
    /// The sites that run, in order: a, b and perhaps c.
    pub sites: Vec<Site>,
}

fn site(name: &str) -> Result<SiteName> {
    SiteName::new(name)
}

impl World {
    /// Starts the sites and waits until A serves with B in sync (and C paired, if it runs).
    ///
    /// # Errors
    /// Whatever a site says, or that they did not pair in time.
    pub fn start(setup: Setup<'_>) -> Result<Self> {
        let sites = builders(setup)?.into_iter().map(SiteBuilder::start);
        let world = Self { sites: sites.collect::<Result<_>>()? };
        world.await_pairing(setup.third);
        Ok(world)
    }

    fn await_pairing(&self, third: bool) {
        let begun = Instant::now();
        let paired = |group: &Group| paired(group, third);
        while !self.sites.first().is_some_and(|a| a.groups().iter().all(paired)) {
            assert!(begun.elapsed() < PAIRING_TIMEOUT, "the sites did not pair: {self:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The volume at site A.
    ///
    /// # Errors
    /// That there is none.
    pub fn volume(&self) -> Result<Volume> {
        let a = self.sites.first().ok_or_else(|| trefoil_core::Error::closed("no site runs"))?;
        a.group(&GroupName::new("bench")?)?.volume(&VolumeName::new("db")?)
    }
}

/// Whether the group's site serves with B in sync (and C following, where it is wanted).
pub fn paired(group: &Group, third: bool) -> bool {
    let status = group.status();
    let members = status.charter.as_ref().map_or(0, |charter| charter.in_sync.len());
    let follows = |leg: &trefoil_site::status::LegStatus| {
        leg.link_up && leg.debt_bytes == 0 && leg.marks.restored.value() > 0
    };
    let c = status.legs.iter().find(|(name, _)| name.as_str() == "c");
    status.serving && members == 2 && (!third || c.is_some_and(|(_, leg)| follows(leg)))
}

/// The sites of a setup, described and not started: a, b and perhaps c.
///
/// # Errors
/// Whatever a store says that cannot be opened.
pub fn builders(setup: Setup<'_>) -> Result<Vec<SiteBuilder>> {
    let network = MemoryNetwork::new();
    let tcp = TcpTransport::new(TcpOptions::default());
    let transport: Arc<dyn Transport> =
        if setup.tcp { Arc::new(tcp) } else { Arc::new(network.transport()) };
    let addresses = addresses(setup.tcp)?;
    let names = if setup.third { vec!["a", "b", "c"] } else { vec!["a", "b"] };
    names.iter().map(|name| describe(setup, name, &transport, &addresses)).collect()
}

fn addresses(tcp: bool) -> Result<BTreeMap<SiteName, String>> {
    let port = |name: &'static str| {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let free = free.map_err(|source| trefoil_core::Error::io("find a free port", source))?;
        Ok((site(name)?, if tcp { free.to_string() } else { name.to_owned() }))
    };
    ["a", "b", "c"].into_iter().map(port).collect()
}

/// The group of the benchmarks: one volume, everything else as it is by default.
///
/// # Errors
/// None that is known: the names are good.
pub fn group_config() -> Result<GroupConfig> {
    Ok(GroupConfig {
        group: GroupName::new("bench")?,
        volumes: vec![VolumeSpec { name: VolumeName::new("db")?, size: VOLUME_BYTES }],
        topology: Arc::new(ThreeSite::new(site("a")?, site("b")?, site("c")?)?),
        durability: Durability::default(),
        fence: Fence::Status,
        on_full: OnFull::Map,
        limits: Limits::default(),
        timing: Timing::default(),
    })
}

fn describe(
    setup: Setup<'_>,
    name: &str,
    transport: &Arc<dyn Transport>,
    addresses: &BTreeMap<SiteName, String>,
) -> Result<SiteBuilder> {
    let volume = VolumeSpec { name: VolumeName::new("db")?, size: VOLUME_BYTES };
    let config = GroupConfig { durability: setup.durability, ..group_config()? };
    let own = site(name)?;
    let (journal, store) = storage(setup, &own, &config, &volume)?;
    let peers = addresses.iter().filter(|(other, _)| **other != own);
    let link = |address: &String| PeerLink::new(transport.clone(), address.clone());
    let peers = peers.map(|(other, address)| (other.clone(), link(address))).collect();
    let parts = GroupParts { config, journal, stores: vec![store], peers, arbiter: None };
    let listen = addresses.get(&own).cloned().unwrap_or_default();
    Ok(Site::builder(own).listen(transport.clone(), listen).group(parts))
}

type Storage = (Box<dyn JournalStore>, Arc<dyn BlockStore>);

fn storage(
    setup: Setup<'_>,
    own: &SiteName,
    config: &GroupConfig,
    volume: &VolumeSpec,
) -> Result<Storage> {
    let Some(dir) = setup.dir else {
        let disk = MemoryDisk::new(JOURNAL_BYTES);
        return Ok((Box::new(disk.journal()?), Arc::new(disk.volume(&volume.name, volume.size)?)));
    };
    let dir = dir.join(own.as_str());
    let made = std::fs::create_dir_all(&dir);
    made.map_err(|source| trefoil_core::Error::io("make a directory", source))?;
    let journal = FileJournal::open(&dir, &config.group, own, JOURNAL_BYTES)?;
    let store = FileStore::open(&dir, &config.group, &volume.name, volume.size)?;
    Ok((Box::new(journal), Arc::new(store)))
}

/// The median of what `measure` returns in `rounds` runs.
pub fn median(rounds: usize, mut measure: impl FnMut() -> f64) -> f64 {
    middle((0..rounds).map(|_| measure()).collect())
}

/// The median of some figures.
pub fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
