//! Legs that the operator suspends and lets go on.

use crate::reign_world::{World, charter_of, marks, site};
use trefoil_core::engine::reign::{Effect, Event, LegReport};

fn suspend(world: &mut World, to: &[&str]) -> Vec<Effect> {
    world.event("a", Event::Suspended(to.iter().map(|name| site(name)).collect()))
}

#[test]
fn a_suspended_mirror_is_out_of_the_charter_before_nobody_waits_for_it() {
    let mut world = World::paired();
    world.cut("a", "c");
    let generation = charter_of(&world, "a").generation;
    let effects = suspend(&mut world, &["b"]);
    assert!(!effects.contains(&Effect::StopServing(site("b"))), "{effects:?}");
    assert!(world.joined("a", "b"), "the new charter is only proposed");
    let served = world.may_serve("a", "b", generation, world.incarnation("b"));
    assert!(served.is_ok(), "until it is out");
    world.run(1000);
    assert!(!world.joined("a", "b"));
    assert!(charter_of(&world, "b").member(&site("b")).is_none());
    let served = world.may_serve("a", "b", generation, world.incarnation("b"));
    assert!(served.unwrap_err().to_string().contains("pair resume"));
    world.run_streaming(2000);
    assert!(!world.joined("a", "b"), "it does not come back by itself");
}

#[test]
fn a_leg_that_nobody_waits_for_is_stopped_at_once() {
    let mut world = World::paired();
    let report = LegReport {
        connected: true,
        incarnation: world.incarnation("c"),
        marks: marks(1),
        ..LegReport::default()
    };
    world.event("a", Event::Leg(site("c"), report));
    let effects = suspend(&mut world, &["c"]);
    assert!(effects.contains(&Effect::StopServing(site("c"))), "{effects:?}");
    assert!(world.joined("a", "b"), "the other leg goes on");
}

#[test]
fn a_leg_that_is_resumed_joins_by_the_ordinary_rules() {
    let mut world = World::paired();
    suspend(&mut world, &["b"]);
    world.run(1000);
    suspend(&mut world, &[]);
    world.run_streaming(1000);
    assert!(world.joined("a", "b"));
    assert!(charter_of(&world, "a").member(&site("b")).is_some());
}
