//! Roles are exchanged as planned, there and back, while hosts write.

use crate::world::{BLOCK, World, in_virtual_time, site};
use bytes::Bytes;
use std::time::Duration;
use trefoil_core::ErrorKind;
use trefoil_core::engine::takeover::Verdict;
use trefoil_core::model::PlanKind;

#[test]
fn roles_are_exchanged_there_and_back_and_nothing_is_copied() {
    in_virtual_time(async {
        let world = World::paired().await;
        let before = world.write("a", 1, 11).await;
        world.restored(before, "c").await;
        for (index, (from, to)) in [("a", "b"), ("b", "a"), ("a", "b")].into_iter().enumerate() {
            let block = 10 + index as u64;
            let answered = world.write(from, block, 100).await;
            let certificate = world.group(to).swap().await.unwrap().unwrap();
            assert_eq!(certificate.verdict, Verdict::Zero);
            assert!(certificate.newest.number > answered, "{certificate:?}");
            let waited = Duration::from_micros(certificate.hosts_waited_us.unwrap());
            assert!(waited < Duration::from_secs(1), "hosts waited {waited:?}");
            assert_eq!(world.read(to, block).await, 100);
            let refused = world.volume(from, "db").write_at(0, Bytes::from(vec![1; 512])).await;
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Fenced);
            let last = world.write(to, 20, index as u8).await;
            world.equal(last, to, from).await;
            world.equal(last, to, "c").await;
            world
                .until(to, "the other is in sync", |status| {
                    status.charter.as_ref().is_some_and(|charter| charter.in_sync.len() == 2)
                })
                .await;
            for follower in [from, "c"] {
                let follows = world.status(follower).follows.clone().unwrap();
                assert_eq!(follows.source, site(to));
                assert_eq!(follows.fetched.copied_bytes, 0);
                let kind = follows.plan.unwrap().kind;
                assert!(matches!(kind, PlanKind::Delta | PlanKind::InSync), "{kind}");
            }
        }
        assert_eq!(world.group("b").swap().await.unwrap(), None, "b leads already");
    });
}

#[test]
fn a_write_that_comes_meanwhile_is_answered_or_told_where_to_go() {
    in_virtual_time(async {
        let world = World::paired().await;
        let volume = world.volume("a", "db");
        let host = tokio::task::spawn_local(async move {
            let mut answered = 0;
            loop {
                let data = Bytes::from(vec![7; BLOCK as usize]);
                match volume.write_at(answered * BLOCK, data).await {
                    Ok(_) => answered += 1,
                    Err(error) => return (answered, error),
                }
            }
        });
        world.group("b").swap().await.unwrap();
        let (answered, error) = host.await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        assert!(error.to_string().contains("site b leads"), "{error}");
        for index in 0..answered {
            assert_eq!(world.read("b", index).await, 7, "block {index} was answered");
        }
    });
}

#[test]
fn a_site_that_lags_does_not_lead_before_it_has_caught_up() {
    in_virtual_time(async {
        let world = World::paired().await;
        world.kill("b");
        world.write("a", 2, 22).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.start("b").await;
        let early = world.group("b").swap().await.unwrap_err();
        let kinds = [ErrorKind::Refused, ErrorKind::Unavailable];
        assert!(kinds.contains(&early.kind()), "{early}");
        world.until_paired().await;
        world.group("b").swap().await.unwrap();
        assert_eq!(world.read("b", 2).await, 22);
    });
}

#[test]
fn the_primary_is_killed_in_the_middle_and_the_verb_is_run_again() {
    in_virtual_time(async {
        for after_us in [0, 300, 2_000, 5_000, 20_000, 60_000] {
            let world = World::paired().await;
            let answered = world.write("a", 1, 11).await;
            let group = world.group("b");
            let verb = tokio::task::spawn_local(async move { group.swap().await });
            tokio::time::sleep(Duration::from_micros(after_us)).await;
            world.kill("a");
            // Whatever came of it, the group goes on, and the verb can be run again.
            let _ = tokio::time::timeout(Duration::from_secs(60), verb).await.unwrap();
            world.start("a").await;
            let mut leads = false;
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let done = world.group("b").swap().await;
                leads = done.is_ok();
                if leads {
                    break;
                }
            }
            assert!(leads, "killed after {after_us} us");
            assert_eq!(world.read("b", 1).await, 11);
            assert!(world.status("b").newest.number > answered);
        }
    });
}
