//! A TCP proxy that can be cut: what is under way stands still, as in a network that lost its way,
//! and nothing tells either end.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How often a standing connection looks whether it goes on.
const LOOK: Duration = Duration::from_millis(5);

/// A proxy. Its threads end with the process.
pub struct Cutter {
    address: String,
    /// Counts cuts and heals: odd while it is cut. A connection belongs to the count that it
    /// began with, and ends when a heal makes it a later one.
    turns: Arc<AtomicU64>,
}

impl Cutter {
    /// Carries what connects to it to `target`.
    pub fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let turns = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&turns);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let (target, turns) = (target.clone(), Arc::clone(&seen));
                thread::spawn(move || carry(near, &target, &turns));
            }
        });
        Self { address, turns }
    }

    /// Where to connect to.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// Nothing passes any more, and nobody is told.
    pub fn cut(&self) {
        self.turns.fetch_or(1, Ordering::SeqCst);
    }

    /// New connections pass; those that stood still are ended.
    pub fn heal(&self) {
        let now = self.turns.load(Ordering::SeqCst);
        self.turns.store((now | 1) + 1, Ordering::SeqCst);
    }
}

fn carry(near: TcpStream, target: &str, turns: &Arc<AtomicU64>) {
    let begun = turns.load(Ordering::SeqCst);
    while turns.load(Ordering::SeqCst) % 2 == 1 {
        thread::sleep(LOOK);
    }
    if turns.load(Ordering::SeqCst) != begun {
        return;
    }
    let Ok(far) = TcpStream::connect(target) else { return };
    let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let back = Arc::clone(turns);
    thread::spawn(move || pass(far_too, near_too, begun, &back));
    pass(near, far, begun, turns);
}

/// Passes bytes on until an end closes, or a heal ends what stood still.
fn pass(mut from: TcpStream, mut to: TcpStream, begun: u64, turns: &AtomicU64) {
    let _ = from.set_nodelay(true);
    let _ = from.set_read_timeout(Some(LOOK));
    let mut buffer = vec![0; 64 << 10];
    loop {
        match turns.load(Ordering::SeqCst) {
            now if now == begun => {}
            now if now == begun + 1 => {
                thread::sleep(LOOK);
                continue;
            }
            _ => break,
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) if to.write_all(&buffer[..length]).is_err() => break,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
