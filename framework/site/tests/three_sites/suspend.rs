//! Legs that the operator suspends: the host goes on, and what was missed comes by delta (E18).

use crate::world::{World, in_virtual_time, site};
use std::time::Duration;
use trefoil_core::ErrorKind;
use trefoil_core::model::{LegState, PlanKind};
use trefoil_site::GroupStatus;

fn is_suspended(status: &GroupStatus, to: &str) -> bool {
    status.legs[&site(to)].state == LegState::Suspended("by operator".to_owned())
}

fn follows_by_delta(world: &World, name: &str) {
    let follows = world.status(name).follows.clone().unwrap();
    assert_eq!(follows.fetched.copied_bytes, 0);
    assert_eq!(follows.plan.unwrap().kind, PlanKind::Delta);
}

#[test]
fn a_suspended_third_site_stands_still_over_a_restart_and_catches_up_by_delta() {
    in_virtual_time(async {
        let world = World::paired().await;
        let before = world.write("a", 1, 11).await;
        world.restored(before, "c").await;
        world.group("a").suspend(&site("c")).await.unwrap();
        assert!(is_suspended(&world.status("a"), "c"));
        let held = world.status("c").newest;
        world.write("a", 2, 22).await;
        world.kill("a");
        world.start("a").await;
        world
            .until("a", "a serves with b, c stands still", |status| {
                let pair = status.charter.as_ref().is_some_and(|it| it.in_sync.len() == 2);
                status.serving && pair && is_suspended(status, "c")
            })
            .await;
        let last = world.write("a", 3, 33).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(world.status("c").newest, held, "nothing more came");
        world.group("a").resume(&site("c")).await.unwrap();
        world.equal(last, "a", "c").await;
        follows_by_delta(&world, "c");
        world
            .until("a", "paired again", |status| status.legs[&site("c")].state == LegState::Paired)
            .await;
    });
}

#[test]
fn a_suspended_mirror_leaves_the_in_sync_set_and_joins_again() {
    in_virtual_time(async {
        let world = World::paired().await;
        world.group("a").suspend(&site("b")).await.unwrap();
        let status = world.status("a");
        assert_eq!(status.charter.as_ref().unwrap().in_sync.len(), 1, "it is out first");
        assert!(is_suspended(&status, "b") && !status.legs[&site("b")].acking);
        let last = world.write("a", 2, 22).await;
        let refused = world.group("b").swap().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert!(refused.to_string().contains("pair resume"), "{refused}");
        world.group("a").resume(&site("b")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.until_paired().await;
        world.equal(last, "a", "b").await;
        follows_by_delta(&world, "b");
    });
}

#[test]
fn only_the_leading_site_suspends_its_legs() {
    in_virtual_time(async {
        let world = World::paired().await;
        let refused = world.group("b").suspend(&site("c")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        let unknown = world.group("a").suspend(&site("x")).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::Invalid);
    });
}
