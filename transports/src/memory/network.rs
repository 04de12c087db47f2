//! The registry behind links in memory: who listens where, which links there are, and how things
//! are on the way between any two sites.

use super::half::link_of;
use super::link::{ACCEPTOR, DIALER, LinkCore};
use super::rule::{Path, Rules};
use crate::seed::Seed;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use trefoil_core::port::{Link, Listener};
use trefoil_core::{Error, ErrorKind, Result};

/// The network; every handle shares it.
pub(crate) struct Network {
    pub(crate) rules: Rules,
    state: Mutex<State>,
    /// Told whenever a path or a site changes, for those who wait to connect.
    changed: Notify,
}

struct State {
    listeners: BTreeMap<String, Arc<Entry>>,
    links: Vec<Weak<LinkCore>>,
    links_count: u64,
    sites: BTreeMap<String, SiteState>,
    paths: BTreeMap<(String, String), Path>,
    path_default: Path,
    seed: Seed,
}

#[derive(Clone, Copy, Default)]
struct SiteState {
    /// How often the site was killed: handles of an earlier life are dead.
    life: u64,
    frozen: bool,
}

/// A site in one of its lives.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) site: String,
    life: u64,
}

struct Entry {
    address: String,
    site: String,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    links: VecDeque<Link>,
    dead: bool,
}

impl Network {
    pub(crate) fn new(rules: Rules, path_default: Path, seed: u64) -> Self {
        let state = State {
            listeners: BTreeMap::new(),
            links: Vec::new(),
            links_count: 0,
            sites: BTreeMap::new(),
            paths: BTreeMap::new(),
            path_default,
            seed: Seed::new(seed),
        };
        Self { rules, state: Mutex::new(state), changed: Notify::new() }
    }

    /// A handle for a site in its present life.
    pub(crate) fn local(&self, site: &str) -> Local {
        let life = self.state.lock().site(site).life;
        Local { site: site.to_owned(), life }
    }

    pub(crate) async fn connect(&self, local: &Local, address: &str) -> Result<Link> {
        let doing = format!("connect to {address}");
        let attempt = async {
            loop {
                let delay = self.round_trip(local, address).await?;
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                if let Some(link) = self.join(local, address)? {
                    return Ok(link);
                }
            }
        };
        match tokio::time::timeout(self.rules.connect_timeout, attempt).await {
            Ok(done) => done.map_err(|error: Error| error.context(doing)),
            Err(_) => {
                let limit = self.rules.connect_timeout;
                let what = format!("{doing}: no answer within {limit:?}");
                Err(Error::new(ErrorKind::Timeout, what))
            }
        }
    }

    pub(crate) fn listen(self: &Arc<Self>, local: &Local, address: &str) -> Result<MemoryListener> {
        let mut state = self.state.lock();
        state.check_alive(local)?;
        if let Some(other) = state.listeners.get(address) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "listen on {address}: site {:?} already listens there; choose another \
                     address or drop that listener",
                    other.site
                ),
            ));
        }
        let entry = Arc::new(Entry {
            address: address.to_owned(),
            site: local.site.clone(),
            waiting: Mutex::default(),
            arrived: Notify::new(),
        });
        state.listeners.insert(address.to_owned(), entry.clone());
        Ok(MemoryListener { network: self.clone(), entry })
    }

    /// Changes the path from one site to another, for the links that exist and those to come.
    pub(crate) fn change_path(&self, from: &str, to: &str, change: impl FnOnce(&mut Path)) {
        let links = {
            let mut state = self.state.lock();
            let mut path = state.path(from, to);
            change(&mut path);
            state.paths.insert((from.to_owned(), to.to_owned()), path.clone());
            state.live_links().into_iter().map(|link| (link, path.clone())).collect::<Vec<_>>()
        };
        for (link, path) in links {
            for side in [DIALER, ACCEPTOR] {
                if link.sites[side] == from && link.sites[1 - side] == to {
                    link.set_path(side, path.clone());
                }
            }
        }
        self.changed.notify_waiters();
    }

    /// Breaks every link between two sites, whoever connected.
    pub(crate) fn break_links(&self, one: &str, other: &str, kind: ErrorKind, why: &str) {
        let links = self.state.lock().live_links();
        for link in links {
            let between = |a: usize| link.sites[a] == one && link.sites[1 - a] == other;
            if between(DIALER) || between(ACCEPTOR) {
                link.break_off(kind, why);
            }
        }
    }

    pub(crate) fn set_frozen(&self, site: &str, frozen: bool) {
        let links = {
            let mut state = self.state.lock();
            state.site(site).frozen = frozen;
            state.live_links()
        };
        for (link, side) in sides_of(&links, site) {
            link.set_frozen(side, frozen);
        }
        self.changed.notify_waiters();
    }

    pub(crate) fn kill(&self, site: &str) {
        let (links, entries) = {
            let mut state = self.state.lock();
            let life = state.site(site);
            *life = SiteState { life: life.life + 1, frozen: false };
            (state.live_links(), state.take_listeners(site))
        };
        for (link, side) in sides_of(&links, site) {
            link.set_frozen(side, false);
            link.die(side);
        }
        entries.iter().for_each(|entry| entry.end());
        self.changed.notify_waiters();
    }

    /// Waits until both directions are open and both sites run; then how long asking takes.
    async fn round_trip(&self, local: &Local, address: &str) -> Result<Duration> {
        loop {
            // Those who wait are woken in the order in which they came: `watch` would draw it.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let state = &mut *self.state.lock();
                state.check_alive(local)?;
                if let Some((there, back)) = state.open_paths(local, address) {
                    let trip = state.seed.between(there.delay_min, there.delay_max)
                        + state.seed.between(back.delay_min, back.delay_max);
                    return Ok(trip);
                }
            }
            changed.await;
        }
    }

    /// Makes the link, if the way is still open.
    fn join(&self, local: &Local, address: &str) -> Result<Option<Link>> {
        let mut state = self.state.lock();
        state.check_alive(local)?;
        let Some((there, back)) = state.open_paths(local, address) else {
            return Ok(None);
        };
        let Some(entry) = state.listeners.get(address).cloned() else {
            return Err(Error::unavailable(
                "nobody listens there; start the other site or correct the address",
            ));
        };
        let mut waiting = entry.waiting.lock();
        if waiting.links.len() >= self.rules.backlog_links_max {
            return Err(Error::unavailable("too many links wait to be accepted there"));
        }
        state.links_count += 1;
        let seed = state.seed.part(state.links_count);
        let sites = [local.site.clone(), entry.site.clone()];
        let core = Arc::new(LinkCore::new(sites, self.rules.clone(), [there, back], seed));
        state.live_links();
        state.links.push(Arc::downgrade(&core));
        waiting.links.push_back(link_of(&core, ACCEPTOR, local.site.clone()));
        entry.arrived.notify_one();
        Ok(Some(link_of(&core, DIALER, address.to_owned())))
    }

    fn forget(&self, entry: &Arc<Entry>) {
        let mut state = self.state.lock();
        if state.listeners.get(&entry.address).is_some_and(|other| Arc::ptr_eq(other, entry)) {
            state.listeners.remove(&entry.address);
        }
    }
}

impl State {
    fn site(&mut self, site: &str) -> &mut SiteState {
        self.sites.entry(site.to_owned()).or_default()
    }

    fn check_alive(&mut self, local: &Local) -> Result<()> {
        if self.site(&local.site).life == local.life {
            return Ok(());
        }
        Err(Error::closed(format!(
            "site {:?} was killed; take a new transport handle to start it again",
            local.site
        )))
    }

    fn path(&self, from: &str, to: &str) -> Path {
        let key = (from.to_owned(), to.to_owned());
        self.paths.get(&key).unwrap_or(&self.path_default).clone()
    }

    /// The ways there and back, if both are open. Nobody at the address counts as open with the
    /// delay that any path has: the refusal comes from the machine, which is there.
    fn open_paths(&mut self, local: &Local, address: &str) -> Option<(Path, Path)> {
        let Some(entry) = self.listeners.get(address) else {
            return Some((self.path_default.open(), self.path_default.open()));
        };
        let peer = entry.site.clone();
        let there = self.path(&local.site, &peer);
        let back = self.path(&peer, &local.site);
        let runs = !self.site(&peer).frozen && !self.site(&local.site).frozen;
        (runs && !there.is_cut() && !back.is_cut()).then_some((there, back))
    }

    fn live_links(&mut self) -> Vec<Arc<LinkCore>> {
        self.links.retain(|link| link.strong_count() > 0);
        self.links.iter().filter_map(Weak::upgrade).collect()
    }

    fn take_listeners(&mut self, site: &str) -> Vec<Arc<Entry>> {
        let taken: Vec<_> =
            self.listeners.values().filter(|entry| entry.site == site).cloned().collect();
        self.listeners.retain(|_, entry| entry.site != site);
        taken
    }
}

fn sides_of<'a>(
    links: &'a [Arc<LinkCore>],
    site: &'a str,
) -> impl Iterator<Item = (&'a Arc<LinkCore>, usize)> {
    links.iter().flat_map(move |link| {
        let mine = move |side: &usize| link.sites[*side] == site;
        [DIALER, ACCEPTOR].into_iter().filter(mine).map(move |side| (link, side))
    })
}

impl Entry {
    /// Ends the listener; links that nobody had accepted end with it.
    fn end(&self) {
        let links = {
            let mut waiting = self.waiting.lock();
            waiting.dead = true;
            std::mem::take(&mut waiting.links)
        };
        drop(links);
        self.arrived.notify_one();
    }
}

/// Waits for links in memory. Dropping it frees the address.
pub(crate) struct MemoryListener {
    network: Arc<Network>,
    entry: Arc<Entry>,
}

#[async_trait]
impl Listener for MemoryListener {
    async fn accept(&mut self) -> Result<Link> {
        loop {
            {
                let mut waiting = self.entry.waiting.lock();
                if waiting.dead {
                    let address = &self.entry.address;
                    return Err(Error::closed(format!("accept on {address}: the site was killed")));
                }
                if let Some(link) = waiting.links.pop_front() {
                    return Ok(link);
                }
            }
            self.entry.arrived.notified().await;
        }
    }

    fn address(&self) -> String {
        self.entry.address.clone()
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.network.forget(&self.entry);
        self.entry.end();
    }
}

/// Since when a path that is cut now has been cut.
pub(crate) fn cut_now(path: &mut Path) {
    path.cut_since.get_or_insert_with(Instant::now);
}
