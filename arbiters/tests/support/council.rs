//! Three parts of the Raft arbiter in one process, with links that can be cut.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use trefoil_arbiters::{Raft, RaftOptions};
use trefoil_core::model::{GroupName, SiteName};
use trefoil_core::port::{Arbiter, Courier};

pub const SITES: [&str; 3] = ["a", "b", "c"];
pub const LEASE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// What a message must contain to be lost, once.
type Loss = Option<&'static str>;

#[derive(Default)]
struct Ether {
    parts: BTreeMap<SiteName, Weak<Raft>>,
    cut: BTreeSet<(SiteName, SiteName)>,
    /// The next message of a site that contains this is lost, though its link is up.
    lose: BTreeMap<SiteName, Loss>,
    messages: u64,
}

type Shared = Arc<Mutex<Ether>>;

struct Links {
    from: SiteName,
    ether: Shared,
}

impl Courier for Links {
    fn send(&self, to: &SiteName, message: Bytes) -> bool {
        let mut ether = self.ether.lock().unwrap();
        ether.messages += 1;
        if ether.cut.contains(&(self.from.clone(), to.clone())) {
            return false;
        }
        for end in [&self.from, to] {
            if let Some(loss) = ether.lose.get_mut(end)
                && let Some(word) = *loss
                && message.windows(word.len()).any(|window| window == word.as_bytes())
            {
                *loss = None;
                return true;
            }
        }
        let part = ether.parts.get(to).and_then(Weak::upgrade);
        drop(ether);
        part.is_some_and(|part| {
            part.deliver(&self.from, message);
            true
        })
    }
}

/// Three sites with a directory each.
pub struct Council {
    dir: TempDir,
    group: GroupName,
    ether: Shared,
    parts: BTreeMap<&'static str, Arc<Raft>>,
}

pub fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

impl Council {
    /// Nobody is there yet.
    pub fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            group: GroupName::new("orders").unwrap(),
            ether: Shared::default(),
            parts: BTreeMap::new(),
        }
    }

    /// All three are there, and one of them leads.
    pub async fn whole() -> Self {
        let mut council = Self::new();
        for site in SITES {
            council.start(site);
        }
        council.until_it_answers("a").await;
        council
    }

    /// Where a site keeps its file.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name).join(format!("{}.arbiter", self.group))
    }

    pub fn try_start(&mut self, name: &'static str) -> trefoil_core::Result<()> {
        let part = Arc::new(Raft::open(RaftOptions {
            group: self.group.clone(),
            site: site(name),
            sites: SITES.map(site).to_vec(),
            dir: self.dir.path().join(name),
            lease: LEASE,
        })?);
        self.ether.lock().unwrap().parts.insert(site(name), Arc::downgrade(&part));
        part.join(Arc::new(Links { from: site(name), ether: self.ether.clone() }));
        self.parts.insert(name, part);
        Ok(())
    }

    pub fn start(&mut self, name: &'static str) {
        self.try_start(name).unwrap();
    }

    /// Ends a part; what it keeps stays.
    pub fn stop(&mut self, name: &str) {
        let part = self.parts.remove(name).unwrap();
        self.ether.lock().unwrap().parts.remove(&site(name));
        let mut part = Some(part);
        let deadline = Instant::now() + PATIENCE;
        // A message may be on its way to it.
        while let Some(held) = part.take() {
            match Arc::try_unwrap(held) {
                Ok(last) => drop(last),
                Err(held) => {
                    assert!(Instant::now() < deadline, "somebody holds the part of {name}");
                    part = Some(held);
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    /// A site loses what it kept, while it is stopped.
    pub fn forget(&self, name: &str) {
        std::fs::remove_file(self.file(name)).unwrap();
    }

    pub fn at(&self, name: &str) -> Arc<Raft> {
        self.parts[name].clone()
    }

    /// Cuts a link, both ways.
    pub fn cut(&self, one: &str, other: &str) {
        let mut ether = self.ether.lock().unwrap();
        ether.cut.insert((site(one), site(other)));
        ether.cut.insert((site(other), site(one)));
    }

    pub fn heal(&self) {
        self.ether.lock().unwrap().cut.clear();
    }

    /// Loses the next message from or to a site that contains `word`.
    pub fn lose(&self, name: &str, word: &'static str) {
        self.ether.lock().unwrap().lose.insert(site(name), Some(word));
    }

    pub fn messages(&self) -> u64 {
        self.ether.lock().unwrap().messages
    }

    /// Waits until a call at that site is answered.
    pub async fn until_it_answers(&self, name: &str) {
        let (part, deadline) = (self.at(name), Instant::now() + PATIENCE);
        loop {
            match part.read().await {
                Ok(_) => return,
                Err(error) => assert!(Instant::now() < deadline, "{name}: {error}"),
            }
        }
    }
}
