//! Three sites in one process, over memory, in virtual time: the main story.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use trefoil_backends::memory::MemoryDisk;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::engine::takeover::Verdict;
use trefoil_core::model::{Durability, Fence, GroupName, Role, SiteName, VolumeName, VolumeSpec};
use trefoil_core::port::BlockStore;
use trefoil_core::topology::ThreeSite;
use trefoil_site::{
    Clock, Group, GroupConfig, GroupParts, Limits, LocalSite, PeerLink, Point, SiteBuilder,
    TakeoverOptions, Timing, Volume,
};
use trefoil_transports::simulated::{SimulatedNetwork, SimulatedOptions};

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

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

const VOLUME_BYTES: u64 = 8 << 20;

struct World {
    network: SimulatedNetwork,
    disks: BTreeMap<&'static str, Rc<MemoryDisk>>,
    clock: Arc<VirtualClock>,
}

impl World {
    fn new() -> Self {
        let disk = || Rc::new(MemoryDisk::new(64 << 20));
        Self {
            network: SimulatedNetwork::new(7, SimulatedOptions::default()),
            disks: ["a", "b", "c"].into_iter().map(|name| (name, disk())).collect(),
            clock: Arc::new(VirtualClock(tokio::time::Instant::now())),
        }
    }

    fn config(&self) -> GroupConfig {
        let volume = |name| VolumeSpec { name: VolumeName::new(name).unwrap(), size: VOLUME_BYTES };
        GroupConfig {
            group: GroupName::new("orders").unwrap(),
            volumes: vec![volume("db"), volume("log")],
            topology: Arc::new(ThreeSite::new(site("a"), site("b"), site("c")).unwrap()),
            durability: Durability::Flush,
            fence: Fence::Status,
            on_full: OnFull::Map,
            limits: Limits::default(),
            timing: Timing::default(),
        }
    }

    async fn start(&self, name: &'static str) -> LocalSite {
        let transport = Arc::new(self.network.transport_for(name));
        let others = ["a", "b", "c"].into_iter().filter(|other| *other != name);
        let peers = others
            .map(|other| {
                let link = PeerLink { transport: transport.clone(), address: other.into() };
                (site(other), link)
            })
            .collect();
        let config = self.config();
        let disk = &self.disks[name];
        let stores: Vec<Arc<dyn BlockStore>> = config
            .volumes
            .iter()
            .map(|volume| Arc::new(disk.volume(&volume.name, volume.size).unwrap()) as _)
            .collect();
        let journal = Box::new(disk.journal().unwrap());
        let parts = GroupParts { config, journal, stores, peers };
        let builder = SiteBuilder::new(site(name))
            .listen(transport, name)
            .group(parts)
            .clock(self.clock.clone())
            .boot("boot")
            .seed(u64::from(name.as_bytes()[0]));
        LocalSite::start(builder).await.unwrap()
    }
}

fn group(site: &LocalSite) -> Group {
    site.group(&GroupName::new("orders").unwrap()).unwrap()
}

fn volume(site: &LocalSite, name: &str) -> Volume {
    group(site).volume(&VolumeName::new(name).unwrap()).unwrap()
}

async fn until(group: &Group, what: &str, check: impl Fn(&trefoil_site::GroupStatus) -> bool) {
    let mut watch = group.watch();
    let wait = async {
        while !check(&group.status()) {
            watch.changed().await.unwrap();
        }
    };
    if tokio::time::timeout(Duration::from_secs(60), wait).await.is_err() {
        panic!("{what} did not happen: {:#?}", group.status());
    }
}

fn in_virtual_time(test: impl Future<Output = ()>) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

async fn images(group: &Group) -> Vec<Bytes> {
    let snapshot = group.snapshot(None).await.unwrap();
    let mut all = Vec::new();
    for index in 0..2 {
        let id = trefoil_core::model::VolumeId(index);
        all.push(snapshot.read(id, 0, VOLUME_BYTES as usize).await.unwrap());
    }
    all
}

#[test]
fn a_dies_b_takes_over_and_c_follows_by_delta() {
    in_virtual_time(async {
        let world = World::new();
        let (a, b, c) = (world.start("a").await, world.start("b").await, world.start("c").await);
        until(&group(&a), "a serves with b in sync and c paired", |status| {
            let in_sync = status.charter.as_ref().map_or(0, |charter| charter.in_sync.len());
            let c = &status.legs[&site("c")];
            status.serving && in_sync == 2 && c.debt_bytes == 0 && c.marks.restored.value() > 0
        })
        .await;

        let (db, log) = (volume(&a, "db"), volume(&a, "log"));
        for turn in 0..200_u64 {
            let target = if turn % 2 == 0 { &db } else { &log };
            target.write_at(turn * 4096, Bytes::from(vec![turn as u8 + 1; 4096])).await.unwrap();
        }
        let last = db.flush().await.unwrap();
        group(&a).wait_for(last, &site("c"), Point::Restored).await.unwrap();

        world.network.cut("a", "c");
        let mut answered = last;
        for turn in 0..100_u64 {
            let data = Bytes::from(vec![turn as u8 + 101; 4096]);
            answered = db.write_at(turn * 8192, data).await.unwrap();
        }
        world.network.kill("a");
        drop((db, log, a));

        until(&group(&b), "b notices", |status| !status.legs[&site("a")].link_up).await;
        let certificate = group(&b).takeover(TakeoverOptions::default()).await.unwrap();
        assert_eq!(certificate.verdict, Verdict::Zero);
        assert!(certificate.newest.number >= answered, "{certificate:?}");
        assert_eq!(group(&b).status().role, Role::Primary);

        let db = volume(&b, "db");
        for turn in 0..100_u64 {
            let data = db.read_at(turn * 8192, 4096).await.unwrap();
            assert!(data.iter().all(|byte| *byte == turn as u8 + 101), "turn {turn}");
        }
        db.write_at(4 << 20, Bytes::from_static(b"after the takeover")).await.unwrap();
        let last = db.flush().await.unwrap();
        group(&b).wait_for(last, &site("c"), Point::Restored).await.unwrap();
        group(&b).wait_for(last, &site("b"), Point::Restored).await.unwrap();
        let followed = group(&c).status().follows.clone().unwrap();
        let plan = followed.plan.unwrap();
        assert_eq!(plan.kind.to_string(), "delta", "{plan:?}");
        assert_eq!(followed.fetched.copied_bytes, 0);
        assert_eq!(images(&group(&b)).await, images(&group(&c)).await);
        b.stop().await.unwrap();
        c.stop().await.unwrap();
    });
}
