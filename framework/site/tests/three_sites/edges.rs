//! Edge cases that need whole sites: the host's buffers, and devices that fail (see
//! `docs/edge_cases.md` for all of them).

use crate::world::{VOLUME_BYTES, World, in_virtual_time, site};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::time::sleep;
use trefoil_core::ErrorKind;
use trefoil_core::engine::takeover::Verdict;
use trefoil_core::model::{VolumeChange, VolumeName};
use trefoil_site::GroupStatus;

/// The size of a block of these worlds.
const BLOCK: usize = 4096;

#[test]
fn e21_overlapping_writes_keep_their_order() {
    in_virtual_time(async {
        let world = World::paired().await;
        let volume = world.volume("a", "db");
        // All at once: each covers half of the one before; the order is that of their numbers.
        let writes = (0..64u64).map(|n| {
            let data = Bytes::from(vec![n as u8 + 1; BLOCK]);
            let (volume, offset) = (volume.clone(), n * BLOCK as u64 / 2);
            tokio::task::spawn_local(
                async move { (n, volume.write_at(offset, data).await.unwrap()) },
            )
        });
        let mut answered = Vec::new();
        for write in writes.collect::<Vec<_>>() {
            answered.push(write.await.unwrap());
        }
        answered.sort_by_key(|(_, number)| *number);
        let mut expected = vec![0u8; 64 * BLOCK / 2 + BLOCK];
        for (n, _) in &answered {
            let offset = *n as usize * BLOCK / 2;
            expected[offset..offset + BLOCK].fill(*n as u8 + 1);
        }
        let read = volume.read_at(0, expected.len()).await.unwrap();
        assert!(read == expected, "as the overlay shows it");
        let last = world.write("a", 100, 7).await;
        world.equal(last, "a", "b").await;
        world.equal(last, "a", "c").await;
        world.kill("a");
        world.take_over("b").await;
        let read = world.volume("b", "db").read_at(0, expected.len()).await.unwrap();
        assert!(read == expected, "and as the mirror restored it");
    });
}

#[test]
fn e29_a_write_that_may_have_been_answered_is_kept_and_listed_at_the_takeover() {
    in_virtual_time(async {
        let world = World::paired().await;
        let answered = world.write("a", 3, 0x33).await;
        // Everybody hears that it was.
        sleep(Duration::from_secs(2)).await;
        // B gets what follows, and its word does not reach A: no host is told.
        world.network.cut_one_way("b", "a");
        let volume = world.volume("a", "db");
        for index in [9u64, 7, 7] {
            let (volume, data) = (volume.clone(), Bytes::from(vec![0x99; BLOCK]));
            let writing = async move { volume.write_at(index * BLOCK as u64, data).await };
            tokio::task::spawn_local(writing);
        }
        sleep(Duration::from_millis(50)).await;
        world.kill("a");
        world.network.heal("a", "b");
        let certificate = world.take_over("b").await;
        assert_eq!(certificate.verdict, Verdict::Zero);
        let doubt = certificate.in_doubt.unwrap();
        assert!(doubt.after >= answered && doubt.up_to == certificate.newest.number, "{doubt:?}");
        assert_eq!((doubt.writes, doubt.bytes, doubt.more_ranges), (3, 2 * BLOCK as u64, 0));
        let listed: Vec<(&str, u64, u64)> = (doubt.ranges.iter())
            .map(|range| (range.volume.as_str(), range.offset, range.length))
            .collect();
        let block = BLOCK as u64;
        assert_eq!(listed, [("db", 7 * block, block), ("db", 9 * block, block)]);
        assert_eq!(world.read("b", 9).await, 0x99, "it is kept");
    });
}

#[test]
fn e22_a_buffer_that_is_used_again_changes_nothing_that_was_written() {
    in_virtual_time(async {
        let world = World::paired().await;
        let volume = world.volume("a", "db");
        let mut buffer = BytesMut::with_capacity(BLOCK);
        let mut writes = Vec::new();
        for n in 0..32u64 {
            // The caller fills one buffer again and again, and waits for nothing.
            buffer.resize(BLOCK, 0);
            buffer.fill(n as u8 + 1);
            let (volume, data) = (volume.clone(), buffer.split().freeze());
            let offset = n * BLOCK as u64;
            writes
                .push(tokio::task::spawn_local(async move { volume.write_at(offset, data).await }));
        }
        for write in writes {
            write.await.unwrap().unwrap();
        }
        let last = world.write("a", 100, 7).await;
        world.equal(last, "a", "b").await;
        for n in 0..32u64 {
            assert_eq!(world.read("a", n).await, n as u8 + 1);
        }
    });
}

#[test]
fn e24_a_device_that_fails_at_a_answers_nobody_wrongly() {
    in_virtual_time(async {
        let world = World::paired().await;
        let answered = world.write("a", 1, 11).await;
        world.disks["a"].fail_next_append(ErrorKind::Io);
        let volume = world.volume("a", "db");
        let write = volume.write_at(2 * BLOCK as u64, Bytes::from(vec![22; BLOCK]));
        let outcome = tokio::time::timeout(Duration::from_secs(30), write).await;
        assert!(!matches!(outcome, Ok(Ok(_))), "its own journal does not have it");
        sleep(Duration::from_secs(1)).await;
        let status = world.status("a");
        assert!(!status.serving && status.trouble.is_some(), "{status:?}");
        assert!(volume.read_at(0, BLOCK).await.is_err(), "it answers no reads either");
        sleep(Duration::from_secs(5)).await;
        let certificate = world.take_over("b").await;
        assert_eq!(certificate.verdict, Verdict::Zero);
        assert!(certificate.newest.number >= answered);
        assert_eq!(world.read("b", 1).await, 11);
        let last = world.write("b", 3, 33).await;
        world.equal(last, "b", "c").await;
        world.kill("a");
        world.start("a").await;
        world
            .until("b", "a is in sync again", |status| {
                status.charter.as_ref().is_some_and(|it| it.member(&site("a")).is_some())
            })
            .await;
    });
}

#[test]
fn e24_a_full_device_at_a_lets_the_host_wait_and_loses_nothing() {
    in_virtual_time(async {
        let world = World::paired().await;
        world.disks["a"].fail_next_append(ErrorKind::Full);
        let last = world.write("a", 2, 22).await;
        assert!(world.status("a").serving, "no room is no failure");
        world.equal(last, "a", "b").await;
        assert_eq!(world.read("a", 2).await, 22);
    });
}

#[test]
fn e30_a_volume_that_grows_while_a_leg_is_down_is_grown_there_in_its_turn() {
    in_virtual_time(async {
        let world = World::paired().await;
        world.write("a", 1, 0x11).await;
        for other in ["a", "b"] {
            world.network.cut(other, "c");
        }
        let name = VolumeName::new("db").unwrap();
        let size = VOLUME_BYTES + 64 * BLOCK as u64;
        let change = VolumeChange::Grow { name: name.clone(), size };
        let grown = world.group("a").change_volumes(change).await.unwrap();
        world.restored(grown, "b").await;
        let length = |site: &str| {
            let volumes = world.disks[site].volumes();
            volumes.into_iter().find(|(volume, _)| *volume == name).map(|(_, size)| size)
        };
        assert_eq!(
            (length("a"), length("b"), length("c")),
            (Some(size), Some(size), Some(VOLUME_BYTES))
        );

        // Where it was not yet when C was cut off.
        let data = Bytes::from(vec![0x22; BLOCK]);
        let written = world.volume("a", "db").write_at(VOLUME_BYTES, data.clone()).await.unwrap();
        world.restored(written, "b").await;
        for other in ["a", "b"] {
            world.network.heal(other, "c");
        }
        world.restored(written, "c").await;
        assert_eq!(length("c"), Some(size), "what comes is carried out in order");
        assert_eq!(world.status("c").totals.copied_bytes, 0, "and nothing is copied for it");

        world.kill("a");
        world.take_over("c").await;
        let read = world.volume("c", "db").read_at(VOLUME_BYTES, BLOCK).await.unwrap();
        assert_eq!(read, data, "C serves what lies in the new part");
    });
}

#[test]
fn e30_a_site_that_cannot_grow_a_volume_journals_on_and_says_so() {
    in_virtual_time(async {
        let world = World::paired().await;
        world.disks["c"].set_no_growth(true);
        let name = VolumeName::new("db").unwrap();
        let change = VolumeChange::Grow { name, size: VOLUME_BYTES + 64 * BLOCK as u64 };
        let grown = world.group("a").change_volumes(change).await.unwrap();
        let last = world.write("a", 1, 0x11).await;
        let says = |status: &GroupStatus| {
            let journaled = status.marks.received >= last && status.marks.durable >= last;
            status.trouble.is_some() && journaled
        };
        world.until("c", "c journals on, and says that it has no room", says).await;
        let restored = world.status("c").marks.restored;
        assert!(restored < last, "{restored}: it does not restore what comes after {grown}");
        world.disks["c"].set_no_growth(false);
        world.equal(last, "a", "c").await;
        let whole = |status: &GroupStatus| status.trouble.is_none();
        world.until("c", "c is well again", whole).await;
    });
}
