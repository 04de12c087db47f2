//! Handles of sites on their own threads: from sync code, from any runtime, and after the end.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use trefoil_backends::memory::MemoryDisk;
use trefoil_core::ErrorKind;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{Durability, Extent, Fence, GroupName, SiteName, VolumeName, VolumeSpec};
use trefoil_core::port::{BlockStore, BlockWrite};
use trefoil_core::topology::ThreeSite;
use trefoil_site::{GroupConfig, GroupParts, Limits, PeerLink, Point, Site, Timing, Volume};
use trefoil_transports::memory::MemoryNetwork;

const VOLUME_BYTES: u64 = 4 << 20;

fn name(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn start(own: &str, network: &MemoryNetwork) -> Site {
    start_with(own, network, &["db"], |store| store)
}

/// A site with these volumes, each of which is `wrapped`.
fn start_with(
    own: &str,
    network: &MemoryNetwork,
    volumes: &[&str],
    mut wrapped: impl FnMut(Arc<dyn BlockStore>) -> Arc<dyn BlockStore>,
) -> Site {
    let spec =
        |name: &&str| VolumeSpec { name: VolumeName::new(name).unwrap(), size: VOLUME_BYTES };
    let volumes: Vec<VolumeSpec> = volumes.iter().map(spec).collect();
    let disk = MemoryDisk::new(64 << 20);
    let transport = Arc::new(network.transport());
    let others = ["a", "b", "c"].into_iter().filter(|other| *other != own);
    let link = |other| PeerLink::new(transport.clone(), other);
    let mut store = |volume: &VolumeSpec| {
        wrapped(Arc::new(disk.volume(&volume.name, volume.size).unwrap()) as Arc<dyn BlockStore>)
    };
    let parts = GroupParts {
        journal: Box::new(disk.journal().unwrap()),
        stores: volumes.iter().map(&mut store).collect(),
        peers: others.map(|other| (name(other), link(other))).collect(),
        arbiter: None,
        config: GroupConfig {
            group: GroupName::new("orders").unwrap(),
            volumes,
            topology: Arc::new(ThreeSite::new(name("a"), name("b"), name("c")).unwrap()),
            durability: Durability::Flush,
            fence: Fence::Status,
            on_full: OnFull::Map,
            limits: Limits::default(),
            timing: Timing::default(),
        },
    };
    Site::builder(name(own)).listen(transport.clone(), own).group(parts).start().unwrap()
}

/// Three sites, and the volume where it is served.
fn sites() -> (Vec<Site>, Volume) {
    let network = MemoryNetwork::new();
    let sites: Vec<Site> = ["a", "b", "c"].iter().map(|own| start(own, &network)).collect();
    let volume = served(&sites);
    (sites, volume)
}

/// The volume `db`, once the first of `sites` answers hosts.
fn served(sites: &[Site]) -> Volume {
    let group = sites[0].group(&GroupName::new("orders").unwrap()).unwrap();
    let begun = Instant::now();
    while !group.status().serving {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", group.status());
        std::thread::sleep(Duration::from_millis(10));
    }
    group.volume(&VolumeName::new("db").unwrap()).unwrap()
}

/// A store that counts how often it is synced.
struct Counting(Arc<dyn BlockStore>, Arc<AtomicU64>);

#[async_trait]
impl BlockStore for Counting {
    fn size(&self) -> u64 {
        self.0.size()
    }

    async fn read(&self, offset: u64, length: usize) -> trefoil_core::Result<Bytes> {
        self.0.read(offset, length).await
    }

    async fn write(&self, batch: Vec<BlockWrite>) -> trefoil_core::Result<()> {
        self.0.write(batch).await
    }

    async fn sync(&self) -> trefoil_core::Result<()> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.sync().await
    }

    async fn allocated_from(&self, offset: u64) -> trefoil_core::Result<Option<Extent>> {
        self.0.allocated_from(offset).await
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

#[test]
fn a_checkpoint_syncs_the_volumes_that_were_written_and_no_others() {
    let (network, volumes) = (MemoryNetwork::new(), ["db", "idle"]);
    let synced = volumes.map(|_| Arc::new(AtomicU64::new(0)));
    let mut counters = synced.clone().into_iter();
    let a = start_with("a", &network, &volumes, |store| {
        Arc::new(Counting(store, counters.next().unwrap()))
    });
    let others = ["b", "c"].map(|own| start_with(own, &network, &volumes, |store| store));
    let mut sites = vec![a];
    sites.extend(others);
    let volume = served(&sites);
    let group = sites[0].group(&GroupName::new("orders").unwrap()).unwrap();
    futures_executor::block_on(async {
        let number = volume.write_at(0, Bytes::from_static(b"kept")).await.unwrap();
        let begun = Instant::now();
        while group.status().marks.checkpointed < number {
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", group.status());
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    assert!(synced[0].load(Ordering::SeqCst) > 0, "what was written is durable");
    assert_eq!(synced[1].load(Ordering::SeqCst), 0, "nothing was written to it");
    drop(sites);
}

#[test]
fn a_handle_works_from_sync_code_without_any_runtime() {
    let (sites, volume) = sites();
    futures_executor::block_on(async {
        let update = volume.write_at(512, Bytes::from_static(b"sync")).await.unwrap();
        assert_eq!(volume.read_at(512, 4).await.unwrap(), "sync");
        volume.flush().await.unwrap();
        volume.wait_for(update, &name("c"), Point::Restored).await.unwrap();
    });
    for site in sites {
        site.stop().unwrap();
    }
}

#[test]
fn a_handle_works_from_many_tasks_of_another_runtime() {
    let (sites, volume) = sites();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let write = |index: u64| {
            let volume = volume.clone();
            tokio::spawn(async move {
                let data = Bytes::from(index.to_le_bytes().to_vec());
                volume.write_at(index * 8, data).await.unwrap()
            })
        };
        let tasks: Vec<_> = (0..500).map(write).collect();
        let mut numbers = Vec::new();
        for task in tasks {
            numbers.push(task.await.unwrap());
        }
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len(), 500, "every write has a number of its own");
        for index in 0..500_u64 {
            assert_eq!(volume.read_at(index * 8, 8).await.unwrap(), index.to_le_bytes().as_slice());
        }
    });
    drop(sites);
}

#[test]
fn dropping_a_write_does_not_undo_it() {
    let (sites, volume) = sites();
    futures_executor::block_on(async {
        for round in 1..=100_u8 {
            let write = volume.write_at(0, Bytes::from(vec![round; 4096]));
            let mut write = Box::pin(write);
            // Polled once, so admitted; then dropped.
            let _ = futures_util::poll!(&mut write);
            drop(write);
            volume.flush().await.unwrap();
            let read = volume.read_at(0, 4096).await.unwrap();
            assert!(read.iter().all(|byte| *byte == round), "round {round}");
        }
    });
    drop(sites);
}

#[test]
fn after_the_stop_handles_answer_that_it_is_closed() {
    let (sites, volume) = sites();
    for site in sites {
        site.stop().unwrap();
    }
    futures_executor::block_on(async {
        let write = volume.write_at(0, Bytes::from_static(b"late")).await.unwrap_err();
        assert_eq!(write.kind(), ErrorKind::Closed, "{write}");
        let read = volume.read_at(0, 1).await.unwrap_err();
        assert_eq!(read.kind(), ErrorKind::Closed, "{read}");
    });
}

#[test]
fn ranges_beyond_the_end_and_empty_writes_are_refused() {
    let (sites, volume) = sites();
    futures_executor::block_on(async {
        let beyond = volume.write_at(VOLUME_BYTES - 1, Bytes::from_static(b"xx")).await;
        assert_eq!(beyond.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(volume.read_at(VOLUME_BYTES, 1).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(volume.write_at(0, Bytes::new()).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(volume.write_zeroes(0, u64::MAX).await.unwrap_err().kind(), ErrorKind::Invalid);
    });
    drop(sites);
}

#[test]
fn zeroes_and_allocation_are_told_exactly() {
    let (sites, volume) = sites();
    futures_executor::block_on(async {
        volume.write_at(8192, Bytes::from(vec![1; 8192])).await.unwrap();
        volume.write_zeroes(12288, 4096).await.unwrap();
        let read = volume.read_at(8192, 8192).await.unwrap();
        assert!(read[..4096].iter().all(|byte| *byte == 1));
        assert!(read[4096..].iter().all(|byte| *byte == 0));
        let runs = volume.allocated(0, VOLUME_BYTES).await.unwrap();
        assert_eq!(runs.iter().map(|(length, _)| length).sum::<u64>(), VOLUME_BYTES);
        let mut at = 0;
        for (length, data) in runs {
            assert!(data || !(8192..12288).contains(&at), "what was written is allocated");
            at += length;
        }
    });
    drop(sites);
}
