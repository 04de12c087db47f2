//! Three sites with their machines: started, killed, without power, and started again.

use crate::court::Court;
use crate::dice::Dice;
use crate::model::SECTOR;
use crate::observed::{Eye, ObservedJournal, ObservedStore};
use crate::oracle::{Oracle, SITES, VOLUMES};
use crate::plan::Plan;
use crate::sabotage::Sabotage;
use parking_lot::Mutex;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::Instant;
use trefoil_backends::simulated::{Latency, SimulatedDisk};
use trefoil_core::model::{GroupName, SiteName, VolumeName, VolumeSpec};
use trefoil_core::port::BlockStore;
use trefoil_core::{ErrorKind, Result};
use trefoil_site::{
    Clock, Group, GroupConfig, GroupParts, LocalSite, PeerLink, SiteBuilder, Timing, Volume,
};
use trefoil_transports::simulated::{SimulatedNetwork, SimulatedOptions};

/// A site's own clock: from its own start, and a little off.
struct SiteClock {
    begun: Instant,
    start_us: u64,
    drift_ppm: i64,
}

impl Clock for SiteClock {
    fn now_us(&self) -> u64 {
        let real = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let off = (real as i64).saturating_mul(self.drift_ppm) / 1_000_000;
        self.start_us + real.saturating_add_signed(off)
    }

    fn wall_us(&self) -> u64 {
        1_700_000_000_000_000 + self.now_us()
    }
}

/// A running process of a site.
#[derive(Clone)]
pub struct Up {
    pub life: u64,
    pub group: Group,
    pub volumes: Vec<Volume>,
}

/// A site's machine.
struct Machine {
    tasks: RefCell<Option<LocalSet>>,
    driver: RefCell<Option<Waker>>,
    up: RefCell<Option<Up>>,
    boots: Cell<u64>,
    lives: Cell<u64>,
}

/// Three sites with their machines, disks and network.
pub struct World {
    pub plan: Plan,
    pub network: SimulatedNetwork,
    pub disks: Vec<SimulatedDisk>,
    pub eye: Eye,
    pub sabotage: Sabotage,
    /// The arbiter outside of the sites, if there is one.
    pub court: Option<Arc<Court>>,
    machines: Vec<Machine>,
    seed: Dice,
    next_tag: Cell<u32>,
    /// Held by the host that reads: two that wait for one site's lease are woken in an order that
    /// tokio draws anew in every run.
    pub reading: tokio::sync::Mutex<()>,
    /// Whether hosts and faults go on.
    pub stop_hosts: Cell<bool>,
}

impl World {
    /// The world of a seed; nothing runs yet.
    pub fn new(seed: u64, plan: Plan, sabotage: Sabotage, aloud: bool) -> Rc<Self> {
        let dice = Dice::new(seed);
        let disks: Vec<SimulatedDisk> = (0..3)
            .map(|site| {
                SimulatedDisk::new(dice.part(10 + site).next(), plan.journals[site as usize])
            })
            .collect();
        let options = SimulatedOptions {
            delay_min: Duration::from_micros(100),
            delay_max: Duration::from_millis(3),
            lane_bytes_max: 1 << 20,
            connect_timeout: Duration::from_millis(500),
            link_timeout: Some(Duration::from_millis(1500)),
        };
        let eye = Arc::new(Mutex::new(Oracle::new(plan.clone(), &disks, aloud)));
        let machine = |_| Machine {
            tasks: RefCell::default(),
            driver: RefCell::default(),
            up: RefCell::default(),

            boots: Cell::new(1),
            lives: Cell::new(0),
        };
        let world = Self {
            network: SimulatedNetwork::new(dice.part(2).next(), options),
            disks,
            eye,
            sabotage,
            court: plan.court.map(|court| Court::new(court, dice.part(7))),
            machines: (0..3).map(machine).collect(),
            seed: dice,
            next_tag: Cell::new(1),
            reading: tokio::sync::Mutex::new(()),
            stop_hosts: Cell::new(false),
            plan,
        };
        for site in 0..3 {
            world.disks[site].set_lying(sabotage.lies(site));
            world.set_latency(site, world.plan.slow_disks);
        }
        Rc::new(world)
    }

    /// A stream of randomness of its own.
    pub fn dice(&self, part: u64) -> Dice {
        self.seed.part(part)
    }

    /// A tag that no write had before.
    pub fn tag(&self) -> u32 {
        let tag = self.next_tag.get();
        self.next_tag.set(tag + 1);
        tag
    }

    /// The sites that there are, by index.
    pub fn sites(&self) -> std::ops::Range<usize> {
        self.plan.layout.sites()
    }

    /// The running process of a site, if it is started.
    pub fn up(&self, site: usize) -> Option<Up> {
        self.machines[site].up.borrow().clone()
    }

    /// Whether a process of the site runs or is being started.
    pub fn is_alive(&self, site: usize) -> bool {
        self.machines[site].tasks.borrow().is_some()
    }

    /// Whether this is still the same process of the site.
    pub fn is_life(&self, site: usize, life: u64) -> bool {
        self.machines[site].lives.get() == life
    }

    /// The sites that answer hosts, as far as they know themselves.
    pub fn writable(&self) -> Vec<(usize, Up)> {
        let up = (0..3).filter_map(|site| Some((site, self.up(site)?)));
        up.filter(|(_, up)| up.volumes[0].writable()).collect()
    }

    /// Whether a rule was broken already.
    pub fn is_broken(&self) -> bool {
        self.eye.lock().broken.is_some()
    }

    /// Sets whether a site's disk takes time.
    pub fn set_latency(&self, site: usize, slow: bool) {
        let latency = if slow {
            Latency { append: 0..=2, sync: 0..=8, read: 0..=2, write: 0..=3 }
        } else {
            Latency::NONE
        };
        self.disks[site].set_latency(latency);
    }

    fn config(&self) -> GroupConfig {
        let volume = |(name, size): (&&str, &u64)| VolumeSpec {
            name: VolumeName::new(name).unwrap(),
            size: *size,
        };
        let takeover_delay = self.plan.takeover_delay_ms.map(Duration::from_millis);
        GroupConfig {
            group: GroupName::new("orders").unwrap(),
            volumes: VOLUMES.iter().zip(&self.plan.volumes).map(volume).collect(),
            topology: self.plan.layout.topology(),
            durability: self.plan.durability,
            fence: self.plan.fence,
            on_full: self.plan.on_full,
            limits: self.plan.limits,
            timing: Timing { takeover_delay, ..self.plan.timing },
        }
    }

    fn builder(&self, site: usize, life: u64) -> Result<SiteBuilder> {
        let transport = Arc::new(self.network.transport_for(SITES[site]));
        let others = self.sites().filter(|other| *other != site);
        let link = |other: usize| {
            let link = PeerLink::new(transport.clone(), SITES[other]);
            (name(SITES[other]), link)
        };
        let peers: BTreeMap<SiteName, PeerLink> = others.map(link).collect();
        let (config, disk, eye) = (self.config(), &self.disks[site], &self.eye);
        let mut stores: Vec<Arc<dyn BlockStore>> = Vec::new();
        for (volume, spec) in (0..).zip(&config.volumes) {
            let inner = disk.volume(&spec.name, spec.size)?;
            let (eye, sabotage) = (eye.clone(), self.sabotage);
            stores.push(Arc::new(ObservedStore { site, volume, inner, eye, sabotage }));
        }
        let journal = Box::new(ObservedJournal {
            site,
            inner: disk.journal()?,
            eye: eye.clone(),
            sabotage: self.sabotage,
            owed: Vec::new(),
            kept: None,
        });
        let arbiter = self.court.as_ref().map(|court| court.seen_from(site));
        let clock = SiteClock {
            begun: Instant::now(),
            start_us: 1_000_000 + life * 77_777,
            drift_ppm: self.sabotage.drift_ppm(site).unwrap_or(self.plan.drift_ppm[site]),
        };
        Ok(SiteBuilder::new(name(SITES[site]))
            .listen(transport.clone(), SITES[site])
            .group(GroupParts { config, journal, stores, peers, arbiter })
            .clock(Arc::new(clock))
            .boot(format!("boot {}", self.machines[site].boots.get()))
            .seed(self.seed.part(1000 + life * 3 + site as u64).next()))
    }

    /// Starts the process of a site; true once it is up, false if it did not come up.
    pub async fn start(self: &Rc<Self>, site: usize) -> bool {
        if !self.sites().contains(&site) || self.is_alive(site) {
            return false;
        }
        let machine = &self.machines[site];
        let life = machine.lives.get() + 1;
        machine.lives.set(life);
        self.eye.lock().note(format_args!("{} starts, life {life}", SITES[site]));
        let set = LocalSet::new();
        let (ready, started) = oneshot::channel();
        let world = self.clone();
        set.spawn_local(async move {
            let site = match world.builder(site, life) {
                Ok(builder) => LocalSite::start(builder).await,
                Err(error) => Err(error),
            };
            drop(world);
            let group = site.as_ref().map(|site| site.group(&GroupName::new("orders").unwrap()));
            let _ = ready.send(group.map_err(trefoil_core::Error::duplicate).and_then(|g| g));
            let _site = site;
            std::future::pending::<()>().await;
        });
        *machine.tasks.borrow_mut() = Some(set);
        self.drive(site);
        let started = started.await;
        if !self.is_life(site, life) {
            return false;
        }
        match started {
            Ok(Ok(group)) => {
                let open = |volume: &&str| group.volume(&VolumeName::new(volume).unwrap()).unwrap();
                let volumes = VOLUMES.iter().map(open).collect();
                *machine.up.borrow_mut() = Some(Up { life, group, volumes });
                self.eye.lock().note(format_args!("{} is up", SITES[site]));
                true
            }
            Ok(Err(error)) => {
                self.not_started(site, &error);
                false
            }
            Err(_) => false,
        }
    }

    /// A start that failed is excused by a fault of the disk only.
    fn not_started(&self, site: usize, error: &trefoil_core::Error) {
        self.eye.lock().note(format_args!("{} does not start: {error}", SITES[site]));
        let fault = self.eye.lock().sites[site].disk_fault;
        if !(fault && matches!(error.kind(), ErrorKind::Full | ErrorKind::Io)) {
            let what = format!("{} does not start: {error}", SITES[site]);
            self.eye.lock().judge(Err(crate::rules::Broken::new("heals", what)));
        }
        self.die(site, false);
    }

    /// Polls the site's tasks until they are taken away.
    fn drive(self: &Rc<Self>, site: usize) {
        let machine = &self.machines[site];
        if let Some(waker) = machine.driver.borrow().as_ref() {
            waker.wake_by_ref();
            return;
        }
        let world = Rc::downgrade(self);
        tokio::task::spawn_local(poll_fn(move |cx| {
            let Some(world) = world.upgrade() else { return Poll::Ready(()) };
            let machine = &world.machines[site];
            let set = machine.tasks.borrow_mut().take();
            if let Some(mut set) = set {
                let _ = Pin::new(&mut set).poll(cx);
                *machine.tasks.borrow_mut() = Some(set);
            }
            *machine.driver.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        }));
    }

    /// The process of a site dies, or its machine loses power. Nothing of it runs any more when
    /// this returns.
    pub fn die(&self, site: usize, power: bool) {
        if !self.sites().contains(&site) {
            return;
        }
        let machine = &self.machines[site];
        if power {
            self.disks[site].lose_power();
            if self.sabotage != Sabotage::HidePowerLoss {
                machine.boots.set(machine.boots.get() + 1);
            }
        } else {
            self.disks[site].crash_process();
        }
        machine.lives.set(machine.lives.get() + 1);
        self.network.kill(SITES[site]);
        let (tasks, up) = (machine.tasks.borrow_mut().take(), machine.up.borrow_mut().take());
        self.note_automatic(up.as_ref());
        drop(up);
        drop(tasks);
        self.eye.lock().died(site, power);
    }

    /// Counts the takeovers that a process made by itself, at its end.
    fn note_automatic(&self, up: Option<&Up>) {
        let count = up.map_or(0, |up| up.group.status().totals.automatic_takeovers);
        self.eye.lock().automatic += count;
    }

    /// Ends everything.
    pub fn end(&self) {
        for machine in &self.machines {
            machine.lives.set(machine.lives.get() + 1);
            let (tasks, up) = (machine.tasks.borrow_mut().take(), machine.up.borrow_mut().take());
            self.note_automatic(up.as_ref());
            drop(up);
            drop(tasks);
            machine.driver.borrow_mut().take();
        }
    }

    /// How many sectors a volume has.
    pub fn sectors(&self, volume: usize) -> u64 {
        self.plan.volumes[volume] / SECTOR
    }
}

/// A site's name.
pub fn name(site: &str) -> SiteName {
    SiteName::new(site).unwrap()
}
