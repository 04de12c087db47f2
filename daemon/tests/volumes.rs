//! Three real daemons whose volumes are grown, added and removed while a host writes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/daemons.rs"]
#[expect(dead_code, reason = "the daemons serve other tests, too")]
mod daemons;
#[path = "support/nbd_client.rs"]
#[expect(dead_code, reason = "the client serves other tests, too")]
mod nbd_client;

use daemons::{Trio, json, stderr, stdout};
use nbd_client::NbdClient;
use serde_json::Value;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const MIB: u64 = 1 << 20;

fn done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

fn sizes(trio: &Trio, site: &str) -> Vec<(String, u64)> {
    let status = trio.status(site).unwrap();
    let volumes = status["groups"][0]["volumes"].as_array().unwrap().clone();
    let each = volumes.iter().map(|volume| {
        (volume["name"].as_str().unwrap().to_owned(), volume["size"].as_u64().unwrap())
    });
    each.collect()
}

fn until_sizes(trio: &Trio, site: &str, wanted: &[(&str, u64)]) {
    trio.until("it has the volumes", site, |status| {
        let volumes = status["groups"][0]["volumes"].as_array().unwrap();
        volumes.len() == wanted.len()
            && volumes
                .iter()
                .zip(wanted)
                .all(|(volume, (name, size))| volume["name"] == *name && volume["size"] == *size)
    });
}

fn until_paired(trio: &Trio, leader: &str, others: &[&str]) {
    trio.until("it serves", leader, |status| status["groups"][0]["serving"] == true);
    for site in others {
        trio.until("it follows", site, |status| {
            let group = &status["groups"][0];
            group["follows"]["source"] == leader && group["follows"]["state"] == "paired"
        });
    }
}

async fn connect(trio: &Trio, site: &str, export: &str) -> NbdClient {
    NbdClient::connect(&trio.nbd(site), export).await.unwrap()
}

fn alike(trio: &Trio, sites: &[&str]) {
    let mut images: Vec<Value> = Vec::new();
    for site in sites {
        done(&trio.trefoil(&["wait", "--at", site, "--update", "latest"]));
        let dir = trio.dir().join(format!("images-{site}-{}", images.len()));
        let words = ["export", "--at", site, "-o", "json", dir.to_str().unwrap()];
        let exported = json(&trio.trefoil(&words))["images"].clone();
        let hashes = exported.as_array().unwrap().iter().map(|image| {
            serde_json::json!([image["volume"], image["size_bytes"], image["blake3"]])
        });
        images.push(hashes.collect());
    }
    assert!(images.iter().all(|image| *image == images[0]), "{images:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_grows_under_a_writing_host_and_one_is_added_and_fails_over() {
    let mut trio = Trio::start();
    trio.until_filled();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let (host, stop) = (connect(&trio, "a", "orders/db0").await, stop.clone());
        tokio::spawn(async move {
            let mut count: u64 = 0;
            while !stop.load(Ordering::Relaxed) {
                host.write(count % 1024 * 4096, &[count as u8; 4096], false).await.unwrap();
                count += 1;
            }
            count
        })
    };
    let refused = trio.trefoil(&["volume", "grow", "db0", "--size", "8MiB", "--at", "a"]);
    assert_eq!(refused.status.code(), Some(1), "volumes only grow: {}", stderr(&refused));
    let refused = trio.trefoil(&["volume", "grow", "db0", "--size", "24MiB", "--at", "b"]);
    assert_eq!(refused.status.code(), Some(3), "b does not lead: {}", stderr(&refused));
    let grown = trio.trefoil(&["volume", "grow", "db0", "--size", "24MiB", "--at", "a"]);
    done(&grown);
    assert!(stdout(&grown).contains("db0 of 24.0 MiB"), "{}", stdout(&grown));
    done(&trio.trefoil(&["volume", "add", "new", "--size", "4MiB", "--at", "a"]));
    let wanted = [("db0", 24 * MIB), ("log0", 8 * MIB), ("new", 4 * MIB)];
    for site in ["a", "b", "c"] {
        until_sizes(&trio, site, &wanted);
    }
    // Whoever connects now may write where there was nothing, and finds what was added.
    let again = connect(&trio, "a", "orders/db0").await;
    again.write(20 * MIB, &[0x5a; 4096], true).await.unwrap();
    let new = connect(&trio, "a", "new").await;
    assert_eq!(new.read(0, 4096).await.unwrap(), [0; 4096]);
    new.write(3 * MIB, &[0xa5; 8192], true).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0, "the host never noticed");
    drop((again, new));
    alike(&trio, &["a", "b", "c"]);

    // What is at B is all of it, in the volumes of that number.
    trio.kill("a");
    done(&trio.trefoil(&["takeover", "--at", "b"]));
    assert_eq!(
        connect(&trio, "b", "orders/db0").await.read(20 * MIB, 4096).await.unwrap(),
        [0x5a; 4096]
    );
    let new = connect(&trio, "b", "new").await;
    assert_eq!(new.read(3 * MIB, 8192).await.unwrap(), [0xa5; 8192]);
    // E30: A is away while a volume grows once more; it comes back with the old configuration.
    done(&trio.trefoil(&["volume", "grow", "new", "--size", "6MiB", "--at", "b"]));
    let new = connect(&trio, "b", "new").await;
    new.write(5 * MIB, &[0x77; 4096], true).await.unwrap();
    drop(new);
    trio.run("a");
    until_paired(&trio, "b", &["a", "c"]);
    until_sizes(&trio, "a", &[("db0", 24 * MIB), ("log0", 8 * MIB), ("new", 6 * MIB)]);
    alike(&trio, &["a", "b", "c"]);

    // All three are started again, and a volume goes.
    trio.stop_in_order(&["a", "b", "c"]);
    for site in ["a", "b", "c"] {
        trio.run(site);
    }
    until_paired(&trio, "b", &["a", "c"]);
    assert_eq!(sizes(&trio, "c")[2], ("new".to_owned(), 6 * MIB));
    done(&trio.trefoil(&["volume", "remove", "log0", "--at", "b"]));
    for site in ["a", "b", "c"] {
        until_sizes(&trio, site, &[("db0", 24 * MIB), ("log0", 0), ("new", 6 * MIB)]);
    }
    assert!(NbdClient::connect(&trio.nbd("b"), "orders/log0").await.is_err());
    alike(&trio, &["a", "b", "c"]);
    trio.stop_in_order(&["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_cannot_have_a_volume_keeps_its_journal_and_says_why() {
    let mut trio = Trio::start();
    trio.until_filled();
    // Where the file would be there is a directory.
    let blocked = trio.dir().join("c/volumes/orders.new.img");
    std::fs::create_dir(&blocked).unwrap();
    done(&trio.trefoil(&["volume", "add", "new", "--size", "4MiB", "--at", "a"]));
    let new = connect(&trio, "a", "new").await;
    new.write(MIB, &[0x33; 4096], true).await.unwrap();
    drop(new);
    trio.until("c says why", "c", |status| {
        let trouble = status["groups"][0]["trouble"].as_str().unwrap_or_default();
        trouble.contains("cannot be had here") && trouble.contains("orders.new.img")
    });
    done(&trio.trefoil(&["wait", "--at", "c", "--durable", "--update", "latest"]));
    let marks = trio.status("c").unwrap()["groups"][0]["marks"].clone();
    assert!(marks["restored"].as_u64() < marks["durable"].as_u64(), "{marks}");
    std::fs::remove_dir(&blocked).unwrap();
    alike(&trio, &["a", "b", "c"]);
    assert_eq!(trio.status("c").unwrap()["groups"][0]["trouble"], Value::Null);
    trio.stop_in_order(&["a", "b", "c"]);
}
