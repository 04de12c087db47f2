//! Serves the volumes of a site to hosts: the NBD front end's port over volume handles.
//!
//! An export is named `group/volume`, and `volume` alone where that is unique. The site that leads
//! a group serves it read-write, the others read-only, as of what they restored.

use crate::metrics::{HostMeter, Op, Telemetry};
use crate::nbd::{Export, Exports, Work};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use trefoil_core::model::{GroupName, VolumeName, find_volume};
use trefoil_core::{Error, Result};
use trefoil_site::config::{HostAccess, HostsEntry, SiteConfig};
use trefoil_site::{Group, Volume};

/// The full name of a volume's export.
pub fn export_name(group: &GroupName, volume: &VolumeName) -> String {
    format!("{group}/{volume}")
}

/// The exports of one site: those of the volumes that its groups have now.
pub struct SiteExports {
    config: SiteConfig,
    groups: Vec<Group>,
    telemetry: Telemetry,
    listed: RwLock<Arc<Listed>>,
}

/// The exports as of some volumes.
#[derive(Default)]
struct Listed {
    /// The volumes of each group.
    volumes: Vec<Vec<VolumeName>>,
    by_name: BTreeMap<String, Offer>,
    /// The full names, in the order of groups and volumes.
    names: Vec<String>,
}

/// A volume, and whom it is for.
#[derive(Clone)]
struct Offer {
    export: Arc<VolumeExport>,
    hosts: Arc<HostsEntry>,
}

impl Offer {
    /// What a client may do: one that was let in without a certificate is a local one.
    fn access(&self, host: Option<&str>) -> HostAccess {
        host.map_or(HostAccess::Write, |host| self.hosts.access(host))
    }
}

impl SiteExports {
    /// Exports every volume of `groups` to the hosts that `config` names; volumes may come and go.
    ///
    /// # Errors
    /// When a group does not have a volume that it names.
    pub fn new<'a>(
        config: &SiteConfig,
        groups: impl IntoIterator<Item = &'a Group>,
        telemetry: &Telemetry,
    ) -> Result<Self> {
        let groups: Vec<Group> = groups.into_iter().cloned().collect();
        let listed = Listed::new(config, &groups, telemetry)?;
        let (config, telemetry) = (config.clone(), telemetry.clone());
        Ok(Self { config, groups, telemetry, listed: RwLock::new(Arc::new(listed)) })
    }

    /// The exports now.
    fn listed(&self) -> Arc<Listed> {
        let listed = self.listed.read().clone();
        if self.groups.iter().map(Group::volumes).eq(listed.volumes.iter().cloned()) {
            return listed;
        }
        // A volume that went between the two looks is listed anew by the next one who asks.
        match Listed::new(&self.config, &self.groups, &self.telemetry) {
            Ok(now) => {
                let now = Arc::new(now);
                *self.listed.write() = Arc::clone(&now);
                now
            }
            Err(_) => listed,
        }
    }
}

impl Listed {
    fn new(config: &SiteConfig, groups: &[Group], telemetry: &Telemetry) -> Result<Self> {
        let site = &config.site;
        let mut exports = Self::default();
        let mut short: BTreeMap<String, Vec<Offer>> = BTreeMap::new();
        for group in groups {
            exports.volumes.push(group.volumes());
            let entry = config.groups.get(group.name());
            let hosts = Arc::new(entry.map(|entry| entry.hosts.clone()).unwrap_or_default());
            for plain in exports.volumes.last().cloned().unwrap_or_default() {
                let name = export_name(group.name(), &plain);
                let volume = group.volume(&plain)?;
                let meter = HostMeter::new(telemetry, site, group.name(), &plain);
                let export = Arc::new(VolumeExport { volume, meter });
                let offer = Offer { export, hosts: Arc::clone(&hosts) };
                short.entry(plain.to_string()).or_default().push(offer.clone());
                exports.by_name.insert(name.clone(), offer);
                exports.names.push(name);
            }
        }
        for (plain, candidates) in short {
            if let [offer] = candidates.as_slice() {
                exports.by_name.entry(plain).or_insert_with(|| offer.clone());
            }
        }
        Ok(exports)
    }

    /// The names that a host may ask for.
    fn shown(&self, host: Option<&str>) -> Vec<String> {
        let shown = |name: &&String| {
            let offer = self.by_name.get(*name);
            offer.is_some_and(|offer| offer.access(host) != HostAccess::Nothing)
        };
        self.names.iter().filter(shown).cloned().collect()
    }
}

impl Exports for SiteExports {
    fn find(&self, host: Option<&str>, name: &str) -> Result<Arc<dyn Export>> {
        let listed = self.listed();
        let known = listed.shown(host);
        let asked = match known.as_slice() {
            [only] if name.is_empty() => only,
            _ => name,
        };
        let offer = listed.by_name.get(asked).map(|offer| (offer, offer.access(host)));
        match offer {
            Some((offer, HostAccess::Write)) => {
                offer.export.check_settled()?;
                Ok(Arc::clone(&offer.export) as Arc<dyn Export>)
            }
            Some((offer, HostAccess::Read)) => Ok(Arc::new(OnlyRead(Arc::clone(&offer.export)))),
            // The same words for both: who may not have it learns nothing of it.
            Some((_, HostAccess::Nothing)) | None => {
                let known = known.join(", ");
                Err(Error::invalid(format!("find export: no volume `{name}`; known: {known}")))
            }
        }
    }

    fn list(&self, host: Option<&str>) -> Vec<String> {
        self.listed().shown(host)
    }
}

/// A volume for a host that may read it and no more.
struct OnlyRead(Arc<VolumeExport>);

fn not_to_write() -> Error {
    Error::refused("write volume: this host may only read it (`read_only_hosts`)")
}

#[async_trait]
impl Export for OnlyRead {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_only(&self) -> bool {
        true
    }

    async fn read(&self, offset: u64, len: u64) -> Result<Bytes> {
        self.0.read(offset, len).await
    }

    async fn write(&self, _offset: u64, _data: Bytes, _fua: bool) -> Result<()> {
        Err(not_to_write())
    }

    async fn flush(&self) -> Result<()> {
        self.0.flush().await
    }

    async fn zero(&self, _offset: u64, _len: u64, _fua: bool, _punch: bool) -> Result<()> {
        Err(not_to_write())
    }

    async fn allocated(&self, offset: u64, len: u64) -> Result<Vec<(u64, bool)>> {
        self.0.allocated(offset, len).await
    }

    fn run_beside(&self, connection: Work) -> std::result::Result<(), Work> {
        self.0.run_beside(connection)
    }
}

/// The exports of a site that is about to start: its port can be bound before any file is opened.
#[derive(Default)]
pub struct LateExports(OnceLock<SiteExports>);

impl LateExports {
    /// Serves these from now on. Only the first call counts.
    pub fn set(&self, exports: SiteExports) {
        drop(self.0.set(exports));
    }
}

impl Exports for LateExports {
    fn find(&self, host: Option<&str>, name: &str) -> Result<Arc<dyn Export>> {
        match self.0.get() {
            Some(exports) => exports.find(host, name),
            None => Err(Error::closed("find export: the site is starting")),
        }
    }

    fn list(&self, host: Option<&str>) -> Vec<String> {
        self.0.get().map(|exports| exports.list(host)).unwrap_or_default()
    }
}

/// One volume as hosts see it.
pub struct VolumeExport {
    volume: Volume,
    meter: HostMeter,
}

#[async_trait]
impl Export for VolumeExport {
    fn size(&self) -> u64 {
        self.volume.size()
    }

    /// Where this says "writable" although the site stops leading a moment later, the volume
    /// itself refuses the write.
    fn read_only(&self) -> bool {
        !self.volume.writable()
    }

    async fn read(&self, offset: u64, len: u64) -> Result<Bytes> {
        let length = usize::try_from(len)
            .map_err(|_| Error::invalid(format!("read volume: {len} bytes at once")))?;
        self.meter.measure(Op::Read, len, self.volume.read_at(offset, length)).await
    }

    async fn write(&self, offset: u64, data: Bytes, fua: bool) -> Result<()> {
        let bytes = data.len() as u64;
        let request = async {
            self.volume.write_at(offset, data).await?;
            self.made_durable(fua).await
        };
        self.meter.measure(Op::Write, bytes, request).await
    }

    async fn flush(&self) -> Result<()> {
        self.meter.measure(Op::Flush, 0, self.made_durable(true)).await
    }

    async fn zero(&self, offset: u64, len: u64, fua: bool, _punch: bool) -> Result<()> {
        let request = async {
            self.volume.write_zeroes(offset, len).await?;
            self.made_durable(fua).await
        };
        self.meter.measure(Op::WriteZeroes, len, request).await
    }

    async fn allocated(&self, offset: u64, len: u64) -> Result<Vec<(u64, bool)>> {
        self.volume.allocated(offset, len).await
    }

    fn run_beside(&self, connection: Work) -> std::result::Result<(), Work> {
        self.volume.group().run_beside(connection)
    }
}

impl VolumeExport {
    /// A host must not learn a size that is about to change: it keeps what it learns.
    fn check_settled(&self) -> Result<()> {
        let status = self.volume.group().status();
        let coming = find_volume(&status.volumes_to_come, self.volume.name());
        match coming {
            Some((_, volume)) if volume.size != self.volume.size() => Err(Error::closed(format!(
                "find export: volume {} is about to have {} bytes here; connect again",
                volume.name, volume.size
            ))),
            _ => Ok(()),
        }
    }

    async fn made_durable(&self, asked: bool) -> Result<()> {
        if asked {
            self.volume.flush().await?;
        }
        Ok(())
    }
}
