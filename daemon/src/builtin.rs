//! The words that come with trefoil: which transports and backends a configuration may name.

use crate::distant::Distant;
use dashmap::DashMap;
use std::sync::Arc;
use trefoil_backends::file::{FileJournal, FileStore, Medium};
use trefoil_backends::memory::MemoryDisk;
use trefoil_backends::mmap::MmapStore;
use trefoil_core::model::{GroupName, SiteName};
use trefoil_core::port::{BlockStore, JournalStore, Transport};
use trefoil_core::{Error, Result};
use trefoil_site::registry::{
    BackendFactory, Inside, JournalOptions, Registry, TransportOptions, VolumeOptions,
};
use trefoil_transports::{MemoryNetwork, TcpOptions, TcpTransport};

/// The transport that reaches sites of the same process only.
pub const IN_PROCESS: &str = "memory";

/// A registry with everything that comes with trefoil. Sites that are opened with the same
/// registry share its memory transport, and their memory backends outlive them.
pub fn registry() -> Registry {
    let network = MemoryNetwork::new();
    let memory = move |_: &TransportOptions| -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(network.transport()))
    };
    Registry::new()
        .transport(IN_PROCESS, Inside(memory))
        .transport("tcp", tcp)
        .backend("memory", MemoryBackend::default())
        .backend("file", FileBackend)
        .backend("mmap", MmapBackend)
        .shaper(|near, shape| Arc::new(Distant::over(near, shape)))
}

fn tcp(options: &TransportOptions) -> Result<Arc<dyn Transport>> {
    if options.tls.is_some() {
        return Err(Error::invalid("open transport tcp: TLS is not wired in yet; take out [tls]"));
    }
    let limits = TcpOptions { connect_timeout: options.timeout, ..TcpOptions::default() };
    Ok(Arc::new(TcpTransport::new(limits)))
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
        Ok(Arc::new(FileStore::open(dir, group, &volume.name, volume.size)?))
    }

    fn journal_store(&self, options: &JournalOptions) -> Result<Box<dyn JournalStore>> {
        let JournalOptions { site, group, dir, capacity_bytes, settings: _ } = options;
        Ok(Box::new(FileJournal::open(dir, group, site, *capacity_bytes)?))
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
