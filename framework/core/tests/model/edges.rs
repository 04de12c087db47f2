//! The edge cases E1 to E35 that need no more than three sites and their engines; the others, and
//! the index of all, are named in `docs/edge_cases.md`.

use crate::history;
use crate::step::Action;
use crate::world::{A, B, C, Mail, Setup, World, site};
use trefoil_core::engine::judge::{FollowerView, SourceView, judge};
use trefoil_core::model::{
    Chain, Extent, Generation, PlanDebt, PlanKind, Position, UpdateNumber, Verdict, VolumeId,
};
use trefoil_core::record::Record;

#[test]
fn e01_a_write_that_only_reached_b_when_a_died_is_kept() {
    let mut world = World::ordinary();
    world.go(&[
        Action::Write { site: A, block: 1 },
        Action::Deliver { from: A, to: B, lane: 1 },
        Action::Crash(A),
    ]);
    assert!(world.sites[B].holds(2) && !world.host.answered.contains_key(&2));
    world.takes_over(B, false).is_well_at(B);
    assert_eq!(world.verdict(B), Some(Verdict::Zero));
    assert!(world.sites[B].holds(2), "it may appear: its outcome was unknown to the host");
    world.go(&[Action::Start(A)]).rounds(6);
    world.is_whole_at(B);
}

#[test]
fn e02_c_is_never_ahead_of_b() {
    let mut world = World::ordinary();
    world.go(&[Action::Cut(A, B), Action::Write { site: A, block: 1 }, Action::Settle]);
    world.go(&[Action::Sync(A), Action::Settle]);
    assert!(!world.sites[C].holds(2), "B does not hold it durably");
    world.rounds(4);
    assert!(world.sites[C].holds(2), "B is out, and no mirror is there to be behind");
    world.is_well_at(A);
}

#[test]
fn e03_a_tail_that_nobody_has_is_rewound_exactly() {
    let mut world = World::ordinary();
    world.writes(A, 1);
    world.isolate(A).go(&[Action::Write { site: A, block: 1 }, Action::Crash(A)]);
    world.takes_over(B, false).is_well_at(B);
    world.writes(B, 0);
    world.forget_plans().join_again(A).go(&[Action::Start(A)]).rounds(8);
    world.is_whole_at(B);
    let plans = world.plans(B, A);
    assert_eq!(plans.first(), Some(&PlanKind::Rewind), "{plans:?}");
    assert_eq!(world.planned_bytes(A), crate::world::BLOCK, "one block, and no more");
}

#[test]
fn e04_a_candidate_rolls_forward_from_c_that_is_ahead() {
    let mut world = World::without_b();
    world.writes(A, 1);
    world.go(&[Action::Crash(A)]);
    assert!(world.sites[C].holds(2) && !world.sites[B].holds(2));
    world.takes_over(B, true).is_well_at(B);
    assert!(world.sites[B].holds(2), "it was read from c first");
    assert_eq!(world.host.told, 0, "nothing was lost");
}

#[test]
fn e05_a_stale_b_is_refused_and_told_why() {
    let mut world = World::without_b();
    world.writes(A, 1);
    world.go(&[Action::Crash(A)]);
    world.takes_over(B, false);
    assert_eq!(world.primary(), None, "{}", world.tell());
    let why = world.refusal(B);
    assert!(why.contains("--accept-loss") && why.contains("{a}"), "{why}");
    world.takes_over(C, false);
    assert_eq!(world.primary(), None, "c is no member either");
    assert_eq!(world.broken, None);
}

#[test]
fn e06_of_an_exclusion_and_a_promotion_at_once_only_one_goes_through() {
    for exclusion_first in [true, false] {
        let mut world = World::ordinary();
        world.go(&[Action::Cut(A, B), Action::Write { site: A, block: 1 }]);
        world.go(&[Action::Pass, Action::Settle, Action::Pass]);
        // A proposes that B is out; B asks C for its promise.
        world.go(&[Action::TakeOver { site: B, consent: false, fenced: false }]);
        let order = if exclusion_first { [A, B] } else { [B, A] };
        for from in order {
            while !world.lanes[from][C][0].is_empty() {
                world.apply(Action::Deliver { from, to: C, lane: 0 });
            }
        }
        world.rounds(6);
        assert_eq!(world.broken, None, "{}", world.tell());
        let alone = world.host.answered.contains_key(&2) && !world.sites[B].holds(2);
        let promoted = world.sites[B]
            .state()
            .charter
            .as_ref()
            .is_some_and(|charter| charter.active && charter.primary == site(B));
        assert!(!(alone && promoted), "{}", world.tell());
    }
}

#[test]
fn e07_an_isolated_a_answers_nobody() {
    let mut world = World::ordinary();
    world.isolate(A).go(&[Action::Write { site: A, block: 1 }]);
    world.rounds(4);
    assert!(!world.answers(A), "no reads either: nobody renews its lease");
    assert!(!world.host.answered.contains_key(&2));
    world.takes_over(B, false).is_well_at(B);
}

#[test]
fn e09_a_quick_restart_of_a_goes_on_in_a_new_generation_and_copies_nothing() {
    let mut world = World::ordinary();
    let before = world.sites[A].state().charter.as_ref().map(|charter| charter.generation.count);
    world.forget_plans().go(&[Action::Crash(A), Action::Start(A), Action::Settle]).rounds(6);
    world.is_whole_at(A);
    let after = world.sites[A].state().charter.as_ref().map(|charter| charter.generation.count);
    assert_eq!(after, before.map(|count| count + 1));
    assert_eq!(world.planned_bytes(B) + world.planned_bytes(C), 0);
    assert!(world.names(A, B), "and its mirror is in sync");
}

#[test]
fn e10_a_journal_that_was_trimmed_past_c_means_a_map() {
    let mut world = World::ordinary();
    world.go(&[Action::Crash(A)]).takes_over(B, false).go(&[Action::Start(A)]).rounds(6);
    world.isolate(C);
    world.writes(B, 1);
    // What C has goes first; then what it lacks.
    world.go(&[Action::Checkpoint(B), Action::Trim(B), Action::Trim(B)]);
    let (base, newest) = (world.sites[B].disk.base, world.sites[C].disk.newest());
    assert!(base.number > newest.number, "it is trimmed");
    world.forget_plans().join_again(C).rounds(6);
    world.is_whole_at(B);
    assert!(world.plans(B, C).contains(&PlanKind::Map), "{:?}", world.plans(B, C));
    assert_eq!(world.planned_bytes(C), crate::world::BLOCK, "what the trimmed records changed");
}

#[test]
fn e12_one_number_with_two_contents_is_found_by_the_chain() {
    let world = World::ordinary();
    let (here, there) = (&world.sites[A], &world.sites[B]);
    let newest = there.disk.newest();
    let other = Position { chain: Chain::from_value(newest.chain.value() ^ 1), ..newest };
    let source = SourceView {
        site: site(A),
        generation: newest.generation,
        lineage: here.state().lineage.clone(),
        newest: here.disk.newest().number,
        base: here.disk.base,
        chain_at_follower: Some(newest.chain),
        fork: Some(newest),
        consented: Generation::NONE,
        copy_base: None,
        map: None,
        debt: false,
        owing: None,
        bytes_between: None,
        volume_bytes: 0,
    };
    let follower = FollowerView {
        site: site(B),
        lineage: there.state().lineage.clone(),
        newest: other,
        base: UpdateNumber::ZERO,
        debt: None,
        maps_from: None,
        discards_tail: false,
        blank: false,
        holds: true,
    };
    let plan = judge(&source, &follower);
    assert!(matches!(plan.kind, PlanKind::Refuse { .. }), "{plan:?}");
    assert!(plan.why.contains("same number, different content"), "{}", plan.why);
    let same = judge(&source, &FollowerView { newest, ..follower });
    assert_eq!(same.kind, PlanKind::InSync);
}

#[test]
fn e14_b_dies_in_the_middle_of_the_delta_that_it_brings_to_c() {
    let mut world = World::ordinary();
    world.isolate(C);
    world.writes(A, 0);
    world.writes(A, 1);
    world.go(&[Action::Crash(A), Action::Heal(B, C)]).takes_over(B, false).is_well_at(B);
    world.isolate(C);
    world.writes(B, 0);
    world.go(&[Action::Heal(B, C)]);
    while !world.waiting().iter().any(|(from, to, lane)| (*from, *to, *lane) == (B, C, 1)) {
        let Some((from, to, lane)) = world.waiting().first().copied() else { break };
        world.apply(Action::Deliver { from, to, lane });
    }
    // The plan comes, the records do not.
    world.go(&[Action::Deliver { from: B, to: C, lane: 1 }, Action::Crash(B)]);
    world.forget_plans().go(&[Action::Start(A), Action::Heal(A, C)]).rounds(2);
    world.go(&[Action::Start(B)]).rounds(10);
    assert_eq!(world.broken, None, "{}", world.tell());
    let primary = world.primary().unwrap();
    world.is_whole_at(primary);
    let copied = world.judged.iter().any(|(.., plan)| plan.debt == PlanDebt::Everything);
    assert!(!copied && world.planned_bytes(C) == 0, "c goes on where it was");
}

#[test]
fn e15_when_a_and_b_die_c_leads_and_both_return_under_it() {
    let mut world = World::ordinary();
    world.go(&[Action::Crash(A), Action::Crash(B)]);
    world.takes_over(C, false);
    assert_eq!(world.primary(), None, "alone it proves nothing");
    // One of the two comes back as a witness only.
    world.go(&[Action::Start(B), Action::Settle]).takes_over(C, true).is_well_at(C);
    assert_eq!(world.host.told, 0, "what was durable at both is at c");
    world.writes(C, 1);
    world.go(&[Action::Start(A)]).rounds(8);
    world.is_whole_at(C);
}

#[test]
fn e16_c_is_not_promoted_while_a_leads_and_is_well() {
    let mut world = World::ordinary();
    world.go(&[Action::TakeOver { site: C, consent: true, fenced: false }, Action::Settle]);
    assert!(world.refusal(C).contains("is well"), "{}", world.refusal(C));
    world.is_well_at(A);
}

#[test]
fn e17_an_excluded_b_returns_by_delta() {
    let mut world = World::without_b();
    world.writes(A, 1);
    world.forget_plans().go(&[Action::Heal(A, B)]).rounds(6);
    world.is_whole_at(A);
    assert!(world.names(A, B));
    let plans = world.plans(A, B);
    assert!(plans.iter().all(|kind| *kind == PlanKind::Delta), "{plans:?}");
}

#[test]
fn e18_a_leg_goes_from_suspended_over_catching_up_to_paired_while_the_host_writes() {
    let mut world = World::ordinary();
    world.suspend(A, &[C]).rounds(2);
    world.writes(A, 1);
    assert!(!world.sites[C].holds(2), "it stands still");
    world.forget_plans().suspend(A, &[]).go(&[Action::Write { site: A, block: 0 }]);
    world.rounds(3);
    world.writes(A, 1);
    world.is_whole_at(A);
    assert_eq!(world.plans(A, C).last(), Some(&PlanKind::Delta));
}

#[test]
fn e20_a_host_that_is_held_for_an_exchange_goes_on_when_that_takes_too_long() {
    let mut world = World::ordinary();
    world.go(&[Action::Write { site: A, block: 1 }, Action::Swap(B)]);
    for lane in [0, 0, 0, 0] {
        world.apply(Action::Deliver { from: B, to: A, lane });
    }
    assert!(world.run(A).unwrap().paused, "host writes wait");
    for _ in 0..3 {
        // B's progress does not come, its heartbeats do.
        world.apply(Action::Pass);
        world.go(&[Action::Deliver { from: A, to: C, lane: 0 }]);
        while !world.lanes[C][A][0].is_empty() {
            world.apply(Action::Deliver { from: C, to: A, lane: 0 });
        }
    }
    assert!(!world.run(A).unwrap().paused, "{}", world.tell());
    world.rounds(3);
    world.is_whole_at(A);
    assert!(world.host.answered.contains_key(&2));
}

#[test]
fn e25_what_comes_twice_or_from_an_old_session_changes_nothing() {
    let mut world = World::ordinary();
    world.go(&[Action::Write { site: A, block: 1 }]);
    let late: Vec<Mail> = world.lanes[A][B][1].iter().cloned().collect();
    assert!(!late.is_empty());
    for _ in 0..6 {
        for (from, to, lane) in world.waiting() {
            world.apply(Action::Twice { from, to, lane });
        }
    }
    world.rounds(3);
    // B's session is another one after the cut; then the records of the old one arrive.
    world.go(&[Action::Cut(A, B), Action::Heal(A, B), Action::Settle]);
    world.lanes[A][B][1].extend(late);
    world.rounds(3);
    world.is_whole_at(A);
    assert_eq!(history::writes(world.sites[B].disk.newest()).count(), 2);
}

#[test]
fn e26_a_stale_a_that_reaches_c_again_answers_nobody_and_disturbs_nobody() {
    let mut world = World::ordinary();
    world.isolate(A).takes_over(B, false).is_well_at(B);
    world.go(&[Action::Heal(A, C)]).rounds(4);
    world.is_well_at(B);
    assert_eq!(world.sites[A].state().promised, world.sites[B].state().promised);
    world.go(&[Action::Heal(A, B)]).rounds(6);
    world.is_whole_at(B);
}

#[test]
fn e27_a_pair_that_never_had_a_host_write_is_ready_for_a_delta() {
    let mut world = World::new(Setup::default());
    world.rounds(10);
    assert!(world.names(A, B), "{}", world.tell());
    world.forget_plans().go(&[Action::Crash(A)]).takes_over(B, false).rounds(4);
    world.is_well_at(B);
    assert_eq!(world.plans(B, C), [PlanKind::Delta]);
    assert_eq!(world.sites[C].disk.newest(), world.sites[B].disk.newest());
}

#[test]
fn e28_numbers_near_the_middle_and_the_end_of_the_range_are_encoded_whole() {
    let extent = Extent { volume: VolumeId(0), offset: 0, length: 8 };
    for number in [(1 << 63) - 2, (1 << 63) - 1, 1 << 63, u64::MAX - 1] {
        let generation = Generation { count: number, id: number };
        let number = UpdateNumber::new(number);
        let parent = Position { generation, number, chain: Chain::from_value(7) };
        let record = Record::zero(&parent, number.value(), extent);
        let (read, length) = Record::decode(&record.to_bytes()).unwrap();
        assert_eq!((read.number(), read.generation()), (number.next(), generation));
        assert_eq!((read.position(), length), (record.position(), record.encoded_bytes()));
        assert!(read.check_follows(&parent).is_ok());
    }
}

#[test]
fn e31_a_state_that_is_older_than_the_journal_is_made_whole_by_it() {
    let mut world = World::ordinary();
    let old = world.sites[B].disk.state.clone();
    world.writes(A, 1);
    world.go(&[Action::Checkpoint(B)]);
    assert!(world.sites[B].disk.state.checkpoint > old.checkpoint);
    world.go(&[Action::Crash(B)]);
    world.sites[B].disk.state = old;
    world.go(&[Action::Start(B)]).rounds(6);
    world.is_whole_at(A);
}

#[test]
fn e32_a_busy_link_never_turns_a_delta_into_a_copy() {
    let mut world = World::without_b();
    world.writes(A, 1);
    world.forget_plans().go(&[Action::Heal(A, B)]);
    for _ in 0..4 {
        while !world.run(A).unwrap().legs.contains_key(&site(B)) {
            let Some((from, to, lane)) = world.waiting().first().copied() else { break };
            world.apply(Action::Deliver { from, to, lane });
        }
        // The lane takes nothing now: the session ends, and B asks again.
        world.lanes[A][B][1].clear();
        world.end_leg(A, B, Some("the link is busy or gone"));
        world.go(&[Action::Settle, Action::Pass]);
    }
    world.rounds(6);
    world.is_whole_at(A);
    let plans = world.plans(A, B);
    assert!(plans.len() >= 4 && plans.iter().all(|kind| *kind == PlanKind::Delta), "{plans:?}");
}

#[test]
fn e34_a_site_that_is_replaced_for_good_is_filled_and_paired() {
    for lost in [C, B] {
        let mut world = World::ordinary();
        world.forget_plans().go(&[Action::Destroy(lost)]).rounds(4);
        world.is_well_at(A);
        world.writes(A, 1);
        world.go(&[Action::Start(lost)]).rounds(10);
        world.is_whole_at(A);
        assert!(world.plans(A, lost).contains(&PlanKind::Copy), "{:?}", world.plans(A, lost));
        assert!(world.names(A, B));
    }
}

#[test]
fn e35_with_c_away_when_a_dies_b_alone_proves_nothing_under_status() {
    let mut world = World::ordinary();
    world.go(&[Action::Crash(C)]).rounds(2);
    world.writes(A, 1);
    world.go(&[Action::Crash(A)]);
    world.takes_over(B, false);
    assert_eq!(world.primary(), None, "A and C may have recorded that B is out");
    world.go(&[Action::Start(C), Action::Settle]).takes_over(B, false).is_well_at(B);
    assert_eq!(world.verdict(B), Some(Verdict::Zero));
}
