//! The file as it is written: typed, with the place of every value, not yet checked for sense.

use super::NbdAddress;
use super::arbiter::{self, ArbiterTable};
use super::read::{Report, Section, Spot};
use super::words;
use crate::registry::Registry;
use crate::{BATCH_BYTES_MAX, BATCH_BYTES_MIN, Compression, Traffic};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{Durability, GroupName, MachineName, SiteName, VolumeName};

const MS: fn(u64) -> Duration = Duration::from_millis;
const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// Everything that the file can say. Whoever uses it destructures it, so that a value that nobody
/// looks at does not compile.
#[derive(Debug)]
pub(super) struct File {
    pub(super) site: Option<Spot<SiteName>>,
    pub(super) machine: Option<Spot<String>>,
    pub(super) sites: BTreeMap<SiteName, SiteTable>,
    pub(super) groups: BTreeMap<GroupName, GroupTable>,
    pub(super) backends: BTreeMap<String, BackendTable>,
    pub(super) links: BTreeMap<String, LinkTable>,
    pub(super) journal_capacity: Option<u64>,
    pub(super) on_full: OnFull,
    pub(super) limits: LimitsTable,
    pub(super) arbiter: ArbiterTable,
    pub(super) timing: TimingTable,
    pub(super) tls: Option<TlsTable>,
}

/// A site on one machine says all of it in its own table. A spread one says there what its
/// machines have in common.
#[derive(Debug)]
pub(super) struct SiteTable {
    pub(super) own: MachineTable,
    pub(super) machines: BTreeMap<MachineName, MachineTable>,
}

#[derive(Debug)]
pub(super) struct MachineTable {
    pub(super) path: String,
    pub(super) groups: Option<Spot<Vec<String>>>,
    pub(super) address: Option<Spot<String>>,
    pub(super) listen: Option<Spot<String>>,
    pub(super) dir: Option<Spot<PathBuf>>,
    pub(super) volumes_dir: Option<Spot<PathBuf>>,
    pub(super) journal_dir: Option<Spot<PathBuf>>,
    pub(super) nbd: Option<Spot<NbdAddress>>,
    pub(super) nbd_insecure: Option<Spot<bool>>,
    pub(super) metrics: Option<Spot<String>>,
    pub(super) control: Option<Spot<PathBuf>>,
    pub(super) backend: Option<Spot<String>>,
    pub(super) journal_capacity: Option<u64>,
}

#[derive(Debug)]
pub(super) struct GroupTable {
    pub(super) path: String,
    pub(super) topology: Option<Spot<String>>,
    pub(super) primary: Option<Spot<String>>,
    pub(super) sync: Option<Spot<String>>,
    pub(super) r#async: Option<Spot<String>>,
    pub(super) fence: Option<Spot<String>>,
    pub(super) durability: Durability,
    pub(super) recovery_point_objective: Option<Duration>,
    pub(super) hosts: Option<Spot<Vec<String>>>,
    pub(super) read_only_hosts: Option<Spot<Vec<String>>>,
    pub(super) volumes: BTreeMap<VolumeName, Option<Spot<u64>>>,
}

#[derive(Debug)]
pub(super) struct BackendTable {
    pub(super) path: String,
    pub(super) kind: Option<Spot<String>>,
    pub(super) settings: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct LinkTable {
    pub(super) path: String,
    pub(super) between: Option<Spot<Vec<String>>>,
    pub(super) transport: Option<Spot<String>>,
    pub(super) timeout: Option<Duration>,
    pub(super) delay: Option<Duration>,
    pub(super) jitter: Option<Duration>,
    pub(super) rate: Option<u64>,
    pub(super) cut_every: Option<Duration>,
    pub(super) traffic: Traffic,
    pub(super) insecure: Option<Spot<bool>>,
    pub(super) settings: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct TlsTable {
    pub(super) dir: Option<Spot<PathBuf>>,
    pub(super) ca: Option<Spot<PathBuf>>,
    pub(super) cert: Option<Spot<PathBuf>>,
    pub(super) key: Option<Spot<PathBuf>>,
    pub(super) accepted: Option<Spot<PathBuf>>,
}

#[derive(Debug)]
pub(super) struct LimitsTable {
    pub(super) window: Option<u64>,
    pub(super) overlay: Option<u64>,
    pub(super) tail: Option<u64>,
    pub(super) credit: Option<u64>,
}

/// Who starts a takeover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Takeover {
    #[default]
    Manual,
    Automatic,
}

#[derive(Debug)]
pub(super) struct TimingTable {
    pub(super) lease: Option<Duration>,
    pub(super) takeover: Takeover,
    pub(super) takeover_delay: Option<Spot<Duration>>,
    pub(super) heartbeat: Option<Duration>,
    pub(super) idle_record: Option<Duration>,
    pub(super) link_timeout: Option<Duration>,
    pub(super) leg_grace: Option<Duration>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) busy_poll: Option<Duration>,
}

/// Reads everything, and reports what is not understood.
pub(super) fn read(
    mut root: Section,
    registry: &Registry,
    resolve: &dyn Fn(&str) -> PathBuf,
    report: &mut Report,
) -> File {
    let site = root.parsed("site", report, site_name);
    let machine = root.text("machine", report);
    let sites = named(root.named("sites", report), report, site_name, |section, report| {
        site_table(section, resolve, report)
    });
    let groups = named(root.named("group", report), report, group_name, group_table);
    let backends = named(root.named("backend", report), report, plain_name, |section, report| {
        backend_table(section, registry, report)
    });
    let links = named(root.named("link", report), report, plain_name, |section, report| {
        link_table(section, registry, report)
    });
    let mut journal = root.section("journal", report);
    let journal_capacity = value(journal.parsed("capacity", report, capacity));
    let choices = [("map", OnFull::Map), ("pace", OnFull::Pace)];
    let on_full = value(journal.parsed("on_full", report, words::one_of(&choices)));
    let on_full = on_full.unwrap_or_default();
    journal.finish(report);
    let limits = limits_table(root.section("limits", report), report);
    let mut section = root.section("arbiter", report);
    let arbiter = arbiter::read(&mut section, registry, report);
    let timing = timing_table(section, root.section("timing", report), report);
    let tls = root.optional("tls", report).map(|section| tls_table(section, resolve, report));
    root.finish(report);
    File {
        site,
        machine,
        sites,
        groups,
        backends,
        links,
        journal_capacity,
        on_full,
        limits,
        arbiter,
        timing,
        tls,
    }
}

fn site_table(
    mut section: Section,
    resolve: &dyn Fn(&str) -> PathBuf,
    report: &mut Report,
) -> SiteTable {
    let own = machine_table(&mut section, resolve, report);
    let machines = section.named("machines", report);
    let machines = named(machines, report, machine_name, |mut section, report| {
        let table = machine_table(&mut section, resolve, report);
        let groups = section.texts("groups", report);
        section.finish(report);
        MachineTable { groups, ..table }
    });
    section.finish(report);
    SiteTable { own, machines }
}

/// What a machine has, but for its groups: a site's own table has none.
fn machine_table(
    section: &mut Section,
    resolve: &dyn Fn(&str) -> PathBuf,
    report: &mut Report,
) -> MachineTable {
    let dir = words::path(resolve);
    MachineTable {
        path: section.path().to_owned(),
        groups: None,
        address: section.parsed("address", report, words::address),
        listen: section.parsed("listen", report, words::address),
        dir: section.parsed("dir", report, &dir),
        volumes_dir: section.parsed("volumes_dir", report, &dir),
        journal_dir: section.parsed("journal_dir", report, &dir),
        nbd: section.parsed("nbd", report, |text| words::nbd(text, resolve)),
        nbd_insecure: section.parsed("nbd_insecure", report, words::yes_or_no),
        metrics: section.parsed("metrics", report, words::address),
        control: section.parsed("control", report, |text| words::socket(resolve(text))),
        backend: section.text("backend", report),
        journal_capacity: value(section.parsed("journal_capacity", report, capacity)),
    }
}

fn group_table(mut section: Section, report: &mut Report) -> GroupTable {
    let durabilities = [("flush", Durability::Flush), ("write", Durability::Write)];
    let volumes = section.named("volume", report);
    let table = GroupTable {
        path: section.path().to_owned(),
        topology: section.text("topology", report),
        primary: section.text("primary", report),
        sync: section.text("sync", report),
        r#async: section.text("async", report),
        fence: section.text("fence", report),
        durability: value(section.parsed("durability", report, words::one_of(&durabilities)))
            .unwrap_or_default(),
        recovery_point_objective: value(section.parsed(
            "recovery_point_objective",
            report,
            words::duration_within(MS(1), MS(7 * 86_400_000)),
        )),
        hosts: section.texts("hosts", report),
        read_only_hosts: section.texts("read_only_hosts", report),
        volumes: named(volumes, report, volume_name, |mut volume, report| {
            let size = volume.parsed("size", report, words::size);
            if size.is_none() && report.is_clean(&volume.at("size")) {
                missing(report, &volume.at("size"), "give the volume's size: size = \"8GiB\"");
            }
            volume.finish(report);
            size
        }),
    };
    section.finish(report);
    table
}

fn backend_table(mut section: Section, registry: &Registry, report: &mut Report) -> BackendTable {
    let kind = section.text("kind", report);
    let keys = kind.as_ref().and_then(|kind| registry.backend_factory(&kind.value).ok());
    let settings = match keys {
        Some(factory) => settings(&mut section, factory.keys(), report),
        None => BTreeMap::new(),
    };
    let path = section.path().to_owned();
    section.finish(report);
    BackendTable { path, kind, settings }
}

fn link_table(mut section: Section, registry: &Registry, report: &mut Report) -> LinkTable {
    let second = MS(1_000);
    let transport = section.text("transport", report);
    let factory = transport.as_ref().and_then(|word| registry.transport_factory(&word.value).ok());
    let table = LinkTable {
        path: section.path().to_owned(),
        between: section.texts("between", report),
        timeout: value(section.parsed(
            "timeout",
            report,
            words::duration_within(MS(100), 60 * second),
        )),
        delay: value(section.parsed("delay", report, words::duration_within(MS(0), 10 * second))),
        jitter: value(section.parsed("jitter", report, words::duration_within(MS(0), 10 * second))),
        rate: value(section.parsed("rate", report, words::rate)),
        cut_every: value(section.parsed(
            "cut_every",
            report,
            words::duration_within(MS(10), MS(86_400_000)),
        )),
        traffic: traffic(&mut section, report),
        insecure: section.parsed("insecure", report, words::yes_or_no),
        settings: match &factory {
            Some(factory) => settings(&mut section, factory.keys(), report),
            None => BTreeMap::new(),
        },
        transport,
    };
    section.finish(report);
    table
}

/// How data is sent: all of it may be changed while the link is up.
fn traffic(section: &mut Section, report: &mut Report) -> Traffic {
    let defaults = Traffic::default();
    let none = Compression::None;
    let kinds = [("none", none), ("lz4", Compression::Lz4), ("zstd", Compression::Zstd(1))];
    let kind = value(section.parsed("compression", report, words::one_of(&kinds)));
    let level_at = section.at("compression_level");
    let level = value(section.parsed("compression_level", report, words::level));
    let compression = match (kind.unwrap_or(none), level) {
        (Compression::Zstd(_), Some(level)) => Compression::Zstd(level),
        (kind @ (Compression::None | Compression::Lz4), Some(_)) => {
            let what = "only zstd has levels".to_owned();
            let help = "take it out, or say compression = \"zstd\"".to_owned();
            report.value("no_level", &level_at, what, Some(help));
            kind
        }
        (kind, None) => kind,
    };
    let batch = words::size_within(BATCH_BYTES_MIN, BATCH_BYTES_MAX);
    let delay = words::duration_within(MS(0), MS(10_000));
    Traffic {
        compression,
        rate: value(section.parsed("max_rate", report, words::rate)),
        copy_rate: value(section.parsed("max_copy_rate", report, words::rate)),
        batch_bytes: value(section.parsed("batch_bytes", report, batch))
            .unwrap_or(defaults.batch_bytes),
        batch_delay: value(section.parsed("batch_delay", report, delay))
            .unwrap_or(defaults.batch_delay),
    }
}

fn tls_table(
    mut section: Section,
    resolve: &dyn Fn(&str) -> PathBuf,
    report: &mut Report,
) -> TlsTable {
    let path = words::path(resolve);
    let table = TlsTable {
        dir: section.parsed("dir", report, &path),
        ca: section.parsed("ca", report, &path),
        cert: section.parsed("cert", report, &path),
        key: section.parsed("key", report, &path),
        accepted: section.parsed("accepted", report, &path),
    };
    section.finish(report);
    table
}

fn limits_table(mut section: Section, report: &mut Report) -> LimitsTable {
    let budget = words::size_within(1024 * KIB, 64 * GIB);
    let table = LimitsTable {
        window: value(section.parsed("window", report, &budget)),
        overlay: value(section.parsed("overlay", report, &budget)),
        tail: value(section.parsed("tail", report, &budget)),
        credit: value(section.parsed("credit", report, &budget)),
    };
    section.finish(report);
    table
}

fn timing_table(mut arbiter: Section, mut timing: Section, report: &mut Report) -> TimingTable {
    let within = words::duration_within;
    let takeovers = [("manual", Takeover::Manual), ("automatic", Takeover::Automatic)];
    let table = TimingTable {
        lease: value(arbiter.parsed("lease", report, within(MS(200), MS(60_000)))),
        takeover: value(arbiter.parsed("takeover", report, words::one_of(&takeovers)))
            .unwrap_or_default(),
        takeover_delay: arbiter.parsed("takeover_delay", report, within(MS(200), MS(3_600_000))),
        heartbeat: value(timing.parsed("heartbeat", report, within(MS(10), MS(10_000)))),
        idle_record: value(timing.parsed("idle_record", report, within(MS(50), MS(60_000)))),
        link_timeout: value(timing.parsed("link_timeout", report, within(MS(100), MS(60_000)))),
        leg_grace: value(timing.parsed("leg_grace", report, within(MS(100), MS(3_600_000)))),
        write_timeout: value(timing.parsed(
            "write_timeout",
            report,
            within(MS(1000), MS(3_600_000)),
        )),
        busy_poll: value(timing.parsed("busy_poll", report, within(MS(0), MS(10)))),
    };
    arbiter.finish(report);
    timing.finish(report);
    table
}

fn settings(
    section: &mut Section,
    keys: &[&'static str],
    report: &mut Report,
) -> BTreeMap<String, String> {
    let set =
        |key: &&'static str| section.text(key, report).map(|spot| ((*key).to_owned(), spot.value));
    keys.iter().filter_map(set).collect()
}

fn named<K: Ord, T>(
    tables: Vec<(String, Section)>,
    report: &mut Report,
    name: impl Fn(&str) -> Result<K, String>,
    read: impl Fn(Section, &mut Report) -> T,
) -> BTreeMap<K, T> {
    let mut all = BTreeMap::new();
    for (text, section) in tables {
        let path = section.path().to_owned();
        let table = read(section, report);
        match name(&text) {
            Ok(name) => {
                all.insert(name, table);
            }
            Err(what) => {
                let lower = text.to_lowercase();
                let help = (lower != text && name(&lower).is_ok())
                    .then(|| format!("use `{lower}`: variables reach lower-case names only"));
                report.key("bad_name", &path, what, help);
            }
        }
    }
    all
}

pub(super) fn missing(report: &mut Report, path: &str, help: &str) {
    report.key("missing", path, "missing".to_owned(), Some(help.to_owned()));
}

fn value<T>(spot: Option<Spot<T>>) -> Option<T> {
    spot.map(|spot| spot.value)
}

fn capacity(text: &str) -> Result<u64, String> {
    words::size_within(8 * 1024 * KIB, 64 * 1024 * GIB)(text)
}

pub(super) fn site_name(text: &str) -> Result<SiteName, String> {
    SiteName::new(text).map_err(|error| error.to_string())
}

fn group_name(text: &str) -> Result<GroupName, String> {
    GroupName::new(text).map_err(|error| error.to_string())
}

fn machine_name(text: &str) -> Result<MachineName, String> {
    MachineName::new(text).map_err(|error| error.to_string())
}

fn volume_name(text: &str) -> Result<VolumeName, String> {
    VolumeName::new(text).map_err(|error| error.to_string())
}

/// Backends and links have names of the same form as sites.
fn plain_name(text: &str) -> Result<String, String> {
    match SiteName::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string().trim_start_matches("site ").to_owned()),
    }
}
