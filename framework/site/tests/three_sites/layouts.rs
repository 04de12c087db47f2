//! The third site reads from the second: there and back while hosts write, and when sites are lost.

use crate::world::{World, in_virtual_time, site};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use trefoil_core::engine::takeover::Verdict;
use trefoil_core::model::{LegState, PlanKind, UpdateNumber};
use trefoil_core::topology::{Cascade, ThreeSite, Topology};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn cascade() -> Arc<dyn Topology> {
    Arc::new(Cascade::new(site("a"), site("b"), site("c")).unwrap())
}

fn star() -> Arc<dyn Topology> {
    Arc::new(ThreeSite::new(site("a"), site("b"), site("c")).unwrap())
}

/// All three in a line from the start.
async fn in_a_line() -> World {
    let world = World::with_journals(64 << 20, 64 << 20).laid_out(cascade());
    for name in NAMES {
        world.start(name).await;
    }
    world.until_paired().await;
    reads_from(&world, "b").await;
    world
}

/// Tells every site the layout.
fn point(world: &World, layout: &Arc<dyn Topology>) {
    for name in NAMES {
        world.group(name).set_topology(layout.clone()).unwrap();
    }
}

/// Waits until C streams from that site.
async fn reads_from(world: &World, source: &str) {
    world
        .until("c", "c reads from another site", |status| {
            status.follows.as_ref().is_some_and(|follows| {
                follows.source == site(source) && follows.state == LegState::Paired
            })
        })
        .await;
}

/// Nothing of C's newest session was copied, and its plan was the cheapest there is.
fn nothing_copied(world: &World) {
    let follows = world.status("c").follows.clone().unwrap();
    let kind = follows.plan.unwrap().kind;
    assert!(matches!(kind, PlanKind::Delta | PlanKind::InSync), "{kind}");
    assert_eq!(follows.fetched.copied_bytes, 0);
}

#[test]
fn in_a_line_the_third_site_is_filled_and_fed_by_the_second() {
    in_virtual_time(async {
        let world = in_a_line().await;
        let sent = |from: &str| world.status(from).legs[&site("c")].payload_bytes;
        let before = sent("a");
        let mut last = UpdateNumber::ZERO;
        for index in 0..300 {
            last = world.write("a", index, index as u8).await;
        }
        world.equal(last, "a", "b").await;
        world.equal(last, "a", "c").await;
        assert_eq!(sent("a"), before, "the home site sends the third nothing");
        assert!(sent("b") > 300 * 4096, "{}", sent("b"));
        world
            .until("a", "the home site knows that the third is well", |status| {
                let leg = &status.legs[&site("c")];
                leg.via == Some(site("b")) && leg.state == LegState::Paired
            })
            .await;
    });
}

#[test]
fn the_third_site_is_pointed_elsewhere_twenty_times_under_load_and_nothing_is_copied() {
    in_virtual_time(async {
        let world = Rc::new(World::paired().await);
        world.write("a", 0, 1).await;
        let copied =
            || -> u64 { NAMES.iter().map(|name| world.status(name).totals.copied_bytes).sum() };
        let before = copied();
        let stop = Cell::new(false);
        let write = async {
            let (mut last, mut index) = (UpdateNumber::ZERO, 0);
            while !stop.get() {
                last = world.write("a", index % 1500, index as u8).await;
                index += 1;
            }
            last
        };
        let turn = async {
            for round in 0..20 {
                let (layout, source) =
                    if round % 2 == 0 { (cascade(), "b") } else { (star(), "a") };
                point(&world, &layout);
                reads_from(&world, source).await;
                nothing_copied(&world);
                sleep(Duration::from_millis(40)).await;
            }
            stop.set(true);
        };
        let (last, ()) = tokio::join!(write, turn);
        world.equal(last, "a", "c").await;
        assert_eq!(copied(), before, "bytes copied at all three sites");
    });
}

#[test]
fn a_layout_of_other_sites_or_modes_is_no_pointing_elsewhere() {
    in_virtual_time(async {
        let world = World::paired().await;
        let other = Arc::new(ThreeSite::new(site("a"), site("c"), site("b")).unwrap());
        let error = world.group("a").set_topology(other).unwrap_err();
        assert!(error.to_string().contains("more differs"), "{error}");
    });
}

#[test]
fn without_the_second_site_the_third_reads_from_the_first_and_goes_back() {
    in_virtual_time(async {
        let world = in_a_line().await;
        world.write("a", 1, 1).await;
        world.kill("b");
        reads_from(&world, "a").await;
        nothing_copied(&world);
        let last = world.write("a", 2, 2).await;
        world.restored(last, "c").await;
        world.start("b").await;
        reads_from(&world, "b").await;
        nothing_copied(&world);
        let last = world.write("a", 3, 3).await;
        world.equal(last, "a", "b").await;
        world.equal(last, "a", "c").await;
    });
}

#[test]
fn a_second_site_that_is_cut_off_from_the_first_is_not_read_from() {
    in_virtual_time(async {
        let world = in_a_line().await;
        world.network.cut("a", "b");
        let last = world.write("a", 1, 1).await;
        reads_from(&world, "a").await;
        world.restored(last, "c").await;
        world.network.heal("a", "b");
        reads_from(&world, "b").await;
        let last = world.write("a", 2, 2).await;
        world.equal(last, "a", "c").await;
    });
}

#[test]
fn in_a_line_the_loss_of_the_first_site_loses_nothing_and_it_comes_back_by_delta() {
    in_virtual_time(async {
        let world = in_a_line().await;
        let mut answered = UpdateNumber::ZERO;
        for index in 0..100 {
            answered = world.write("a", index, 7).await;
        }
        world.kill("a");
        let certificate = world.take_over("b").await;
        assert_eq!(certificate.verdict, Verdict::Zero);
        assert!(certificate.newest.number >= answered);
        let last = world.write("b", 200, 8).await;
        world.equal(last, "b", "c").await;
        nothing_copied(&world);
        world.start("a").await;
        let last = world.write("b", 201, 9).await;
        world.equal(last, "b", "a").await;
        world.group("a").swap().await.unwrap();
        reads_from(&world, "b").await;
        let last = world.write("a", 202, 10).await;
        world.equal(last, "a", "c").await;
        nothing_copied(&world);
    });
}

#[test]
fn in_a_line_the_third_site_is_never_ahead_of_what_the_second_holds_durably() {
    in_virtual_time(async {
        let world = Rc::new(in_a_line().await);
        let stop = Cell::new(false);
        let write = async {
            let mut index = 0;
            while !stop.get() {
                world.write("a", index % 1500, index as u8).await;
                index += 1;
            }
        };
        let watch = async {
            for _ in 0..400 {
                let sent = world.status("b").legs[&site("c")].marks.received;
                assert!(sent <= world.status("b").marks.durable, "{sent}");
                sleep(Duration::from_millis(7)).await;
            }
            stop.set(true);
        };
        tokio::join!(write, watch);
        // The first site lets go of what all have: it hears of the third through the second.
        let newest = world.status("a").newest.number;
        world.restored(newest, "c").await;
    });
}

#[test]
fn the_first_site_trims_by_what_the_second_says_of_the_third() {
    in_virtual_time(async {
        let world = World::with_journals(12 << 20, 12 << 20).laid_out(cascade());
        for name in NAMES {
            world.start(name).await;
        }
        world.until_paired().await;
        reads_from(&world, "b").await;
        let mut last = UpdateNumber::ZERO;
        for index in 0..6000 {
            last = world.write("a", index % 1500, index as u8).await;
        }
        world.equal(last, "a", "c").await;
        let base = world.status("a").base;
        assert!(base.value() > 1000, "nothing was let go: {base}");
        // C is still reached by delta from either: no map was begun for it.
        point(&world, &star());
        reads_from(&world, "a").await;
        nothing_copied(&world);
    });
}
