//! One primary with 1, 10 and 100 asynchronous legs, all in this process over memory: what the host
//! gets, how soon all legs are level, what a leg costs when nobody writes, and memory.
//!
//! `cargo bench -p trefoil-benches --bench legs -- [COUNT…] [star|mesh]`
//!
//! Every site of a group must know a way to every other. In a `mesh` all of them are up: so many
//! legs, and in between them their number squared by two of links that only beat. In a `star` the
//! followers do not reach each other, so that what is measured is the legs.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trefoil_backends::memory::MemoryDisk;
use trefoil_benches::load::{BLOCK, write_for};
use trefoil_benches::{group_config, middle};
use trefoil_core::model::{GroupName, LegMode, SiteName, UpdateNumber, VolumeName, VolumeSpec};
use trefoil_core::port::Transport;
use trefoil_core::topology::Topology;
use trefoil_core::{Error, Result};
use trefoil_site::{Group, GroupConfig, GroupParts, PeerLink, Site};
use trefoil_transports::memory::MemoryNetwork;

/// Small: every site has a copy.
const VOLUME_BYTES: u64 = 16 << 20;
/// All that is written in a load, and more.
const JOURNAL_BYTES: u64 = 2 << 30;
/// All journals of followers together: they are in this machine's memory.
const JOURNALS_BYTES: u64 = 8 << 30;
const SECONDS: f64 = 1.0;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// Everybody follows whoever leads, and nobody is waited for.
struct Star(Vec<SiteName>);

impl Topology for Star {
    fn sites(&self) -> Vec<SiteName> {
        self.0.clone()
    }

    fn home(&self) -> SiteName {
        self.0.first().cloned().unwrap_or_else(|| unreachable!("a star has a middle"))
    }

    fn legs(&self, primary: &SiteName) -> BTreeMap<SiteName, LegMode> {
        let others = self.0.iter().filter(|site| *site != primary);
        others.map(|site| (site.clone(), LegMode::Async)).collect()
    }

    fn describe(&self) -> String {
        format!("{} and {} that follow", self.home(), self.0.len() - 1)
    }
}

/// The sites; the first one leads.
struct World(Vec<Site>);

impl World {
    fn start(legs: usize, mesh: bool) -> Result<Self> {
        let names: Vec<SiteName> =
            (0..=legs).map(|n| SiteName::new(&format!("s{n}"))).collect::<Result<_>>()?;
        let volume = VolumeSpec { name: VolumeName::new("db")?, size: VOLUME_BYTES };
        let topology: Arc<dyn Topology> = Arc::new(Star(names.clone()));
        let config = GroupConfig { volumes: vec![volume.clone()], topology, ..group_config()? };
        let (network, nobody) = (MemoryNetwork::new(), MemoryNetwork::new());
        let start = |own: &SiteName| {
            let share = if *own == names[0] { 1 } else { legs as u64 };
            let disk = MemoryDisk::new(JOURNAL_BYTES.min(JOURNALS_BYTES / share));
            let way = |other: &SiteName| {
                let reached = mesh || [own, other].contains(&&names[0]);
                let transport = if reached { &network } else { &nobody }.transport();
                (other.clone(), PeerLink::new(Arc::new(transport), other.as_str()))
            };
            let parts = GroupParts {
                config: config.clone(),
                journal: Box::new(disk.journal()?),
                stores: vec![Arc::new(disk.volume(&volume.name, volume.size)?)],
                peers: names.iter().filter(|other| *other != own).map(way).collect(),
                arbiter: None,
            };
            let door: Arc<dyn Transport> = Arc::new(network.transport());
            Site::builder(own.clone()).listen(door, own.as_str()).group(parts).start()
        };
        Ok(Self(names.iter().map(start).collect::<Result<_>>()?))
    }

    fn group(&self, index: usize) -> Result<Group> {
        let site = self.0.get(index).ok_or_else(|| Error::closed("no such site"))?;
        site.group(&GroupName::new("bench")?)
    }

    /// Waits until every leg holds that update; how long that took.
    fn await_level(&self, update: UpdateNumber) -> Result<Duration> {
        let begun = Instant::now();
        let legs = (1..self.0.len()).map(|n| self.group(n)).collect::<Result<Vec<_>>>()?;
        let level = |leg: &Group| {
            let status = leg.status();
            status.debt_bytes == 0 && status.marks.received >= update
        };
        while !legs.iter().all(level) {
            if begun.elapsed() > PATIENCE {
                let behind = legs.iter().filter(|leg| !level(leg));
                let count = behind.clone().count();
                let one = behind.map(Group::status).next();
                let what = format!("wait for {count} legs to have update {update}: {one:?}");
                return Err(Error::unavailable(what));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(begun.elapsed())
    }
}

/// A figure of this process, by its line's beginning in a file of `/proc/self`.
fn own(file: &str, field: usize) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/self/{file}"));
    let text = text.map_err(|source| Error::io("read /proc/self", source))?;
    let fields = text.rsplit(") ").next().unwrap_or_default();
    let value = fields.split_whitespace().nth(field).and_then(|value| value.parse().ok());
    value.ok_or_else(|| Error::invalid(format!("read /proc/self/{file}: no field {field}")))
}

/// Seconds of CPU so far, at a hundred ticks a second.
fn cpu() -> Result<f64> {
    Ok((own("stat", 11)? + own("stat", 12)?) / 100.0)
}

/// Resident memory in MiB, in pages of 4 KiB.
fn resident() -> Result<f64> {
    Ok(own("statm", 1)? / 256.0)
}

/// One row: so many legs.
fn measure(runtime: &tokio::runtime::Runtime, legs: usize, mesh: bool) -> Result<()> {
    let begun = Instant::now();
    let world = World::start(legs, mesh)?;
    while !world.group(0)?.status().serving {
        std::thread::sleep(Duration::from_millis(5));
    }
    let volume = world.group(0)?.volume(&VolumeName::new("db")?)?;
    let first = runtime.block_on(volume.write_at(0, Bytes::from(vec![0x5a; BLOCK])))?;
    world.await_level(first)?;
    let started = begun.elapsed().as_secs_f64();
    let (before, begun) = (cpu()?, Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let idle = (cpu()? - before) / begun.elapsed().as_secs_f64() * 100.0;
    let (kind, rss) = (if mesh { "mesh" } else { "star" }, resident()?);
    for depth in [16, 64] {
        let (mut rates, mut medians, mut levels, mut spent) = (vec![], vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            let before = cpu()?;
            let load = runtime.block_on(write_for(&volume, depth, SECONDS))?;
            levels.push(world.await_level(load.last)?.as_secs_f64());
            spent.push((cpu()? - before) * 1e6 / load.writes as f64);
            rates.push(load.rate);
            medians.push(load.p50.as_secs_f64() * 1e6);
        }
        let [rate, p50, level, spent] = [rates, medians, levels, spent].map(middle);
        println!(
            "| {kind} | {legs} | {started:.1} s | {idle:.1} % | {rss:.0} MiB | {depth} \
             | {rate:.0}/s | {p50:.0} µs | {level:.2} s | {spent:.0} µs | {:.0} MiB |",
            resident()?
        );
    }
    world.0.into_iter().try_for_each(Site::stop)
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with('-')).collect();
    let counts: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let counts = if counts.is_empty() { vec![1, 10, 100] } else { counts };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::io("start a runtime", source))?;
    println!(
        "| ways | legs | paired | idle CPU | memory | depth | host | p50 | level | CPU | memory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (kind, mesh) in [("star", false), ("mesh", true)] {
        let other = if mesh { "star" } else { "mesh" };
        if words.iter().any(|word| word == other) && !words.iter().any(|word| word == kind) {
            continue;
        }
        counts.iter().try_for_each(|legs| measure(&runtime, *legs, mesh))?;
    }
    Ok(())
}
