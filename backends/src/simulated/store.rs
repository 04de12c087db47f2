//! A volume on a simulated disk, as the site under test holds it.

use super::disk::{Disk, SimulatedDisk};
use super::faults::wait;
use super::flight::{Begun, Flight};
use super::volume::Volume;
use crate::open_once::Claim;
use crate::range::{check_batch, check_range};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use trefoil_core::model::{Extent, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite};
use trefoil_core::{Error, ErrorKind, Result};

/// A volume on a [`SimulatedDisk`]. Closed for ever once its process is gone.
#[derive(Debug)]
pub struct SimulatedStore {
    disk: SimulatedDisk,
    life: u64,
    name: VolumeName,
    size: AtomicU64,
    poisoned: AtomicBool,
    _claim: Claim,
}

impl SimulatedStore {
    pub(super) fn new(
        disk: SimulatedDisk,
        life: u64,
        name: VolumeName,
        size: u64,
        claim: Claim,
    ) -> Self {
        let (size, poisoned) = (AtomicU64::new(size), AtomicBool::new(false));
        Self { disk, life, name, size, poisoned, _claim: claim }
    }

    /// The volume, if the process that opened it is still there.
    fn volume<'a>(&self, disk: &'a mut Disk, what: &str) -> Result<&'a mut Volume> {
        disk.check_life(self.life, what)?;
        let name = &self.name;
        disk.volumes
            .get_mut(name)
            .ok_or_else(|| Error::closed(format!("{what} volume {name}: it is gone")))
    }

    fn check_poison(&self) -> Result<()> {
        if self.poisoned.load(Ordering::SeqCst) {
            return Err(Error::new(
                ErrorKind::Io,
                format!("use volume {}: an earlier sync failed; restart the site", self.name),
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl BlockStore for SimulatedStore {
    fn size(&self) -> u64 {
        self.size.load(Ordering::SeqCst)
    }

    async fn read(&self, offset: u64, length: usize) -> Result<Bytes> {
        check_range("read", self.size(), offset, length as u64)?;
        let time = self.disk.lock().draw(|latency| &latency.read);
        wait(time).await;
        let mut disk = self.disk.lock();
        Ok(self.volume(&mut disk, "read")?.read(offset, length).into())
    }

    async fn write(&self, batch: Vec<BlockWrite>) -> Result<()> {
        check_batch(self.size(), &batch)?;
        let time = {
            let mut disk = self.disk.lock();
            disk.check_life(self.life, "write")?;
            self.check_poison()?;
            disk.faults.check_room("write")?;
            disk.draw(|latency| &latency.write)
        };
        let begun = Begun::new(&self.disk, Flight::Write(self.name.clone(), batch));
        wait(time).await;
        let mut disk = self.disk.lock();
        let landed = begun.land(&mut disk);
        let volume = self.volume(&mut disk, "write")?;
        if let Some(Flight::Write(_, batch)) = landed {
            batch.into_iter().for_each(|write| volume.write(write));
        }
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        let (written, time) = {
            let mut disk = self.disk.lock();
            let written = self.volume(&mut disk, "sync")?.written();
            (written, disk.draw(|latency| &latency.sync))
        };
        self.check_poison()?;
        wait(time).await;
        let mut disk = self.disk.lock();
        disk.check_life(self.life, "sync")?;
        self.check_poison()?;
        let (fails, lies) = (disk.faults.take_sync_failure(), disk.faults.lying);
        let volume = self.volume(&mut disk, "sync")?;
        if fails {
            volume.drop_unsynced(written);
            self.poisoned.store(true, Ordering::SeqCst);
            let doing = format!("sync volume {}: simulated failure", self.name);
            return Err(Error::new(ErrorKind::Io, doing));
        }
        if !lies {
            volume.sync(written);
        }
        Ok(())
    }

    async fn allocated_from(&self, offset: u64) -> Result<Option<Extent>> {
        let mut disk = self.disk.lock();
        Ok(self.volume(&mut disk, "list")?.allocated_from(offset))
    }

    async fn grow(&self, size: u64) -> Result<()> {
        let time = {
            let mut disk = self.disk.lock();
            disk.check_life(self.life, "grow")?;
            self.check_poison()?;
            if size <= self.size() {
                return Ok(());
            }
            disk.faults.check_growth()?;
            disk.draw(|latency| &latency.sync)
        };
        wait(time).await;
        let mut disk = self.disk.lock();
        let volume = self.volume(&mut disk, "grow")?;
        volume.size = volume.size.max(size);
        self.size.fetch_max(size, Ordering::SeqCst);
        Ok(())
    }

    fn describe(&self) -> String {
        format!("simulated {} ({} bytes)", self.name, self.size())
    }
}
