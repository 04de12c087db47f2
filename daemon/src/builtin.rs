//! The words that come with trefoil: which transports and backends a configuration may name.

use crate::credentials::CredentialStore;
use crate::distant::shaped;
use dashmap::DashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use trefoil_arbiters::{Etcd, Raft, RaftOptions};
#[cfg(not(feature = "uring"))]
use trefoil_backends::file::FileStore;
use trefoil_backends::file::{FileJournal, Medium};
use trefoil_backends::memory::MemoryDisk;
use trefoil_backends::mmap::MmapStore;
use trefoil_backends::noop::{NoopJournal, NoopStore};
use trefoil_core::model::{GroupName, SiteName};
use trefoil_core::port::{Arbiter, BlockStore, JournalStore, Transport};
use trefoil_core::{Error, Result};
use trefoil_site::registry::{
    ArbiterFactory, ArbiterOptions, BackendFactory, Inside, JournalOptions, Reach, Registry,
    TransportFactory, TransportOptions, VolumeOptions,
};
use trefoil_transports::tls::Peers;
use trefoil_transports::{MemoryNetwork, QuicOptions, QuicTransport, TcpOptions, TcpTransport};

/// The transport that reaches sites of the same process only.
pub const IN_PROCESS: &str = "memory";

/// Everything that comes with trefoil. Clones share it.
#[derive(Clone)]
pub struct Builtin {
    /// What the words mean. Sites that are opened with the same registry share its memory
    /// transport, and their memory backends outlive them.
    pub registry: Registry,
    /// The certificates that these words and the front end use; they can be read again.
    pub credentials: CredentialStore,
}

impl Builtin {
    /// Everything, with nothing read yet.
    pub fn new() -> Self {
        let network = MemoryNetwork::new();
        let memory = move |_: &TransportOptions| -> Result<Arc<dyn Transport>> {
            Ok(Arc::new(network.transport()))
        };
        let credentials = CredentialStore::default();
        let registry = Registry::new()
            .transport(IN_PROCESS, Inside(memory))
            .transport("tcp", Tcp(credentials.clone()))
            .transport("quic", Quic(credentials.clone()))
            .backend("memory", MemoryBackend::default())
            .backend("file", FileBackend)
            .backend("mmap", MmapBackend)
            .backend("noop", NoopBackend)
            .arbiter("etcd", EtcdArbiter)
            .arbiter("raft", RaftArbiter)
            .shaper(shaped);
        Self { registry, credentials }
    }
}

impl Default for Builtin {
    fn default() -> Self {
        Self::new()
    }
}

/// A registry with everything that comes with trefoil, for whoever does not read certificates
/// again.
pub fn registry() -> Registry {
    Builtin::new().registry
}

/// TCP: proven by certificates where `[tls]` is configured, plain where it is not.
struct Tcp(CredentialStore);

impl TransportFactory for Tcp {
    fn open(&self, options: &TransportOptions) -> Result<Arc<dyn Transport>> {
        let limits = TcpOptions { connect_timeout: options.timeout, ..TcpOptions::default() };
        let Some(paths) = &options.tls else { return Ok(Arc::new(TcpTransport::new(limits))) };
        let credentials = self.0.of(&options.site, paths)?;
        let peers = Peers::sites(options.peers.iter().cloned());
        Ok(Arc::new(TcpTransport::secured(limits, credentials, peers)))
    }
}

/// QUIC: always proven by certificates.
struct Quic(CredentialStore);

impl TransportFactory for Quic {
    fn open(&self, options: &TransportOptions) -> Result<Arc<dyn Transport>> {
        let Some(paths) = &options.tls else {
            let what = "open transport quic: it carries nothing without certificates; add [tls]";
            return Err(Error::invalid(what));
        };
        let limits = QuicOptions { connect_timeout: options.timeout, ..QuicOptions::default() };
        let credentials = self.0.of(&options.site, paths)?;
        let peers = Peers::sites(options.peers.iter().cloned());
        Ok(Arc::new(QuicTransport::new(limits, credentials, peers)?))
    }

    fn reach(&self) -> Reach {
        Reach::Secured
    }
}

/// An etcd that exists already: its JSON gateway, in plain text.
struct EtcdArbiter;

/// Below which key an etcd keeps the charters where nothing is said.
const ETCD_PREFIX: &str = "trefoil";

impl ArbiterFactory for EtcdArbiter {
    fn open(&self, options: &ArbiterOptions) -> Result<Arc<dyn Arbiter>> {
        let ArbiterOptions { group, settings, .. } = options;
        let endpoints = settings.get("endpoints").map_or(&[][..], Vec::as_slice);
        let prefix = match settings.get("prefix").map(Vec::as_slice) {
            None => ETCD_PREFIX,
            Some([prefix]) if !prefix.trim_matches('/').is_empty() => prefix,
            Some(_) => {
                return Err(Error::invalid("set up etcd: `prefix` is one key, like \"trefoil\""));
            }
        };
        Ok(Arc::new(Etcd::new(endpoints, prefix, group)?))
    }

    fn keys(&self) -> &[&'static str] {
        &["endpoints", "prefix"]
    }

    fn plain_addresses(&self, settings: &BTreeMap<String, Vec<String>>) -> Vec<String> {
        let endpoints = settings.get("endpoints").map_or(&[][..], Vec::as_slice);
        let address = |endpoint: &String| {
            endpoint.strip_prefix("http://").map(|rest| rest.trim_end_matches('/').to_owned())
        };
        endpoints.iter().filter_map(address).collect()
    }
}

/// The three sites of a group among themselves: two of them decide.
struct RaftArbiter;

impl ArbiterFactory for RaftArbiter {
    fn open(&self, options: &ArbiterOptions) -> Result<Arc<dyn Arbiter>> {
        let ArbiterOptions { site, group, sites, dir, lease, settings: _ } = options.clone();
        Ok(Arc::new(Raft::open(RaftOptions { group, site, sites, dir, lease })?))
    }

    fn check(&self, options: &ArbiterOptions) -> Result<()> {
        Raft::check(&options.site, &options.sites)
    }
}

/// Everything in memory: gone when the process ends, kept when a site of it stops and is started
/// again.
#[derive(Default)]
struct MemoryBackend {
    disks: DashMap<(SiteName, GroupName), MemoryDisk>,
}

/// Of a volume that is opened before its journal; sites open the journal first.
const JOURNAL_BYTES: u64 = 1 << 30;

impl MemoryBackend {
    fn disk(&self, site: &SiteName, group: &GroupName, journal_bytes: u64) -> MemoryDisk {
        let key = (site.clone(), group.clone());
        self.disks.entry(key).or_insert_with(|| MemoryDisk::new(journal_bytes)).clone()
    }
}

impl BackendFactory for MemoryBackend {
    fn block_store(&self, options: &VolumeOptions) -> Result<Arc<dyn BlockStore>> {
        let disk = self.disk(&options.site, &options.group, JOURNAL_BYTES);
        Ok(Arc::new(disk.volume(&options.volume.name, options.volume.size)?))
    }

    fn journal_store(&self, options: &JournalOptions) -> Result<Box<dyn JournalStore>> {
        let disk = self.disk(&options.site, &options.group, options.capacity_bytes);
        Ok(Box::new(disk.journal()?))
    }
}

/// Sparse volume files, and a journal in segment files.
struct FileBackend;

impl BackendFactory for FileBackend {
    fn block_store(&self, options: &VolumeOptions) -> Result<Arc<dyn BlockStore>> {
        let VolumeOptions { site: _, group, volume, dir, settings: _ } = options;
        #[cfg(feature = "uring")]
        let store = trefoil_backends::uring::open_store(dir, group, &volume.name, volume.size)?;
        #[cfg(not(feature = "uring"))]
        let store = Arc::new(FileStore::open(dir, group, &volume.name, volume.size)?);
        Ok(store)
    }

    fn journal_store(&self, options: &JournalOptions) -> Result<Box<dyn JournalStore>> {
        let JournalOptions { site, group, dir, capacity_bytes, settings } = options;
        let medium = match settings.get("direct").map(String::as_str) {
            Some("true") => Medium::Direct,
            // What was measured: the page cache is as fast durably, and quicker to append to.
            None | Some("auto" | "false") => Medium::Written,
            Some(other) => {
                return Err(Error::invalid(format!(
                    "open journal of {group}: direct = {other:?}; it is true, false or \"auto\""
                )));
            }
        };
        Ok(Box::new(FileJournal::open_with(dir, (group, site), *capacity_bytes, medium)?))
    }

    fn keys(&self) -> &[&'static str] {
        &["direct"]
    }
}

/// The same files, mapped: a site may be changed between the two words while it is stopped.
struct MmapBackend;

impl BackendFactory for MmapBackend {
    fn block_store(&self, options: &VolumeOptions) -> Result<Arc<dyn BlockStore>> {
        let VolumeOptions { site: _, group, volume, dir, settings: _ } = options;
        Ok(Arc::new(MmapStore::open(dir, group, &volume.name, volume.size)?))
    }

    fn journal_store(&self, options: &JournalOptions) -> Result<Box<dyn JournalStore>> {
        let JournalOptions { site, group, dir, capacity_bytes, settings: _ } = options;
        let names = (group, site);
        Ok(Box::new(FileJournal::open_with(dir, names, *capacity_bytes, Medium::Mapped)?))
    }
}

/// Keeps nothing: for measuring what everything but the disk costs.
struct NoopBackend;

impl BackendFactory for NoopBackend {
    fn block_store(&self, options: &VolumeOptions) -> Result<Arc<dyn BlockStore>> {
        Ok(Arc::new(NoopStore::open(&options.volume.name, options.volume.size)))
    }

    fn journal_store(&self, options: &JournalOptions) -> Result<Box<dyn JournalStore>> {
        Ok(Box::new(NoopJournal::open(&options.group, options.capacity_bytes)))
    }
}
