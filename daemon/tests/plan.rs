//! Plans of three real daemons: they change nothing, and what they print can be run as it stands
//! and ends as it was said to.

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
use std::time::Duration;

/// A plan, with the exit code that it has to end with.
fn plan(trio: &Trio, words: &[&str], code: i32) -> Value {
    let mut all = vec!["plan"];
    all.extend(words);
    all.extend(["-o", "json"]);
    let before = settled_charter(trio);
    let output = trio.trefoil(&all);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {}", stderr(&output));
    assert_eq!(charter(trio), before, "a plan changes nothing: {words:?}");
    json(&output)
}

/// The same once nothing changes it by itself any more: whoever comes back is let in, and every
/// site hears of that with a heartbeat.
fn settled_charter(trio: &Trio) -> Vec<Value> {
    const HEARTBEATS: Duration = Duration::from_millis(600);
    let mut last = charter(trio);
    for _ in 0..25 {
        std::thread::sleep(HEARTBEATS);
        let now = charter(trio);
        if now == last {
            return now;
        }
        last = now;
    }
    panic!("who leads changes all the time: {last:#?}");
}

/// What all sites that answer say of who leads.
fn charter(trio: &Trio) -> Vec<Value> {
    let statuses = ["a", "b", "c"].into_iter().filter_map(|site| trio.status(site));
    statuses.map(|status| status["groups"][0]["charter"].clone()).collect()
}

/// Runs a command as it was printed.
fn run_printed(trio: &Trio, command: &str) -> Output {
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(words[0], "trefoil", "{command}");
    trio.trefoil(&words[1..])
}

fn next(document: &Value) -> Vec<String> {
    let next = document["next"].as_array().unwrap();
    next.iter().map(|command| command.as_str().unwrap().to_owned()).collect()
}

fn forecast<'a>(document: &'a Value, lost: &[&str]) -> &'a Value {
    let forecasts = document["forecasts"].as_array().unwrap();
    let wanted = serde_json::json!(lost);
    forecasts.iter().find(|forecast| forecast["lost"] == wanted).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plan_prints_is_run_and_ends_as_it_said() {
    let mut trio = Trio::start();
    trio.until_filled();
    let host = NbdClient::connect(&trio.nbd("a"), "orders/db0").await.unwrap();
    for at in 0..64 {
        host.write(at * 4096, &[7; 4096], false).await.unwrap();
    }

    // A is well: a takeover is refused, and the exchange that it points to is run as printed.
    let refused = plan(&trio, &["takeover", "--at", "b"], 3);
    assert_eq!(refused["outcome"], "refused", "{refused}");
    let commands = next(&refused);
    let swap = commands.iter().find(|command| command.starts_with("trefoil swap")).unwrap();
    assert_eq!(swap, "trefoil swap --at b --group orders");
    let told = trio.trefoil(&["takeover", "--at", "b"]);
    assert_eq!(told.status.code(), Some(3));
    assert!(stderr(&told).contains(swap.as_str()), "the verb says the same: {}", stderr(&told));
    let ready = plan(&trio, &["swap", "--at", "b"], 0);
    assert_eq!((&ready["outcome"], &ready["verdict"]), (&"ready".into(), &"zero".into()));
    assert_eq!(next(&ready), std::slice::from_ref(swap));
    drop(host);
    let done = run_printed(&trio, swap);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    trio.until_in_sync("b");
    assert_eq!(plan(&trio, &["swap", "--at", "b"], 0)["outcome"], "nothing_to_do");
    let back = plan(&trio, &["failback"], 0);
    let done = run_printed(&trio, &next(&back)[0]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    trio.until_in_sync("a");

    // Every single and double loss is foretold, and the loss of A comes about.
    let losses = plan(&trio, &["loss"], 0);
    assert_eq!(losses["forecasts"].as_array().unwrap().len(), 6);
    for lost in [["a", "b"], ["a", "c"], ["b", "c"]] {
        assert_eq!(forecast(&losses, &lost)["how"], "stops");
    }
    assert_eq!(forecast(&losses, &["b"])["how"], "goes_on");
    let of_a = forecast(&losses, &["a"]).clone();
    assert_eq!((&of_a["how"], &of_a["serves"]), (&"takes_over".into(), &"b".into()), "{of_a}");
    assert_eq!(of_a["stake"]["updates"], 0);
    assert_eq!(of_a["resyncs"][0]["follower"], "c");
    let text = trio.trefoil(&["status", "--at", "a"]);
    let text = stdout(&text);
    assert!(
        text.contains("if a is lost now: b can take over: nothing that was answered"),
        "{text}"
    );
    let one = plan(&trio, &["loss", "--of", "a,b"], 0);
    assert_eq!(one["forecasts"].as_array().unwrap().len(), 1);
    trio.kill("a");
    trio.until("b misses a", "b", |status| status["groups"][0]["legs"]["a"]["link_up"] == false);
    let planned = plan(&trio, &["takeover", "--at", "b"], 0);
    assert_eq!(planned["verdict"], "zero", "{planned}");
    let done = run_printed(&trio, &(next(&of_a)[0].clone() + " -o json"));
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let certificate = json(&done)["certificate"].clone();
    assert_eq!(certificate["verdict"], "zero");
    assert_eq!(certificate["newest"], planned["newest"], "the history goes on where it was said");

    // A comes back as planned, and what the journal holds is told.
    let printed = next(&of_a).into_iter().find(|c| c == "trefoil run --site a");
    assert!(printed.is_some(), "{of_a}");
    trio.run("a");
    trio.until_in_sync("b");
    let rejoin = plan(&trio, &["rejoin", "--at", "a"], 0);
    assert!(matches!(rejoin["resyncs"][0]["kind"].as_str(), Some("in_sync" | "delta")), "{rejoin}");
    assert_eq!(rejoin["set_aside"], 0, "{rejoin}");
    journal(&trio, certificate["newest"]["number"].as_u64().unwrap() + 1);
    trio.stop_in_order(&["a", "b", "c"]);
}

/// `journal` lists what is there, and refuses nothing that is; `mark` is the record by which the
/// reign began.
fn journal(trio: &Trio, mark: u64) {
    let list = |at: &str, words: &[&str]| {
        json(&trio.trefoil(&[&["journal", "--at", at, "-o", "json"], words].concat()))
    };
    let number = |at: &Value| at["number"].as_u64().unwrap();
    let document = list("c", &["--limit", "3"]);
    let (base, newest) = (number(&document["base"]), number(&document["newest"]));
    let records = document["records"].as_array().unwrap();
    assert_eq!(records.len() as u64, (newest - base).min(3), "{document}");
    assert_eq!(number(&records.last().unwrap()["position"]), newest, "{document}");
    assert_eq!(document["floors"].as_object().unwrap().len(), 2, "{document}");
    // A site that was filled begins later than the one that filled it.
    let oldest = list("c", &["--from", "1"]);
    let first = number(&oldest["records"][0]["position"]);
    assert_eq!(first, number(&oldest["base"]) + 1, "{oldest}");
    let mark = mark.to_string();
    let [at_c, at_b] = ["c", "b"].map(|at| list(at, &["--from", &mark, "--limit", "1"]));
    assert_eq!(at_c["records"][0]["kind"], "generation", "{at_c}");
    assert_eq!(at_b["records"], at_c["records"], "the same record at both, chain included");
    let text = stdout(&trio.trefoil(&["journal", "--at", "b", "--limit", "2"]));
    assert!(text.contains("c holds everything up to"), "{text}");
    assert!(text.contains("UPDATE"), "{text}");
}

#[test]
fn a_loss_that_nobody_can_rule_out_is_named_and_needs_consent() {
    let mut trio = Trio::start();
    trio.until_filled();
    trio.kill("b");
    trio.until("a goes on alone in the set", "a", |status| {
        status["groups"][0]["charter"]["in_sync"].as_array().unwrap().len() == 1
    });
    let told = plan(&trio, &["loss", "--of", "a"], 0);
    assert_eq!(forecast(&told, &["a"])["how"], "stops", "b is not heard either: {told}");
    trio.kill("a");
    trio.run("b");
    trio.until("b and c hear each other", "b", |status| {
        let group = &status["groups"][0];
        group["legs"]["c"]["link_up"] == true && group["forecasts"][0]["serves"] != Value::Null
    });
    let refused = plan(&trio, &["takeover", "--at", "b"], 3);
    assert!(refused["verdict"]["unknown"].is_string(), "{refused}");
    let consent = "trefoil takeover --at b --accept-loss --group orders";
    assert_eq!(next(&refused), [consent], "{refused}");
    assert_eq!(plan(&trio, &["takeover", "--at", "b", "--accept-loss"], 0)["outcome"], "ready");
    let done = run_printed(&trio, consent);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    trio.run("a");
    // A may hold what a host was told of: its tail is kept until the operator chose.
    trio.until("a follows b, or is held back", "a", |status| {
        let follows = &status["groups"][0]["follows"];
        follows["state"] == "paired" || follows["plan"]["kind"]["refuse"].is_object()
    });
    let held = trio.status("a").unwrap()["groups"][0]["follows"]["state"] != "paired";
    let rejoin = plan(&trio, &["rejoin", "--at", "a"], 0);
    if held {
        assert!(rejoin["set_aside"].as_u64().unwrap() > 0, "{rejoin}");
    }
    let done = run_printed(&trio, &next(&rejoin)[0]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    trio.until("a follows b", "a", |status| status["groups"][0]["follows"]["state"] == "paired");
    trio.stop_in_order(&["a", "b", "c"]);
}
