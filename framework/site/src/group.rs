//! A group at work on the current thread: its actors, started and stopped in order.

use crate::actor::{
    AcceptLink, FollowerActor, JournalActor, JournalDurable, PeerActor, Received, ReignActor,
    RestorerActor, StopFollowing, StopShipping, VolumeActor, greeting, last_checkpoint, quiesce,
};
use crate::busy_poll::BusyPoll;
use crate::clock::Clock;
use crate::courier::{GroupLinks, Linked};
use crate::crew::{Crew, CrewRef, Watermarks, post};
use crate::door::Arrival;
use crate::handle::Group;
use crate::journal_io::JournalIo;
use crate::memory::Rejected;
use crate::open::{Opened, open};
use crate::parts::{GroupParts, PeerLink};
use crate::shared::{Counters, Gate, Shared};
use crate::view::{blank_status, keep_status};
use crate::volumes::GroupToOpen;
use crate::wan::Lane;
use actix::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use trefoil_core::engine::overlay::Overlay;
use trefoil_core::engine::tail::Tail;
use trefoil_core::model::{Fence, Role, SiteName};
use trefoil_core::record::Record;
use trefoil_core::wire::{ControlMessage, Greeting, PROTOCOL_VERSION, encode_control};
use trefoil_core::{Error, Result};

/// How long a stop waits for hosts to be answered and the journal to settle.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What a site lends to its groups.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub site: SiteName,
    pub clock: Arc<dyn Clock>,
    pub boot: String,
    pub seed: u64,
    /// Whether long computations go to threads of their own.
    pub threads: bool,
}

/// A group at work on the current thread.
pub(crate) struct Running {
    crew: CrewRef,
    io_task: tokio::task::JoinHandle<()>,
    status_task: tokio::task::JoinHandle<()>,
    peers: BTreeMap<SiteName, String>,
}

impl Running {
    /// Opens the group and starts its actors on the current thread's `LocalSet`.
    pub async fn start(around: Surroundings, group: GroupToOpen) -> Result<Self> {
        let GroupToOpen { parts, opener } = group;
        let mut random = StdRng::seed_from_u64(around.seed);
        let GroupParts { config, mut journal, stores, peers, arbiter } = parts;
        check(&around.site, &config, peers.keys())?;
        if arbiter.is_some() && config.fence != Fence::Status {
            return Err(Error::invalid(format!(
                "open group {}: with an arbiter only fence = \"status\" is in this release",
                config.group
            )));
        }
        let id = rand::RngCore::next_u64(&mut random);
        let mut found =
            open(&around, &config, journal.as_mut(), (stores, opener.as_deref()), id).await?;
        let staged = std::mem::take(&mut found.staged);
        tracing::info!(
            site = %around.site, group = %config.group, newest = %found.newest,
            base = %found.base, incarnation = %found.state.incarnation, "opened"
        );
        let usage = journal.usage();
        let (io, io_task) = JournalIo::start(journal);
        let window = usize::try_from(config.limits.window_bytes).unwrap_or(usize::MAX);
        let window = window.min(Semaphore::MAX_PERMITS);
        let blank = blank_status(&around.site, &config, found.volumes.specs.clone());
        let shared = Arc::new(Shared {
            site: around.site.clone(),
            open: parking_lot::RwLock::new(Arc::new(found.volumes.clone())),
            opener,
            clock: around.clock.clone(),
            overlay: parking_lot::RwLock::new(Overlay::new()),
            gate: watch::Sender::new(Gate::Secondary(None)),
            lease_until: AtomicU64::new(0),
            window: Arc::new(Semaphore::new(window)),
            inbox: crate::actor::Inbox::default(),
            status: watch::Sender::new(Arc::new(blank)),
            restoring: tokio::sync::RwLock::new(()),
            totals: Counters::default(),
            lanes: peers.iter().map(lane_of).collect(),
            linked: Arc::new(Linked::none_of(peers.keys())),
            threads: around.threads,
            topology: parking_lot::RwLock::new(config.topology.clone()),
            config,
        });
        let transports: BTreeMap<SiteName, String> =
            peers.iter().map(|(site, way)| (site.clone(), way.transport.describe())).collect();
        let crew = Rc::new(Crew { arbiter, ..crew(shared, found, usage, io, random) });
        if crew.owes() {
            // Before anybody can ask: nothing is read of what nobody can explain.
            crew.shared.gate.send_replace(Gate::Owing(None));
        }
        start_actors(&crew, staged);
        for (site, way) in peers {
            let peer = PeerActor::new(crew.clone(), site.clone(), way).start();
            crew.peers.borrow_mut().insert(site, peer);
        }
        if let Some(arbiter) = &crew.arbiter {
            let peers = crew.peers.borrow();
            let peers = peers.iter().map(|(site, peer)| (site.clone(), peer.downgrade())).collect();
            arbiter.join(Arc::new(GroupLinks { linked: crew.shared.linked.clone(), peers }));
        }
        let status_task = tokio::task::spawn_local(keep_status(crew.clone()));
        crew.transports.borrow_mut().clone_from(&transports);
        Ok(Self { crew, io_task, status_task, peers: transports })
    }

    /// The handle for hosts and operators.
    pub fn handle(&self) -> Result<Group> {
        let crew = &self.crew;
        let started = || Error::closed("open group: it ended while it was started");
        Ok(Group {
            shared: crew.shared.clone(),
            volume: crew.volume.get().cloned().ok_or_else(started)?,
            reign: crew.reign.get().cloned().ok_or_else(started)?,
            follower: crew.follower.get().cloned().ok_or_else(started)?,
            restorer: crew.restorer.get().cloned().ok_or_else(started)?,
            journal: crew.journal.get().cloned().ok_or_else(started)?,
            peers: Arc::new(crew.peers.borrow().clone()),
        })
    }

    /// Takes a link that another site opened with this greeting; answers it.
    pub async fn accept(&self, arrival: Arrival) -> Result<()> {
        let Arrival { mut link, greeting: theirs, by } = arrival;
        let unfit = link.security.refusal_of(&theirs.from).or_else(|| self.refusal_of(&theirs));
        let rejected = unfit.map(Rejected::goodbye).or_else(|| self.crew.rejects(&theirs));
        if let Some(rejected) = rejected {
            rejected.tell(&mut *link.control.sender).await?;
            return Err(Error::refused(rejected.why));
        }
        let (id, replaces) = (theirs.link, theirs.replaces);
        let answer = greeting(&self.crew, &theirs.from, id, replaces);
        let answer = encode_control(&ControlMessage::Greeting(answer))?;
        if let Some(peer) = self.crew.peers.borrow().get(&theirs.from) {
            // The actor answers: whoever is answered ends the old way, and the new one must be
            // known here by then.
            post(peer, AcceptLink { link, id, replaces, answer, by });
        }
        Ok(())
    }

    /// Why a greeting is not accepted, for the other side.
    fn refusal_of(&self, theirs: &Greeting) -> Option<String> {
        let site = self.crew.site();
        if theirs.protocol != PROTOCOL_VERSION {
            let protocol = theirs.protocol;
            return Some(format!(
                "site {site} speaks protocol {PROTOCOL_VERSION}, not {protocol}: run the same \
                 version at both"
            ));
        }
        if theirs.to != *site {
            return Some(format!("this is site {site}, not {}: check the addresses", theirs.to));
        }
        if !self.peers.contains_key(&theirs.from) {
            return Some(format!("no site {} is configured at site {site}", theirs.from));
        }
        let mine = self.crew.arbiter.as_ref().map(|arbiter| arbiter.kind());
        if theirs.arbiter != mine {
            let asks = |arbiter: &Option<String>| match arbiter {
                Some(kind) => format!("asks the arbiter {kind}"),
                None => "asks no arbiter".to_owned(),
            };
            let (mine, from, their) = (asks(&mine), &theirs.from, asks(&theirs.arbiter));
            return Some(format!(
                "site {site} {mine} who leads, site {from} {their}: configure all sites alike"
            ));
        }
        let up = self.crew.seen.borrow().get(&theirs.from).and_then(|seen| seen.link);
        if theirs.replaces.is_some() && theirs.replaces != up {
            return Some(format!("the link that this one is to replace is not up at site {site}"));
        }
        None
    }

    /// Stops in order: hosts are answered, the journal settles, then everything ends.
    pub async fn stop(self) -> Result<()> {
        let crew = &self.crew;
        let window = crew.shared.config.limits.window_bytes;
        let all = u32::try_from(window).unwrap_or(u32::MAX);
        // Every permit back means that every admitted write is answered.
        let answered = tokio::time::timeout(
            STOP_TIMEOUT.min(Duration::from_secs(5)),
            crew.shared.window.clone().acquire_many_owned(all),
        );
        let answered = answered.await;
        crew.shared.close("the site is stopping");
        drop(answered);
        let settled = quiesce(crew, STOP_TIMEOUT).await;
        crew.to(&crew.follower, StopFollowing { done: None });
        for shipper in crew.shippers.borrow().values() {
            post(shipper, StopShipping(Some("the source is stopping".into())));
        }
        tokio::task::yield_now().await;
        let saved =
            if crew.failed.borrow().is_none() { last_checkpoint(crew).await } else { Ok(()) };
        self.end().await;
        settled.and(saved)
    }

    /// Ends everything at once, as a crash does.
    pub async fn end(self) {
        self.status_task.abort();
        self.crew.dismiss();
        // The store is closed, and its lock given back, when the last handle on its task is gone.
        self.crew.io.borrow_mut().take();
        let _ = tokio::time::timeout(STOP_TIMEOUT, self.io_task).await;
    }
}

fn check<'a>(
    site: &SiteName,
    config: &crate::parts::GroupConfig,
    peers: impl Iterator<Item = &'a SiteName>,
) -> Result<()> {
    let mut sites = config.topology.sites();
    sites.sort();
    let mut known: Vec<SiteName> = peers.cloned().chain([site.clone()]).collect();
    known.sort();
    if sites != known {
        return Err(Error::invalid(format!(
            "open group {}: its topology names the sites {sites:?}, this site is {site} and knows \
             the way to {known:?}",
            config.group
        )));
    }
    let timing = &config.timing;
    if timing.takeover_delay.is_some_and(|delay| delay < timing.lease) {
        return Err(Error::invalid(format!(
            "open group {}: its takeover_delay is shorter than its lease of {:?}; a primary may \
             be silent for that long and still answer",
            config.group, timing.lease
        )));
    }
    Ok(())
}

fn crew(
    shared: Arc<Shared>,
    found: Opened,
    (used, capacity): (u64, u64),
    io: JournalIo,
    random: StdRng,
) -> Crew {
    let marks = Watermarks::default();
    let tail_bytes = shared.config.limits.tail_bytes;
    let busy_poll = BusyPoll::new(shared.config.timing.busy_poll);
    marks.newest.set(found.newest);
    marks.submitted.set(found.newest);
    marks.durable.set(found.newest.number);
    marks.restored.set(found.state.checkpoint);
    marks.checkpointed.set(found.state.checkpoint);
    marks.base.set(found.base);
    marks.recovery_point_us.set(found.newest_time_us);
    marks.journal_used.set(used);
    marks.journal_capacity.set(capacity);
    let owed = found.state.debt.as_ref().map_or(0, |debt| debt.missing.bytes().max(1));
    marks.debt_bytes.set(owed);
    Crew {
        shared,
        replaced: RefCell::new(found.state.replaced.clone()),
        state: RefCell::new(found.state),
        holds: found.holds,
        marks,
        io: RefCell::new(Some(io)),
        volume: OnceCell::new(),
        journal: OnceCell::new(),
        restorer: OnceCell::new(),
        follower: OnceCell::new(),
        reign: OnceCell::new(),
        arbiter: None,
        arbiter_seen: RefCell::default(),
        peers: RefCell::default(),
        shippers: RefCell::default(),
        data_lanes: RefCell::default(),
        control_lanes: RefCell::default(),
        tail: RefCell::new(Tail::new(found.newest, tail_bytes)),
        random: RefCell::new(random),
        leads: Cell::new(None),
        role: Cell::new(Role::Secondary),
        trouble: RefCell::default(),
        stands_by: RefCell::default(),
        heard: RefCell::default(),
        seen: RefCell::default(),
        legs: RefCell::default(),
        plans: RefCell::default(),
        transports: RefCell::default(),
        history: RefCell::default(),
        following: RefCell::default(),
        busy_poll,
        refresh: tokio::sync::Notify::new(),
        status_rests: Cell::new(false),
        relay: Cell::new(None),
        stop_following: Cell::new(false),
        numbers: Cell::new(false),
        overlay_lacks: Cell::new(false),
        serves: Cell::new(false),
        journal_full: RefCell::default(),
        fill_rate: RefCell::default(),
        forecasts: RefCell::default(),
        oldest: Cell::default(),
        no_room: RefCell::default(),
        plan_volumes: RefCell::default(),
        volumes_trouble: RefCell::default(),
        failed: RefCell::default(),
    }
}

fn lane_of((site, way): (&SiteName, &PeerLink)) -> (SiteName, Arc<Lane>) {
    (site.clone(), Arc::new(Lane::new(way.rates.clone())))
}

/// Starts the actors; what is `staged` waits beside the volumes, as it did before.
fn start_actors(crew: &CrewRef, staged: Vec<Record>) {
    let newest = crew.marks.newest.get();
    let _ = crew.volume.set(VolumeActor::new(crew.clone()).start());
    let _ = crew.restorer.set(RestorerActor::new(crew.clone()).start());
    for record in &staged {
        crew.shared.overlay.write().insert(record);
    }
    crew.to(&crew.restorer, Received(staged));
    crew.to(&crew.restorer, JournalDurable(newest.number));
    let _ = crew.journal.set(JournalActor::new(crew.clone(), newest).start());
    let _ = crew.follower.set(FollowerActor::new(crew.clone()).start());
    let _ = crew.reign.set(ReignActor::new(crew.clone()).start());
}
