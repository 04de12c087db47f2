//! The simulated disk keeps its contracts, and breaks what it is told to break.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

#[path = "benches/simulated.rs"]
mod bench;

use bench::{Simulated, volume};
use bytes::Bytes;
use trefoil_backends::simulated::{Latency, SimulatedDisk};
use trefoil_core::ErrorKind;
use trefoil_core::conformance::{block_store, journal_store};
use trefoil_core::model::{Generation, Position, UpdateNumber, VolumeId};
use trefoil_core::port::{BlockStore, BlockWrite, Content, JournalStore};
use trefoil_core::record::Record;

fn records(before: Position, count: u64) -> Vec<Record> {
    let mut last = before;
    let make = |i| {
        let payload = Bytes::from(vec![i as u8; 100]);
        let record = Record::write(&last, i, VolumeId(0), i * 512, payload).unwrap();
        last = record.position();
        record
    };
    (0..count).map(make).collect()
}

fn start() -> Position {
    Position { generation: Generation { count: 1, id: 5 }, ..Position::START }
}

/// Recovers, and lets an empty journal begin in the tests' generation.
async fn begin(journal: &mut impl JournalStore) {
    if journal.recover().await.unwrap().newest == Position::START {
        journal.reset(start()).await.unwrap();
    }
}

fn block(offset: u64, byte: u8) -> BlockWrite {
    BlockWrite { offset, content: Content::Data(vec![byte; 4096].into()) }
}

#[tokio::test]
async fn the_simulated_store_keeps_every_claim() {
    block_store::prove_all(&mut Simulated::default()).await.unwrap();
}

#[tokio::test]
async fn the_simulated_journal_keeps_every_claim() {
    journal_store::prove_all(&mut Simulated::default()).await.unwrap();
}

#[tokio::test]
async fn a_power_loss_keeps_a_prefix_between_durable_and_appended() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let disk = SimulatedDisk::new(seed, 1 << 20);
        let mut journal = disk.journal().unwrap();
        begin(&mut journal).await;
        let all = records(start(), 10);
        journal.append(all[..4].to_vec()).await.unwrap();
        journal.sync().await.unwrap();
        journal.append(all[4..].to_vec()).await.unwrap();
        assert_eq!(disk.durable_records(), all[..4]);
        assert_eq!(disk.received_records(), all);
        disk.lose_power();
        assert_eq!(journal.append(Vec::new()).await.unwrap_err().kind(), ErrorKind::Closed);
        let kept = disk.received_records();
        assert!(kept.len() >= 4 && kept == all[..kept.len()]);
        lengths.insert(kept.len());
    }
    assert!(lengths.len() >= 5, "the cut should be anywhere: {lengths:?}");
}

#[tokio::test]
async fn a_power_loss_tears_unsynced_volume_writes_at_sectors() {
    let mut torn = 0;
    for seed in 0..50 {
        let disk = SimulatedDisk::new(seed, 0);
        let store = disk.volume(&volume(), 1 << 20).unwrap();
        store.write(vec![block(0, 1)]).await.unwrap();
        store.sync().await.unwrap();
        store.write(vec![block(0, 2)]).await.unwrap();
        disk.lose_power();
        assert_eq!(store.read(0, 1).await.unwrap_err().kind(), ErrorKind::Closed);
        let bytes = disk.volume_bytes(&volume(), 0, 4096);
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        assert!(sectors.iter().all(|byte| *byte == 1 || *byte == 2));
        torn += u32::from(sectors.contains(&1) && sectors.contains(&2));
    }
    assert!(torn >= 5, "only {torn} of 50 were torn");
}

#[tokio::test]
async fn a_failed_sync_poisons_the_handle_and_its_writes_are_never_durable() {
    let disk = SimulatedDisk::new(1, 1 << 20);
    let store = disk.volume(&volume(), 1 << 20).unwrap();
    store.write(vec![block(0, 1)]).await.unwrap();
    disk.fail_next_sync();
    assert_eq!(store.sync().await.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(store.sync().await.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(store.write(vec![block(0, 2)]).await.unwrap_err().kind(), ErrorKind::Io);
    disk.crash_process();
    let store = disk.volume(&volume(), 1 << 20).unwrap();
    store.sync().await.unwrap();
    assert_eq!(disk.durable_volume_bytes(&volume(), 0, 1), [0]);

    let mut journal = disk.journal().unwrap();
    begin(&mut journal).await;
    disk.fail_next_sync();
    assert_eq!(journal.sync().await.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(journal.sync().await.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(journal.append(records(start(), 1)).await.unwrap_err().kind(), ErrorKind::Io);
}

#[tokio::test]
async fn a_full_disk_and_a_failing_append_say_so() {
    let disk = SimulatedDisk::new(1, 1 << 20);
    let mut journal = disk.journal().unwrap();
    begin(&mut journal).await;
    disk.set_full(true);
    assert_eq!(journal.append(records(start(), 1)).await.unwrap_err().kind(), ErrorKind::Full);
    disk.set_full(false);
    disk.fail_next_append(ErrorKind::Full);
    assert_eq!(journal.append(records(start(), 1)).await.unwrap_err().kind(), ErrorKind::Full);
    journal.append(records(start(), 1)).await.unwrap();
    disk.fail_next_append(ErrorKind::Io);
    let more = records(disk.received(), 1);
    assert_eq!(journal.append(more.clone()).await.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(journal.append(more).await.unwrap_err().kind(), ErrorKind::Io);
}

#[tokio::test]
async fn a_lying_disk_loses_what_it_said_was_synced() {
    let lost = |seed| async move {
        let disk = SimulatedDisk::new(seed, 1 << 20);
        disk.set_lying(true);
        let mut journal = disk.journal().unwrap();
        begin(&mut journal).await;
        journal.append(records(start(), 10)).await.unwrap();
        journal.sync().await.unwrap();
        disk.lose_power();
        disk.received_records().len() < 10
    };
    let mut losses = 0;
    for seed in 0..20 {
        losses += u32::from(lost(seed).await);
    }
    assert!(losses > 10, "{losses} of 20");
}

#[tokio::test]
async fn damage_in_the_middle_is_corrupt_and_at_the_end_is_cut() {
    let disk = SimulatedDisk::new(1, 1 << 20);
    let mut journal = disk.journal().unwrap();
    begin(&mut journal).await;
    journal.append(records(start(), 10)).await.unwrap();
    assert!(disk.damage_record(UpdateNumber::new(10)));
    disk.crash_process();
    let mut journal = disk.journal().unwrap();
    let found = journal.recover().await.unwrap();
    assert_eq!(found.newest.number, UpdateNumber::new(9));
    assert!(found.cut.is_some());
    assert!(disk.damage_record(UpdateNumber::new(5)));
    let before = journal.read(UpdateNumber::new(3), 10_000).await.unwrap();
    assert_eq!(before.len(), 2);
    let bad = journal.read(UpdateNumber::new(5), 100).await;
    assert_eq!(bad.unwrap_err().kind(), ErrorKind::Corrupt);
    disk.crash_process();
    let mut journal = disk.journal().unwrap();
    assert_eq!(journal.recover().await.unwrap_err().kind(), ErrorKind::Corrupt);
}

/// What a run with unfinished operations leaves, by seed.
async fn interrupted(seed: u64) -> (usize, Option<Vec<u8>>, Vec<u8>) {
    let disk = SimulatedDisk::new(seed, 1 << 20);
    let mut journal = disk.journal().unwrap();
    begin(&mut journal).await;
    journal.save_state(vec![1]).await.unwrap();
    let store = disk.volume(&volume(), 1 << 20).unwrap();
    disk.set_latency(Latency { append: 5..=50, sync: 5..=50, read: 1..=9, write: 5..=50 });
    let (mut a, mut b) = (disk.journal(), disk.volume(&volume(), 1 << 20));
    assert!(a.is_err() && b.is_err());
    tokio::select! {
        biased;
        _ = journal.append(records(start(), 8)) => unreachable!("it takes 5 ms at least"),
        _ = store.write(vec![block(0, 3)]) => unreachable!("it takes 5 ms at least"),
        () = tokio::time::sleep(std::time::Duration::from_millis(2)) => disk.crash_process(),
    }
    a = disk.journal();
    b = disk.volume(&volume(), 1 << 20);
    let mut journal = a.unwrap();
    begin(&mut journal).await;
    tokio::select! {
        biased;
        _ = journal.save_state(vec![2]) => unreachable!("it takes 5 ms at least"),
        () = tokio::time::sleep(std::time::Duration::from_millis(2)) => disk.lose_power(),
    }
    drop(b);
    let state = disk.saved_state();
    (disk.received_records().len(), state, disk.volume_bytes(&volume(), 0, 4096))
}

#[tokio::test(start_paused = true)]
async fn a_crash_finds_unfinished_operations_half_done_and_the_same_seed_the_same_way() {
    let (mut lengths, mut states) = (std::collections::BTreeSet::new(), [false; 2]);
    for seed in 0..40 {
        let one = interrupted(seed).await;
        assert_eq!(one, interrupted(seed).await, "seed {seed}");
        lengths.insert(one.0);
        match one.1.as_deref() {
            Some([1]) => states[0] = true,
            Some([2]) => states[1] = true,
            other => panic!("neither the old state nor the new: {other:?}"),
        }
    }
    assert!(lengths.len() > 3 && states == [true, true], "{lengths:?} {states:?}");
}
