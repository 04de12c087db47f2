//! A site whose volumes hold data of which nobody knows how old it is: only what differs travels.

use crate::world::{BLOCK, VOLUME_BYTES, World, in_virtual_time, site};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::sleep;
use trefoil_backends::simulated::SimulatedDisk;
use trefoil_core::ErrorKind;
use trefoil_core::model::{HASHED_BYTES, PlanKind, UpdateNumber, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite, Content};
use trefoil_site::status::FollowStatus;
use trefoil_site::{Limits, Traffic};

/// How many blocks of "db" have content: 4 MiB, each its own.
const BLOCKS: u64 = 1024;

async fn fill(world: &World) -> UpdateNumber {
    let mut last = UpdateNumber::ZERO;
    for index in 0..BLOCKS {
        let mut data = vec![index as u8 | 1; BLOCK as usize];
        data[..8].copy_from_slice(&index.to_be_bytes());
        last = world.volume("a", "db").write_at(index * BLOCK, data.into()).await.unwrap();
    }
    last
}

/// C dies, and its journal and state are lost; its volumes are as they were.
async fn c_forgets(world: &mut World) {
    world.kill("c");
    let (old, new) = (world.disks["c"].clone(), SimulatedDisk::new(99, 64 << 20));
    for name in ["db", "log"].map(|name| VolumeName::new(name).unwrap()) {
        let content = Bytes::from(old.volume_bytes(&name, 0, VOLUME_BYTES as usize));
        let chunks = content.chunks(BLOCK as usize).enumerate();
        let held = chunks.filter(|(_, chunk)| chunk.iter().any(|byte| *byte != 0));
        let write = |(index, chunk): (usize, &[u8])| BlockWrite {
            offset: index as u64 * BLOCK,
            content: Content::Data(Bytes::copy_from_slice(chunk)),
        };
        let store = new.volume(&name, VOLUME_BYTES).unwrap();
        store.write(held.map(write).collect()).await.unwrap();
        store.sync().await.unwrap();
    }
    world.disks.insert("c", new);
}

fn follows(world: &World) -> FollowStatus {
    world.status("c").follows.clone().unwrap()
}

async fn three(mut world: World, limits: Limits) -> World {
    world.limits = limits;
    for name in ["a", "b", "c"] {
        world.start(name).await;
    }
    world.until_paired().await;
    world
}

/// All volumes are full, C has restored them, forgot and is away.
async fn three_of_which_c_forgot() -> World {
    let mut world = three(World::with_journals(64 << 20, 64 << 20), Limits::default()).await;
    let filled = fill(&world).await;
    world.restored(filled, "c").await;
    c_forgets(&mut world).await;
    world
}

#[test]
fn a_site_that_lost_its_state_and_kept_its_volumes_is_sent_only_what_differs() {
    in_virtual_time(async {
        let world = three_of_which_c_forgot().await;
        // While it is away three blocks change, far from each other.
        for index in [3, 300, 900] {
            world.write("a", index, 0xee).await;
        }
        let before = world.status("a").totals.copied_bytes;
        world.start("c").await;
        world.until_paired().await;
        let last = world.write("a", 5, 55).await;
        world.equal(last, "a", "c").await;
        let FollowStatus { plan, fetched, .. } = follows(&world);
        let plan = plan.unwrap();
        assert_eq!(plan.kind, PlanKind::Compare, "{plan:?}");
        assert!(plan.why.contains("c holds data"), "{plan:?}");
        assert!(fetched.compared_bytes >= BLOCKS * BLOCK, "{fetched:?}");
        assert_eq!(fetched.copied_bytes, 3 * HASHED_BYTES, "{fetched:?}");
        assert_eq!(world.status("a").totals.copied_bytes - before, 3 * HASHED_BYTES);
        assert_eq!(world.status("a").totals.compared_bytes, fetched.compared_bytes);
    });
}

#[test]
fn a_site_that_forgot_shows_nothing_of_its_volumes_until_it_was_told_what_becomes_of_them() {
    in_virtual_time(async {
        let world = three_of_which_c_forgot().await;
        world.kill("a");
        world.kill("b");
        world.start("c").await;
        sleep(Duration::from_secs(1)).await;
        let refused = world.group("c").snapshot(None).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
        let volume = world.volume("c", "db");
        let refused = volume.read_at(0, BLOCK as usize).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
        assert!(volume.allocated(0, VOLUME_BYTES).await.is_err());
        assert_eq!(world.status("c").marks.restored, UpdateNumber::ZERO);
        world.start("a").await;
        world.start("b").await;
        world.until_paired().await;
        let last = world.write("a", 8, 88).await;
        world.equal(last, "a", "c").await;
    });
}

#[test]
fn a_comparison_that_is_interrupted_again_and_again_ends_right_while_the_host_writes() {
    in_virtual_time(async {
        let mut world = World::with_journals(64 << 20, 64 << 20);
        // What differs takes its time, so that there is something to interrupt.
        world.traffic = Traffic { copy_rate: Some(256 << 10), ..Traffic::default() };
        let limits = Limits { credit_bytes: 256 << 10, ..Limits::default() };
        let mut world = three(world, limits).await;
        let filled = fill(&world).await;
        world.restored(filled, "c").await;
        c_forgets(&mut world).await;
        for index in (0..BLOCKS).step_by(32) {
            world.write("a", index, 0xdd).await;
        }
        for round in 0..4u8 {
            world.start("c").await;
            for index in 0..60 {
                // Also what is compared or copied at that very moment.
                let index = (index * 17 + u64::from(round)) % BLOCKS;
                world.write("a", index, 100 + round).await;
                sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(follows(&world).plan.unwrap().kind, PlanKind::Compare);
            assert!(world.status("c").debt_bytes > 0, "round {round}: it was to be interrupted");
            match round % 2 {
                0 => world.lose_power("c"),
                _ => world.kill("c"),
            }
        }
        world.start("c").await;
        world.until_paired().await;
        let last = world.write("a", 6, 66).await;
        world.equal(last, "a", "c").await;
        assert_eq!(world.status("a").legs[&site("c")].debt_bytes, 0);
    });
}

#[test]
fn a_cut_in_the_middle_of_the_hashes_costs_only_what_was_on_its_way() {
    in_virtual_time(async {
        let mut world = World::with_journals(64 << 20, 64 << 20);
        world.cuts = Some(Duration::from_millis(300));
        let limits = Limits { credit_bytes: 128 << 10, ..Limits::default() };
        let mut world = three(world, limits).await;
        let filled = fill(&world).await;
        world.restored(filled, "c").await;
        c_forgets(&mut world).await;
        world.write("a", 77, 0x77).await;
        world.start("c").await;
        world.until_paired().await;
        let last = world.write("a", 7, 77).await;
        world.equal(last, "a", "c").await;
        let copied = world.status("a").totals.copied_bytes;
        assert!(copied < BLOCKS * BLOCK / 2, "{copied} bytes travelled for one block");
    });
}
