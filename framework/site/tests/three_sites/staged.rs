//! A resync that fits beside the volumes becomes visible in one step, and the image of before is
//! there until then; else it goes on in place, and says so.

use crate::world::{BLOCK, World, in_virtual_time};
use std::time::Duration;
use tokio::time::sleep;
use trefoil_core::ErrorKind;
use trefoil_core::model::{PlanKind, UpdateNumber, Verdict, VolumeId};
use trefoil_site::{Limits, PlanOutcome, TakeoverOptions, Traffic};

/// C was passed by B's journal, A is gone, and B begins to send C what changed, slowly. Also the
/// update up to which C had everything: block 3 was 0x33 then, and blocks 0 to 599 of "db" are
/// others at B.
async fn c_is_passed(limits: Limits) -> (World, UpdateNumber) {
    let mut world = World::with_journals(64 << 20, 1 << 20);
    world.limits = limits;
    world.traffic = Traffic { copy_rate: Some(128 << 10), ..Traffic::default() };
    for name in ["a", "b", "c"] {
        world.start(name).await;
    }
    world.until_paired().await;
    let before = world.write("a", 3, 0x33).await;
    world.restored(before, "c").await;
    world.network.cut("a", "c");
    world.network.cut("b", "c");
    for index in 0..600 {
        world.write("a", index, 0x44).await;
        if index % 50 == 0 {
            // Time for B to checkpoint, else there is nothing that it may let go.
            sleep(Duration::from_secs(2)).await;
        }
    }
    world.network.heal("b", "c");
    world.kill("a");
    sleep(Duration::from_secs(10)).await;
    world.take_over("b").await;
    world.until("c", "c owes", |status| status.debt_bytes > 0).await;
    let plan = world.status("c").follows.clone().unwrap().plan.unwrap();
    assert_eq!(plan.kind, PlanKind::Map, "{plan:?}");
    (world, before)
}

/// The image that C keeps is that of `before`, or of a heartbeat after it.
async fn keeps_image(world: &World, before: UpdateNumber) {
    world.until("c", "c keeps an image", |status| status.image.is_some()).await;
    let status = world.status("c");
    assert!(status.debt_bytes > 0 && status.inconsistent_until.is_none(), "{status:?}");
    let image = world.group("c").snapshot(None).await.unwrap();
    assert!(image.position().number >= before && Some(image.position().number) == status.image);
    let read = async |index: u64| image.read(VolumeId(0), index * BLOCK, 1).await.unwrap()[0];
    assert_eq!((read(3).await, read(4).await, read(599).await), (0x33, 0, 0));
}

#[test]
fn a_map_resync_is_visible_in_one_step_and_the_image_of_before_is_kept_until_then() {
    in_virtual_time(async {
        let (world, before) = c_is_passed(Limits::default()).await;
        for round in 0..10 {
            // Host writes go on, and wait beside the volumes with the copies.
            world.write("b", 3, round).await;
            sleep(Duration::from_millis(500)).await;
            keeps_image(&world, before).await;
        }
        let last = world.write("b", 700, 7).await;
        world.equal(last, "b", "c").await;
        let status = world.status("c");
        assert_eq!((status.debt_bytes, status.image), (0, None), "{status:?}");
    });
}

#[test]
fn the_image_outlives_kills_and_power_losses_with_no_other_site_in_reach() {
    in_virtual_time(async {
        let (world, before) = c_is_passed(Limits::default()).await;
        for power in [false, true, false] {
            sleep(Duration::from_secs(2)).await;
            if power {
                world.lose_power("c");
            } else {
                world.kill("c");
            }
            world.network.cut("b", "c");
            world.start("c").await;
            keeps_image(&world, before).await;
            sleep(Duration::from_secs(20)).await;
            keeps_image(&world, before).await;
            world.network.heal("b", "c");
            world.write("b", 3, 0x55).await;
        }
        let last = world.write("b", 700, 7).await;
        world.equal(last, "b", "c").await;
    });
}

#[test]
fn what_does_not_fit_beside_the_volumes_goes_on_in_place_and_says_until_when() {
    in_virtual_time(async {
        let limits = Limits { overlay_bytes: 4 << 20, ..Limits::default() };
        let (world, _) = c_is_passed(limits).await;
        let status = world.status("c");
        assert!(status.image.is_none() && status.inconsistent_until.is_some(), "{status:?}");
        let refused = world.group("c").snapshot(None).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
        let last = world.write("b", 700, 7).await;
        world.equal(last, "b", "c").await;
        assert_eq!(world.status("c").inconsistent_until, None);
    });
}

#[test]
fn a_stage_that_becomes_too_full_goes_on_in_place() {
    in_virtual_time(async {
        let limits = Limits { overlay_bytes: 16 << 20, ..Limits::default() };
        let (world, before) = c_is_passed(limits).await;
        keeps_image(&world, before).await;
        let mut last = UpdateNumber::ZERO;
        // More than may wait, in a place that is written over and over: no matter to the overlay.
        for round in 0..4000u32 {
            last = world.write("b", 1000, round as u8).await;
            if world.status("c").image.is_none() {
                break;
            }
        }
        world.until("c", "c goes on in place", |status| status.image.is_none()).await;
        world.equal(last, "b", "c").await;
    });
}

/// Everybody who had more is gone: C goes on from the image, after a kill in the middle, too.
async fn c_goes_back(power: bool) {
    let (world, before) = c_is_passed(Limits::default()).await;
    world.write("b", 3, 0x55).await;
    keeps_image(&world, before).await;
    let image = world.status("c").image.unwrap();
    let options = TakeoverOptions { accept_loss: true, primary_is_fenced: true };
    let refused = world.group("c").takeover(options).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
    assert!(refused.to_string().contains("site b is consistent"), "{refused}");

    world.kill("b");
    world.until("c", "c misses b", |status| status.legs.values().all(|leg| !leg.link_up)).await;
    let consent = TakeoverOptions { primary_is_fenced: false, ..options };
    let refused = world.group("c").takeover(consent).await.unwrap_err();
    assert!(refused.to_string().contains("--accept-loss --primary-is-fenced"), "{refused}");
    keeps_image(&world, before).await;
    let plan = world.group("c").plan_takeover(options).await.unwrap();
    assert_eq!((plan.outcome, plan.newest.number), (PlanOutcome::Ready, image), "{plan:?}");
    assert!(plan.why.contains("which its volumes still are"), "{plan:?}");
    if power {
        // The verb is under way when the power goes: C is what it was, or has gone back.
        let group = world.group("c");
        let asked = tokio::task::spawn_local(async move { group.takeover(options).await });
        sleep(Duration::from_millis(2)).await;
        world.lose_power("c");
        drop(asked);
        world.start("c").await;
    }
    let certificate = world.group("c").takeover(options).await.unwrap();
    assert_eq!(certificate.newest.number, image);
    assert!(matches!(certificate.verdict, Verdict::Unknown(_)), "{certificate:?}");
    let read = async |index: u64| world.read("c", index).await;
    assert_eq!((read(3).await, read(4).await, read(599).await), (0x33, 0, 0));
    world.write("c", 4, 0x66).await;

    // B comes back with a tail that nobody else has: it is set aside, and B is as C then.
    world.network.heal("a", "c");
    world.start("b").await;
    world.start("a").await;
    let last = world.write("c", 5, 0x77).await;
    for site in ["a", "b"] {
        world
            .until(site, "it follows, or is held back", |status| {
                status.follows.as_ref().is_some_and(|follows| follows.plan.is_some())
            })
            .await;
        world.group(site).rejoin().await.unwrap();
        world.equal(last, "c", site).await;
    }
    assert_eq!(world.status("c").debt_bytes, 0);
}

#[test]
fn with_nobody_else_left_the_site_goes_on_from_the_image() {
    in_virtual_time(c_goes_back(false));
}

#[test]
fn it_goes_on_from_the_image_after_a_power_loss_in_the_middle() {
    in_virtual_time(c_goes_back(true));
}
