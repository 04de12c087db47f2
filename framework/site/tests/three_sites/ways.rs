//! The way of a link is changed while it is up: what goes on, and what happens if that fails.

use crate::world::{World, in_virtual_time, site};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use trefoil_core::model::UpdateNumber;

/// Writes at A until it is told to stop; returns the newest update and the longest answer.
async fn load(world: &World, stop: &Cell<bool>) -> (UpdateNumber, Duration) {
    let (mut newest, mut longest) = (UpdateNumber::ZERO, Duration::ZERO);
    let mut index = 0;
    while !stop.get() {
        let begun = Instant::now();
        newest = world.write("a", index % 2000, index as u8).await;
        longest = longest.max(begun.elapsed());
        index += 1;
    }
    (newest, longest)
}

/// How often links came up anew at the three sites.
fn reconnects(world: &World) -> u64 {
    ["a", "b", "c"].iter().map(|name| world.status(name).totals.reconnects).sum()
}

async fn arrived(world: &World, peer: &str) {
    world
        .until("a", "the link goes the way that is wanted", |status| {
            let leg = &status.legs[&site(peer)];
            leg.link_up && leg.way_wanted.is_none()
        })
        .await;
}

#[test]
fn ways_are_swapped_twenty_times_under_load_and_no_session_ends() {
    in_virtual_time(async {
        let world = Rc::new(World::paired().await);
        world.write("a", 0, 1).await;
        let plan = |name| world.status(name).follows.clone().unwrap().plan;
        let before = (plan("b"), plan("c"), world.status("a").charter.clone(), reconnects(&world));
        let stop = Cell::new(false);
        let swap = async {
            for round in 0..20 {
                let network = if round % 2 == 0 { &world.bypass } else { &world.network };
                for peer in ["b", "c"] {
                    world.reroute(network, "a", peer, peer);
                    arrived(&world, peer).await;
                }
                sleep(Duration::from_millis(30)).await;
            }
            world.reroute(&world.bypass, "a", "b", "b");
            world.reroute(&world.bypass, "a", "c", "c");
            arrived(&world, "b").await;
            arrived(&world, "c").await;
            // Nothing uses the first way any more.
            sleep(Duration::from_millis(200)).await;
            world.network.cut_and_drop("a", "b");
            world.network.cut_and_drop("a", "c");
            sleep(Duration::from_secs(5)).await;
            stop.set(true);
        };
        let ((newest, longest), ()) = tokio::join!(load(&world, &stop), swap);
        let after = (plan("b"), plan("c"), world.status("a").charter.clone(), reconnects(&world));
        assert_eq!(before, after);
        assert!(longest < Duration::from_millis(100), "a write was held back for {longest:?}");
        world.equal(newest, "a", "b").await;
        world.equal(newest, "a", "c").await;
    });
}

#[test]
fn the_old_way_breaks_before_it_is_drained_and_the_link_comes_back_by_the_new_one() {
    in_virtual_time(async {
        let world = World::paired().await;
        let charter = world.status("a").charter.clone();
        // What is sent to C now is still under way when the link goes on.
        world.network.set_delay("a", "c", Duration::from_secs(1), Duration::from_secs(1));
        let mut newest = UpdateNumber::ZERO;
        for index in 0..100 {
            newest = world.write("a", index, 9).await;
        }
        world.reroute(&world.bypass, "a", "c", "c");
        sleep(Duration::from_millis(100)).await;
        let before = world.status("c").totals.reconnects;
        world.network.cut_and_drop("a", "c");
        world.until("c", "the link came back", |status| status.totals.reconnects > before).await;
        arrived(&world, "c").await;
        world.equal(newest, "a", "c").await;
        assert_eq!(world.status("a").charter.clone(), charter);
        assert_eq!(world.status("c").follows.clone().unwrap().fetched.copied_bytes, 0);
    });
}

#[test]
fn a_way_that_does_not_lead_there_leaves_the_old_one_in_use_and_says_why() {
    in_virtual_time(async {
        let world = World::paired().await;
        let before = world.status("c").totals.reconnects;
        world.reroute(&world.bypass, "a", "c", "nowhere");
        world
            .until("a", "status says why", |status| {
                let leg = &status.legs[&site("c")];
                leg.link_up && leg.way_wanted.is_some() && leg.way_refused.is_some()
            })
            .await;
        let newest = world.write("a", 1, 11).await;
        world.equal(newest, "a", "c").await;
        // Another site answers there: it is not C.
        world.reroute(&world.bypass, "a", "c", "b");
        world
            .until("a", "status says why", |status| {
                let why = &status.legs[&site("c")].way_refused;
                why.as_ref().is_some_and(|why| why.contains("this is site b"))
            })
            .await;
        // A link that is lost meanwhile comes back by the way that was good.
        world.network.drop_connection("a", "c");
        world
            .until("c", "it is back", |status| {
                status.totals.reconnects > before && status.legs[&site("a")].link_up
            })
            .await;
        world.reroute(&world.bypass, "a", "c", "c");
        arrived(&world, "c").await;
        let leg = world.status("a").legs[&site("c")].clone();
        assert_eq!((leg.way_wanted, leg.way_refused), (None, None));
        let newest = world.write("a", 2, 22).await;
        world.equal(newest, "a", "c").await;
    });
}
