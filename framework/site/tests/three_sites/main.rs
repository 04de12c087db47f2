//! Whole sites with the production actors: what people will do to them, one test per story.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod compare;
mod edges;
mod layouts;
mod staged;
mod suspend;
mod swap;
mod two_sites;
mod wan;
mod ways;
mod world;

use std::time::Duration;
use tokio::time::sleep;
use trefoil_core::ErrorKind;
use trefoil_core::engine::takeover::Verdict;
use trefoil_core::model::{PlanDebt, PlanKind, Role};
use trefoil_site::TakeoverOptions;
use world::{World, in_virtual_time, site};

#[test]
fn a_dies_b_takes_over_and_c_follows_by_delta() {
    in_virtual_time(async {
        let world = World::paired().await;
        for index in 0..200 {
            world.write("a", index, index as u8).await;
        }
        let before = world.volume("a", "log").flush().await.unwrap();
        world.restored(before, "c").await;
        world.network.cut("a", "c");
        let mut answered = before;
        for index in 0..100 {
            answered = world.write("a", index, 200).await;
        }
        world.kill("a");
        let certificate = world.take_over("b").await;
        assert_eq!(certificate.verdict, Verdict::Zero);
        assert!(certificate.newest.number >= answered, "{certificate:?}");
        assert_eq!(world.status("b").role, Role::Primary);
        assert_eq!(world.read("b", 7).await, 200);
        assert_eq!(world.read("b", 150).await, 150);

        let last = world.write("b", 300, 77).await;
        world.equal(last, "b", "c").await;
        let follows = world.status("c").follows.clone().unwrap();
        let plan = follows.plan.unwrap();
        assert_eq!(plan.kind, PlanKind::Delta, "{plan:?}");
        assert_eq!(follows.fetched.copied_bytes, 0);
        assert!(plan.updates >= answered.since(before), "{plan:?}");
    });
}

#[test]
fn a_restarts_and_goes_on_by_itself_in_a_new_generation() {
    in_virtual_time(async {
        let world = World::paired().await;
        let answered = world.write("a", 3, 33).await;
        world.kill("a");
        world.start("a").await;
        world.until_paired().await;
        assert_eq!(world.status("a").generation.count, 2);
        assert_eq!(world.read("a", 3).await, 33);
        let last = world.write("a", 4, 44).await;
        assert!(last > answered);
        world.equal(last, "a", "b").await;
        world.equal(last, "a", "c").await;
    });
}

#[test]
fn b_is_lost_a_goes_on_with_c_and_b_comes_back_by_delta() {
    in_virtual_time(async {
        let world = World::paired().await;
        world.write("a", 1, 11).await;
        world.kill("b");
        // Waits until A and C recorded that B is out, and is then answered.
        world.write("a", 2, 22).await;
        sleep(Duration::from_millis(100)).await;
        let charter = world.status("a").charter.clone().unwrap();
        assert!(charter.member(&site("b")).is_none(), "{charter:?}");
        sleep(Duration::from_secs(5)).await;
        world.start("b").await;
        world.until_paired().await;
        let plan = world.status("b").follows.clone().unwrap().plan.unwrap();
        assert_eq!(plan.kind, PlanKind::Delta, "{plan:?}");
        let last = world.write("a", 3, 33).await;
        world.equal(last, "a", "b").await;
    });
}

#[test]
fn a_stale_mirror_does_not_take_over_without_consent() {
    in_virtual_time(async {
        let world = World::paired().await;
        world.network.cut("a", "b");
        world.write("a", 2, 22).await;
        world.kill("a");
        let options = TakeoverOptions { accept_loss: false, primary_is_fenced: true };
        // C heard of the exclusion and of the write: B must read it from there, and even then
        // only C's word says that nothing else was answered.
        let refused = world.group("b").takeover(options).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert!(refused.to_string().contains("--accept-loss"), "{refused}");
        let options = TakeoverOptions { accept_loss: true, primary_is_fenced: true };
        let certificate = world.group("b").takeover(options).await.unwrap();
        assert!(matches!(certificate.verdict, Verdict::Unknown(_)), "{certificate:?}");
    });
}

#[test]
fn flushed_writes_survive_the_power_loss_of_all_sites() {
    in_virtual_time(async {
        let world = World::paired().await;
        world.write("a", 5, 55).await;
        world.volume("a", "db").flush().await.unwrap();
        for name in ["a", "b", "c"] {
            world.lose_power(name);
        }
        for name in ["c", "b", "a"] {
            world.start(name).await;
        }
        world.until_paired().await;
        assert_eq!(world.read("a", 5).await, 55);
    });
}

#[test]
fn a_journal_that_is_too_short_means_a_copy_of_what_changed_and_the_plan_says_why() {
    in_virtual_time(async {
        let world = World::with_journals(64 << 20, 1 << 20);
        for name in ["a", "b", "c"] {
            world.start(name).await;
        }
        world.until_paired().await;
        world.network.cut("a", "c");
        world.network.cut("b", "c");
        let mut answered = world.write("a", 0, 1).await;
        for index in 0..600 {
            answered = world.write("a", index, index as u8).await;
            if index % 50 == 0 {
                // Time for B to checkpoint, else there is nothing that it may let go.
                sleep(Duration::from_secs(2)).await;
            }
        }
        world.network.heal("b", "c");
        world.kill("a");
        sleep(Duration::from_secs(10)).await;
        let certificate = world.take_over("b").await;
        assert!(certificate.newest.number >= answered);
        let last = world.write("b", 700, 7).await;
        world.equal(last, "b", "c").await;
        let follows = world.status("c").follows.clone().unwrap();
        let plan = follows.plan.unwrap();
        assert_eq!(plan.kind, PlanKind::Map, "{plan:?}");
        assert!(plan.why.contains("journal"), "{plan:?}");
        let PlanDebt::Extents(extents) = &plan.debt else { panic!("everything: {plan:?}") };
        let copied = follows.fetched.copied_bytes;
        assert!(copied > 0 && copied <= extents.bytes(), "{copied} of {}", extents.bytes());
    });
}

#[test]
fn a_returns_without_a_tail_and_follows_by_delta() {
    in_virtual_time(async {
        let world = World::paired().await;
        world.write("a", 1, 11).await;
        world.volume("a", "db").flush().await.unwrap();
        // Nothing is on its way any more: what A holds, B holds.
        world.network.freeze("a");
        world.kill("a");
        world.take_over("b").await;
        let last = world.write("b", 2, 22).await;
        world.network.thaw("a");
        world.start("a").await;
        world
            .until("b", "a is in sync again", |status| {
                status.charter.as_ref().is_some_and(|charter| charter.in_sync.len() == 2)
            })
            .await;
        world.equal(last, "a", "b").await;
        assert_eq!(world.status("a").role, Role::Secondary);
        let refused = world.volume("a", "db").write_at(0, "x".into()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Fenced);
        assert!(refused.to_string().contains("site b leads"), "{refused}");
    });
}

#[test]
fn a_returns_with_a_tail_that_nobody_was_told_of_and_only_that_is_undone() {
    in_virtual_time(async {
        let world = World::paired().await;
        world.network.cut_one_way("a", "b");
        let volume = world.volume("a", "db");
        let write = volume.write_at(0, bytes::Bytes::from(vec![99; 4096]));
        let unanswered = tokio::time::timeout(Duration::from_millis(500), write).await;
        assert!(unanswered.is_err(), "B does not have it, so it is not answered");
        let tail = world.disks["a"].received();
        world.kill("a");
        world.network.heal_one_way("a", "b");
        world.take_over("b").await;
        let last = world.write("b", 1, 11).await;
        world.start("a").await;
        world.equal(last, "a", "b").await;
        assert!(world.disks["a"].is_set_aside(&tail), "it is kept where it can be read");
        let follows = world.status("a").follows.clone().unwrap();
        assert!(follows.set_aside.is_some(), "{follows:?}");
        assert!(follows.fetched.copied_bytes <= 4096, "{follows:?}");
        assert_eq!(world.read("b", 0).await, 0, "nobody was told that it was written");
    });
}

#[test]
fn a_returns_with_a_tail_that_a_host_knows_of_and_keeps_it_until_the_operator_chose() {
    in_virtual_time(async {
        let world = World::paired().await;
        world.network.cut("a", "b");
        world.write("a", 2, 22).await;
        world.network.cut("a", "c");
        let answered = world.write("a", 3, 33).await;
        let tail = world.disks["a"].received();
        assert!(tail.number >= answered);
        world.kill("a");
        let options = TakeoverOptions { accept_loss: true, primary_is_fenced: true };
        let certificate = world.group("b").takeover(options).await.unwrap();
        assert!(matches!(certificate.verdict, Verdict::Unknown(_)), "{certificate:?}");
        let last = world.write("b", 4, 44).await;
        world.network.heal("a", "b");
        world.network.heal("a", "c");
        world.start("a").await;
        world
            .until("a", "a is held", |status| {
                let trouble = status.trouble.as_deref().unwrap_or_default();
                trouble.contains("trefoil rejoin --site a") && trouble.contains("--accept-loss")
            })
            .await;
        assert_eq!(world.disks["a"].received(), tail, "its data is kept");
        let follows = world.group("a").rejoin().await.unwrap();
        assert_eq!(follows.source, site("b"));
        world.equal(last, "a", "b").await;
        assert!(world.disks["a"].is_set_aside(&tail));
        assert_eq!(world.read("b", 3).await, 0, "that is the loss that was accepted");
        let refused = world.group("b").rejoin().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "it leads");
    });
}

#[test]
fn a_cut_off_primary_stops_answering_before_another_may_begin() {
    in_virtual_time(async {
        let world = World::paired().await;
        world.write("a", 0, 1).await;
        world.network.cut("a", "b");
        world.network.cut("a", "c");
        sleep(Duration::from_secs(1)).await;
        let begun = tokio::time::Instant::now();
        let old = world.volume("a", "db");
        let takeover = async {
            loop {
                let options = TakeoverOptions::default();
                match world.group("b").takeover(options).await {
                    Ok(certificate) => return certificate,
                    Err(_) => sleep(Duration::from_millis(100)).await,
                }
            }
        };
        let certificate = takeover.await;
        assert_eq!(certificate.verdict, Verdict::Zero);
        assert!(begun.elapsed() >= Duration::from_millis(500), "the lease had to run out");
        let read = old.read_at(0, 512);
        assert!(
            tokio::time::timeout(Duration::from_secs(5), read).await.is_err(),
            "A must answer neither writes nor reads"
        );
    });
}

#[test]
fn a_failed_device_at_b_costs_the_host_nothing_but_the_mirror() {
    in_virtual_time(async {
        let world = World::paired().await;
        let member = |world: &World| {
            let charter = world.status("a").charter.clone().unwrap();
            charter.member(&site("b")).cloned()
        };
        let before = member(&world).unwrap();
        world.disks["b"].fail_next_append(ErrorKind::Io);
        world.write("a", 1, 11).await;
        world.write("a", 2, 22).await;
        world
            .until("a", "b is taken out", |status| {
                status.charter.as_ref().is_some_and(|charter| charter.member(&site("b")).is_none())
            })
            .await;
        let last = world.write("a", 3, 33).await;
        world.equal(last, "a", "c").await;
        assert!(world.status("b").trouble.as_ref().is_some_and(|t| t.contains("restart the site")));
        world.kill("b");
        world.start("b").await;
        world.until_paired().await;
        sleep(Duration::from_millis(200)).await;
        let after = member(&world).unwrap();
        assert!(before.incarnation != after.incarnation, "what it did not sync may be gone (R1)");
    });
}
