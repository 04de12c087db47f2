//! A small world of three sites over the core's own engines, searched through: every history
//! within stated bounds, and random walks beyond them.
//!
//! The decisions are the core's: reign, judge, takeover, volume, shipper, follower, copies,
//! retention, records, saved states. What is written here is what a site's actors do between
//! them, and the rules that are checked after every step. `make model MINUTES=60 SEED=n` walks for
//! longer, and searches wider.
//!
//! A history begins with A leading, B in sync and C following, or with three blank sites.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "walks have a time limit; no decision sees it")]

mod bounds;
mod calm;
mod edges;
mod fingerprint;
mod follow;
mod history;
mod hole_tests;
mod holes;
mod host;
mod lead;
mod leg;
mod memory;
mod restart;
mod resync;
mod rules;
mod search;
mod site;
mod space;
mod step;
mod story;
mod walk;
mod world;

use bounds::Bounds;
use holes::Off;
use search::search;
use std::time::{Duration, Instant};
use world::{Setup, World};

/// Nothing happens.
const NOTHING: Bounds = Bounds {
    writes: 0,
    flushes: 0,
    faults: 0,
    verbs: 0,
    trims: 0,
    mishaps: 0,
    passes: 0,
    one_by_one: false,
    disks: false,
};

/// How many walks of a hundred may end with a group that does not go on: rule `heals` is about
/// liveness, every other rule holds without exception.
const UNHEALED_PERCENT_MAX: usize = 1;

/// How many walks are taken when nothing is said.
const WALKS: u64 = 40;

fn asked<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Searches all that begins with these worlds; it is exhausted, or breaks no rule on the way.
fn exhausted(name: &str, world: &World, bounds: Bounds) {
    let begun = Instant::now();
    let found = search(world, bounds);
    eprintln!(
        "{name}: {} states, {} steps, up to {} long, exhausted within {bounds:?} in {:.1} s",
        found.states,
        found.steps,
        found.depth,
        begun.elapsed().as_secs_f64()
    );
    assert!(found.broken.is_none(), "{name}: {:#?}", found.broken);
}

#[test]
fn every_history_of_one_fault_and_one_verb_keeps_the_rules() {
    let bounds = Bounds { writes: 1, faults: 1, verbs: 1, ..NOTHING };
    exhausted("one fault, one verb", &World::ordinary(), bounds);
}

#[test]
fn every_order_of_the_messages_of_a_write_and_a_fault_keeps_the_rules() {
    let bounds = Bounds { writes: 1, faults: 1, one_by_one: true, ..NOTHING };
    exhausted("one by one", &World::ordinary(), bounds);
}

#[test]
fn every_history_after_b_was_excluded_keeps_the_rules() {
    let bounds = Bounds { faults: 1, verbs: 1, ..NOTHING };
    exhausted("without b", &World::without_b(), bounds);
}

#[test]
fn wider_searches_keep_the_rules() {
    // `make model` alone: minutes in an optimised build, hours in another.
    if asked::<u64>("TREFOIL_MINUTES").is_none() {
        return;
    }
    let time = Bounds { writes: 1, faults: 1, verbs: 1, passes: 1, ..NOTHING };
    exhausted("with time", &World::ordinary(), time);
    let full = Bounds { faults: 1, verbs: 1, trims: 1, ..NOTHING };
    exhausted("with trims", &World::without_b(), full);
    let two = Bounds { writes: 1, faults: 2, verbs: 2, ..NOTHING };
    exhausted("two faults, two verbs", &World::ordinary(), two);
    let orders = Bounds { verbs: 1, one_by_one: true, ..NOTHING };
    exhausted("takeover one by one", &World::ordinary(), orders);
}

#[test]
fn random_walks_keep_the_rules_and_heal() {
    let first = asked("TREFOIL_SEED").unwrap_or(1);
    let limit = asked("TREFOIL_MINUTES").map(|minutes: u64| Duration::from_secs(60 * minutes));
    let begun = Instant::now();
    let mut walked = walk::Walked::default();
    let goes_on = |walks: u64| match limit {
        Some(limit) => begun.elapsed() < limit,
        None => walks < asked("TREFOIL_WALKS").unwrap_or(WALKS),
    };
    while goes_on(walked.walks) {
        walk::walk(first + walked.walks, Off::Nothing, &mut walked);
        let broken = walked.broken.take();
        assert!(broken.is_none(), "{}", broken.unwrap_or_default());
    }
    let unhealed = walked.unhealed.len();
    eprintln!(
        "seeds {first} to {}: {} steps, {} states, {} losses told, {unhealed} walks that did not \
         heal {:?}, in {:.1} s",
        first + walked.walks - 1,
        walked.steps,
        walked.states.len(),
        walked.told,
        walked.unhealed.iter().take(10).collect::<Vec<_>>(),
        begun.elapsed().as_secs_f64()
    );
    let most = walked.walks as usize * UNHEALED_PERCENT_MAX / 100;
    assert!(unhealed <= most.max(1), "{unhealed} of {} walks did not heal", walked.walks);
}

#[test]
fn every_rule_that_is_left_out_is_found_by_walks() {
    // The holes have stories of their own; this shows that walks would have found them.
    for off in [Off::HorizonOfReceived, Off::DroppedWithoutCharter] {
        let mut walked = walk::Walked::default();
        let found = (1..40).any(|seed| {
            walk::walk(seed, off, &mut walked);
            walked.broken.is_some()
        });
        assert!(found, "{off:?} is not found");
    }
}

#[test]
fn e33_from_every_state_of_a_fault_and_a_verb_the_group_comes_to_rest() {
    let bounds = Bounds { writes: 1, faults: 1, verbs: 1, ..NOTHING };
    let every = asked("TREFOIL_MINUTES").map_or(48, |_: u64| 1);
    let mut seen = 0;
    search::visit(&World::paired(Setup::default()), bounds, &mut |world| {
        seen += 1;
        if seen % every == 0 {
            let mut world = world.clone();
            let calm = world.calm();
            assert!(calm.is_ok(), "{calm:?}{}", world.tell());
        }
    });
    eprintln!("{} of {seen} states come to rest in the calm", seen / every);
}
