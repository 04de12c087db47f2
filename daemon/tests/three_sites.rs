//! Three real daemons on one host: files, TCP, NBD, and the verbs that a person would type.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/daemons.rs"]
mod daemons;
#[path = "support/nbd_client.rs"]
#[expect(dead_code, reason = "the client serves other tests, too")]
mod nbd_client;

use daemons::{Trio, json, stderr, stdout};
use nbd_client::NbdClient;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

const MIB: usize = 1 << 20;
/// The transmission flag by which an NBD server says that writes are refused.
const READ_ONLY: u16 = 2;

fn pattern(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| seed ^ (at / 7 % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_killed_and_the_mirror_serves_what_was_answered() {
    let mut trio = Trio::start();
    trio.until_filled();
    let (data, log) = (pattern(1, 3 * MIB), pattern(2, MIB));
    let host = NbdClient::connect(&trio.nbd("a"), "orders/db0").await.unwrap();
    assert_eq!(host.flags & READ_ONLY, 0);
    host.write(MIB as u64, &data, false).await.unwrap();
    let other = NbdClient::connect(&trio.nbd("a"), "log0").await.unwrap();
    other.write(0, &log, true).await.unwrap();
    host.flush().await.unwrap();

    waits_end_as_they_say(&trio);
    secondary_is_read_only(&trio, &data).await;
    images_are_consistent(&trio, &data, &log);
    scrape_tells_the_role(&trio, "a", "primary");

    trio.kill("a");
    let taken = trio.trefoil(&["takeover", "--at", "b", "-o", "json"]);
    assert_eq!(taken.status.code(), Some(0), "{}", stderr(&taken));
    let taken = json(&taken);
    assert_eq!(taken["certificate"]["verdict"], "zero", "{taken}");
    assert_eq!(taken["certificate"]["primary"], "b");
    let uri = taken["exports"][0]["uri"].as_str().unwrap();
    assert_eq!(uri, format!("nbd://{}/orders/db0", trio.nbd("b")));

    let host = NbdClient::connect(&trio.nbd("b"), "db0").await.unwrap();
    assert_eq!(host.flags & READ_ONLY, 0);
    assert!(host.read(MIB as u64, 3 * MIB as u32).await.unwrap() == data, "what A answered");
    let more = pattern(3, MIB);
    host.write(8 * MIB as u64, &more, true).await.unwrap();
    let waited = trio.trefoil(&["wait", "--at", "c", "--update", "latest", "--timeout", "20s"]);
    assert_eq!(waited.status.code(), Some(0), "{}", stderr(&waited));
    let follower = NbdClient::connect(&trio.nbd("c"), "db0").await.unwrap();
    assert!(follower.read(8 * MIB as u64, MIB as u32).await.unwrap() == more, "c follows b");
    let status = trio.status("c").unwrap();
    let follows = &status["groups"][0]["follows"];
    assert_eq!(follows["source"], "b", "{follows}");
    assert_eq!(follows["fetched"]["copied_bytes"], 0, "{follows}");
    scrape_tells_the_role(&trio, "b", "takeover_primary");
    drop((host, follower));
    trio.stop_in_order(&["b", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_site_that_lags_fetches_what_it_lacks_from_the_mirror_and_no_more() {
    let mut trio = Trio::start_with("[link.ac]\ntransport = \"tcp\"\ndelay = \"400ms\"\n");
    trio.until_filled();
    let host = NbdClient::connect(&trio.nbd("a"), "db0").await.unwrap();
    let block = pattern(4, 4096);
    for index in 0..64 {
        host.write(index * 4096, &block, false).await.unwrap();
    }
    // What is under way to c is lost with a; b has it.
    trio.kill("a");
    let taken = trio.trefoil(&["takeover", "--at", "b", "-o", "json"]);
    assert_eq!(taken.status.code(), Some(0), "{}", stderr(&taken));
    let certificate = &json(&taken)["certificate"];
    assert_eq!(certificate["verdict"], "zero", "{certificate}");
    let newest = certificate["newest"]["number"].as_u64().unwrap();
    let lacked = newest - certificate["evidence"]["c"]["number"].as_u64().unwrap();
    assert!(lacked > 0, "c did not lag: {certificate}");
    trio.until("c follows b", "c", |status| {
        let group = &status["groups"][0];
        group["follows"]["source"] == "b" && group["follows"]["state"] == "paired"
    });
    let follows = trio.status("c").unwrap()["groups"][0]["follows"].clone();
    assert_eq!(follows["plan"]["kind"], "delta", "{follows}");
    assert_eq!(follows["fetched"]["copied_bytes"], 0, "{follows}");
    let fetched = &follows["fetched"];
    assert_eq!(fetched["inherited_updates"].as_u64(), Some(lacked), "{follows}");
    assert_eq!(fetched["delta_updates"], follows["plan"]["updates"], "{follows}");
    trio.stop_in_order(&["b", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_three_are_killed_and_what_was_answered_is_there_when_they_are_back() {
    let mut trio = Trio::start();
    trio.until_filled();
    let refused = trio.trefoil(&["takeover", "--at", "b"]);
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("site a leads"), "{}", stderr(&refused));
    let data = pattern(5, MIB);
    let host = NbdClient::connect(&trio.nbd("a"), "db0").await.unwrap();
    host.write(0, &data, false).await.unwrap();
    for site in ["a", "b", "c"] {
        trio.kill(site);
    }
    for site in ["c", "b", "a"] {
        trio.run(site);
    }
    trio.until("a serves again, in a generation of its own", "a", |status| {
        let group = &status["groups"][0];
        group["serving"] == true && group["generation"]["count"].as_u64() > Some(1)
    });
    let host = NbdClient::connect(&trio.nbd("a"), "db0").await.unwrap();
    assert!(host.read(0, MIB as u32).await.unwrap() == data);
    drop(host);
    trio.stop_in_order(&["a", "b", "c"]);
}

#[test]
fn wrong_files_and_ports_in_use_end_the_start_with_their_names() {
    let mut trio = Trio::start();
    trio.until("a serves", "a", |status| status["groups"][0]["serving"] == true);
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    for (variable, value, words) in [
        ("TREFOIL__SITES__A__NBD", taken.clone(), "listen for NBD on"),
        ("TREFOIL__SITES__A__LISTEN", taken.clone(), taken.as_str()),
        ("TREFOIL__SITES__A__JOURNAL_DIR", "a/journal".to_owned(), "it is open in another"),
    ] {
        // A site of its own that would run beside the first, but for the one thing.
        let mut variables = vec![
            ("TREFOIL__SITES__A__CONTROL", "other.sock".to_owned()),
            ("TREFOIL__SITES__A__METRICS", "127.0.0.1:0".to_owned()),
            ("TREFOIL__SITES__A__NBD", "127.0.0.1:0".to_owned()),
            ("TREFOIL__SITES__A__LISTEN", "127.0.0.1:0".to_owned()),
            ("TREFOIL__SITES__A__DIR", "other".to_owned()),
        ];
        variables.retain(|(name, _)| *name != variable);
        variables.push((variable, value));
        let second = trio.trefoil_with(&variables, &["run", "--site", "a"]);
        let said = stderr(&second);
        assert!(matches!(second.status.code(), Some(1 | 3)), "{variable}: {said}");
        assert!(said.contains(words), "{variable}: {said}");
        assert!(!trio.dir().join("other.sock").exists(), "{variable}: socket left behind");
    }
    trio.stop_in_order(&["a", "b", "c"]);
}

fn waits_end_as_they_say(trio: &Trio) {
    let waited = trio.trefoil(&["wait", "--at", "c", "--update", "latest", "--timeout", "20s"]);
    assert_eq!(waited.status.code(), Some(0), "{}", stderr(&waited));
    assert!(stdout(&waited).contains("is restored at c"), "{}", stdout(&waited));
    let never = trio.trefoil(&["wait", "--at", "c", "--update", "99999999", "--timeout", "300ms"]);
    assert_eq!(never.status.code(), Some(4), "{}", stderr(&never));
    assert!(stderr(&never).contains("99999999"), "{}", stderr(&never));
}

async fn secondary_is_read_only(trio: &Trio, data: &[u8]) {
    let reader = NbdClient::connect(&trio.nbd("c"), "orders/db0").await.unwrap();
    assert_eq!(reader.flags & READ_ONLY, READ_ONLY);
    assert!(reader.read(MIB as u64, 3 * MIB as u32).await.unwrap() == data);
    assert!(reader.write(0, b"12345678", false).await.is_err());
}

fn images_are_consistent(trio: &Trio, data: &[u8], log: &[u8]) {
    let dir = trio.dir().join("images");
    let words = ["export", "--at", "c", "-o", "json", dir.to_str().unwrap()];
    let exported = trio.trefoil(&words);
    assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));
    let document = json(&exported);
    for (index, (volume, size, at, expected)) in
        [("db0", 16 * MIB, MIB, data), ("log0", 8 * MIB, 0, log)].into_iter().enumerate()
    {
        let image = &document["images"][index];
        assert_eq!(image["volume"], volume);
        let bytes = std::fs::read(Path::new(image["path"].as_str().unwrap())).unwrap();
        assert_eq!(bytes.len(), size);
        assert!(bytes[at..at + expected.len()] == *expected, "{volume}");
        assert_eq!(image["blake3"], blake3::hash(&bytes).to_hex().to_string());
    }
    assert!(document["position"]["number"].as_u64().unwrap() > 0);
}

fn scrape_tells_the_role(trio: &Trio, site: &str, role: &str) {
    let series = format!("trefoil_site_role{{site=\"{site}\",group=\"orders\",role=\"{role}\"}} 1");
    let text = trio.scrape(site);
    assert!(text.contains(&series), "no {series} in\n{text}");
}

#[test]
fn a_second_daemon_of_a_site_is_refused_and_the_first_goes_on() {
    let mut trio = Trio::start();
    trio.until("a serves", "a", |status| status["groups"][0]["serving"] == true);
    let second = trio.trefoil(&["run", "--site", "a"]);
    assert_eq!(second.status.code(), Some(1), "{}", stderr(&second));
    assert!(stderr(&second).contains("a daemon listens there already"), "{}", stderr(&second));
    let table = trio.trefoil(&["status"]);
    assert_eq!(table.status.code(), Some(0), "{}", stderr(&table));
    assert!(stdout(&table).contains("primary a"), "{}", stdout(&table));
    std::thread::sleep(Duration::from_millis(100));
    trio.stop_in_order(&["a", "b", "c"]);
}
