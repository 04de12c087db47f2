//! The simulation bites: each rule that is broken on purpose is caught, by that rule.

use crate::faults::{restart, take_over_with};
use crate::layout::Layout;
use crate::run::{Options, Script};
use crate::sabotage::Sabotage;
use crate::seeds;
use crate::world::World;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use trefoil_site::TakeoverOptions;

/// Within so many seeds a broken rule is caught.
const SEEDS: u64 = 40;

/// The same for one that does harm only if several things happen in a certain order.
const SEEDS_IF_RARE: u64 = 600;

type Story = Pin<Box<dyn Future<Output = ()>>>;

/// Checks that breaking `sabotage` is caught by one of `rules` alone.
fn is_caught(sabotage: Sabotage, script: Option<Script>, rules: &'static [&'static str]) {
    is_caught_within(SEEDS, sabotage, script, rules);
}

fn is_caught_within(
    count: u64,
    sabotage: Sabotage,
    script: Option<Script>,
    rules: &'static [&'static str],
) {
    let seeds: Vec<u64> = (1..=count).collect();
    let layout = Some(Layout::ThreeSite);
    let options = Options { sabotage, script, watched: rules, layout, ..Options::default() };
    let outcomes = seeds::run_all(&seeds, options);
    let found: Vec<(u64, &str)> = outcomes
        .iter()
        .filter_map(|outcome| Some((outcome.seed, outcome.broken.as_ref()?.rule)))
        .collect();
    eprintln!("{sabotage:?}: caught in {} of {count} seeds: {found:?}", found.len());
    assert!(!found.is_empty(), "{sabotage:?} is not caught by {rules:?}: {found:?}");
}

async fn ms(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Waits until B is in A's in-sync set, and some more.
async fn paired(world: &World) {
    let is_paired = || world.eye.lock().sites[0].charter().is_some_and(|c| c.in_sync.len() == 2);
    for _ in 0..100 {
        if is_paired() {
            break;
        }
        ms(50).await;
    }
    ms(300).await;
}

/// Takes over at a site until it works, for a while.
async fn insist(world: &Rc<World>, site: usize) {
    for _ in 0..10 {
        if world.is_broken() || take_over_with(world, site, TakeoverOptions::default()).await {
            return;
        }
        ms(100).await;
    }
}

#[test]
fn an_answer_before_the_mirror_has_it_is_caught() {
    is_caught(Sabotage::AnswerBeforeMirror, None, &["acked_survives"]);
}

#[test]
fn a_restore_before_durable_is_caught() {
    is_caught(Sabotage::RestoreBeforeDurable, None, &["write_ahead"]);
}

#[test]
fn a_third_site_past_the_horizon_is_caught() {
    is_caught(Sabotage::ReadPastHorizon, Some(quiet), &["remote_behind_mirror"]);
}

#[test]
fn a_promise_that_is_not_durable_is_caught() {
    let story: Option<Script> = Some(forgotten_promise);
    is_caught_within(SEEDS_IF_RARE, Sabotage::ForgetPromises, story, &["one_primary"]);
}

#[test]
fn a_lease_by_a_slow_clock_is_caught() {
    let story: Option<Script> = Some(stale_leader);
    is_caught_within(SEEDS_IF_RARE, Sabotage::SlowClock, story, &["one_primary"]);
}

#[test]
fn a_power_loss_that_is_hidden_is_caught() {
    let rules = &["acked_survives", "no_silent_loss"];
    is_caught(Sabotage::HidePowerLoss, Some(mirror_without_power), rules);
}

#[test]
fn other_bytes_at_one_site_are_caught() {
    is_caught(Sabotage::OtherBytes, None, &["same_number_same_update"]);
}

#[test]
fn a_checkpoint_without_a_sync_is_caught() {
    is_caught(Sabotage::CheckpointBeforeSync, None, &["no_gap"]);
}

#[test]
fn a_tail_that_is_dropped_and_kept_nowhere_is_caught() {
    is_caught(Sabotage::SetNothingAside, Some(tail_of_the_old_primary), &["tail_kept"]);
}

/// Nothing goes wrong but the hosts' load.
fn quiet(_: Rc<World>) -> Story {
    Box::pin(ms(2000))
}

/// B takes over with C's promise; C restarts without it; A, cut off, asks C for the lease.
fn forgotten_promise(world: Rc<World>) -> Story {
    Box::pin(async move {
        paired(&world).await;
        world.network.cut_and_drop("a", "b");
        world.network.cut_and_drop("a", "c");
        ms(100).await;
        insist(&world, 1).await;
        ms(200).await;
        world.network.cut_and_drop("b", "c");
        restart(&world, 2, false, Duration::from_millis(10)).await;
        world.network.heal("a", "c");
        ms(4000).await;
    })
}

/// A is cut off and believes in its lease for far too long.
fn stale_leader(world: Rc<World>) -> Story {
    Box::pin(async move {
        paired(&world).await;
        world.network.cut_and_drop("a", "b");
        world.network.cut_and_drop("a", "c");
        insist(&world, 1).await;
        ms(2000).await;
    })
}

/// B loses what it had not synced, and A dies: B takes over as if nothing had been.
fn mirror_without_power(world: Rc<World>) -> Story {
    Box::pin(async move {
        for _ in 0..4 {
            paired(&world).await;
            world.network.cut("a", "c");
            ms(100).await;
            world.die(1, true);
            world.die(0, false);
            world.start(1).await;
            insist(&world, 1).await;
            world.network.heal("a", "c");
            world.start(0).await;
        }
    })
}

/// A dies with updates that nobody else has, and comes back under B.
fn tail_of_the_old_primary(world: Rc<World>) -> Story {
    Box::pin(async move {
        paired(&world).await;
        world.network.cut_and_drop("a", "b");
        world.network.cut_and_drop("a", "c");
        ms(100).await;
        world.die(0, false);
        insist(&world, 1).await;
        world.network.heal("a", "b");
        world.network.heal("a", "c");
        world.start(0).await;
        ms(3000).await;
    })
}
