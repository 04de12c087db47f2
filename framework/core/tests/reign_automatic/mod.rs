//! Takeovers that nobody started: when a site stands by itself, and when it stays.

use crate::reign_world::{World, charter_of, site};
use trefoil_core::engine::reign::{Cause, Event, LegReport, StandsBy};
use trefoil_core::model::{Role, Verdict};

/// After how long a silence sites take over, in milliseconds.
const DELAY: u64 = 4000;
/// The lease of the world, in milliseconds.
const LEASE: u64 = 2000;

/// Lets time pass, and looks all the time that not two sites answer.
fn run_watched(world: &mut World, milliseconds: u64) {
    for _ in 0..milliseconds / 20 {
        world.run(20);
        let answering: Vec<_> =
            ["a", "b", "c"].into_iter().filter(|name| world.answers(name)).collect();
        assert!(answering.len() < 2, "{answering:?} answer at {}", world.now());
    }
}

#[test]
fn the_mirror_of_a_dead_primary_takes_over_by_itself() {
    let mut world = World::paired_automatic(DELAY);
    world.kill("a");
    run_watched(&mut world, DELAY - 500);
    assert_eq!(world.role("b"), Role::Secondary, "a may come back yet");
    run_watched(&mut world, 500 + LEASE + 1000);
    assert!(world.answers("b"), "{:?}", world.stands_by("b"));
    let completed = world.completed("b").unwrap();
    assert_eq!((&completed.verdict, completed.cause), (&Verdict::Zero, Cause::Automatic));
    assert_eq!(charter_of(&world, "c").primary, site("b"));
}

#[test]
fn nobody_takes_over_by_itself_where_that_is_not_configured() {
    let mut world = World::paired();
    world.kill("a");
    world.run(60_000);
    assert_eq!((world.role("b"), world.role("c")), (Role::Secondary, Role::Secondary));
    assert_eq!(world.stands_by("b"), Err(StandsBy::Manual));
}

#[test]
fn a_cut_between_the_pair_deposes_nobody() {
    let mut world = World::paired_automatic(DELAY);
    world.cut("a", "b");
    run_watched(&mut world, 1000);
    assert!(matches!(world.stands_by("b"), Err(StandsBy::Heard { .. })));
    run_watched(&mut world, 60_000);
    assert!(world.answers("a") && world.role("b") == Role::Secondary);
    assert_eq!(world.stands_by("b"), Err(StandsBy::NotInSync), "a went on without it");
    assert_eq!(charter_of(&world, "a").generation.count, 1);
}

#[test]
fn a_primary_that_only_the_third_site_hears_keeps_its_mirror_from_standing() {
    // B still takes itself for in sync: it does not hear of the charter that says otherwise.
    let mut world = World::paired_automatic(2500);
    world.cut("a", "b");
    world.run(2700);
    let says = world.stands_by("b");
    let by_c = matches!(&says, Err(StandsBy::Unconfirmed { site: named, silent_us: Some(_), .. })
        if *named == site("c"));
    assert!(by_c, "{says:?}");
    assert!(says.unwrap_err().to_string().contains("c heard it"));
}

#[test]
fn an_isolated_primary_stops_answering_before_its_mirror_begins() {
    let mut world = World::paired_automatic(DELAY);
    world.cut("a", "b");
    world.cut("a", "c");
    run_watched(&mut world, DELAY + LEASE + 1000);
    assert!(world.answers("b") && !world.answers("a"));
    world.heal("a", "b");
    world.heal("a", "c");
    run_watched(&mut world, 5000);
    assert_eq!((world.role("a"), world.following("a")), (Role::Secondary, Some(site("b"))));
}

#[test]
fn without_a_second_site_that_agrees_the_mirror_stays() {
    let mut world = World::paired_automatic(DELAY);
    world.kill("a");
    world.cut("b", "c");
    run_watched(&mut world, 60_000);
    assert_eq!(world.role("b"), Role::Secondary);
    assert!(matches!(world.stands_by("b"), Err(StandsBy::Unconfirmed { silent_us: None, .. })));
    world.heal("b", "c");
    run_watched(&mut world, 5000);
    assert!(world.answers("b"), "{:?}", world.stands_by("b"));
}

#[test]
fn a_third_site_that_has_just_started_agrees_to_nothing() {
    let mut world = World::paired_automatic(DELAY);
    world.cut("a", "b");
    world.kill("c");
    world.run(DELAY - 1000);
    world.restart("c");
    world.cut("a", "c");
    world.run(2000);
    assert_eq!(world.role("b"), Role::Secondary, "c has not listened for long enough");
    run_watched(&mut world, DELAY + LEASE + 1000);
    assert!(world.answers("b"));
}

#[test]
fn a_site_that_is_not_in_sync_never_stands_by_itself() {
    let mut world = World::paired_automatic(DELAY);
    let left =
        LegReport { incarnation: world.incarnation("b"), must_leave: true, ..LegReport::default() };
    world.event("a", Event::Leg(site("b"), left));
    world.run(600);
    world.kill("a");
    run_watched(&mut world, 60_000);
    for name in ["b", "c"] {
        assert_eq!(world.role(name), Role::Secondary);
        assert_eq!(world.stands_by(name), Err(StandsBy::NotInSync));
    }
}

#[test]
fn a_mirror_that_lost_power_does_not_stand_by_itself() {
    let mut world = World::paired_automatic(DELAY);
    world.kill("a");
    world.replace_incarnation("b");
    run_watched(&mut world, 60_000);
    assert_eq!(world.stands_by("b"), Err(StandsBy::NotInSync));
}

#[test]
fn a_promise_to_another_candidate_gives_it_time() {
    let mut world = World::paired_automatic(DELAY);
    world.kill("a");
    world.run(DELAY - 200);
    let newest = world.engine("b").promised();
    let wanted = newest.succeed(77);
    world.event("b", Event::PromiseRequest(site("c"), wanted));
    world.run(1000);
    assert!(matches!(world.stands_by("b"), Err(StandsBy::BackOff { .. })));
    run_watched(&mut world, 6000);
    assert!(world.answers("b"), "that candidate never came: {:?}", world.stands_by("b"));
}

#[test]
fn a_primary_that_restarts_and_its_mirror_do_not_fight() {
    // From long before the delay to long after it: one of the two leads soon, never both.
    for after in (0..2 * DELAY).step_by(100) {
        let mut world = World::paired_automatic(DELAY);
        world.kill("a");
        run_watched(&mut world, after);
        world.restart("a");
        run_watched(&mut world, 12_000);
        let leads = [world.answers("a"), world.answers("b")];
        assert!(leads[0] != leads[1], "restarted after {after} ms: {leads:?}");
        let generation = world.engine("c").promised();
        assert!(generation.count <= 4, "restarted after {after} ms: {generation}");
        if after + 1000 < DELAY {
            assert!(leads[0], "it was back in time, after {after} ms");
        }
    }
}
