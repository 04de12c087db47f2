//! Three real daemons that take over by themselves: a primary is killed, a link is cut with the
//! primary alive, and the primary is cut off from everybody. Two of three sites decide, by their
//! promises alone or with the charter in Raft.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/cutter.rs"]
mod cutter;
#[path = "support/daemons.rs"]
#[expect(dead_code, reason = "the daemons serve other tests, too")]
mod daemons;
#[path = "support/nbd_client.rs"]
#[expect(dead_code, reason = "the client serves other tests, too")]
mod nbd_client;

use cutter::Cutter;
use daemons::Trio;
use nbd_client::NbdClient;
use std::time::{Duration, Instant};

const LEASE: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_secs(2);
/// What the whole takeover may take beyond the delay and the lease.
const MORE: Duration = Duration::from_secs(1);

/// Three daemons; what A sends to the others passes proxies.
struct Cuttable {
    trio: Trio,
    ab: Cutter,
    ac: Cutter,
}

impl Cuttable {
    fn start(arbiter: &str) -> Self {
        let mut trio = Trio::laid_out("");
        let text = std::fs::read_to_string(trio.dir().join("trefoil.toml")).unwrap();
        let addresses: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("address = "))
            .map(|address| address.trim_matches('"').to_owned())
            .collect();
        let [_, b, c] = <[String; 3]>::try_from(addresses).unwrap();
        let (ab, ac) = (Cutter::to(b.clone()), Cutter::to(c.clone()));
        // The site with the smaller name dials, so A dials both.
        for site in ["a", "b", "c"] {
            let mut variables = vec![
                ("TREFOIL__ARBITER__KIND", arbiter.to_owned()),
                ("TREFOIL__ARBITER__TAKEOVER", "automatic".to_owned()),
                ("TREFOIL__ARBITER__TAKEOVER_DELAY", format!("{}s", DELAY.as_secs())),
                ("TREFOIL__SITES__B__LISTEN", b.clone()),
                ("TREFOIL__SITES__C__LISTEN", c.clone()),
            ];
            if site == "a" {
                variables.push(("TREFOIL__SITES__B__ADDRESS", ab.address()));
                variables.push(("TREFOIL__SITES__C__ADDRESS", ac.address()));
            }
            trio.run_with(&variables, site);
        }
        Self { trio, ab, ac }
    }

    fn serves(&self, site: &str) -> bool {
        let status = self.trio.status(site);
        status.is_some_and(|status| status["groups"][0]["serving"] == true)
    }

    /// Looks at both again and again, and never finds both answering.
    fn watch(&self, until: impl Fn(bool, bool) -> bool, patience: Duration) -> Duration {
        let begun = Instant::now();
        loop {
            // In this order: a moment after B answers, A must not.
            let (b, a) = (self.serves("b"), self.serves("a"));
            assert!(!(a && b), "both answer");
            if until(a, b) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < patience, "a {a}, b {b} after {patience:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until B knows that the charter names it.
    fn until_b_is_ready(&self) {
        self.trio.until("b is ready", "b", |status| {
            let said = &status["groups"][0]["automatic_takeover"];
            said.as_str().is_some_and(|said| said.starts_with("ready: a was heard"))
        });
    }

    fn said(&self, site: &str) -> String {
        let status = self.trio.status(site).unwrap();
        status["groups"][0]["automatic_takeover"].as_str().unwrap().to_owned()
    }
}

/// A write that must be answered soon.
async fn write(address: &str, offset: u64, data: &[u8]) {
    let host = NbdClient::connect(address, "db0").await.unwrap();
    let write = host.write(offset, data, true);
    tokio::time::timeout(Duration::from_secs(10), write).await.unwrap().unwrap();
}

async fn read(address: &str, offset: u64, length: u32) -> Vec<u8> {
    let host = NbdClient::connect(address, "db0").await.unwrap();
    host.read(offset, length).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_taken_over_within_delay_and_lease() {
    primary_is_killed("manual").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_raft_a_killed_primary_is_taken_over_within_delay_and_lease() {
    primary_is_killed("raft").await;
}

async fn primary_is_killed(arbiter: &str) {
    let mut all = Cuttable::start(arbiter);
    all.trio.until_filled();
    write(&all.trio.nbd("a"), 0, &[7; 8192]).await;
    all.until_b_is_ready();
    assert!(all.said("c").starts_with("not from here"), "{}", all.said("c"));
    all.trio.kill("a");
    let took = all.watch(|_, b| b, DELAY + LEASE + MORE);
    println!("b answers {took:?} after a was killed");
    assert_eq!(read(&all.trio.nbd("b"), 0, 8192).await, [7; 8192]);
    write(&all.trio.nbd("b"), 8192, &[8; 4096]).await;
    let series = "trefoil_takeovers_total{site=\"b\",group=\"orders\",cause=\"automatic\",\
                  outcome=\"ok\"} 1";
    assert!(all.trio.scrape("b").contains(series), "{}", all.trio.scrape("b"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_cut_pair_exactly_one_answers() {
    pair_is_cut("manual").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_raft_of_a_cut_pair_exactly_one_answers() {
    pair_is_cut("raft").await;
}

async fn pair_is_cut(arbiter: &str) {
    let mut all = Cuttable::start(arbiter);
    all.trio.until_filled();
    // The link of the pair is cut, A lives, and C hears it: B stays, whatever it thinks of A.
    all.ab.cut();
    let begun = Instant::now();
    while begun.elapsed() < 2 * (DELAY + LEASE + MORE) {
        all.watch(|_, b| !b, MORE);
        std::thread::sleep(Duration::from_millis(100));
    }
    write(&all.trio.nbd("a"), 4096, &[1; 4096]).await;
    all.ab.heal();
    all.trio.until("b is in sync again", "a", |status| {
        status["groups"][0]["legs"]["b"]["acking"] == true
    });
    all.until_b_is_ready();
    // Now A is cut off from everybody, and lives: it stops before B begins.
    all.ab.cut();
    all.ac.cut();
    let took = all.watch(|_, b| b, DELAY + LEASE + MORE);
    println!("b answers {took:?} after a was cut off");
    write(&all.trio.nbd("b"), 8192, &[2; 4096]).await;
    assert_eq!(read(&all.trio.nbd("b"), 4096, 4096).await, [1; 4096]);
    all.ab.heal();
    all.ac.heal();
    all.watch(|a, b| b && !a, MORE);
    all.trio.until("a follows b", "a", |status| status["groups"][0]["follows"]["source"] == "b");
    assert_eq!(read(&all.trio.nbd("b"), 8192, 4096).await, [2; 4096]);
    all.trio.stop_in_order(&["a", "b", "c"]);
}
