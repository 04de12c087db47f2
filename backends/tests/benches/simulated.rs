//! Benches on a simulated disk for the public suites.

use async_trait::async_trait;
use std::sync::Arc;
use trefoil_backends::simulated::SimulatedDisk;
use trefoil_core::Result;
use trefoil_core::conformance::block_store::BlockStoreBench;
use trefoil_core::conformance::journal_store::{CAPACITY_BYTES, JournalStoreBench};
use trefoil_core::model::VolumeName;
use trefoil_core::port::{BlockStore, JournalStore};

/// The name of the suites' volume.
pub fn volume() -> VolumeName {
    VolumeName::new("suite").unwrap()
}

/// Journals and stores on a simulated disk, each on a new seed.
#[derive(Default)]
pub struct Simulated {
    pub seed: u64,
    pub disk: Option<SimulatedDisk>,
    size: u64,
}

impl Simulated {
    fn new_disk(&mut self) -> &SimulatedDisk {
        self.seed += 1;
        self.disk.insert(SimulatedDisk::new(self.seed, CAPACITY_BYTES))
    }

    fn disk(&self) -> &SimulatedDisk {
        self.disk.as_ref().unwrap()
    }
}

#[async_trait]
impl JournalStoreBench for Simulated {
    async fn fresh(&mut self) -> Result<Box<dyn JournalStore>> {
        Ok(Box::new(self.new_disk().journal()?))
    }

    async fn reopen(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        self.disk().crash_process();
        Ok(Some(Box::new(self.disk().journal()?)))
    }

    async fn lose_power(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        self.disk().lose_power();
        Ok(Some(Box::new(self.disk().journal()?)))
    }

    async fn tear_tail(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        self.disk().crash_process();
        let newest = self.disk().received().number;
        assert!(self.disk().damage_record(newest));
        Ok(Some(Box::new(self.disk().journal()?)))
    }

    fn fail_next_sync(&mut self) -> bool {
        self.disk().fail_next_sync();
        true
    }
}

#[async_trait]
impl BlockStoreBench for Simulated {
    async fn fresh(&mut self, size: u64) -> Result<Arc<dyn BlockStore>> {
        self.size = size;
        Ok(Arc::new(self.new_disk().volume(&volume(), size)?))
    }

    async fn reopen(&mut self) -> Result<Option<Arc<dyn BlockStore>>> {
        self.disk().crash_process();
        Ok(Some(Arc::new(self.disk().volume(&volume(), self.size)?)))
    }

    async fn lose_power(&mut self) -> Result<Option<Arc<dyn BlockStore>>> {
        self.disk().lose_power();
        Ok(Some(Arc::new(self.disk().volume(&volume(), self.size)?)))
    }

    fn fill_device(&mut self) -> bool {
        self.disk().set_full(true);
        true
    }

    fn fail_next_sync(&mut self) -> bool {
        self.disk().fail_next_sync();
        true
    }
}
