//! Copies: an interrupted one is never taken for a finished one.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case must fail")]

use proptest::prelude::*;
use trefoil_core::engine::copy::{COPY_CHUNK_BYTES_MAX, CopyFollower, CopySource};
use trefoil_core::model::{
    Debt, Extent, ExtentSet, Generation, Position, SiteName, UpdateNumber, VolumeId,
};

const MIB: u64 = 1 << 20;

fn n(value: u64) -> UpdateNumber {
    UpdateNumber::new(value)
}

fn at(number: u64) -> Position {
    let generation = Generation { count: 1, id: 1 };
    Position { generation, number: n(number), ..Position::START }
}

fn extent(volume: u32, offset: u64, length: u64) -> Extent {
    Extent { volume: VolumeId(volume), offset, length }
}

fn set(extents: &[Extent]) -> ExtentSet {
    extents.iter().copied().collect()
}

fn follower(missing: &[Extent]) -> CopyFollower {
    let source = SiteName::new("b").unwrap();
    CopyFollower::new(Debt::of(source, set(missing)))
}

/// Brings what was applied through a checkpoint.
fn checkpoint(follower: &mut CopyFollower) {
    let saved = follower.checkpoint_begin();
    follower.checkpointed();
    assert_eq!(&saved, follower.debt());
}

#[test]
fn chunks_are_bounded_in_order_and_cover_what_is_missing() {
    let mut source = CopySource::new(set(&[extent(0, MIB, 2 * MIB + 5), extent(1, 0, 7)]));
    assert_eq!(source.bytes_left(), 2 * MIB + 12);
    let chunks: Vec<Extent> = std::iter::from_fn(|| source.next_chunk()).collect();
    let expected = [
        extent(0, MIB, COPY_CHUNK_BYTES_MAX),
        extent(0, 2 * MIB, MIB),
        extent(0, 3 * MIB, 5),
        extent(1, 0, 7),
    ];
    assert_eq!(chunks, expected);
    assert!(source.is_done());
    source.again(chunks[2]);
    assert_eq!(source.next_chunk(), Some(chunks[2]));
}

#[test]
fn a_run_of_zeroes_of_any_length_is_taken_at_once() {
    let mut source = CopySource::new(set(&[extent(0, 0, 64 * MIB)]));
    let run = source.next_run().unwrap();
    assert_eq!(run.length, 64 * MIB);
    source.take(extent(0, 0, 63 * MIB));
    assert_eq!(source.next_chunk(), Some(extent(0, 63 * MIB, MIB)));
    assert!(source.is_done());
}

#[test]
fn h20_a_copy_that_a_record_overtook_is_dropped_and_stays_missing() {
    let block = extent(0, 0, 4096);
    let mut follower = follower(&[block]);
    assert!(!follower.arrived(block, n(4), at(4), n(5)));
    assert_eq!(follower.bytes_left(), 4096);
    assert!(follower.arrived(block, n(5), at(6), n(5)), "and may come again");
}

#[test]
fn h21_a_copy_leaves_the_debt_only_with_a_checkpoint_and_after_its_high() {
    let block = extent(0, 0, 4096);
    let mut follower = follower(&[block]);
    assert!(follower.arrived(block, n(2), at(6), n(2)));
    checkpoint(&mut follower);
    assert_eq!(follower.bytes_left(), 4096, "it waits in the restorer");
    follower.applied(&[block]);
    assert_eq!(follower.bytes_left(), 4096, "no checkpoint has it");
    let saved = follower.checkpoint_begin();
    assert_eq!((saved.missing.is_empty(), saved.until), (true, at(6)));
    assert!(!follower.ended(n(9)), "the save may still fail");
    follower.checkpointed();
    assert!(!follower.ended(n(5)), "the volume is ahead of the journal");
    assert!(follower.ended(n(6)));
}

#[test]
fn what_is_applied_while_a_checkpoint_is_under_way_waits_for_the_next() {
    let (first, second) = (extent(0, 0, 8), extent(0, 8, 8));
    let mut follower = follower(&[first, second]);
    assert!(follower.arrived(first, n(1), at(1), n(1)));
    assert!(follower.arrived(second, n(1), at(3), n(1)));
    follower.applied(&[first]);
    let saved = follower.checkpoint_begin();
    follower.applied(&[second]);
    assert_eq!((&saved.missing, saved.until), (&set(&[second]), at(1)));
    follower.checkpointed();
    assert_eq!(follower.debt(), &saved);
    checkpoint(&mut follower);
    assert!(!follower.ended(n(2)) && follower.ended(n(3)));
}

#[test]
fn a_failed_save_is_made_up_for_by_the_next_checkpoint() {
    let (first, second) = (extent(0, 0, 8), extent(0, 8, 8));
    let mut follower = follower(&[first, second]);
    assert!(follower.arrived(first, n(1), at(1), n(1)));
    assert!(follower.arrived(second, n(1), at(2), n(1)));
    follower.applied(&[first]);
    let lost = follower.checkpoint_begin();
    follower.applied(&[second]);
    let saved = follower.checkpoint_begin();
    assert_eq!(lost.missing, set(&[second]));
    assert_eq!((saved.missing.is_empty(), saved.until), (true, at(2)));
}

#[test]
fn a_second_copy_of_what_is_on_its_way_or_paid_is_dropped() {
    let block = extent(0, 0, 8);
    let mut follower = follower(&[block, extent(0, 16, 8)]);
    assert!(follower.arrived(block, n(1), at(1), n(1)));
    assert!(!follower.arrived(block, n(3), at(9), n(1)), "on its way");
    follower.applied(&[block]);
    assert!(!follower.arrived(extent(0, 4, 2), n(3), at(9), n(1)), "applied");
    checkpoint(&mut follower);
    assert!(!follower.arrived(block, n(3), at(9), n(1)), "paid");
    assert!(!follower.arrived(extent(0, 12, 8), n(3), at(9), n(1)), "not wholly missing");
    assert!(!follower.arrived(extent(0, 16, 0), n(3), at(9), n(1)), "empty");
    assert!(!follower.arrived(extent(0, 16, 8), n(3), at(2), n(1)), "high before low");
}

#[test]
fn a_debt_of_nothing_still_waits_for_its_end() {
    let source = SiteName::new("b").unwrap();
    let debt = Debt { until: at(7), ..Debt::of(source, ExtentSet::new()) };
    let follower = CopyFollower::new(debt);
    assert!(!follower.ended(n(6)) && follower.ended(n(7)));
}

#[test]
fn what_is_equal_is_paid_as_a_copy_is_and_what_differs_stays_missing() {
    let block = extent(0, 0, 32);
    let mut follower = follower(&[block]);
    assert!(!follower.arrived(block, n(4), at(9), n(5)), "a record overtook it, as with a copy");
    assert!(follower.arrived(block, n(5), at(9), n(5)));
    assert!(!follower.arrived(extent(0, 8, 8), n(5), at(9), n(5)), "it is being compared");
    follower.compared(extent(0, 0, 16), &[]);
    assert!(!follower.arrived(extent(0, 8, 8), n(5), at(9), n(5)), "that was not this one");
    follower.compared(block, &[extent(0, 8, 8)]);
    assert_eq!(follower.bytes_left(), 32, "no checkpoint has it");
    checkpoint(&mut follower);
    assert_eq!(follower.debt().missing, set(&[extent(0, 8, 8)]));
    assert_eq!(follower.debt().until, at(9), "equal as of then: the journal has to get there");
    assert!(follower.arrived(extent(0, 8, 8), n(6), at(7), n(6)), "its content comes");
    follower.applied(&[extent(0, 8, 8)]);
    checkpoint(&mut follower);
    assert!(!follower.ended(n(8)) && follower.ended(n(9)));
}

#[test]
fn a_source_copies_only_what_it_was_told_to_differ() {
    let mut source = CopySource::comparing(set(&[extent(0, 0, 64)]));
    assert!(source.compares());
    source.ask(extent(0, 0, 32));
    assert!(!source.differs(extent(0, 30, 4)), "not all of it was told");
    assert!(source.differs(extent(0, 8, 8)) && !source.differs(extent(0, 8, 8)), "once");
    assert!(!source.compares());
    assert_eq!(source.next_run(), Some(extent(0, 8, 8)), "before more is compared");
    assert_eq!(source.bytes_left(), 40);
    source.take(extent(0, 8, 8));
    assert!(source.compares());
    assert_eq!(source.next_run(), Some(extent(0, 32, 32)));
    source.take(extent(0, 32, 32));
    assert!(source.is_done() && source.next_run().is_none());
    assert!(!source.differs(extent(0, 32, 8)), "that was a copy");
}

/// One step of a copy: what happens next.
#[derive(Clone, Debug)]
enum Step {
    Copy {
        ahead: u64,
    },
    /// The hashes of the next block, which is the same at the follower or not.
    Compare {
        ahead: u64,
        same: bool,
    },
    Record,
    Apply,
    Checkpoint,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4u64).prop_map(|ahead| Step::Copy { ahead }),
        4 => (0..4u64, any::<bool>()).prop_map(|(ahead, same)| Step::Compare { ahead, same }),
        2 => Just(Step::Record),
        3 => Just(Step::Apply),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    /// The block store is a list of blocks with the number as of which each is; a crash loses what
    /// no checkpoint has.
    #[test]
    fn a_debt_that_ended_left_every_block_durable_and_none_ahead_of_the_journal(steps in steps()) {
        const BLOCKS: u64 = 6;
        let all = extent(0, 0, BLOCKS * MIB);
        let (mut follower, mut source) = (follower(&[all]), CopySource::new(set(&[all])));
        let (mut received, mut store, mut durable_store) = (1, [0; 6], [0; 6]);
        // With what a comparison finds.
        let mut queue: Vec<(Extent, u64, Option<bool>)> = Vec::new();
        for step in steps.into_iter().chain([Step::Crash]) {
            match step {
                Step::Copy { ahead } => {
                    let Some(chunk) = source.next_chunk() else { continue };
                    if follower.arrived(chunk, n(received), at(received + ahead), n(received)) {
                        queue.push((chunk, received + ahead, None));
                    }
                }
                Step::Compare { ahead, same } => {
                    let Some(chunk) = source.next_chunk() else { continue };
                    if follower.arrived(chunk, n(received), at(received + ahead), n(received)) {
                        queue.push((chunk, received + ahead, Some(same)));
                    }
                }
                Step::Record => received += 1,
                Step::Apply => {
                    for (chunk, high, compared) in queue.drain(..) {
                        match compared {
                            Some(false) => {
                                follower.compared(chunk, &[chunk]);
                                source.again(chunk);
                                continue;
                            }
                            Some(true) => follower.compared(chunk, &[]),
                            None => follower.applied(&[chunk]),
                        }
                        store[(chunk.offset / MIB) as usize] = high;
                    }
                }
                Step::Checkpoint => {
                    durable_store = store;
                    checkpoint(&mut follower);
                }
                Step::Crash => {
                    store = durable_store;
                    queue.clear();
                    follower = CopyFollower::new(follower.debt().clone());
                    source = CopySource::new(follower.debt().missing.clone());
                }
            }
            if follower.ended(n(received)) {
                prop_assert!(durable_store.iter().all(|as_of| (1..=received).contains(as_of)));
                prop_assert!(queue.is_empty());
            }
        }
    }
}

#[test]
fn all_has_arrived_only_when_nothing_missing_is_elsewhere_than_in_the_restorer() {
    let parts = [extent(0, 0, 512), extent(1, 512, 512)];
    let mut follower = follower(&parts);
    assert_eq!(follower.all_arrived(), None);
    assert!(follower.arrived(parts[0], n(3), at(5), n(3)));
    assert_eq!(follower.all_arrived(), None, "the other part is missing");
    assert!(follower.arrived(parts[1], n(4), at(4), n(4)));
    assert_eq!(follower.all_arrived(), Some(n(5)), "the highest as of which any was read");
    follower.compared(parts[0], &[parts[0]]);
    assert_eq!(follower.all_arrived(), None, "what differs has to come again");
}

#[test]
fn a_debt_that_goes_on_in_place_names_no_image_in_any_later_checkpoint() {
    let missing = extent(0, 0, 512);
    let source = SiteName::new("b").unwrap();
    let debt = Debt { image: Some(at(2)), ..Debt::of(source, set(&[missing])) };
    let mut follower = CopyFollower::new(debt);
    assert!(follower.arrived(missing, n(3), at(3), n(3)));
    assert_eq!(follower.debt().image, Some(at(2)));
    follower.in_place();
    follower.applied(&[missing]);
    assert_eq!(follower.checkpoint_begin().image, None);
}
