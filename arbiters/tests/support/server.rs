//! A real etcd of a test's own, and a proxy before it that can lose an answer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where an etcd is, or what is missing.
pub fn binary() -> Result<String, String> {
    static FOUND: OnceLock<Result<String, String>> = OnceLock::new();
    let find = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("etcd");
        let done = Command::new(root.join("scripts/etcd.sh")).arg(into).output();
        let done = done.map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    };
    FOUND.get_or_init(find).clone()
}

/// A running etcd; killed by its id when it is dropped.
pub struct Server {
    dir: TempDir,
    child: Child,
    client: u16,
    peer: u16,
}

impl Server {
    pub fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let (client, peer) = (free_port(), free_port());
        let child = run(dir.path(), client, peer);
        let server = Self { dir, child, client, peer };
        server.until_ready();
        server
    }

    pub fn port(&self) -> u16 {
        self.client
    }

    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.child = run(self.dir.path(), self.client, self.peer);
        self.until_ready();
    }

    /// Waits until it is healthy: it answers nothing before it has elected itself.
    fn until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if health(self.client).is_some_and(|answer| answer.contains("\"true\"")) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        panic!("etcd does not come up:\n{log}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(dir: &Path, client: u16, peer: u16) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new(binary().unwrap());
    command.arg("--data-dir").arg(dir.join("data"));
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("default={peer}")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn health(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A free port below those that outgoing connections are given, and not given out before.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = std::process::id().wrapping_mul(89) + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 11_000 + u16::try_from(next % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// What a proxy does with the next transaction.
#[derive(Clone, Copy)]
pub enum Loss {
    /// It never arrives.
    Question = 1,
    /// It is made, and nobody is told.
    Answer = 2,
}

/// Passes questions on to an etcd, one a connection.
pub struct Proxy {
    pub port: u16,
    next: Arc<AtomicU8>,
}

impl Proxy {
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let next = Arc::new(AtomicU8::new(0));
        let loss = Arc::clone(&next);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let loss = Arc::clone(&loss);
                thread::spawn(move || pass(near, target, &loss));
            }
        });
        Self { port, next }
    }

    pub fn lose_next(&self, what: Loss) {
        self.next.store(what as u8, Ordering::SeqCst);
    }
}

fn pass(mut near: TcpStream, target: u16, loss: &AtomicU8) {
    let Some(question) = whole_question(&mut near) else { return };
    let change = question.starts_with(b"POST /v3/kv/txn ");
    let lost = if change { loss.swap(0, Ordering::SeqCst) } else { 0 };
    if lost == Loss::Question as u8 {
        return;
    }
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", target)) else { return };
    let mut answer = Vec::new();
    if far.write_all(&question).is_err() || far.read_to_end(&mut answer).is_err() {
        return;
    }
    if lost != Loss::Answer as u8 {
        let _ = near.write_all(&answer);
    }
}

/// Head and body of a request whose length is told.
fn whole_question(near: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut question, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&question).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
            if body.len() >= length.trim().parse().ok()? {
                return Some(question);
            }
        }
        match near.read(&mut buffer) {
            Ok(length) if length > 0 => question.extend_from_slice(&buffer[..length]),
            _ => return None,
        }
    }
}
