//! The holes H1 to H28 as stories: quiet with every rule, caught where its rule is left out.

use crate::holes::Off;
use crate::step::Action;
use crate::world::{A, B, BLOCK, C, Setup, World};
use trefoil_core::model::{PlanKind, Position};

/// Tells a story twice: with every rule nothing breaks, without this one one of `rules` does.
pub fn hole(off: Off, rules: &[&str], begin: fn() -> World, story: fn(&mut World)) {
    let mut with = begin();
    story(&mut with);
    assert_eq!(with.broken, None, "with every rule: {}", with.tell());
    let mut without = begin();
    without.setup.off = off;
    story(&mut without);
    without.rounds(1);
    let broken = without.broken.clone().unwrap_or_default();
    let caught = rules.iter().any(|rule| broken.starts_with(rule));
    assert!(caught, "{off:?} is not caught by {rules:?}: {broken:?}{}", without.tell());
}

/// Delivers one lane until nothing waits on it.
fn drain(world: &mut World, from: usize, to: usize, lane: usize) {
    while !world.lanes[from][to][lane].is_empty() && world.broken.is_none() {
        world.apply(Action::Deliver { from, to, lane });
    }
}

#[test]
fn h01_a_mirror_that_lost_power_is_no_member() {
    hole(Off::SameIncarnation, &["no_silent_loss"], World::ordinary, |world| {
        world.go(&[
            Action::Write { site: A, block: 1 },
            Action::Settle,
            Action::PowerLoss { site: B, tail: false, pages: false },
            Action::Crash(A),
            Action::Start(B),
            Action::Settle,
        ]);
        assert!(world.host.answered.contains_key(&2));
        world.takes_over(B, false);
    });
}

#[test]
fn h02_no_generation_is_resumed() {
    hole(Off::ResumedGeneration, &["same_number_same_update"], World::ordinary, |world| {
        world.go(&[
            Action::Write { site: A, block: 1 },
            Action::Settle,
            Action::PowerLoss { site: A, tail: false, pages: false },
            Action::Start(A),
            Action::Write { site: A, block: 0 },
        ]);
    });
}

#[test]
fn h03_the_horizon_is_what_is_durable() {
    hole(Off::HorizonOfReceived, &["remote_behind_mirror"], World::ordinary, |world| {
        world.go(&[Action::Write { site: A, block: 1 }, Action::Settle]);
    });
}

#[test]
fn h04_the_acking_set_grows_before_the_charter() {
    hole(Off::CharterFirst, &["acking_covers_charter"], World::without_b, |world| {
        world.go(&[Action::Heal(A, B), Action::Settle]).rounds(4);
    });
}

#[test]
fn h05_a_site_is_included_with_what_was_assigned_before() {
    hole(Off::IncludedBeforeItHolds, &["remote_behind_mirror"], World::without_b, |world| {
        world.writes(A, 1);
        world.go(&[Action::Heal(A, B), Action::Settle]);
    });
}

#[test]
fn h06_a_sync_leg_that_nobody_waits_for_stops_at_the_horizon() {
    hole(Off::SyncLegReadsOn, &["remote_behind_mirror"], World::without_b, |world| {
        world.go(&[Action::Write { site: A, block: 1 }, Action::Heal(A, B), Action::Settle]);
    });
}

#[test]
fn h07_evidence_is_a_promise() {
    let rules = &["no_silent_loss", "one_primary", "acked_survives", "same_number_same_update"];
    hole(Off::EvidenceWithoutPromise, rules, World::ordinary, |world| {
        world.go(&[Action::Cut(A, B), Action::Write { site: A, block: 1 }]);
        world.go(&[Action::Pass, Action::Settle]);
        world.go(&[Action::TakeOver { site: B, consent: false, fenced: false }]);
        drain(world, B, C, 0);
        drain(world, C, B, 0);
        // C gave its evidence; before B's charter comes, A has it recorded that B is out.
        world.apply(Action::Pass);
        drain(world, A, C, 0);
        drain(world, C, A, 0);
        world.rounds(6);
    });
}

#[test]
fn h08_a_mirror_is_dropped_by_the_charter_only() {
    hole(Off::DroppedWithoutCharter, &["acking_covers_charter"], World::ordinary, |world| {
        world.go(&[Action::Cut(A, B), Action::Write { site: A, block: 1 }]);
    });
}

#[test]
fn h09_every_reign_has_a_lease() {
    hole(Off::NoLease, &["one_primary"], World::ordinary, |world| {
        world.isolate(A).takes_over(B, false);
    });
}

#[test]
fn h10_nothing_goes_that_is_not_checkpointed() {
    hole(Off::TrimOnRestored, &["watermark_order", "no_gap"], World::ordinary, |world| {
        world.writes(A, 1);
        world.go(&[Action::Trim(A), Action::PowerLoss { site: A, tail: true, pages: false }]);
        world.go(&[Action::Start(A)]);
    });
}

#[test]
fn h11_floors_are_what_is_durable() {
    hole(Off::FloorsOfReceived, &["purge_safe"], World::ordinary, |world| {
        world.go(&[Action::Write { site: A, block: 1 }, Action::Settle, Action::Checkpoint(A)]);
        world.go(&[Action::Trim(A), Action::Trim(A), Action::Trim(A)]);
        world.go(&[Action::PowerLoss { site: B, tail: false, pages: false }, Action::Start(B)]);
        world.rounds(6);
    });
}

/// A holds a write that nobody else has, B leads.
fn with_a_tail() -> World {
    let mut world = World::ordinary();
    world.isolate(A).go(&[
        Action::Write { site: A, block: 1 },
        Action::Sync(A),
        Action::Restore(A),
    ]);
    world.takes_over(B, false).is_well_at(B);
    world
}

#[test]
fn h12_a_floor_of_another_history_is_none() {
    hole(Off::FloorsAreBare, &["purge_safe"], World::ordinary, |world| {
        world.go(&[Action::Write { site: A, block: 1 }, Action::Sync(A), Action::Beat(A)]);
        drain(world, A, B, 0);
        // B heard that A is durable at 3, and has not got it.
        assert!(!world.sites[B].holds(2));
        world.go(&[Action::Crash(A)]).takes_over(B, false);
        world.writes(B, 0);
        world.go(&[Action::Checkpoint(B), Action::Trim(B), Action::Trim(B)]);
        world.go(&[Action::Start(A)]).rounds(8);
    });
}

#[test]
fn h13_records_are_kept_for_sites_that_do_not_follow() {
    hole(Off::OnlyFollowersKept, &["purge_safe"], with_a_tail, |world| {
        world.go(&[Action::Heal(A, C)]).rounds(2);
        // A knows that B leads, and cannot reach it; its own tail may go by a map only.
        world.go(&[Action::Crash(A), Action::Start(A)]).rounds(1);
        world.go(&[Action::Checkpoint(A), Action::Trim(A), Action::Trim(A), Action::Trim(A)]);
        world.go(&[Action::Heal(A, B)]).rounds(8);
    });
}

#[test]
fn h14_what_the_tail_changed_is_noted_before_it_goes() {
    hole(Off::TruncateBeforeIntent, &["no_gap"], with_a_tail, |world| {
        world.join_again(A);
        for _ in 0..200 {
            if world.run(A).is_some_and(|run| run.resync.is_some()) {
                break;
            }
            match world.waiting().first().copied() {
                Some((from, to, lane)) => world.apply(Action::Deliver { from, to, lane }),
                None => world.apply(Action::Pass),
            }
        }
        assert!(world.run(A).unwrap().resync.is_some(), "{}", world.tell());
        world.go(&[Action::Resync(A), Action::Crash(A), Action::Start(A)]).rounds(6);
    });
}

#[test]
fn h15_whatever_is_durable_may_be_in_the_volume() {
    hole(Off::CheckpointAsBound, &["no_gap"], with_a_tail, |world| {
        world.join_again(A).rounds(6);
    });
}

#[test]
fn h16_what_was_trimmed_of_the_tail_is_in_the_own_maps() {
    hole(Off::OwnMapsForgotten, &["no_gap"], World::without_b, |world| {
        world.go(&[Action::Write { site: A, block: 1 }, Action::Checkpoint(A)]);
        world.go(&[Action::Trim(A), Action::Trim(A), Action::Trim(A), Action::Crash(A)]);
        assert!(!world.sites[C].holds(2) && world.host.answered.contains_key(&2));
        world.takes_over(B, true);
        assert_eq!(world.host.told, 1, "the loss is told");
        world.join_again(A).go(&[Action::Start(A)]).rounds(3);
        assert_ne!(world.sites[A].disk.base, Position::START);
        world.go(&[Action::Rejoin(A)]).rounds(8);
    });
}

#[test]
fn h17_a_debt_travels_with_the_debtor() {
    hole(Off::FollowWithoutDebt, &["no_gap"], with_a_tail, |world| {
        world.join_again(A);
        for _ in 0..200 {
            if world.sites[A].debt_bytes() > 0 {
                break;
            }
            match world.waiting().first().copied() {
                Some((from, to, lane)) => world.apply(Action::Deliver { from, to, lane }),
                None if world.run(A).is_some_and(|run| run.resync.is_some()) => {
                    world.apply(Action::Resync(A));
                }
                None => world.apply(Action::Pass),
            }
        }
        assert!(world.sites[A].debt_bytes() > 0, "{}", world.tell());
        world.go(&[Action::Cut(A, B), Action::Heal(A, B)]).rounds(6);
    });
}

#[test]
fn h18_a_reset_restores_the_own_records_first() {
    hole(Off::ResetUnrestored, &["no_gap"], World::ordinary, |world| {
        world.go(&[Action::Write { site: A, block: 0 }, Action::Settle, Action::Sync(A)]);
        world.go(&[Action::Sync(B), Action::Settle, Action::Sync(C), Action::Settle]);
        assert!(world.sites[C].marks().restored < world.sites[C].marks().durable);
        world.isolate(C).go(&[Action::Write { site: A, block: 1 }, Action::Settle]);
        world.go(&[Action::Sync(B), Action::Settle, Action::Checkpoint(A), Action::Settle]);
        world.go(&[Action::Trim(A), Action::Trim(A), Action::Trim(A)]);
        world.forget_plans().join_again(C).go(&[Action::Settle]);
        assert_eq!(world.plans(A, C).first(), Some(&PlanKind::Map), "{}", world.tell());
    });
}

#[test]
fn h19_a_reset_leaves_a_map_for_third_sites() {
    hole(Off::ResetWithoutMaps, &["no_gap", "purge_safe"], World::ordinary, |world| {
        world.go(&[Action::Crash(A)]).takes_over(B, false);
        world.suspend(B, &[C]).rounds(1);
        world.writes(B, 1);
        world.go(&[Action::Checkpoint(B), Action::Trim(B), Action::Trim(B), Action::Trim(B)]);
        // A catches up by B's map, and never has the records that C lacks.
        world.go(&[Action::Start(A)]).rounds(8);
        assert!(world.names(B, A) || world.broken.is_some(), "{}", world.tell());
        world.forget_plans().go(&[Action::Crash(B)]).takes_over(A, false).rounds(6);
    });
}

#[test]
fn h20_a_copy_that_a_record_overtook_is_dropped() {
    hole(Off::CopyOvertaken, &["no_gap"], World::ordinary, |world| {
        world.isolate(C);
        world.writes(A, 1);
        world.go(&[Action::Checkpoint(A), Action::Trim(A), Action::Trim(A), Action::Trim(A)]);
        world.join_again(C);
        for _ in 0..200 {
            if world.run(C).is_some_and(|run| run.streaming) {
                break;
            }
            match world.waiting().first().copied() {
                Some((from, to, lane)) => world.apply(Action::Deliver { from, to, lane }),
                None => world.apply(Action::Resync(C)),
            }
        }
        // The copy is on its way; a newer record of the same block goes before it.
        world.go(&[Action::Write { site: A, block: 1 }, Action::Sync(A)]);
        drain(world, A, B, 1);
        world.apply(Action::Sync(B));
        drain(world, B, A, 0);
        assert_eq!(world.lanes[A][C][1].len(), 2, "{}", world.tell());
        world.lanes[A][C][1].swap(0, 1);
        world.go(&[Action::Settle, Action::Sync(C), Action::Restore(C)]).rounds(6);
    });
}

#[test]
fn h21_a_debt_ends_as_a_whole() {
    // A walk, shrunk.
    hole(Off::ClearedOnArrival, &["no_gap"], World::ordinary, |world| {
        world.go(&[
            Action::Checkpoint(A),
            Action::PowerLoss { site: B, tail: false, pages: false },
            Action::Write { site: A, block: 1 },
            Action::Trim(A),
            Action::Start(B),
            Action::Pass,
            Action::Settle,
            Action::Checkpoint(A),
            Action::Pass,
            Action::Write { site: A, block: 1 },
            Action::Trim(A),
            Action::Settle,
            Action::Pass,
        ]);
    });
}

#[test]
fn h24_a_member_is_out_before_it_is_copied() {
    // A walk, shrunk.
    let blank = || World::new(Setup { automatic: true, ..Setup::default() });
    hole(Off::MembersInDebt, &["no_member_in_debt"], blank, |world| {
        let (site, consent, fenced) = (A, true, true);
        world.go(&[Action::Crash(B), Action::TakeOver { site, consent, fenced }]);
        world.go(&[Action::Settle, Action::Pass, Action::Start(B), Action::Settle]);
    });
}

#[test]
fn h25_a_second_site_keeps_its_image_while_the_first_is_copied() {
    let behind_a = || {
        let mut world = World::ordinary();
        world.suspend(A, &[B, C]).rounds(4);
        world.writes(A, 1);
        world.go(&[Action::Checkpoint(A), Action::Trim(A), Action::Trim(A), Action::Trim(A)]);
        world
    };
    hole(Off::SecondDebt, &["one_whole_copy"], behind_a, |world| {
        // B asks again, and comes into debt; nothing of that is done before C asks as well.
        for suspended in [&[C][..], &[]] {
            world.suspend(A, suspended).go(&[Action::Ask(B), Action::Ask(C), Action::Settle]);
            world.go(&[Action::Beat(B), Action::Settle]);
        }
        assert!(world.sites[B].debt_bytes() > 0, "{}", world.tell());
        world.go(&[Action::Destroy(A)]);
        let whole = |at: usize| world.sites[at].debt_bytes() == 0 && world.sites[at].holds(1);
        if !whole(B) && !whole(C) {
            world.broke("one_whole_copy", "A is gone, and B and C are in debt".into());
        }
    });
}

#[test]
fn h26_a_joiner_whose_inclusion_is_unknown_is_waited_for() {
    hole(Off::DroppedWithoutCharter, &["acking_covers_charter"], World::without_b, |world| {
        world.go(&[Action::Heal(A, B), Action::Settle, Action::Sync(B)]);
        drain(world, B, A, 0);
        assert!(world.names(A, B), "proposed, and recorded here only: {}", world.tell());
        world.go(&[Action::Cut(A, B), Action::Cut(A, C)]);
        world.go(&[Action::Write { site: A, block: 1 }, Action::Settle]);
        assert!(world.setup.off != Off::Nothing || world.acking(A, B));
    });
}

#[test]
fn the_volume_of_this_world_has_two_blocks() {
    let size = crate::world::spec().first().map(|volume| volume.size);
    assert_eq!(size, Some(2 * BLOCK));
    assert_eq!(World::new(Setup::default()).broken, None);
}
