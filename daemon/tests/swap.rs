//! Three real daemons exchange roles under load, there and back: nothing is lost, nothing copied.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/daemons.rs"]
#[expect(dead_code, reason = "the daemons serve other tests, too")]
mod daemons;
#[path = "support/nbd_client.rs"]
#[expect(dead_code, reason = "the client serves other tests, too")]
mod nbd_client;

use daemons::{Trio, json, stderr};
use nbd_client::NbdClient;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const BLOCK: u64 = 4096;
const BLOCKS: u64 = 256;

/// What a host wrote until it was sent away: the newest seed answered for each block, and how long
/// its longest answer took.
struct Written {
    seeds: Vec<u64>,
    count: u64,
    longest: Duration,
}

fn block(seed: u64) -> Vec<u8> {
    seed.to_le_bytes().repeat(BLOCK as usize / 8)
}

/// Writes until it is refused.
fn host(address: String) -> JoinHandle<Written> {
    tokio::spawn(async move {
        let client = NbdClient::connect(&address, "orders/db0").await.unwrap();
        let seeds = vec![0; BLOCKS as usize];
        let mut written = Written { seeds, count: 0, longest: Duration::ZERO };
        loop {
            let at = written.count % BLOCKS;
            let seed = written.count + 1;
            let begun = Instant::now();
            if client.write(at * BLOCK, &block(seed), false).await.is_err() {
                return written;
            }
            written.longest = written.longest.max(begun.elapsed());
            written.seeds[at as usize] = seed;
            written.count = seed;
        }
    })
}

fn group(trio: &Trio, site: &str) -> Value {
    trio.status(site).unwrap()["groups"][0].clone()
}

fn in_sync_without_a_copy(trio: &Trio, leader: &str) {
    trio.until_in_sync(leader);
    for site in ["a", "b", "c"].into_iter().filter(|site| *site != leader) {
        let follows = group(trio, site)["follows"].clone();
        assert_eq!(follows["fetched"]["copied_bytes"], 0, "{site}: {follows}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_go_to_b_and_back_under_load_and_nothing_is_lost_or_copied() {
    let mut trio = Trio::start();
    trio.until_filled();
    let mut expected = vec![0; BLOCKS as usize];
    for (from, to, words) in [
        ("a", "b", vec!["swap", "--at", "b", "-o", "json"]),
        ("b", "a", vec!["failback", "-o", "json"]),
    ] {
        let writing = host(trio.nbd(from));
        tokio::time::sleep(Duration::from_millis(700)).await;
        let begun = Instant::now();
        let swapped = trio.trefoil(&words);
        let took = begun.elapsed();
        assert_eq!(swapped.status.code(), Some(0), "{}", stderr(&swapped));
        let document = json(&swapped);
        assert_eq!(document["certificate"]["verdict"], "zero", "{document}");
        assert_eq!(document["site"], to);
        let uri = document["exports"][0]["uri"].as_str().unwrap();
        assert_eq!(uri, format!("nbd://{}/orders/db0", trio.nbd(to)));
        let waited = document["certificate"]["hosts_waited_us"].as_u64().unwrap();
        assert!(waited < 3_000_000, "{document}");
        let written = writing.await.unwrap();
        assert!(written.count > 0);
        for (kept, seed) in expected.iter_mut().zip(&written.seeds) {
            *kept = if *seed > 0 { *seed } else { *kept };
        }
        eprintln!(
            "{from} to {to}: hosts waited {:.1} ms, the verb took {took:.1?}; {} writes answered \
             before, the longest after {:.1?}",
            waited as f64 / 1000.0,
            written.count,
            written.longest
        );
        let reader = NbdClient::connect(&trio.nbd(to), "db0").await.unwrap();
        for (at, seed) in (0..).zip(&expected) {
            let found = reader.read(at * BLOCK, BLOCK as u32).await.unwrap();
            let newer = found[..8] == (written.count + 1).to_le_bytes();
            assert!(*seed == 0 || newer || found == block(*seed), "block {at} at {to}");
        }
        in_sync_without_a_copy(&trio, to);
    }
    let again = trio.trefoil(&["failback"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let mut hashes = Vec::new();
    for site in ["a", "b", "c"] {
        let waited = trio.trefoil(&["wait", "--at", site, "--update", "latest"]);
        assert_eq!(waited.status.code(), Some(0), "{}", stderr(&waited));
        let dir = trio.dir().join(format!("images-{site}"));
        let words = ["export", "--at", site, "-o", "json", dir.to_str().unwrap()];
        let exported = json(&trio.trefoil(&words));
        hashes.push(exported["images"][0]["blake3"].clone());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    trio.stop_in_order(&["a", "b", "c"]);
}

#[test]
fn a_site_that_is_not_in_sync_is_refused_with_figures() {
    let mut trio = Trio::start();
    trio.until_filled();
    trio.kill("a");
    let taken = trio.trefoil(&["takeover", "--at", "b", "--primary-is-fenced"]);
    assert_eq!(taken.status.code(), Some(0), "{}", stderr(&taken));
    let refused = trio.trefoil(&["failback"]);
    assert_eq!(refused.status.code(), Some(5), "a does not run: {}", stderr(&refused));
    trio.run("a");
    trio.until("a answers", "a", |status| status["groups"][0]["site"] == "a");
    // At first it is refused or done, never half done; once it is in sync it is done.
    let early = trio.trefoil(&["failback"]);
    assert!(matches!(early.status.code(), Some(0 | 3 | 5)), "{}", stderr(&early));
    trio.until("a has followed b, or leads again", "a", |status| {
        let group = &status["groups"][0];
        group["follows"]["state"] == "paired" || group["serving"] == true
    });
    trio.until("the pair is whole", "c", |status| {
        let charter = &status["groups"][0]["charter"];
        charter["in_sync"].as_array().is_some_and(|set| set.len() == 2)
    });
    let back = trio.trefoil(&["failback"]);
    assert_eq!(back.status.code(), Some(0), "{}", stderr(&back));
    in_sync_without_a_copy(&trio, "a");
    trio.stop_in_order(&["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leg_is_suspended_by_the_operator_and_catches_up_by_delta() {
    let mut trio = Trio::start();
    trio.until_filled();
    let suspended = trio.trefoil(&["pair", "suspend", "--site", "a", "--to", "c"]);
    assert_eq!(suspended.status.code(), Some(0), "{}", stderr(&suspended));
    let leg = &group(&trio, "a")["legs"]["c"];
    assert_eq!(leg["state"]["suspended"], "by operator", "{leg}");
    let text = trio.scrape("a");
    let series = |line: &&str| {
        line.starts_with("trefoil_pair_state{")
            && line.contains("\"c\"")
            && line.contains("state=\"suspended\"")
    };
    let line = text.lines().find(series).unwrap();
    assert!(line.ends_with(" 1"), "{line}");
    let host = NbdClient::connect(&trio.nbd("a"), "orders/db0").await.unwrap();
    for at in 0..64 {
        host.write(at * BLOCK, &block(at + 1), false).await.unwrap();
    }
    let resumed = trio.trefoil(&["pair", "resume", "--site", "a", "--to", "c"]);
    assert_eq!(resumed.status.code(), Some(0), "{}", stderr(&resumed));
    let waited = trio.trefoil(&["wait", "--at", "c", "--update", "latest", "--timeout", "20s"]);
    assert_eq!(waited.status.code(), Some(0), "{}", stderr(&waited));
    let follows = group(&trio, "c")["follows"].clone();
    assert_eq!(follows["plan"]["kind"], "delta", "{follows}");
    assert_eq!(follows["fetched"]["copied_bytes"], 0, "{follows}");
    trio.until("the leg is paired again", "a", |status| {
        status["groups"][0]["legs"]["c"]["state"] == "paired"
    });
    drop(host);
    trio.stop_in_order(&["a", "b", "c"]);
}
