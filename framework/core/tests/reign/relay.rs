//! Whom a follower reads from, where another follower passes on what the leading site sends.

use crate::reign_world::{World, site};
use std::collections::BTreeMap;
use trefoil_core::engine::reign::Event;

/// A leads, and C reads from B.
fn in_a_line() -> World {
    let mut world = World::paired();
    let relays = BTreeMap::from([(site("a"), site("b"))]);
    world.event("c", Event::Relays(relays));
    world.run(1000);
    assert_eq!(world.following("c"), Some(site("b")));
    world
}

#[test]
fn a_relay_that_gets_nothing_of_the_reign_is_not_waited_for() {
    let mut world = in_a_line();
    world.kill("a");
    world.restart("a");
    for _ in 0..500 {
        if world.serves("a") {
            break;
        }
        world.run(20);
    }
    world.run(500);
    // B knows who leads and has nothing of that reign, as if its journal were full: full of what it
    // keeps for C.
    assert!(world.serves("a") && world.engine("b").charter() == world.engine("a").charter());
    assert_eq!(world.following("c"), Some(site("b")), "it may come");
    world.run(4000);
    assert_eq!(world.following("c"), Some(site("a")));
    world.catch_up("b", "a");
    world.run(1000);
    assert_eq!(world.following("c"), Some(site("b")), "it has the beginning of the reign now");
}
