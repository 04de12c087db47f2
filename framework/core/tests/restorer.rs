//! The restorer applies durable updates, in order, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case must fail")]

use proptest::prelude::*;
use std::collections::BTreeMap;
use trefoil_core::engine::restorer::{Batch, CopiedBlock, RestorerEngine, RestorerLimits};
use trefoil_core::model::{Extent, Generation, Position, SessionId, UpdateNumber, VolumeId};
use trefoil_core::port::Content;
use trefoil_core::record::Record;
use trefoil_core::wire::CompareBlock;

const BYTES: usize = 64;

/// What comes down the stream.
#[derive(Clone, Debug)]
enum Entry {
    Write(u32, u64, u64, u8),
    Zero(u32, u64, u64),
    Heartbeat,
    Copied(u32, u64, u64, u8),
    Compared(u32, u64, u64),
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let range = || (0..2u32, 0..48u64, 1..16u64);
    let entry = prop_oneof![
        6 => (range(), any::<u8>()).prop_map(|((v, o, l), f)| Entry::Write(v, o, l, f)),
        2 => range().prop_map(|(v, o, l)| Entry::Zero(v, o, l)),
        1 => Just(Entry::Heartbeat),
        1 => (range(), any::<u8>()).prop_map(|((v, o, l), f)| Entry::Copied(v, o, l, f)),
        2 => range().prop_map(|(v, o, l)| Entry::Compared(v, o, l)),
    ];
    prop::collection::vec(entry, 0..40)
}

/// Pushes an entry and applies it, one by one, to the model.
fn push(
    engine: &mut RestorerEngine,
    at: &mut Position,
    entry: &Entry,
    model: &mut [[u8; BYTES]; 2],
) {
    let mut fill = |volume: u32, offset: u64, length: u64, with: u8| {
        model[volume as usize][offset as usize..(offset + length) as usize].fill(with);
    };
    let record = match *entry {
        Entry::Write(volume, offset, length, with) => {
            fill(volume, offset, length, with);
            let payload = vec![with; length as usize].into();
            Record::write(at, 0, VolumeId(volume), offset, payload).unwrap()
        }
        Entry::Zero(volume, offset, length) => {
            fill(volume, offset, length, 0);
            Record::zero(at, 0, Extent { volume: VolumeId(volume), offset, length })
        }
        Entry::Heartbeat => Record::heartbeat(at, 0),
        Entry::Copied(volume, offset, length, with) => {
            fill(volume, offset, length, with);
            let content = Content::Data(vec![with; length as usize].into());
            engine.push_copied(CopiedBlock { volume: VolumeId(volume), offset, content });
            return;
        }
        Entry::Compared(volume, offset, length) => {
            // The hashes of what must be in the store at this place of the stream.
            let extent = Extent { volume: VolumeId(volume), offset, length };
            let content = &model[volume as usize][offset as usize..extent.end() as usize];
            let hashes = CompareBlock::hashes_of(content);
            let (session, low, high) = (SessionId(1), at.number, *at);
            engine.push_compared(CompareBlock { session, extent, hashes, low, high });
            return;
        }
    };
    *at = record.position();
    engine.push(record).unwrap();
}

fn apply(stores: &mut [[u8; BYTES]; 2], batch: &Batch) {
    assert!(batch.compared.is_empty() || batch.writes.is_empty(), "of its own");
    for block in &batch.compared {
        let range = block.extent.offset as usize..block.extent.end() as usize;
        let differing = block.differing(&stores[block.extent.volume.0 as usize][range]);
        assert!(differing.is_empty(), "what came before is there, and nothing of what came after");
    }
    for (volume, writes) in &batch.writes {
        let mut end = 0;
        for write in writes {
            assert!(write.offset >= end, "writes are sorted and do not overlap");
            end = write.offset + write.content.length();
            let range = write.offset as usize..end as usize;
            match &write.content {
                Content::Data(data) => {
                    stores[volume.0 as usize][range].copy_from_slice(data);
                }
                Content::Zero(_) => stores[volume.0 as usize][range].fill(0),
            }
        }
    }
}

fn engine(limits: RestorerLimits) -> (RestorerEngine, Position) {
    let generation = Generation { count: 1, id: 9 };
    let at = Position { generation, ..Position::START };
    (RestorerEngine::new(limits, UpdateNumber::ZERO, 0), at)
}

fn write(engine: &mut RestorerEngine, at: &mut Position, offset: u64, bytes: usize) {
    let record = Record::write(at, 0, VolumeId(0), offset, vec![1; bytes].into()).unwrap();
    *at = record.position();
    engine.push(record).unwrap();
}

#[test]
fn nothing_is_applied_before_it_is_durable() {
    let (mut engine, mut at) = engine(RestorerLimits::default());
    write(&mut engine, &mut at, 0, 8);
    write(&mut engine, &mut at, 8, 8);
    assert_eq!(engine.next_batch(), None, "write_ahead");
    engine.durable(UpdateNumber::new(1));
    let batch = engine.next_batch().unwrap();
    assert_eq!((batch.first, batch.last), (UpdateNumber::new(1), UpdateNumber::new(1)));
    assert_eq!(engine.restored(), UpdateNumber::ZERO);
    assert_eq!(engine.applied(batch.last), UpdateNumber::new(1));
    assert_eq!(engine.next_batch(), None);
}

#[test]
fn one_batch_is_in_flight_at_a_time_and_a_hold_stops_the_next() {
    let (mut engine, mut at) = engine(RestorerLimits::default());
    write(&mut engine, &mut at, 0, 8);
    engine.durable(at.number);
    let batch = engine.next_batch().unwrap();
    write(&mut engine, &mut at, 8, 8);
    engine.durable(at.number);
    assert_eq!(engine.next_batch(), None);
    engine.hold();
    assert!(!engine.is_still(), "the batch in flight still changes the store");
    engine.applied(UpdateNumber::new(7));
    assert!(!engine.is_still(), "that was another batch's number");
    engine.applied(batch.last);
    assert!(engine.is_still());
    assert_eq!(engine.next_batch(), None);
    engine.release();
    assert_eq!(engine.next_batch().unwrap().last, at.number);
}

#[test]
fn a_batch_keeps_its_limits_but_always_moves() {
    let limits = RestorerLimits {
        batch_updates_max: 2,
        batch_bytes_max: 2 * (96 + 8),
        ..RestorerLimits::default()
    };
    let (mut engine, mut at) = engine(limits);
    for bytes in [1000, 8, 8, 8, 9] {
        write(&mut engine, &mut at, 0, bytes);
    }
    engine.durable(at.number);
    let mut ends = Vec::new();
    while let Some(batch) = engine.next_batch() {
        ends.push(engine.applied(batch.last).value());
    }
    assert_eq!(ends, [1, 3, 4, 5]);
    assert_eq!((engine.pending_bytes(), engine.pending_updates()), (0, 0));
}

#[test]
fn a_record_that_does_not_follow_is_refused() {
    let (mut engine, mut at) = engine(RestorerLimits::default());
    write(&mut engine, &mut at, 0, 8);
    let skipped = Record::heartbeat(&at, 0).position();
    let error = engine.push(Record::heartbeat(&skipped, 0)).unwrap_err();
    assert!(error.to_string().contains("no_gap"), "{error}");
    engine.push(Record::heartbeat(&at, 0)).unwrap();
}

#[test]
fn what_a_later_update_replaces_is_not_written() {
    let (mut engine, mut at) = engine(RestorerLimits::default());
    write(&mut engine, &mut at, 0, 8);
    write(&mut engine, &mut at, 4, 8);
    write(&mut engine, &mut at, 20, 4);
    engine.durable(at.number);
    let batch = engine.next_batch().unwrap();
    assert_eq!((batch.bytes, batch.coalesced_bytes), (16, 4));
    assert_eq!(batch.coalesced_updates, 0, "something of each is written");
    let touched: Vec<_> = batch.extents.iter().map(|e| (e.offset, e.length)).collect();
    assert_eq!(touched, [(0, 12), (20, 4)], "neighbours are one range");
    assert_eq!(batch.writes[&VolumeId(0)].len(), 3, "but not copied together");
    engine.applied(batch.last);
    write(&mut engine, &mut at, 2, 2);
    write(&mut engine, &mut at, 0, 8);
    engine.durable(at.number);
    let batch = engine.next_batch().unwrap();
    assert_eq!((batch.bytes, batch.coalesced_updates), (8, 1));
}

#[test]
fn a_batch_is_due_by_time_by_bytes_and_at_once_for_what_gains_nothing_by_waiting() {
    let (mut engine, mut at) = engine(RestorerLimits::default());
    assert!(!engine.batch_due(5000, 500, 200), "nothing waits");
    write(&mut engine, &mut at, 0, 8);
    assert!(!engine.batch_due(6000, 500, 200), "it has only come");
    assert!(!engine.batch_due(6499, 500, 200));
    assert!(engine.batch_due(6499, 400, 200), "whoever waits less sees it sooner");
    assert!(engine.batch_due(6500, 500, 200), "by time");
    write(&mut engine, &mut at, 0, 100);
    assert!(engine.batch_due(6000, 500, 200), "by bytes");
    engine.durable(at.number);
    let batch = engine.next_batch().unwrap();
    engine.applied(batch.last);
    assert!(!engine.batch_due(7000, 500, 200), "nothing is left");
    write(&mut engine, &mut at, 0, 8);
    assert!(!engine.batch_due(9000, 500, 200), "time counts anew");
    let content = Content::Data(vec![5; 8].into());
    engine.push_copied(CopiedBlock { volume: VolumeId(0), offset: 32, content });
    assert!(engine.batch_due(9000, 500, 1000), "a copied block does not wait");
    engine.forget_copied();
    assert!(!engine.batch_due(9001, 500, 1000));
}

#[test]
fn a_checkpoint_is_due_by_bytes_or_by_time_and_only_for_something() {
    let limits = RestorerLimits { checkpoint_bytes: 16, ..RestorerLimits::default() };
    let (mut engine, mut at) = engine(limits);
    assert!(!engine.checkpoint_due(5000, 1000), "nothing was applied");
    let mut restore = |engine: &mut RestorerEngine, bytes| {
        write(engine, &mut at, 0, bytes);
        engine.durable(at.number);
        let batch = engine.next_batch().unwrap();
        engine.applied(batch.last)
    };
    restore(&mut engine, 8);
    assert!(!engine.checkpoint_due(999, 1000));
    assert!(engine.checkpoint_due(999, 500), "whoever is in a hurry does it sooner");
    assert!(engine.checkpoint_due(1000, 1000), "by time");
    restore(&mut engine, 8);
    assert!(engine.checkpoint_due(0, 1000), "by bytes");
    let begun = engine.checkpoint_begin();
    let newest = restore(&mut engine, 16);
    assert!(!engine.checkpoint_due(9000, 1000), "one is under way");
    engine.checkpointed(begun, 2000);
    assert_eq!(engine.checkpoint(), begun);
    assert!(newest > begun && engine.checkpoint_due(2000, 1000), "what came meanwhile counts");
}

#[test]
fn nothing_is_applied_while_staged_whatever_is_durable_or_reset() {
    let (mut engine, mut at) = engine(RestorerLimits::default());
    engine.stage(true);
    write(&mut engine, &mut at, 0, 8);
    engine.durable(at.number);
    assert!(engine.next_batch().is_none() && !engine.may_begin());
    engine.reset(at.number, 7);
    write(&mut engine, &mut at, 0, 8);
    engine.durable(at.number);
    assert_eq!(engine.next_batch(), None, "a reset ends no stage");
    assert_eq!(engine.told_durable(), at.number);
    engine.stage(false);
    assert_eq!(engine.next_batch().unwrap().last, at.number);
}

#[test]
fn a_reset_drops_what_waits_and_keeps_holds() {
    let (mut engine, mut at) = engine(RestorerLimits::default());
    write(&mut engine, &mut at, 0, 8);
    engine.hold();
    engine.reset(UpdateNumber::new(40), 7);
    assert_eq!(engine.restored(), UpdateNumber::new(40));
    assert_eq!(engine.checkpoint(), UpdateNumber::new(40));
    assert_eq!(engine.pending_updates(), 0);
    assert!(engine.is_still());
}

#[test]
fn copied_blocks_that_wait_can_be_forgotten_without_a_gap_in_the_records() {
    let (mut engine, mut at) = engine(RestorerLimits::default());
    let content = Content::Data(vec![5; 8].into());
    let block = CopiedBlock { volume: VolumeId(0), offset: 32, content };
    engine.push_copied(block.clone());
    write(&mut engine, &mut at, 0, 8);
    engine.push_copied(block);
    write(&mut engine, &mut at, 8, 8);
    engine.forget_copied();
    engine.durable(at.number);
    let batch = engine.next_batch().unwrap();
    assert_eq!((batch.copied.len(), batch.updates, batch.last), (0, 2, at.number));
    engine.applied(batch.last);
    assert_eq!(engine.pending_bytes(), 0);
}

proptest! {
    #[test]
    fn batches_in_sequence_equal_the_entries_one_by_one(
        entries in entries(), steps in prop::collection::vec(0..6u64, 1..60), updates in 1..9u64,
    ) {
        let limits = RestorerLimits {
            batch_updates_max: updates,
            batch_bytes_max: 1000,
            ..RestorerLimits::default()
        };
        let (mut engine, mut at) = engine(limits);
        let mut model = [[7u8; BYTES]; 2];
        let mut stores = model;
        let mut coming = entries.iter();
        // What the volumes are after each update: of copies, which have no number, the last.
        let mut prefixes = BTreeMap::from([(UpdateNumber::ZERO, model)]);
        let (mut durable, mut copied) = (UpdateNumber::ZERO, false);
        for step in steps.iter().cycle().take(200).chain(std::iter::repeat_n(&6, 60)) {
            for entry in coming.by_ref().take(*step as usize / 2) {
                push(&mut engine, &mut at, entry, &mut model);
                prefixes.insert(at.number, model);
                copied |= matches!(entry, Entry::Copied(..));
            }
            durable = durable.plus(*step).min(at.number);
            engine.durable(durable);
            if let Some(batch) = engine.next_batch() {
                let from = engine.restored();
                prop_assert_eq!(batch.first, from.next());
                prop_assert_eq!(batch.last.since(from), batch.updates);
                prop_assert!(batch.last <= durable);
                apply(&mut stores, &batch);
                engine.applied(batch.last);
                // However much was folded, what can be read is a state that the host made.
                prop_assert!(copied || stores == prefixes[&batch.last]);
            }
        }
        prop_assert_eq!(stores, model);
        prop_assert_eq!(engine.restored(), at.number);
        prop_assert_eq!(engine.pending_bytes(), 0);
    }
}

#[test]
fn a_batch_ends_with_a_record_of_volumes() {
    let mut engine = RestorerEngine::new(RestorerLimits::default(), UpdateNumber::ZERO, 0);
    let mut at = Position { generation: Generation { count: 1, id: 1 }, ..Position::START };
    let name = trefoil_core::model::VolumeName::new("db").unwrap();
    let volumes = [trefoil_core::model::VolumeSpec { name, size: 1024 }];
    let mut records = vec![Record::heartbeat(&at, 0)];
    records.push(Record::volumes(&records[0].position(), 0, &volumes).unwrap());
    records.push(Record::heartbeat(&records[1].position(), 0));
    assert_eq!(records[1].volume_set().unwrap(), volumes);
    assert_eq!((records[0].volume_set(), records[1].extent()), (None, None));
    for record in records {
        at = record.position();
        engine.push(record).unwrap();
    }
    engine.durable(at.number);
    for last in [2, 3] {
        let batch = engine.next_batch().unwrap();
        assert_eq!(batch.last, UpdateNumber::new(last), "what comes after it is for its volumes");
        engine.applied(batch.last);
    }
}

#[test]
fn what_the_journal_forgets_is_not_restored_and_its_numbers_come_again() {
    let (n, (mut engine, mut at)) = (UpdateNumber::new, engine(RestorerLimits::default()));
    write(&mut engine, &mut at, 0, 8);
    write(&mut engine, &mut at, 8, 8);
    let mut kept = at;
    write(&mut engine, &mut at, 16, 8);
    write(&mut engine, &mut at, 24, 8);
    engine.durable(n(2));
    let before = engine.pending_bytes();
    engine.forget_after(n(2));
    let left: Vec<_> = engine.waiting_records().map(Record::number).collect();
    assert_eq!(left, [n(1), n(2)]);
    assert_eq!((engine.pending_updates(), engine.pending_bytes()), (2, before / 2));
    write(&mut engine, &mut kept, 0, 8);
    engine.durable(n(3));
    let batch = engine.next_batch().unwrap();
    assert_eq!((batch.last, batch.updates), (n(3), 3));
    assert!(engine.is_applying());
    assert_eq!(engine.applied(n(3)), n(3));
}

#[test]
fn what_was_copied_outlives_the_records_before_it_that_the_journal_forgets() {
    let (n, (mut engine, mut at)) = (UpdateNumber::new, engine(RestorerLimits::default()));
    write(&mut engine, &mut at, 0, 8);
    write(&mut engine, &mut at, 8, 8);
    let content = Content::Zero(8);
    engine.push_copied(CopiedBlock { volume: VolumeId(0), offset: 32, content });
    engine.durable(n(1));
    engine.forget_after(n(1));
    // It is owed until the records that it belongs to are here, whatever is in the volume.
    let batch = engine.next_batch().unwrap();
    assert_eq!((batch.last, batch.copied.len()), (n(1), 1));
    assert_eq!(engine.copies_bytes(), 0);
}
