//! The async leg over a long way: how much of the link a follower that is behind gets, and whether
//! the host at A notices how far C is.
//!
//! All sites run in this process, with memory backends; the way between A and C is TCP or QUIC on
//! loopback (both with certificates), shaped on both ends. C is stopped while the host writes, then
//! started: what is measured is how fast it catches up, from a tenth of the way to its end.
//!
//! `cargo bench -p trefoil-benches --bench wan` (words pick rows: `quic`, `10ms`, `latency`, …)

use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use trefoil_backends::memory::MemoryDisk;
use trefoil_benches::{VOLUME_BYTES, group_config};
use trefoil_core::model::{GroupName, SiteName, UpdateNumber, VolumeName};
use trefoil_core::port::Transport;
use trefoil_core::{Error, Result};
use trefoil_site::{Compression, Group, GroupParts, LinkRates, PeerLink, Site, Traffic};
use trefoil_transports::shaped::{Shaped, Way};
use trefoil_transports::tls::authority::{Authority, MachineNames, VALIDITY};
use trefoil_transports::tls::{Credentials, Peers, TlsFiles};
use trefoil_transports::{QuicOptions, QuicTransport, TcpOptions, TcpTransport};

const NAMES: [&str; 3] = ["a", "b", "c"];
/// The journals hold all that C lacks.
const JOURNAL_BYTES: u64 = 2 << 30;
/// Of one host write.
const WRITE_BYTES: usize = 64 << 10;
/// Seconds of the link that C lacks.
const BEHIND_SECONDS: u64 = 4;
/// What may be behind at most: the window of a gigabit for some seconds, within memory.
const BEHIND_BYTES_MAX: u64 = 400 << 20;

fn io(doing: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::io(doing, source)
}

fn site(name: &str) -> Result<SiteName> {
    SiteName::new(name)
}

/// One row of the table.
#[derive(Clone, Copy)]
struct Row {
    quic: bool,
    round_trip_ms: u64,
    megabits: u64,
    compression: Compression,
}

impl Row {
    fn bytes_per_second(&self) -> u64 {
        self.megabits * 1_000_000 / 8
    }

    /// What one end's receiver adds; both ends together are the round trip.
    fn way(&self) -> Way {
        Way {
            delay: Duration::from_millis(self.round_trip_ms) / 2,
            bytes_per_second: Some(self.bytes_per_second()),
            ..Way::default()
        }
    }
}

/// Certificates of the three sites.
struct Papers(TempDir);

impl Papers {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir().map_err(io("make a directory"))?;
        let authority = Authority::init(dir.path(), VALIDITY)?;
        for name in NAMES {
            authority.issue_site(&site(name)?, &MachineNames::default(), VALIDITY)?;
        }
        Ok(Self(dir))
    }

    fn transport(&self, own: &str, quic: bool) -> Result<Arc<dyn Transport>> {
        let file = |name: String| self.0.path().join(name);
        let files = TlsFiles {
            ca: file("ca.pem".into()),
            cert: file(format!("{own}.pem")),
            key: file(format!("{own}.key")),
            accepted: None,
        };
        let credentials = Credentials::load(&site(own)?, files)?;
        let others = NAMES.into_iter().filter(|name| *name != own).map(site);
        let peers = Peers::sites(others.collect::<Result<Vec<_>>>()?);
        Ok(match quic {
            true => Arc::new(QuicTransport::new(QuicOptions::default(), credentials, peers)?),
            false => Arc::new(TcpTransport::secured(TcpOptions::default(), credentials, peers)),
        })
    }
}

/// The three sites of a row; C comes and goes.
struct World<'a> {
    papers: &'a Papers,
    row: Row,
    addresses: Vec<String>,
    disk_c: MemoryDisk,
    a: Option<Site>,
    b: Option<Site>,
    c: Option<Site>,
}

impl<'a> World<'a> {
    fn start(papers: &'a Papers, row: Row) -> Result<Self> {
        let free = |_| {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").map_err(io("find a port"))?;
            socket.local_addr().map(|at| at.to_string()).map_err(io("find a port"))
        };
        let addresses = NAMES.iter().map(free).collect::<Result<_>>()?;
        let disk_c = MemoryDisk::new(JOURNAL_BYTES);
        let mut world = Self { papers, row, addresses, disk_c, a: None, b: None, c: None };
        world.b = Some(world.site("b", &MemoryDisk::new(JOURNAL_BYTES))?);
        world.a = Some(world.site("a", &MemoryDisk::new(JOURNAL_BYTES))?);
        world.start_c()?;
        await_until("the sites pair", || {
            let status = world.group("a").ok().map(|group| group.status());
            status.is_some_and(|status| {
                let c = status.legs.iter().find(|(name, _)| name.as_str() == "c");
                let filled = c.is_some_and(|(_, leg)| {
                    leg.link_up && leg.debt_bytes == 0 && leg.marks.restored.value() > 0
                });
                let members = status.charter.as_ref().map_or(0, |charter| charter.in_sync.len());
                status.serving && members == 2 && filled
            })
        })?;
        Ok(world)
    }

    fn start_c(&mut self) -> Result<()> {
        self.c = Some(self.site("c", &self.disk_c)?);
        Ok(())
    }

    /// A site with its links; only that between A and C is long and thin.
    fn site(&self, name: &str, disk: &MemoryDisk) -> Result<Site> {
        let config = group_config()?;
        let volume = config.volumes.first().ok_or_else(|| Error::invalid("no volume"))?.clone();
        let plain = self.papers.transport(name, self.row.quic)?;
        let far: Arc<dyn Transport> = Arc::new(Shaped::over(plain.clone(), self.row.way()));
        let mut peers = std::collections::BTreeMap::new();
        let mut listen = String::new();
        for (other, address) in NAMES.iter().zip(&self.addresses) {
            if *other == name {
                listen.clone_from(address);
                continue;
            }
            let long = [name, other].contains(&"a") && [name, other].contains(&"c");
            let way = if long { far.clone() } else { plain.clone() };
            let traffic = Traffic { compression: self.row.compression, ..Traffic::default() };
            let rates = LinkRates::new(if long { traffic } else { Traffic::default() });
            peers.insert(site(other)?, PeerLink::new(way, address.clone()).with_rates(rates));
        }
        let (journal, store) = (disk.journal()?, disk.volume(&volume.name, volume.size)?);
        let parts = GroupParts {
            config,
            journal: Box::new(journal),
            stores: vec![Arc::new(store)],
            peers,
            arbiter: None,
        };
        // Whoever dials C is shaped by its own end; C shapes what it takes in.
        let door = if name == "c" { far } else { plain };
        Site::builder(site(name)?).listen(door, listen).group(parts).start()
    }

    fn group(&self, name: &str) -> Result<Group> {
        let found = match name {
            "a" => &self.a,
            "b" => &self.b,
            _ => &self.c,
        };
        let running = found.as_ref().ok_or_else(|| Error::closed("that site does not run"))?;
        running.group(&GroupName::new("bench")?)
    }

    /// Writes `bytes` at A, `WRITE_BYTES` at a time, eight in flight.
    fn fill(&self, runtime: &tokio::runtime::Runtime, bytes: u64) -> Result<()> {
        let volume = self.group("a")?.volume(&VolumeName::new("db")?)?;
        let count = bytes / WRITE_BYTES as u64;
        runtime.block_on(async {
            let mut next = 0;
            while next < count {
                let writes = (next..count.min(next + 8)).map(|index| {
                    let offset = index * WRITE_BYTES as u64 % VOLUME_BYTES;
                    volume.write_at(offset, payload(index, self.row.compression))
                });
                for done in futures_util::future::join_all(writes).await {
                    done?;
                }
                next += 8;
            }
            Ok(())
        })
    }

    fn sent_to_c(&self) -> Result<(u64, u64)> {
        let status = self.group("a")?.status();
        let leg = status.legs.get(&site("c")?);
        Ok(leg.map_or((0, 0), |leg| (leg.payload_bytes, leg.wire_bytes)))
    }

    /// Payload and wire bytes a second while C catches up.
    fn catch_up(&mut self, runtime: &tokio::runtime::Runtime) -> Result<(f64, f64)> {
        let c = self.c.take();
        c.map_or(Ok(()), Site::stop)?;
        let behind = (self.row.bytes_per_second() * BEHIND_SECONDS).min(BEHIND_BYTES_MAX);
        let from = self.group("a")?.status().newest.number;
        self.fill(runtime, behind)?;
        let to = self.group("a")?.status().newest.number;
        let before = self.sent_to_c()?;
        self.start_c()?;
        let c = self.group("c")?;
        let received = || c.status().newest.number;
        let tenth = UpdateNumber::new(from.value() + to.since(from) / 10);
        await_until("C begins", || received() >= tenth)?;
        // What C took is counted at C: nothing that was sent in vain is in it.
        let taken = || c.status().totals.appended_bytes;
        let (begun, first) = (Instant::now(), taken());
        await_until("C has it all", || received() >= to)?;
        let payload = (taken() - first) as f64 / begun.elapsed().as_secs_f64();
        let end = self.sent_to_c()?;
        let packed = (end.1 - before.1) as f64 / (end.0 - before.0) as f64;
        Ok((payload, payload * packed))
    }

    fn stop(self) -> Result<()> {
        for site in [self.c, self.a, self.b].into_iter().flatten() {
            site.stop()?;
        }
        Ok(())
    }
}

/// Noise where nothing is packed; else half noise and half what packs well.
fn payload(seed: u64, compression: Compression) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise = match compression {
        Compression::None => WRITE_BYTES,
        Compression::Lz4 | Compression::Zstd(_) => WRITE_BYTES / 2,
    };
    let mut data = Vec::with_capacity(WRITE_BYTES);
    while data.len() < noise {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    let line = format!("row {seed}: a line of a table much like the next one; ");
    data.extend(line.bytes().cycle().take(WRITE_BYTES - noise));
    data.into()
}

fn await_until(what: &str, check: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !check() {
        if begun.elapsed() > Duration::from_secs(120) {
            return Err(Error::unavailable(format!("wait until {what}: not within two minutes")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The median of 4 KiB writes at A, one after the other, in microseconds.
fn latency(world: &World<'_>, runtime: &tokio::runtime::Runtime) -> Result<u128> {
    let volume = world.group("a")?.volume(&VolumeName::new("db")?)?;
    let data = Bytes::from(vec![0x5a; 4096]);
    runtime.block_on(async {
        let mut times = Vec::new();
        for index in 0..4000u64 {
            let begun = Instant::now();
            volume.write_at(index * 4096, data.clone()).await?;
            times.push(begun.elapsed().as_micros());
        }
        times.sort_unstable();
        Ok(times.get(times.len() / 2).copied().unwrap_or_default())
    })
}

fn name_of(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "none",
        Compression::Lz4 => "lz4",
        Compression::Zstd(_) => "zstd",
    }
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for quic in [false, true] {
        for megabits in [100, 1000] {
            for round_trip_ms in [0, 10, 50, 100] {
                for compression in [Compression::None, Compression::Lz4, Compression::Zstd(1)] {
                    rows.push(Row { quic, round_trip_ms, megabits, compression });
                }
            }
        }
    }
    rows
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with('-')).collect();
    let papers = Papers::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(io("start a runtime"))?;
    println!("| wire | link | round trip | packed | of the link | payload MB/s |");
    println!("|---|---|---|---|---|---|");
    for row in rows() {
        let wire = if row.quic { "quic" } else { "tcp+tls" };
        let tags = [
            wire.to_owned(),
            format!("{}ms", row.round_trip_ms),
            format!("{}mbit", row.megabits),
            name_of(row.compression).to_owned(),
        ];
        if !words.iter().all(|word| tags.contains(word)) {
            continue;
        }
        let mut world = World::start(&papers, row)?;
        let (payload, on_wire) = world.catch_up(&runtime)?;
        world.stop()?;
        let percent = on_wire * 100.0 / row.bytes_per_second() as f64;
        let [wire, round_trip, link, packed] = tags;
        let payload = payload / 1e6;
        println!("| {wire} | {link} | {round_trip} | {packed} | {percent:.0} % | {payload:.1} |");
    }
    if !words.is_empty() && !words.contains(&"latency".to_owned()) {
        return Ok(());
    }
    println!("\n| round trip to C | p50 of a 4 KiB write at A |\n|---|---|");
    let worlds = [0, 10, 50, 100].map(|round_trip_ms| {
        let (quic, megabits, compression) = (false, 1000, Compression::None);
        World::start(&papers, Row { quic, round_trip_ms, megabits, compression })
    });
    let worlds = worlds.into_iter().collect::<Result<Vec<_>>>()?;
    let mut all = vec![Vec::new(); worlds.len()];
    for _ in 0..5 {
        for (world, times) in worlds.iter().zip(&mut all) {
            times.push(latency(world, &runtime)?);
        }
    }
    for (world, mut times) in worlds.into_iter().zip(all) {
        times.sort_unstable();
        let p50 = times.get(times.len() / 2).copied().unwrap_or_default();
        println!("| {} ms | {p50} µs |", world.row.round_trip_ms);
        world.stop()?;
    }
    Ok(())
}
