//! A leg over a bad long way: it is cut again and again, packed, and held to a rate.

use crate::world::{BLOCK, World, in_virtual_time, site};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use trefoil_core::model::UpdateNumber;
use trefoil_site::{Compression, Limits, Point, Traffic};

/// Blocks that the writer goes around in, over and over: `n` writes `n` into block `n % BLOCKS`.
const BLOCKS: u64 = 16;

/// Every window of a minute and a bit of what is written, none of it compressible.
async fn write_numbered(world: &World, number: u64) -> UpdateNumber {
    let mut data = vec![0; BLOCK as usize];
    data[..8].copy_from_slice(&number.to_be_bytes());
    let mut noise = number;
    for byte in &mut data[8..] {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = noise.to_be_bytes()[0];
    }
    let offset = number % BLOCKS * BLOCK;
    world.volume("a", "db").write_at(offset, Bytes::from(data)).await.unwrap()
}

/// The newest number in the image at C; panics if the image is not what it was after that write.
async fn prefix_at_c(world: &World) -> u64 {
    let image = world.volume("c", "db").read_at(0, (BLOCKS * BLOCK) as usize).await.unwrap();
    let numbers: Vec<u64> = image
        .chunks(BLOCK as usize)
        .map(|block| u64::from_be_bytes(block[..8].try_into().unwrap()))
        .collect();
    let newest = *numbers.iter().max().unwrap();
    for (block, number) in numbers.iter().enumerate() {
        let back = (newest + BLOCKS - block as u64) % BLOCKS;
        assert_eq!(*number, newest.saturating_sub(back), "not a prefix: {numbers:?}");
    }
    newest
}

fn with_traffic(traffic: Traffic) -> World {
    let mut world = World::with_journals(64 << 20, 64 << 20);
    world.traffic = traffic;
    world
}

async fn start(world: &World) {
    for name in ["a", "b", "c"] {
        world.start(name).await;
    }
    world.until_paired().await;
}

#[test]
fn five_minutes_of_cuts_every_two_seconds_only_delay_the_async_leg() {
    const WINDOW: u64 = 1 << 20;
    in_virtual_time(async {
        let mut world = World::with_journals(64 << 20, 64 << 20);
        world.cuts = Some(Duration::from_secs(2));
        world.limits = Limits { credit_bytes: WINDOW, ..Limits::default() };
        start(&world).await;
        // Numbers begin where every block has been written once.
        for number in 0..BLOCKS {
            write_numbered(&world, number).await;
        }
        let first = world.volume("a", "log").flush().await.unwrap();
        world.restored(first, "c").await;
        let begun = Instant::now();
        let before = (world.status("c").totals, world.status("a").totals);
        let sent_before = world.status("a").legs[&site("c")].payload_bytes;
        let (mut number, mut last, mut seen) = (BLOCKS, first, 0);
        let mut next_look = Duration::from_secs(15);
        while begun.elapsed() < Duration::from_secs(300) {
            for _ in 0..4 {
                last = write_numbered(&world, number).await;
                number += 1;
            }
            sleep(Duration::from_millis(50)).await;
            if begun.elapsed() >= next_look {
                let now = prefix_at_c(&world).await;
                assert!(now > seen, "no progress in 15 s: still {now}");
                (seen, next_look) = (now, next_look + Duration::from_secs(15));
            }
        }
        world.equal(last, "a", "c").await;
        // The last cut may have been a moment ago.
        world.until("c", "c follows again", |status| status.follows.is_some()).await;
        let (a, c) = (world.status("a"), world.status("c"));
        let cuts = a.totals.reconnects - before.1.reconnects;
        let taken = c.totals.appended_bytes - before.0.appended_bytes;
        let sent = a.legs[&site("c")].payload_bytes - sent_before;
        let (number, excess) = (c.newest.number, sent.saturating_sub(taken));
        println!("{cuts} cuts, {taken} bytes taken, {sent} sent, {excess} of them in vain");
        assert!((75..300).contains(&cuts), "a cut every 2 s on average: {cuts} in 300 s");
        assert!(excess <= cuts * WINDOW, "{excess} bytes were sent again in {cuts} cuts");
        assert_eq!(c.follows.as_ref().unwrap().fetched.copied_bytes, 0, "never a copy");
        // The chain hash of a position stands for all records before it.
        let group = world.group("c");
        group.wait_for(number, &site("c"), Point::Durable).await.unwrap();
        assert_eq!(c.newest.generation, a.newest.generation);
        if a.newest.number == number {
            assert_eq!(a.newest, c.newest, "another history");
        }
    });
}

#[test]
fn a_packed_leg_brings_the_same_bytes_and_needs_fewer() {
    for compression in [Compression::Lz4, Compression::Zstd(1)] {
        in_virtual_time(async move {
            let world = with_traffic(Traffic { compression, ..Traffic::default() });
            start(&world).await;
            let mut last = UpdateNumber::ZERO;
            for index in 0..200 {
                last = world.write("a", index, index as u8).await;
            }
            world.equal(last, "a", "c").await;
            let status = world.status("a");
            let (b, c) = (&status.legs[&site("b")], &status.legs[&site("c")]);
            assert!(c.wire_bytes * 2 < c.payload_bytes, "{c:?}");
            assert!(b.wire_bytes > b.payload_bytes, "B's link says nothing of packing: {b:?}");
        });
    }
}

#[test]
fn a_rate_holds_and_may_be_changed_while_the_leg_runs() {
    in_virtual_time(async {
        let world = with_traffic(Traffic { rate: Some(100_000), ..Traffic::default() });
        start(&world).await;
        let mut last = UpdateNumber::ZERO;
        let begun = Instant::now();
        for index in 0..500 {
            last = world.write("a", index, index as u8).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "the host does not wait for C");
        sleep(Duration::from_secs(5) - begun.elapsed()).await;
        let sent = world.status("a").legs[&site("c")].wire_bytes;
        let most = 100_000 * 6 + (200 << 10);
        assert!((300_000..most).contains(&sent), "{sent} bytes in 5 s at 100 kB/s");
        let rates = world.group("a").link_rates(&site("c")).unwrap();
        rates.set(Traffic::default());
        let changed = Instant::now();
        world.equal(last, "a", "c").await;
        assert!(changed.elapsed() < Duration::from_secs(3), "{:?}", changed.elapsed());
    });
}

#[test]
fn a_leg_that_nobody_waits_for_may_gather_its_batches() {
    in_virtual_time(async {
        let delay = Duration::from_millis(200);
        let world = with_traffic(Traffic { batch_delay: delay, ..Traffic::default() });
        start(&world).await;
        sleep(Duration::from_secs(2)).await;
        let begun = Instant::now();
        let last = world.write("a", 1, 1).await;
        assert!(begun.elapsed() < delay / 2, "the host does not wait for C");
        world.restored(last, "b").await;
        assert!(begun.elapsed() < delay / 2, "and B, which is waited for, gathers nothing");
        world.restored(last, "c").await;
        assert!(begun.elapsed() < delay * 3, "{:?}", begun.elapsed());
    });
}
