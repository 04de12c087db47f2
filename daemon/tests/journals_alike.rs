//! The same scenario over every transport and backend, changed by words only: the journals of the
//! survivors are equal, byte for byte, and so are their volumes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/words.rs"]
mod words;

use bytes::Bytes;
use std::time::{Duration, Instant};
use trefoil_core::model::{GroupName, LegState, SiteName, UpdateNumber, VolumeName};
use trefoil_site::{Group, Point, Site, TakeoverOptions, Volume};
use words::{Choice, Words};

const VOLUME_BYTES: u64 = 8 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

fn name(site: &str) -> SiteName {
    SiteName::new(site).unwrap()
}

fn group(site: &Site) -> Group {
    site.group(&GroupName::new("orders").unwrap()).unwrap()
}

fn volume(group: &Group) -> Volume {
    group.volume(&VolumeName::new("db0").unwrap()).unwrap()
}

/// Waits until a group's status is as wanted.
async fn until(group: &Group, what: &str, holds: impl Fn(&trefoil_site::GroupStatus) -> bool) {
    let begun = Instant::now();
    while !holds(&group.status()) {
        assert!(begun.elapsed() < PATIENCE, "{what}: not in time; {:?}", group.status());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Writes of many lengths and places, which overlap, and zeroes; the same in every run.
async fn write_some(volume: &Volume, from: u64, count: u64) -> UpdateNumber {
    let mut last = UpdateNumber::ZERO;
    for n in from..from + count {
        let offset = (n * 40_503 * 512) % (VOLUME_BYTES - (256 << 10));
        let length = 512 << (n % 9);
        last = if n % 7 == 3 {
            volume.write_zeroes(offset, length).await.unwrap()
        } else {
            let byte = u8::try_from(n % 251).unwrap();
            let data = vec![byte; usize::try_from(length).unwrap()];
            volume.write_at(offset, Bytes::from(data)).await.unwrap()
        };
    }
    last
}

/// The bytes of every record in `(after, up_to]`, as the site's journal holds them.
async fn journal(group: &Group, after: UpdateNumber, up_to: UpdateNumber) -> Vec<Vec<u8>> {
    let (mut held, mut next) = (Vec::new(), after.next());
    while next <= up_to {
        let records = group.records(next, up_to, 1 << 20).await.unwrap();
        for record in &records {
            assert_eq!(record.number(), next, "a journal is consecutive");
            held.push([record.header_bytes(), record.payload()].concat());
            next = next.next();
        }
    }
    held
}

/// What the volume holds once `last` is restored: nothing but idle records comes after it.
async fn contents(group: &Group, last: UpdateNumber) -> Vec<u8> {
    volume(group).wait_for(last, group.site(), Point::Restored).await.unwrap();
    let snapshot = group.snapshot(None).await.unwrap();
    let id = volume(group).id();
    let mut whole = Vec::new();
    for offset in (0..VOLUME_BYTES).step_by(1 << 20) {
        whole.extend_from_slice(&snapshot.read(id, offset, 1 << 20).await.unwrap());
    }
    whole
}

/// A writes, dies, B takes over and writes on: what B and C hold is equal.
async fn the_survivors_are_alike(choice: Choice) {
    let words = Words::new(choice, VOLUME_BYTES);
    let a = words.start("a");
    let (b, c) = (words.start("b"), words.start("c"));
    let at_a = group(&a);
    until(&at_a, "A serves and both legs are paired", |status| {
        let paired = |site| {
            let leg = status.legs.get(&name(site));
            leg.is_some_and(|leg| leg.state == LegState::Paired && leg.marks.restored.value() > 0)
        };
        status.serving && paired("b") && paired("c")
    })
    .await;
    let written = write_some(&volume(&at_a), 0, 120).await;
    volume(&at_a).wait_for(written, &name("c"), Point::Restored).await.unwrap();
    tokio::task::block_in_place(|| a.kill());
    let (at_b, at_c) = (group(&b), group(&c));
    let options = TakeoverOptions { primary_is_fenced: true, ..TakeoverOptions::default() };
    at_b.takeover(options).await.unwrap();
    let at_takeover = written;
    let last = write_some(&volume(&at_b), 1000, 120).await;
    volume(&at_b).wait_for(last, &name("c"), Point::Durable).await.unwrap();
    // A's floor holds back what came after it died: both journals have all of it.
    let (one, other) =
        (journal(&at_b, at_takeover, last).await, journal(&at_c, at_takeover, last).await);
    assert!(one.len() >= 120, "{choice:?}: {} records", one.len());
    assert!(one == other, "{choice:?}: the journals of B and C differ");
    assert!(
        contents(&at_b, last).await == contents(&at_c, last).await,
        "{choice:?}: the volumes of B and C differ"
    );
    tokio::task::block_in_place(|| {
        b.stop().unwrap();
        c.stop().unwrap();
    });
}

/// One test for each combination, so that each is seen by name.
macro_rules! combinations {
    ($($name:ident: $transport:literal, $backend:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                the_survivors_are_alike(Choice { transport: $transport, backend: $backend }).await;
            }
        )*
    };
}

combinations! {
    over_memory_in_memory: "memory", "memory";
    over_memory_in_files: "memory", "file";
    over_memory_in_mapped_files: "memory", "mmap";
    over_tcp_in_memory: "tcp", "memory";
    over_tcp_in_files: "tcp", "file";
    over_tcp_in_mapped_files: "tcp", "mmap";
    over_tls_in_memory: "tcp+tls", "memory";
    over_tls_in_files: "tcp+tls", "file";
    over_tls_in_mapped_files: "tcp+tls", "mmap";
    over_quic_in_memory: "quic", "memory";
    over_quic_in_files: "quic", "file";
    over_quic_in_mapped_files: "quic", "mmap";
}
