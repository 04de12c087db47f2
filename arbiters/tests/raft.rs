//! The Raft arbiter, three parts in one process: the public suite, losses of parts and of links,
//! and parts that come back with less than they had.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/council.rs"]
mod council;

use async_trait::async_trait;
use council::{Council, LEASE, SITES, site};
use std::sync::Arc;
use std::time::{Duration, Instant};
use trefoil_core::conformance::arbiter::{ArbiterBench, prove_all};
use trefoil_core::model::{Charter, Fence, Generation};
use trefoil_core::port::{Arbiter, ChangeOutcome, LeaseRequest};
use trefoil_core::{ErrorKind, Result};

struct Bench(Council);

#[async_trait]
impl ArbiterBench for Bench {
    async fn fresh(&mut self) -> Result<Arc<dyn Arbiter>> {
        self.0 = Council::whole().await;
        Ok(self.0.at("a"))
    }

    async fn restart(&mut self) -> Result<Option<Arc<dyn Arbiter>>> {
        for site in SITES {
            self.0.stop(site);
        }
        for site in SITES {
            self.0.start(site);
        }
        self.0.until_it_answers("b").await;
        Ok(Some(self.0.at("b")))
    }

    async fn pass(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_parts_keep_every_claim() {
    let mut bench = Bench(Council::new());
    if let Err(violation) = prove_all(&mut bench).await {
        panic!("{violation}");
    }
}

fn generation(count: u64) -> Generation {
    Generation { count, id: count }
}

fn charter(count: u64, primary: &str) -> Charter {
    Charter {
        generation: generation(count),
        version: 1,
        primary: site(primary),
        active: true,
        settled: Generation::NONE,
        in_sync: Vec::new(),
        fence: Fence::Status,
        voters: Vec::new(),
        voters_before: Vec::new(),
        untold: None,
        consented: Generation::NONE,
    }
}

/// Makes a change, which may have to wait for a new leader.
async fn change(council: &Council, at: &str, expected: u64, count: u64, primary: &str) {
    let part = council.at(at);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match part.compare_and_set(expected, charter(count, primary)).await {
            Ok(ChangeOutcome::Won(version)) => return assert_eq!(version, expected + 1),
            // The outcome was unknown, and it was made.
            Ok(ChangeOutcome::Lost(Some(kept))) if kept.charter == charter(count, primary) => {
                return;
            }
            Err(error) if error.kind() == ErrorKind::Unavailable && Instant::now() < deadline => {}
            other => panic!("at {at}: {other:?}"),
        }
    }
}

async fn version(council: &Council, at: &str) -> u64 {
    council.until_it_answers(at).await;
    council.at(at).read().await.unwrap().map_or(0, |kept| kept.version)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_any_one_part_gone_the_other_two_decide_within_a_lease_and_one_alone_never() {
    let mut council = Council::whole().await;
    let mut changes = 0;
    for gone in SITES {
        council.stop(gone);
        let at = SITES.into_iter().find(|site| *site != gone).unwrap();
        let begun = Instant::now();
        change(&council, at, changes, changes + 1, "a").await;
        changes += 1;
        // A lease for a new leader, and much for a machine that is busy.
        assert!(begun.elapsed() < 6 * LEASE, "without {gone}: {:?}", begun.elapsed());
        council.start(gone);
        assert_eq!(version(&council, gone).await, changes, "{gone} comes back");
    }
    council.stop("b");
    council.stop("c");
    let alone = council.at("a").compare_and_set(changes, charter(9, "a")).await;
    assert_eq!(alone.unwrap_err().kind(), ErrorKind::Unavailable);
    let read = council.at("a").read().await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Unavailable, "what it reads may be old");
    council.start("b");
    let now = version(&council, "a").await;
    assert!(now == changes || now == changes + 1, "the change may have been made: {now}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_do_not_see_each_other_both_decide_by_the_third() {
    let council = Council::whole().await;
    let mut changes = 0;
    for (one, other) in [("a", "b"), ("b", "c"), ("a", "c")] {
        council.cut(one, other);
        for at in SITES {
            change(&council, at, changes, changes + 1, "a").await;
            changes += 1;
        }
        council.heal();
    }
    for at in SITES {
        assert_eq!(version(&council, at).await, changes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_question_or_answer_leaves_the_outcome_to_be_read() {
    let council = Council::whole().await;
    let mut known = 0;
    for word in ["\"Change\"", "\"Verdict\""] {
        // Of two sites one at most leads, and only the other asks by messages.
        for at in ["a", "b"] {
            council.lose(at, word);
            let made = council.at(at).compare_and_set(known, charter(known + 1, "a")).await;
            if let Err(error) = &made {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            }
            let now = version(&council, at).await;
            assert!(now == known || now == known + 1, "{word} lost at {at}: {now} after {known}");
            assert!(made.is_err() || now == known + 1);
            known = now;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_granted_lease_is_waited_for_after_its_leader_and_its_site_are_gone() {
    let mut council = Council::whole().await;
    change(&council, "a", 0, 1, "a").await;
    let request =
        LeaseRequest { holder: site("a"), generation: generation(1), duration: 2 * LEASE };
    let asked = Instant::now();
    assert_eq!(council.at("a").renew(request).await.unwrap(), 2 * LEASE);
    council.stop("a");
    change(&council, "b", 1, 2, "b").await;
    let wait = council.at("b").takeover_wait().await.unwrap();
    assert!(asked.elapsed() + wait >= 2 * LEASE, "{wait:?} after {:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_lost_all_has_no_vote_before_it_heard_all() {
    let mut council = Council::whole().await;
    council.stop("b");
    change(&council, "a", 0, 1, "a").await;
    // What only a and c know, c forgets; a is away.
    council.stop("c");
    council.forget("c");
    council.stop("a");
    council.start("b");
    council.start("c");
    tokio::time::sleep(4 * LEASE).await;
    let read = council.at("b").read().await;
    assert!(read.is_err(), "b and an empty c know of no change, and decide all the same: {read:?}");
    council.start("a");
    for at in ["a", "b", "c"] {
        assert_eq!(version(&council, at).await, 1, "{at}");
    }
    // From now on it counts again: it sees to that by itself, a moment after it caught up.
    tokio::time::sleep(4 * LEASE).await;
    council.stop("a");
    change(&council, "c", 1, 2, "b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_was_set_back_counts_for_nothing_before_it_caught_up() {
    let mut council = Council::whole().await;
    council.stop("b");
    let old = std::fs::read(council.file("c")).unwrap();
    change(&council, "a", 0, 1, "a").await;
    council.stop("c");
    council.stop("a");
    // The backup of c knows of no change, as b.
    std::fs::write(council.file("c"), old).unwrap();
    council.start("c");
    council.at("c").set_back().await.unwrap();
    council.start("b");
    tokio::time::sleep(4 * LEASE).await;
    let read = council.at("b").read().await;
    assert!(read.is_err(), "b and an old c decide: {read:?}");
    council.start("a");
    for at in SITES {
        assert_eq!(version(&council, at).await, 1, "{at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_short_and_who_was_away_for_long_catches_up() {
    let mut council = Council::whole().await;
    council.stop("c");
    for changes in 0..200 {
        change(&council, "a", changes, changes + 1, "a").await;
    }
    let length = std::fs::metadata(council.file("a")).unwrap().len();
    assert!(length < 128 << 10, "{length} bytes are kept after 200 changes");
    council.start("c");
    assert_eq!(version(&council, "c").await, 200);
    council.stop("a");
    change(&council, "c", 200, 201, "c").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_told_with_what_to_do_and_that_helps() {
    let mut council = Council::whole().await;
    change(&council, "a", 0, 1, "a").await;
    council.stop("c");
    let whole = std::fs::read(council.file("c")).unwrap();
    for cut in [0, 10, whole.len() / 2, whole.len() - 1] {
        std::fs::write(council.file("c"), &whole[..cut]).unwrap();
        let error = council.try_start("c").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let text = error.to_string();
        assert!(text.contains("orders.arbiter") && text.contains("move it away"), "{text}");
    }
    // What a killed process left beside it does no harm.
    std::fs::write(council.file("c"), &whole).unwrap();
    std::fs::write(council.file("c").with_extension("arbiter.new"), &whole[..7]).unwrap();
    council.start("c");
    assert_eq!(version(&council, "c").await, 1);
    council.stop("c");
    council.forget("c");
    council.start("c");
    assert_eq!(version(&council, "c").await, 1, "it asked the others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_arbiter_sends_few_messages() {
    let council = Council::whole().await;
    let before = council.messages();
    tokio::time::sleep(2 * LEASE).await;
    let sent = council.messages() - before;
    assert!((8..=100).contains(&sent), "{sent} messages in two seconds");
}
