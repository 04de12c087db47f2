//! Site a is spread over two machines, b and c are on one each: four real daemons, two groups. One
//! machine is lost, its group is taken over alone, and later lives on at the other machine.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/nbd_client.rs"]
#[expect(dead_code, reason = "the client serves other tests, too")]
mod nbd_client;

use nbd_client::NbdClient;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
/// Each daemon: its name here, and the options that make it that one.
const DAEMONS: [(&str, &[&str]); 4] = [
    ("a1", &["--site", "a", "--machine", "a1"]),
    ("a2", &["--site", "a", "--machine", "a2"]),
    ("b", &["--site", "b"]),
    ("c", &["--site", "c"]),
];

/// Four daemons; those that still run are killed when it is dropped.
struct Spread {
    dir: TempDir,
    ports: Vec<u16>,
    running: BTreeMap<&'static str, Child>,
}

impl Spread {
    fn start() -> Self {
        let ports = (0..4).map(|_| free_port()).collect();
        let mut spread = Self { dir: TempDir::new().unwrap(), ports, running: BTreeMap::new() };
        spread.configure(&[("a1", "orders"), ("a2", "mail")]);
        for (name, _) in DAEMONS {
            spread.run(name);
        }
        spread
    }

    /// Writes the file: which machine of site a has which groups.
    fn configure(&self, directory: &[(&str, &str)]) {
        let mut text = String::from("[arbiter]\nlease = \"1s\"\n[journal]\ncapacity = \"32MiB\"\n");
        for (group, volume) in [("orders", "db0"), ("mail", "box0")] {
            text.push_str(&format!(
                "[group.{group}]\nprimary = \"a\"\nsync = \"b\"\nasync = \"c\"\n\
                 [group.{group}.volume.{volume}]\nsize = \"4MiB\"\n"
            ));
        }
        let table = |name: &str, index: usize| {
            format!(
                "address = \"127.0.0.1:{}\"\nnbd = \"unix:{name}.nbd\"\n\
                 control = \"{name}.sock\"\n",
                self.ports[index]
            )
        };
        text.push_str("[sites.a]\ndir = \"a\"\n");
        for (machine, groups) in directory {
            let groups = groups.replace(',', "\", \"");
            let own = table(machine, usize::from(*machine != "a1"));
            text.push_str(&format!("[sites.a.machines.{machine}]\ngroups = [\"{groups}\"]\n{own}"));
        }
        for (index, site) in [(2, "b"), (3, "c")] {
            let own = table(site, index);
            text.push_str(&format!("[sites.{site}]\ndir = \"{site}\"\n{own}"));
        }
        std::fs::write(self.path("trefoil.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn nbd(&self, daemon: &str) -> String {
        format!("unix:{}", self.path(&format!("{daemon}.nbd")).display())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trefoil"));
        command.arg("--config").arg(self.path("trefoil.toml"));
        command
    }

    fn run(&mut self, name: &'static str) {
        let log = std::fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        let (_, options) = DAEMONS.iter().find(|(daemon, _)| *daemon == name).unwrap();
        let mut command = self.command();
        command.arg("run").args(*options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.running.insert(name, command.spawn().unwrap());
    }

    fn kill(&mut self, name: &str) {
        let mut child = self.running.remove(name).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Runs a verb, which must end with this code.
    fn verb(&self, code: i32, words: &str) -> Output {
        let output = self.command().args(words.split(' ')).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words}: {}", stderr(&output));
        output
    }

    /// What a site knows of a group, if the daemon that has it answers.
    fn group(&self, site: &str, group: &str) -> Option<Value> {
        let words = ["status", "--site", site, "--group", group, "-o", "json"];
        let output = self.command().args(words).output().unwrap();
        output.status.success().then(|| json(&output)["groups"][0].clone())
    }

    fn until(&self, what: &str, site: &str, group: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < deadline {
            last = self.group(site, group);
            if let Some(known) = last.take_if(|known| holds(known)) {
                return known;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("not within {PATIENCE:?}: {what}; {group} at {site} is {last:#?}");
    }

    /// Waits until a group is served at a, and b and c follow with nothing left to copy.
    fn until_filled(&self, group: &str) {
        self.until("a serves, and answers nothing without b", "a", group, |known| {
            let in_sync = known["charter"]["in_sync"].as_array();
            known["serving"] == true && in_sync.is_some_and(|members| members.len() == 2)
        });
        for site in ["b", "c"] {
            self.until("it follows a", site, group, |known| {
                known["follows"]["state"] == "paired" && known["debt_bytes"] == 0
            });
        }
    }
}

impl Drop for Spread {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for (name, _) in DAEMONS {
                let log = std::fs::read_to_string(self.path(&format!("{name}.log")));
                eprintln!("--- log of {name}\n{}", log.unwrap_or_default());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_group_of_a_spread_site_is_taken_over_and_the_other_does_not_notice() {
    let mut spread = Spread::start();
    for group in ["orders", "mail"] {
        spread.until_filled(group);
    }
    whole_site_is_shown(&spread);
    let orders = NbdClient::connect(&spread.nbd("a1"), "orders/db0").await.unwrap();
    let mail = NbdClient::connect(&spread.nbd("a2"), "mail/box0").await.unwrap();
    assert!(NbdClient::connect(&spread.nbd("a1"), "mail/box0").await.is_err());
    orders.write(4096, &[1; 8192], false).await.unwrap();
    mail.write(0, &[2; 4096], false).await.unwrap();

    spread.kill("a1");
    one_machine_is_not_there(&spread);
    let taken = json(&spread.verb(0, "takeover --site b --group orders -o json"));
    assert_eq!(taken["certificate"]["verdict"], "zero", "{taken}");
    let orders = NbdClient::connect(&spread.nbd("b"), "db0").await.unwrap();
    assert!(orders.read(4096, 8192).await.unwrap() == [1; 8192]);
    orders.write(0, &[3; 4096], true).await.unwrap();
    // The other group goes on as before, in its first generation.
    mail.write(4096, &[4; 4096], true).await.unwrap();
    let known = spread.group("a", "mail").unwrap();
    assert_eq!((&known["serving"], &known["generation"]["count"]), (&true.into(), &1.into()));
    assert_eq!(spread.group("b", "mail").unwrap()["role"], "secondary");
    let waited = spread.verb(0, "wait --site a --group mail --at c --update latest");
    assert!(stdout(&waited).contains("is restored at c"), "{}", stdout(&waited));
    let images = spread.path("images");
    let words = format!("export --site a --group mail {}", images.display());
    spread.verb(0, &words);
    assert_eq!(std::fs::read(images.join("box0.img")).unwrap()[4096..8192], [4; 4096]);

    group_moves(&mut spread);
    let known = spread.until("a follows b at its new machine", "a", "orders", |known| {
        known["follows"]["source"] == "b" && known["follows"]["state"] == "paired"
    });
    let follows = &known["follows"];
    assert_eq!(follows["plan"]["kind"], "delta", "{follows}");
    assert_eq!(follows["fetched"]["copied_bytes"], 0, "{follows}");
    spread.until_filled("mail");
}

/// Without `--group`, every machine answers for itself; a group is asked of the one that has it.
fn whole_site_is_shown(spread: &Spread) {
    let document = json(&spread.verb(0, "status --site a -o json"));
    assert_eq!(document["schema"], "trefoil.machines/1");
    for (index, (machine, group)) in [("a1", "orders"), ("a2", "mail")].into_iter().enumerate() {
        let known = &document["machines"][index];
        assert_eq!(known["machine"], machine, "{known}");
        assert_eq!(known["answer"]["machine"], machine);
        assert_eq!(known["answer"]["groups"][0]["group"], group);
        assert_eq!(known["answer"]["groups"].as_array().unwrap().len(), 1);
    }
    let table = stdout(&spread.verb(0, "status --site a"));
    assert!(table.contains("machine a/a1\n") && table.contains("machine a/a2\n"), "{table}");
    let own = json(&spread.verb(0, "status --site a --machine a2 -o json"));
    assert_eq!((&own["schema"], &own["machine"]), (&"trefoil.status/1".into(), &"a2".into()));
    assert_eq!(json(&spread.verb(0, "status --site b -o json"))["groups"][1]["group"], "orders");
    let nothing = stdout(&spread.verb(0, "reload --site a"));
    assert_eq!(nothing.matches("nothing changed").count(), 2, "{nothing}");
    let missing = spread.verb(78, "run --site a");
    assert!(
        stderr(&missing).contains("error[config::no_machine]: machine"),
        "{}",
        stderr(&missing)
    );
    assert!(stderr(&missing).contains("a1, a2"), "{}", stderr(&missing));
    let checked = json(&spread.verb(0, "check --site a --machine a2 -o json"));
    assert_eq!((&checked["machine"], &checked["groups"]), (&"a2".into(), &vec!["mail"].into()));
    let which = spread.verb(2, "takeover --site b");
    assert!(stderr(&which).contains("say which group with --group"), "{}", stderr(&which));
}

fn one_machine_is_not_there(spread: &Spread) {
    let half = spread.verb(5, "status --site a -o json");
    let document = json(&half);
    assert!(document["machines"][0]["answer"].is_null(), "{document}");
    assert_eq!(document["machines"][1]["answer"]["groups"][0]["group"], "mail");
    assert!(stderr(&half).contains("the daemon of site a/a1 cannot be reached"));
    assert!(stderr(&half).contains("trefoil run --site a --machine a1"), "{}", stderr(&half));
    spread.verb(5, "status --site a --group orders");
    spread.verb(0, "status --site a --group mail");
}

/// As `docs/scaling.md` says: stop, move the directories, change the file, start, reload.
fn group_moves(spread: &mut Spread) {
    spread.kill("a2");
    let (from, to) = (spread.path("a/a1"), spread.path("a/a2"));
    std::fs::rename(from.join("journal/orders"), to.join("journal/orders")).unwrap();
    let image = Path::new("volumes/orders.db0.img");
    std::fs::rename(from.join(image), to.join(image)).unwrap();
    spread.configure(&[("a2", "mail,orders")]);
    spread.run("a2");
    for site in ["b", "c"] {
        let said = stdout(&spread.verb(0, &format!("reload --site {site}")));
        assert!(said.contains("changed       group orders: from a/a1 ("), "{said}");
        assert!(!said.contains("needs restart"), "{said}");
    }
}

/// A port that no outgoing connection takes meanwhile: those are numbered from 32768 on.
fn free_port() -> u16 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let next = std::process::id().wrapping_mul(89).wrapping_add(next);
        let port = 12_000 + u16::try_from(next % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
