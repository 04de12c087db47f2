//! Records that a journal has no room for are forgotten everywhere at once, and may come again.

use trefoil_core::engine::restorer::{CopiedBlock, RestorerEngine, RestorerLimits};
use trefoil_core::model::{Extent, Position, UpdateNumber, VolumeId};
use trefoil_core::port::Content;
use trefoil_core::record::Record;

fn n(number: u64) -> UpdateNumber {
    UpdateNumber::new(number)
}

/// Records of zeroes, one block each, that follow `after`.
fn records(after: Position, count: u64) -> Vec<Record> {
    let mut last = after;
    let next = |block: u64| {
        let extent = Extent { volume: VolumeId(0), offset: 512 * block, length: 512 };
        let record = Record::zero(&last, 0, extent);
        last = record.position();
        record
    };
    (0..count).map(next).collect()
}

#[test]
fn what_the_journal_forgets_is_not_restored_and_its_numbers_come_again() {
    let mut restorer = RestorerEngine::new(RestorerLimits::default(), UpdateNumber::ZERO, 0);
    let old = records(Position::START, 4);
    old.iter().for_each(|record| restorer.push(record.clone()).unwrap());
    restorer.durable(n(2));
    let before = restorer.pending_bytes();
    restorer.forget_after(n(2));
    let left: Vec<_> = restorer.waiting_records().map(Record::number).collect();
    assert_eq!(left, [n(1), n(2)]);
    assert_eq!((restorer.pending_updates(), restorer.pending_bytes()), (2, before / 2));
    let other = records(old[1].position(), 1);
    restorer.push(other[0].clone()).unwrap();
    restorer.durable(n(3));
    let batch = restorer.next_batch().unwrap();
    assert_eq!((batch.last, batch.updates), (n(3), 3));
    assert!(restorer.is_applying());
    assert_eq!(restorer.applied(n(3)), n(3));
}

#[test]
fn what_was_copied_outlives_the_records_before_it() {
    let mut restorer = RestorerEngine::new(RestorerLimits::default(), UpdateNumber::ZERO, 0);
    let two = records(Position::START, 2);
    two.iter().for_each(|record| restorer.push(record.clone()).unwrap());
    let content = Content::Zero(512);
    restorer.push_copied(CopiedBlock { volume: VolumeId(0), offset: 4096, content });
    restorer.durable(n(1));
    restorer.forget_after(n(1));
    // It is owed until the records that it belongs to are here, whatever is in the volume.
    let batch = restorer.next_batch().unwrap();
    assert_eq!((batch.last, batch.copied.len()), (n(1), 1));
    assert_eq!(restorer.copies_bytes(), 0);
}
