//! Three sites on one thread, over a simulated network and simulated disks, in virtual time.

use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use trefoil_backends::simulated::SimulatedDisk;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{
    Durability, Fence, GroupName, SiteName, UpdateNumber, VolumeId, VolumeName, VolumeSpec,
};
use trefoil_core::port::{BlockStore, Transport};
use trefoil_core::topology::{ThreeSite, Topology};
use trefoil_site::{
    Clock, Group, GroupConfig, GroupParts, GroupStatus, Limits, LinkRates, LocalSite, PeerLink,
    Point, SiteBuilder, TakeoverOptions, Timing, Traffic, Volume,
};
use trefoil_transports::simulated::{SimulatedNetwork, SimulatedOptions, SimulatedTransport};
use trefoil_transports::{Faulty, FaultyOptions};

pub const VOLUME_BYTES: u64 = 8 << 20;
pub const BLOCK: u64 = 4096;
const NAMES: [&str; 3] = ["a", "b", "c"];

/// tokio's clock, which a test may pause.
struct VirtualClock(tokio::time::Instant);

impl Clock for VirtualClock {
    fn now_us(&self) -> u64 {
        1_000_000 + u64::try_from(self.0.elapsed().as_micros()).unwrap()
    }

    fn wall_us(&self) -> u64 {
        1_700_000_000_000_000 + self.now_us()
    }
}

pub fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

pub struct World {
    pub network: SimulatedNetwork,
    /// Another way between the same sites; nobody takes it until told to.
    pub bypass: SimulatedNetwork,
    pub disks: BTreeMap<&'static str, SimulatedDisk>,
    running: RefCell<BTreeMap<&'static str, LocalSite>>,
    clock: Arc<VirtualClock>,
    boots: RefCell<u64>,
    /// Every start draws other random numbers.
    starts: RefCell<u64>,
    /// The link between A and C is cut so often on average.
    pub cuts: Option<Duration>,
    pub limits: Limits,
    /// How C is sent to.
    pub traffic: Traffic,
    /// Which sites there are, and who reads from whom.
    layout: Arc<dyn Topology>,
}

impl World {
    /// No site runs yet; journals hold `journal_bytes`, that of B `at_b`.
    pub fn with_journals(journal_bytes: u64, at_b: u64) -> Self {
        let disk = |(seed, name): (usize, &'static str)| {
            let bytes = if name == "b" { at_b } else { journal_bytes };
            (name, SimulatedDisk::new(seed as u64, bytes))
        };
        Self {
            network: SimulatedNetwork::new(7, SimulatedOptions::default()),
            bypass: SimulatedNetwork::new(8, SimulatedOptions::default()),
            disks: NAMES.into_iter().enumerate().map(disk).collect(),
            running: RefCell::default(),
            clock: Arc::new(VirtualClock(tokio::time::Instant::now())),
            boots: RefCell::new(0),
            starts: RefCell::new(0),
            cuts: None,
            limits: Limits::default(),
            traffic: Traffic::default(),
            layout: Arc::new(ThreeSite::new(site("a"), site("b"), site("c")).unwrap()),
        }
    }

    /// The same with other sites, or other sources.
    pub fn laid_out(self, layout: Arc<dyn Topology>) -> Self {
        Self { layout, ..self }
    }

    /// All three run, B is in sync, C is paired.
    pub async fn paired() -> Self {
        let world = Self::with_journals(64 << 20, 64 << 20);
        for name in NAMES {
            world.start(name).await;
        }
        world.until_paired().await;
        world
    }

    pub async fn until_paired(&self) {
        self.until("a", "a serves with b in sync and c filled", |status| {
            let in_sync = status.charter.as_ref().map_or(0, |charter| charter.in_sync.len());
            let c = &status.legs[&site("c")];
            status.serving && in_sync == 2 && c.debt_bytes == 0 && c.marks.restored.value() > 0
        })
        .await;
    }

    fn config(&self) -> GroupConfig {
        let volume = |name| VolumeSpec { name: VolumeName::new(name).unwrap(), size: VOLUME_BYTES };
        GroupConfig {
            group: GroupName::new("orders").unwrap(),
            volumes: vec![volume("db"), volume("log")],
            topology: self.layout.clone(),
            durability: Durability::Flush,
            fence: Fence::Status,
            on_full: OnFull::Map,
            limits: self.limits,
            // Most stories wait for what is restored, and are not about how long that takes.
            timing: Timing {
                sync_interval: Duration::from_millis(10),
                linger: Duration::ZERO,
                ..Timing::default()
            },
        }
    }

    pub async fn start(&self, name: &'static str) {
        let transport = Arc::new(self.network.transport_for(name));
        let link = |other: &&str| {
            let link = PeerLink::new(self.way(transport.clone(), name, other), *other);
            let traffic = if *other == "c" { self.traffic } else { Traffic::default() };
            (site(other), link.with_rates(LinkRates::new(traffic)))
        };
        let sites = self.layout.sites();
        let there = |other: &&&str| **other != name && sites.contains(&site(other));
        let peers = NAMES.iter().filter(there).map(link).collect();
        let config = self.config();
        let disk = &self.disks[name];
        let store = |volume: &VolumeSpec| {
            Arc::new(disk.volume(&volume.name, volume.size).unwrap()) as Arc<dyn BlockStore>
        };
        let stores = config.volumes.iter().map(store).collect();
        let journal = Box::new(disk.journal().unwrap());
        let parts = GroupParts { config, journal, stores, peers, arbiter: None };
        let builder = SiteBuilder::new(site(name))
            .listen(transport, name)
            .listen(Arc::new(self.bypass.transport_for(name)), name)
            .group(parts)
            .clock(self.clock.clone())
            .boot(format!("boot {}", self.boots.borrow()))
            .seed(1000 * u64::from(name.as_bytes()[0]) + self.starts.replace_with(|n| *n + 1));
        let local = LocalSite::start(builder).await.unwrap();
        self.running.borrow_mut().insert(name, local);
    }

    /// A dials C: what cuts its links cuts them for both.
    fn way(&self, way: Arc<SimulatedTransport>, name: &str, other: &str) -> Arc<dyn Transport> {
        match self.cuts {
            Some(_) if (name, other) == ("a", "c") => {
                let options = FaultyOptions { seed: 3, cut_every: self.cuts };
                Arc::new(Faulty::over(way, options).0)
            }
            _ => way,
        }
    }

    /// From now on the link from `name` to `peer` shall go through `network`, to `address`.
    pub fn reroute(&self, network: &SimulatedNetwork, name: &str, peer: &str, address: &str) {
        let transport = Arc::new(network.transport_for(name));
        let way = PeerLink::new(transport, address);
        self.group(name).change_link(&site(peer), way).unwrap();
    }

    /// The process dies; what was written stays.
    pub fn kill(&self, name: &str) {
        self.disks[name].crash_process();
        self.network.kill(name);
        self.bypass.kill(name);
        self.running.borrow_mut().remove(name);
    }

    /// The machine dies; what was not synced may go.
    pub fn lose_power(&self, name: &str) {
        self.disks[name].lose_power();
        self.network.kill(name);
        self.bypass.kill(name);
        self.running.borrow_mut().remove(name);
        *self.boots.borrow_mut() += 1;
    }

    pub fn group(&self, name: &str) -> Group {
        self.running.borrow()[name].group(&GroupName::new("orders").unwrap()).unwrap()
    }

    pub fn status(&self, name: &str) -> Arc<GroupStatus> {
        self.group(name).status()
    }

    pub fn volume(&self, name: &str, volume: &str) -> Volume {
        self.group(name).volume(&VolumeName::new(volume).unwrap()).unwrap()
    }

    /// Writes block `index` of "db" at a site, all of it `byte`.
    pub async fn write(&self, name: &str, index: u64, byte: u8) -> UpdateNumber {
        let data = Bytes::from(vec![byte; BLOCK as usize]);
        self.volume(name, "db").write_at(index * BLOCK, data).await.unwrap()
    }

    /// The byte that fills block `index` of "db" at a site.
    pub async fn read(&self, name: &str, index: u64) -> u8 {
        let data = self.volume(name, "db").read_at(index * BLOCK, BLOCK as usize).await.unwrap();
        assert!(data.iter().all(|byte| *byte == data[0]), "block {index} is torn");
        data[0]
    }

    pub async fn take_over(&self, name: &str) -> trefoil_site::Certificate {
        let options = TakeoverOptions { accept_loss: false, primary_is_fenced: true };
        self.group(name).takeover(options).await.unwrap()
    }

    /// Waits until `update` is restored at `there`, as seen by itself.
    pub async fn restored(&self, update: UpdateNumber, there: &str) {
        let group = self.group(there);
        let name = site(there);
        let wait = group.wait_for(update, &name, Point::Restored);
        if tokio::time::timeout(Duration::from_secs(60), wait).await.is_err() {
            panic!("update {update} was not restored at {there}: {:#?}", group.status());
        }
    }

    pub async fn until(&self, name: &str, what: &str, check: impl Fn(&GroupStatus) -> bool) {
        let group = self.group(name);
        let mut watch = group.watch();
        let wait = async {
            while !check(&group.status()) {
                watch.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(120), wait).await.is_err() {
            panic!("{what} did not happen: {:#?}", group.status());
        }
    }

    /// Both sites hold the same bytes once `update` is restored at both.
    pub async fn equal(&self, update: UpdateNumber, one: &str, other: &str) {
        self.restored(update, one).await;
        self.restored(update, other).await;
        for id in [VolumeId(0), VolumeId(1)] {
            let (one, other) = (self.image(one, id).await, self.image(other, id).await);
            assert!(one == other, "volume {id} differs");
        }
    }

    async fn image(&self, name: &str, id: VolumeId) -> Bytes {
        let snapshot = self.group(name).snapshot(None).await.unwrap();
        snapshot.read(id, 0, VOLUME_BYTES as usize).await.unwrap()
    }
}

/// Runs a test in virtual time: hours pass in moments, and every run is the same.
pub fn in_virtual_time(test: impl Future<Output = ()>) {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}
