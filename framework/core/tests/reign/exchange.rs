//! The planned exchange of roles: three reign engines, and a crash at every step.

use crate::reign_world::{World, charter_of, site};
use trefoil_core::engine::reign::{Event, Exchange, TakeoverOptions};
use trefoil_core::model::{Role, Verdict};

fn swap(world: &mut World, to: &str) {
    world.event(to, Event::Exchange(Exchange::Wanted));
}

/// Lets the exchange go on until `there`, 20 ms at a time.
fn until(world: &mut World, what: &str, there: impl Fn(&World) -> bool) {
    for _ in 0..1000 {
        if there(world) {
            return;
        }
        world.run_streaming(20);
    }
    panic!("never: {what}");
}

fn in_sync() -> World {
    let mut world = World::paired();
    world.run_streaming(1000);
    world
}

#[test]
fn roles_are_exchanged_without_waiting_for_the_lease_and_nothing_is_lost() {
    let mut world = in_sync();
    let begun = world.now();
    swap(&mut world, "b");
    until(&mut world, "b serves", |world| world.serves("b"));
    assert!(world.now() - begun < 1_000_000, "the lease alone lasts 2 s");
    let completed = world.completed("b").unwrap();
    assert_eq!(completed.verdict, Verdict::Zero);
    assert!(completed.hosts_wait_since.unwrap() >= begun);
    assert!(charter_of(&world, "b").member(&site("a")).is_some(), "a is carried over");
    assert_eq!((world.role("a"), world.following("a")), (Role::Secondary, Some(site("b"))));
}

#[test]
fn there_and_back_and_to_the_third_site() {
    let mut world = in_sync();
    for to in ["b", "a", "c", "a"] {
        swap(&mut world, to);
        until(&mut world, to, |world| world.serves(to));
        assert_eq!(world.completed(to).unwrap().verdict, Verdict::Zero, "{to}");
        world.run_streaming(3000);
    }
}

#[test]
fn while_the_target_lacks_something_the_host_waits_and_nothing_is_closed() {
    let mut world = in_sync();
    swap(&mut world, "b");
    let newest = charter_of(&world, "a").generation.count + 40;
    world.set_newest("a", newest);
    world.run(100);
    assert!(world.paused("a") && world.serves("a"));
    assert_eq!(world.closed("a"), None);
    world.run_streaming(100);
    assert_eq!(world.closed("a"), Some(site("b")));
    assert!(!world.serves("a"), "it answers nobody once it is closed");
}

#[test]
fn a_target_that_is_too_far_behind_is_refused_with_figures() {
    let mut world = in_sync();
    world.cut("a", "b");
    world.run(6000);
    world.heal("a", "b");
    world.run(1000);
    swap(&mut world, "b");
    world.run(200);
    let why = &world.refusal("b").unwrap().why;
    assert!(why.contains("not in sync") && why.contains("lacks"), "{why}");
    assert!(world.serves("a") && !world.paused("a"));
}

#[test]
fn an_exchange_that_takes_too_long_is_called_off_and_the_host_goes_on() {
    let mut world = in_sync();
    world.set_newest("a", 40);
    swap(&mut world, "b");
    world.run(4000);
    assert!(world.paused("a"));
    world.run(1500);
    let why = &world.refusal("b").unwrap().why;
    assert!(why.contains("called off") && why.contains("of 40 updates"), "{why}");
    assert!(!world.paused("a"));
    assert_eq!(world.closed("a"), None);
}

#[test]
fn a_target_that_dies_before_the_end_leaves_the_reign_as_it_was() {
    let mut world = in_sync();
    let generation = charter_of(&world, "a").generation;
    world.set_newest("a", 40);
    swap(&mut world, "b");
    world.run(100);
    assert!(world.paused("a"));
    world.kill("b");
    world.run(100);
    assert!(!world.paused("a") && world.serves("a"));
    assert_eq!(charter_of(&world, "a").generation, generation, "the same reign");
}

#[test]
fn a_primary_that_dies_before_the_end_leads_again_in_a_new_generation() {
    let mut world = in_sync();
    world.set_newest("a", 40);
    swap(&mut world, "b");
    world.run(100);
    world.kill("a");
    world.run(100);
    assert!(world.refusal("b").unwrap().unreachable, "{:?}", world.refusal("b"));
    world.restart("a");
    until(&mut world, "a serves", |world| world.serves("a"));
    assert_eq!(charter_of(&world, "a").generation.count, 2);
}

#[test]
fn a_primary_that_dies_after_the_end_is_not_waited_for() {
    let mut world = in_sync();
    swap(&mut world, "b");
    until(&mut world, "b holds the end", |world| world.closed("b").is_some());
    world.kill("a");
    let begun = world.now();
    until(&mut world, "b serves", |world| world.serves("b"));
    assert!(world.now() - begun < 1_800_000, "no lease of that reign is in use any more");
    assert_eq!(world.completed("b").unwrap().verdict, Verdict::Zero);
}

#[test]
fn a_primary_that_comes_back_after_the_end_lets_the_other_go_first() {
    let mut world = in_sync();
    swap(&mut world, "b");
    until(&mut world, "b holds the end", |world| world.closed("b").is_some());
    world.kill("a");
    world.kill("b");
    world.restart("a");
    world.restart("b");
    world.run_streaming(1000);
    assert!(!world.serves("a"), "it gave the group away");
    swap(&mut world, "b");
    until(&mut world, "b serves", |world| world.serves("b"));
    assert_eq!(world.completed("b").unwrap().verdict, Verdict::Zero);
}

#[test]
fn after_the_end_a_primary_whose_target_is_dead_leads_in_a_generation_of_its_own() {
    let mut world = in_sync();
    let generation = charter_of(&world, "a").generation;
    swap(&mut world, "b");
    until(&mut world, "a is closed", |world| world.closed("a").is_some());
    world.kill("b");
    world.run(1000);
    assert!(!world.serves("a"), "never again in that generation");
    until(&mut world, "a serves", |world| world.serves("a"));
    assert!(charter_of(&world, "a").generation > generation);
}

#[test]
fn the_verb_may_be_run_again_after_its_answer_was_lost() {
    let mut world = in_sync();
    swap(&mut world, "b");
    until(&mut world, "b holds the end", |world| world.closed("b").is_some());
    world.cut("a", "b");
    until(&mut world, "b serves", |world| world.serves("b"));
    world.heal("a", "b");
    world.run_streaming(3000);
    assert_eq!(world.following("a"), Some(site("b")));
    swap(&mut world, "b");
    assert!(world.refusal("b").unwrap().why.contains("leads already"));
}

#[test]
fn of_two_exchanges_at_once_one_is_refused() {
    let mut world = in_sync();
    world.set_newest("a", 40);
    swap(&mut world, "b");
    swap(&mut world, "c");
    world.run(100);
    let why = &world.refusal("c").unwrap().why;
    assert!(why.contains("with site b is under way"), "{why}");
    until(&mut world, "b serves", |world| world.serves("b"));
}

#[test]
fn a_takeover_elsewhere_ends_an_exchange() {
    let mut world = in_sync();
    world.set_newest("a", 40);
    swap(&mut world, "b");
    world.run(60);
    let options = TakeoverOptions { accept_loss: true, primary_is_fenced: true };
    world.event("c", Event::Takeover(options));
    world.run(4000);
    assert!(world.refusal("b").unwrap().why.contains("was begun meanwhile"));
    assert!(!world.paused("a"));
}

#[test]
fn without_a_leading_site_there_is_nobody_to_exchange_roles_with() {
    let mut world = World::paired();
    world.kill("a");
    swap(&mut world, "b");
    let refusal = world.refusal("b").unwrap();
    assert!(
        refusal.unreachable && refusal.why.contains("`trefoil takeover --at b`"),
        "{refusal:?}"
    );
}
