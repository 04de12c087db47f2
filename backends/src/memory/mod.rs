//! Stores and journals in memory.
//!
//! A [`MemoryDisk`] outlives the handles that it gives out, so that a test can end a "process" by
//! dropping them and open the same memory again.

mod journal;
mod store;

pub use journal::MemoryJournal;
pub use store::MemoryStore;

use crate::open_once::OpenOnce;
use journal::JournalMemory;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::StoreMemory;
use trefoil_core::model::VolumeName;
use trefoil_core::{Error, Result};

/// The journal, state and volumes of one site for one group, in memory.
///
/// Cloning shares the memory. Each part may be open once at a time: a second handle is refused
/// until the first is dropped.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    journal: Arc<Mutex<JournalMemory>>,
    volumes: Arc<Mutex<BTreeMap<VolumeName, Arc<StoreMemory>>>>,
    open: OpenOnce,
}

impl MemoryDisk {
    /// An empty disk whose journal holds up to `journal_bytes_max` bytes of records.
    pub fn new(journal_bytes_max: u64) -> Self {
        Self {
            journal: Arc::new(Mutex::new(JournalMemory::new(journal_bytes_max))),
            volumes: Arc::default(),
            open: OpenOnce::default(),
        }
    }

    /// Opens the journal with its state.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](trefoil_core::ErrorKind::Refused) while another handle is open.
    pub fn journal(&self) -> Result<MemoryJournal> {
        let claim = self.open.claim("memory journal".to_owned())?;
        Ok(MemoryJournal::over(self.journal.clone(), Some(claim)))
    }

    /// Opens the volume `name`, making it if it is new.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](trefoil_core::ErrorKind::Refused) while another handle is open, and
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid) if it has another size.
    pub fn volume(&self, name: &VolumeName, size: u64) -> Result<MemoryStore> {
        let claim = self.open.claim(format!("memory volume {name}"))?;
        let mut volumes = self.volumes.lock();
        let memory =
            volumes.entry(name.clone()).or_insert_with(|| Arc::new(StoreMemory::new(size)));
        if memory.size() != size {
            return Err(Error::invalid(format!(
                "open memory volume {name}: it has {} bytes, {size} are configured; configure its \
                 size, or use another name",
                memory.size()
            )));
        }
        Ok(MemoryStore::over(memory.clone(), name.as_str(), Some(claim)))
    }
}
