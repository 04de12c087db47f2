//! A configuration that was checked: what each site is, and what the own site runs.

use super::NbdAddress;
use super::words::is_loopback;
use crate::Traffic;
use crate::registry::{Shape, TlsPaths};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{Durability, Fence, GroupName, MachineName, SiteName, VolumeSpec};

/// A checked configuration, as seen from one site, or from one machine of a site that is spread
/// over several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteConfig {
    /// The own site.
    pub site: SiteName,
    /// Which of its machines this is; `None` where it has one only, or where it was not said.
    pub machine: Option<MachineName>,
    /// Every site in the file, the own one included.
    pub sites: BTreeMap<SiteName, SiteEntry>,
    /// Every group in the file.
    pub groups: BTreeMap<GroupName, GroupEntry>,
    /// The link between each two sites that share a group; the names in order.
    pub links: BTreeMap<(SiteName, SiteName), LinkEntry>,
    /// The budgets of every group.
    pub limits: LimitsEntry,
    /// Who keeps the charter of every group; `None`: two of the three sites decide.
    pub arbiter: Option<ArbiterEntry>,
    /// The times of every group.
    pub timing: TimingEntry,
    /// The files by which the own site proves who it is, if any are configured. With them every
    /// link that crosses a network is secured.
    pub tls: Option<TlsPaths>,
}

/// One site: the machines that its groups are spread over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteEntry {
    /// One without a name, or several with names, in order. Each group of the site is on exactly
    /// one.
    pub machines: Vec<MachineEntry>,
}

/// One machine of a site, which is one process: what it runs, where it is reached, and where it
/// stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineEntry {
    /// Its name; `None` for the only one of a site that is not spread.
    pub name: Option<MachineName>,
    /// The groups that it runs.
    pub groups: BTreeSet<GroupName>,
    /// Where other sites connect to.
    pub address: String,
    /// Where it listens for them; the same as `address` unless said otherwise.
    pub listen: String,
    /// The directory of its volumes.
    pub volumes_dir: PathBuf,
    /// The directory of its journals.
    pub journal_dir: PathBuf,
    /// Where it serves hosts over NBD, if at all.
    pub nbd: Option<NbdAddress>,
    /// Whether hosts elsewhere may come without a certificate, in plain text.
    pub nbd_insecure: bool,
    /// Where it serves `/metrics` over HTTP, if at all.
    pub metrics: Option<String>,
    /// The Unix socket of its control API.
    pub control: PathBuf,
    /// How it stores.
    pub backend: BackendEntry,
    /// The most bytes that each group's journal may use here.
    pub journal_capacity: u64,
}

/// How a site stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendEntry {
    /// The registered word.
    pub word: String,
    /// The values of the factory's own keys.
    pub settings: BTreeMap<String, String>,
}

/// Who keeps the charters, if not the sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArbiterEntry {
    /// The registered word.
    pub word: String,
    /// The values of the factory's own keys; a single value is a list of one.
    pub settings: BTreeMap<String, Vec<String>>,
}

/// One group: its volumes, and the home role of each of its sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEntry {
    /// The volumes, ordered by name: a volume's place here is its index in records.
    pub volumes: Vec<VolumeSpec>,
    /// The word of its layout.
    pub topology: String,
    /// The site that serves the host at first.
    pub primary: SiteName,
    /// The site that holds every write before the host is answered, if it has one.
    pub sync: Option<SiteName>,
    /// The site that follows by journal, if it has one.
    pub r#async: Option<SiteName>,
    /// When a host write is answered.
    pub durability: Durability,
    /// What happens when the sync leg is lost.
    pub fence: Fence,
    /// How old the recovery point may become; exported, the threshold of an alert.
    pub recovery_point_objective: Option<Duration>,
    /// Which hosts are let in, of those that come with a certificate.
    pub hosts: HostsEntry,
}

/// The hosts that a group's volumes are for, by the names in their certificates. A host that comes
/// without one (over a Unix socket or loopback) is not asked for its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostsEntry {
    /// Those that may read and write; if both lists are empty, every host with a certificate.
    pub writers: BTreeSet<String>,
    /// Those that may read only.
    pub readers: BTreeSet<String>,
}

/// What a host may do with the volumes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAccess {
    /// Read and write.
    Write,
    /// Read.
    Read,
    /// Nothing: the volumes are not even shown.
    Nothing,
}

impl HostsEntry {
    /// What the host of this name may do.
    pub fn access(&self, host: &str) -> HostAccess {
        let anybody = self.writers.is_empty() && self.readers.is_empty();
        if anybody || self.writers.contains(host) {
            HostAccess::Write
        } else if self.readers.contains(host) {
            HostAccess::Read
        } else {
            HostAccess::Nothing
        }
    }
}

/// How two sites are connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkEntry {
    /// The registered word.
    pub transport: String,
    /// The longest time that connecting may take.
    pub timeout: Duration,
    /// How it is made worse on purpose.
    pub shape: Shape,
    /// How data is sent on it by the own site.
    pub traffic: Traffic,
    /// Whether the file says that it may be plain on a network.
    pub insecure: bool,
    /// The values of the factory's own keys.
    pub settings: BTreeMap<String, String>,
}

/// Budgets, in bytes; `None` is the default of [`Limits`](crate::Limits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsEntry {
    /// Host writes in flight.
    pub window: Option<u64>,
    /// Updates in memory that the block store does not have yet.
    pub overlay: Option<u64>,
    /// Recent records kept in memory for followers.
    pub tail: Option<u64>,
    /// What may be sent ahead of a follower's acknowledgement.
    pub credit: Option<u64>,
    /// Whether a site that lags may hold the host back when the journal is nearly full.
    pub on_full: OnFull,
}

/// Times; `None` is the default of [`Timing`](crate::Timing).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimingEntry {
    /// How long a primary may answer without a renewal.
    pub lease: Option<Duration>,
    /// Between two heartbeats on a link.
    pub heartbeat: Option<Duration>,
    /// Between two records of an idle primary.
    pub idle_record: Option<Duration>,
    /// After which silence a link counts as down.
    pub link_timeout: Option<Duration>,
    /// After which absence a member is taken out of the in-sync set.
    pub leg_grace: Option<Duration>,
    /// Under `fence = "data"` a host write that no sync site holds fails after this.
    pub write_timeout: Option<Duration>,
    /// After which silence of the primary an in-sync site takes over by itself; `None`: it waits
    /// for the operator.
    pub takeover_delay: Option<Duration>,
    /// For how long after a write the group's thread polls instead of sleeping.
    pub busy_poll: Option<Duration>,
}

/// Who may connect as a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NbdSecurity {
    /// Whoever may open the Unix socket.
    Socket,
    /// Whoever is on this host; a certificate is taken where there is a `[tls]`.
    Loopback,
    /// Anybody: the file says so.
    Insecure,
    /// Hosts with a certificate.
    Tls,
}

impl NbdSecurity {
    /// Its word in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Loopback => "loopback",
            Self::Insecure => "insecure",
            Self::Tls => "tls",
        }
    }
}

impl SiteConfig {
    /// Who may connect as a host of the own machine; `None` where it serves none.
    pub fn nbd_security(&self) -> Option<NbdSecurity> {
        let own = self.own().ok()?;
        Some(match own.nbd.as_ref()? {
            NbdAddress::Unix(_) => NbdSecurity::Socket,
            NbdAddress::Tcp(address) if is_loopback(address) => NbdSecurity::Loopback,
            NbdAddress::Tcp(_) if own.nbd_insecure => NbdSecurity::Insecure,
            NbdAddress::Tcp(_) => NbdSecurity::Tls,
        })
    }

    /// The link between two sites.
    pub fn link(&self, one: &SiteName, other: &SiteName) -> Option<&LinkEntry> {
        self.links.get(&pair(one, other))
    }
}

/// Two sites in the order in which links are kept.
pub(super) fn pair(one: &SiteName, other: &SiteName) -> (SiteName, SiteName) {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    (first.clone(), second.clone())
}
