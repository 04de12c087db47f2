//! Three daemons in a directory of their own, and the verbs about them.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SITES: [&str; 3] = ["a", "b", "c"];
const PATIENCE: Duration = Duration::from_secs(15);

/// Three daemons. Those that still run are killed when it is dropped.
pub struct Trio {
    dir: TempDir,
    running: BTreeMap<&'static str, Child>,
    /// NBD and metrics ports, by site.
    ports: BTreeMap<&'static str, (u16, u16)>,
}

impl Trio {
    /// Starts all three with empty files; they find each other within the first calls.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same, with more in the configuration.
    pub fn start_with(more: &str) -> Self {
        let mut trio = Self::laid_out(more);
        for site in SITES {
            trio.run(site);
        }
        trio
    }

    /// The configuration of three daemons, none of which runs yet.
    pub fn laid_out(more: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let free: Vec<u16> = (0..9).map(|_| free_port()).collect();
        let mut text = String::from(
            "site = \"a\"\n\
             [group.orders]\nprimary = \"a\"\nsync = \"b\"\nasync = \"c\"\n\
             [group.orders.volume.db0]\nsize = \"16MiB\"\n\
             [group.orders.volume.log0]\nsize = \"8MiB\"\n\
             [journal]\ncapacity = \"32MiB\"\n\
             [arbiter]\nlease = \"1s\"\n",
        );
        let mut ports = BTreeMap::new();
        for (index, site) in SITES.into_iter().enumerate() {
            let [address, nbd, metrics] =
                [free[3 * index], free[3 * index + 1], free[3 * index + 2]];
            text.push_str(&format!(
                "[sites.{site}]\naddress = \"127.0.0.1:{address}\"\nnbd = \"127.0.0.1:{nbd}\"\n\
                 metrics = \"127.0.0.1:{metrics}\"\ndir = \"{site}\"\ncontrol = \"{site}.sock\"\n"
            ));
            ports.insert(site, (nbd, metrics));
        }
        text.push_str(more);
        std::fs::write(dir.path().join("trefoil.toml"), text).unwrap();
        Self { dir, running: BTreeMap::new(), ports }
    }

    /// The directory of everything.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trefoil"));
        command.arg("--config").arg(self.path("trefoil.toml"));
        command
    }

    /// Starts the daemon of a site.
    pub fn run(&mut self, site: &'static str) {
        self.run_with(&[], site);
    }

    /// The same, with variables that override the configuration.
    pub fn run_with(&mut self, variables: &[(&str, String)], site: &'static str) {
        let log = std::fs::File::create(self.path(&format!("{site}.log"))).unwrap();
        let mut command = self.command();
        command.envs(variables.iter().map(|(name, value)| (*name, value)));
        command.args(["run", "--site", site, "--pid-file"]).arg(self.path(&format!("{site}.pid")));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.running.insert(site, child.unwrap());
    }

    /// Runs a verb to its end.
    pub fn trefoil(&self, words: &[&str]) -> Output {
        self.trefoil_with(&[], words)
    }

    /// The same, with variables that override the configuration.
    pub fn trefoil_with(&self, variables: &[(&str, String)], words: &[&str]) -> Output {
        let variables = variables.iter().map(|(name, value)| (*name, value));
        self.command().envs(variables).args(words).output().unwrap()
    }

    /// Where a site serves NBD.
    pub fn nbd(&self, site: &str) -> String {
        format!("127.0.0.1:{}", self.ports[site].0)
    }

    /// The status document of a site, if its daemon answers.
    pub fn status(&self, site: &str) -> Option<Value> {
        let output = self.trefoil(&["status", "--at", site, "-o", "json"]);
        output.status.success().then(|| json(&output))
    }

    /// Waits until the status of a site is as wanted.
    pub fn until(&self, what: &str, site: &str, holds: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < deadline {
            last = self.status(site);
            if last.as_ref().is_some_and(&holds) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.path(&format!("{site}.log"))).unwrap_or_default();
        panic!("not within {PATIENCE:?}: {what}; last status {last:#?}, log of {site}:\n{log}");
    }

    /// Waits until site a serves in step with b, and b and c follow it with nothing left to copy.
    pub fn until_filled(&self) {
        self.until_in_sync("a");
        for site in ["b", "c"] {
            self.until("it owes nothing", site, |status| {
                let group = &status["groups"][0];
                group["follows"]["state"] == "paired" && group["debt_bytes"] == 0
            });
        }
    }

    /// Waits until `leader` serves with its pair whole, and both others follow it.
    pub fn until_in_sync(&self, leader: &str) {
        self.until("it serves, and the pair is whole", leader, |status| {
            let group = &status["groups"][0];
            let in_sync = group["charter"]["in_sync"].as_array();
            group["serving"] == true && in_sync.is_some_and(|members| members.len() == 2)
        });
        for site in SITES.into_iter().filter(|site| *site != leader) {
            self.until("it follows whoever leads", site, |status| {
                let follows = &status["groups"][0]["follows"];
                follows["source"] == leader && follows["state"] == "paired"
            });
        }
    }

    /// `/metrics` of a site.
    pub fn scrape(&self, site: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[site].1)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// Ends a daemon without warning, as a lost machine would.
    pub fn kill(&mut self, site: &str) {
        let mut child = self.running.remove(site).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks daemons to stop; each must end well and leave nothing behind.
    pub fn stop_in_order(&mut self, sites: &[&str]) {
        for site in sites {
            let mut child = self.running.remove(*site).unwrap();
            let pid = i32::try_from(child.id()).unwrap();
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            let deadline = Instant::now() + PATIENCE;
            let status = loop {
                match child.try_wait().unwrap() {
                    Some(status) => break status,
                    None if Instant::now() > deadline => {
                        child.kill().unwrap();
                        panic!("{site} does not stop");
                    }
                    None => std::thread::sleep(Duration::from_millis(20)),
                }
            };
            assert_eq!(status.code(), Some(0), "{site}");
            for left in ["sock", "pid"] {
                assert!(!self.path(&format!("{site}.{left}")).exists(), "{site}.{left} is left");
            }
        }
    }
}

impl Drop for Trio {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            // It may have ended by itself; the directory goes in any case.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for site in SITES {
                let log = std::fs::read_to_string(self.path(&format!("{site}.log")));
                eprintln!("--- log of {site}\n{}", log.unwrap_or_default());
            }
        }
    }
}

/// A free port that no outgoing connection takes meanwhile (those are numbered from 32768 on), and
/// no other test of this process.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next =
            std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 12_000 + u16::try_from(next % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Standard output as JSON.
pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
