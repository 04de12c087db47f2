//! Serves the volumes of a site to hosts: the NBD front end's port over volume handles.
//!
//! An export is named `group/volume`, and `volume` alone where that is unique. The site that leads
//! a group serves it read-write, the others read-only, as of what they restored.

use crate::metrics::{HostMeter, Op, Telemetry};
use crate::nbd::{Export, Exports};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use trefoil_core::model::{GroupName, SiteName, VolumeName};
use trefoil_core::{Error, Result};
use trefoil_site::{Group, Volume};

/// The full name of a volume's export.
pub fn export_name(group: &GroupName, volume: &VolumeName) -> String {
    format!("{group}/{volume}")
}

/// The exports of one site.
pub struct SiteExports {
    by_name: BTreeMap<String, Arc<VolumeExport>>,
    /// The full names, in the order of groups and volumes.
    names: Vec<String>,
}

impl SiteExports {
    /// Exports every volume of `groups`.
    ///
    /// # Errors
    /// When a group does not have a volume that it names.
    pub fn new<'a>(
        site: &SiteName,
        groups: impl IntoIterator<Item = &'a Group>,
        telemetry: &Telemetry,
    ) -> Result<Self> {
        let mut exports = Self { by_name: BTreeMap::new(), names: Vec::new() };
        let mut short: BTreeMap<String, Vec<Arc<VolumeExport>>> = BTreeMap::new();
        for group in groups {
            for plain in group.volumes() {
                let name = export_name(group.name(), &plain);
                let volume = group.volume(&plain)?;
                let meter = HostMeter::new(telemetry, site, group.name(), &plain);
                let export = Arc::new(VolumeExport { volume, meter });
                short.entry(plain.to_string()).or_default().push(Arc::clone(&export));
                exports.by_name.insert(name.clone(), export);
                exports.names.push(name);
            }
        }
        for (plain, candidates) in short {
            if let [export] = candidates.as_slice() {
                exports.by_name.entry(plain).or_insert_with(|| Arc::clone(export));
            }
        }
        Ok(exports)
    }
}

impl Exports for SiteExports {
    fn find(&self, name: &str) -> Result<Arc<dyn Export>> {
        let only = match self.names.as_slice() {
            [only] if name.is_empty() => only,
            _ => name,
        };
        match self.by_name.get(only) {
            Some(export) => Ok(Arc::clone(export) as Arc<dyn Export>),
            None => {
                let known = self.names.join(", ");
                Err(Error::invalid(format!("find export: no volume `{name}`; known: {known}")))
            }
        }
    }

    fn list(&self) -> Vec<String> {
        self.names.clone()
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
    fn find(&self, name: &str) -> Result<Arc<dyn Export>> {
        match self.0.get() {
            Some(exports) => exports.find(name),
            None => Err(Error::closed("find export: the site is starting")),
        }
    }

    fn list(&self) -> Vec<String> {
        self.0.get().map(Exports::list).unwrap_or_default()
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
}

impl VolumeExport {
    async fn made_durable(&self, asked: bool) -> Result<()> {
        if asked {
            self.volume.flush().await?;
        }
        Ok(())
    }
}
