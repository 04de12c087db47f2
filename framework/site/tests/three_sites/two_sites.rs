//! Two sites and no third: what goes on alone, what needs the operator's word, and what comes back.

use crate::world::{World, in_virtual_time, site};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use trefoil_core::ErrorKind;
use trefoil_core::engine::takeover::Verdict;
use trefoil_core::model::{LegMode, LegState, PlanKind, Role};
use trefoil_core::topology::TwoSite;
use trefoil_site::TakeoverOptions;

async fn pair(mode: LegMode) -> World {
    let layout = Arc::new(TwoSite::new(site("a"), site("b"), mode).unwrap());
    let world = World::with_journals(64 << 20, 64 << 20).laid_out(layout);
    world.start("a").await;
    world.start("b").await;
    paired(&world, "a", "b", mode).await;
    world
}

/// Waits until `from` serves, and `to` is as it should be.
async fn paired(world: &World, from: &str, to: &str, mode: LegMode) {
    let members = if mode == LegMode::Sync { 2 } else { 1 };
    world
        .until(from, "both are well", |status| {
            let in_sync = status.charter.as_ref().map_or(0, |charter| charter.in_sync.len());
            let leg = &status.legs[&site(to)];
            status.serving && in_sync == members && leg.state == LegState::Paired
        })
        .await;
}

const BOTH_WORDS: TakeoverOptions = TakeoverOptions { accept_loss: true, primary_is_fenced: true };

#[test]
fn the_primary_goes_on_without_its_mirror_and_takes_it_in_again() {
    in_virtual_time(async {
        let world = pair(LegMode::Sync).await;
        world.write("a", 1, 1).await;
        world.kill("b");
        let last = world.write("a", 2, 2).await;
        assert_eq!(world.read("a", 2).await, 2);
        sleep(Duration::from_secs(60)).await;
        assert!(world.status("a").serving, "its lease does not hang on who is lost");
        world.start("b").await;
        paired(&world, "a", "b", LegMode::Sync).await;
        world.equal(last, "a", "b").await;
        let plan = world.status("b").follows.clone().unwrap().plan.unwrap();
        assert!(matches!(plan.kind, PlanKind::Delta | PlanKind::InSync), "{plan:?}");
    });
}

#[test]
fn a_planned_exchange_loses_nothing_and_needs_no_word() {
    in_virtual_time(async {
        for mode in [LegMode::Sync, LegMode::Async] {
            let world = pair(mode).await;
            let last = world.write("a", 1, 1).await;
            world.restored(last, "b").await;
            if mode == LegMode::Sync {
                let certificate = world.group("b").swap().await.unwrap().unwrap();
                assert_eq!(certificate.verdict, Verdict::Zero);
                let last = world.write("b", 2, 2).await;
                world.equal(last, "b", "a").await;
            }
        }
    });
}

#[test]
fn without_the_primarys_word_the_other_leads_only_by_both_words_of_the_operator() {
    in_virtual_time(async {
        let world = pair(LegMode::Sync).await;
        let last = world.write("a", 1, 1).await;
        world.kill("a");
        sleep(Duration::from_secs(30)).await;
        assert_eq!(world.status("b").role, Role::Secondary, "it does not stand by itself");
        for (accept_loss, primary_is_fenced) in [(false, false), (true, false), (false, true)] {
            let options = TakeoverOptions { accept_loss, primary_is_fenced };
            let error = world.group("b").takeover(options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
        let certificate = world.group("b").takeover(BOTH_WORDS).await.unwrap();
        let Verdict::Unknown(why) = &certificate.verdict else { panic!("{certificate:?}") };
        assert!(why.contains("what happened elsewhere is not known"), "{why}");
        assert!(certificate.newest.number >= last);
        assert_eq!(world.read("b", 1).await, 1);
        world.write("b", 2, 2).await;
    });
}

#[test]
fn a_primary_that_comes_back_answers_nothing_before_it_heard_the_other() {
    in_virtual_time(async {
        let world = pair(LegMode::Sync).await;
        world.write("a", 1, 1).await;
        world.kill("a");
        world.group("b").takeover(BOTH_WORDS).await.unwrap();
        world.write("b", 2, 2).await;
        world.network.cut("a", "b");
        world.start("a").await;
        sleep(Duration::from_secs(60)).await;
        assert!(!world.status("a").serving);
        let refused = world.volume("a", "db").write_at(0, Bytes::from(vec![1; 512])).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Fenced);
        world.network.heal("a", "b");
        let last = world.write("b", 3, 3).await;
        world.equal(last, "b", "a").await;
        assert_eq!(world.read("a", 2).await, 2);
    });
}

#[test]
fn what_the_lost_primary_answered_alone_waits_for_the_operator_and_is_kept() {
    in_virtual_time(async {
        let world = pair(LegMode::Sync).await;
        world.write("a", 1, 1).await;
        world.kill("b");
        // Answered by A alone: B cannot know of it.
        world.write("a", 2, 99).await;
        world.kill("a");
        world.start("b").await;
        let certificate = world.group("b").takeover(BOTH_WORDS).await.unwrap();
        assert!(matches!(certificate.verdict, Verdict::Unknown(_)));
        world.write("b", 3, 3).await;
        world.start("a").await;
        world
            .until("a", "the tail is held for the operator", |status| {
                status.trouble.as_ref().is_some_and(|trouble| trouble.contains("rejoin"))
            })
            .await;
        assert_eq!(world.read("b", 2).await, 0);
        world.group("a").rejoin().await.unwrap();
        let last = world.write("b", 4, 4).await;
        world.equal(last, "b", "a").await;
        let follows = world.status("a").follows.clone().unwrap();
        assert!(follows.set_aside.is_some(), "{follows:?}");
    });
}

#[test]
fn an_asynchronous_pair_serves_and_follows() {
    in_virtual_time(async {
        let world = pair(LegMode::Async).await;
        let mut last = world.write("a", 1, 1).await;
        for index in 0..200 {
            last = world.write("a", index, index as u8).await;
        }
        world.equal(last, "a", "b").await;
        world.network.cut("a", "b");
        last = world.write("a", 300, 3).await;
        world.network.heal("a", "b");
        world.equal(last, "a", "b").await;
        world.kill("a");
        // Its link counts as up for as long as a transport needs to find out.
        sleep(Duration::from_secs(5)).await;
        let error = world.group("b").takeover(TakeoverOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        world.group("b").takeover(BOTH_WORDS).await.unwrap();
        assert_eq!(world.read("b", 300).await, 3);
    });
}

#[test]
fn both_restart_and_the_home_site_goes_on() {
    in_virtual_time(async {
        let world = pair(LegMode::Sync).await;
        world.write("a", 1, 1).await;
        let flushed = world.volume("a", "db").flush().await.unwrap();
        world.lose_power("a");
        world.lose_power("b");
        world.start("b").await;
        world.start("a").await;
        paired(&world, "a", "b", LegMode::Sync).await;
        assert_eq!(world.read("a", 1).await, 1);
        world.equal(flushed, "a", "b").await;
    });
}
