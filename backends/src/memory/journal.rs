//! A journal and a state in memory.

use crate::open_once::Claim;
use crate::record_log::{RecordLog, check_cut};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use trefoil_core::model::{Position, UpdateNumber};
use trefoil_core::port::{JournalStore, Recovery, SyncFuture};
use trefoil_core::record::Record;
use trefoil_core::{Error, Result};

/// What outlives a handle.
#[derive(Debug)]
pub(super) struct JournalMemory {
    log: RecordLog,
    state: Option<Vec<u8>>,
    /// What was set aside, by the number that it begins after.
    tails: BTreeMap<UpdateNumber, Vec<Record>>,
}

impl JournalMemory {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { log: RecordLog::new(bytes_max), state: None, tails: BTreeMap::new() }
    }
}

/// A journal in memory: durable as long as its memory lives, and no longer.
#[derive(Debug)]
pub struct MemoryJournal {
    memory: Arc<Mutex<JournalMemory>>,
    recovered: bool,
    _claim: Option<Claim>,
}

impl MemoryJournal {
    /// An empty journal of up to `bytes_max` bytes of records that lives as long as this handle.
    pub fn new(bytes_max: u64) -> Self {
        Self::over(Arc::new(Mutex::new(JournalMemory::new(bytes_max))), None)
    }

    pub(super) fn over(memory: Arc<Mutex<JournalMemory>>, claim: Option<Claim>) -> Self {
        Self { memory, recovered: false, _claim: claim }
    }

    /// Checks that `recover` was called, as the port demands.
    fn check_recovered(&self) -> Result<()> {
        if self.recovered {
            return Ok(());
        }
        Err(Error::invalid("use memory journal: it is not recovered; call `recover` first"))
    }
}

/// The encoded length of tails.
fn bytes_of(tails: &BTreeMap<UpdateNumber, Vec<Record>>) -> u64 {
    tails.values().flatten().map(|record| record.encoded_bytes() as u64).sum()
}

#[async_trait]
impl JournalStore for MemoryJournal {
    async fn recover(&mut self) -> Result<Recovery> {
        self.recovered = true;
        Ok(self.memory.lock().log.recovery(None))
    }

    async fn append(&mut self, records: Vec<Record>) -> Result<()> {
        self.check_recovered()?;
        let log = &mut self.memory.lock().log;
        log.check(&records)?;
        log.push(records);
        Ok(())
    }

    fn sync(&mut self) -> SyncFuture {
        Box::pin(std::future::ready(self.check_recovered()))
    }

    async fn read(&mut self, from: UpdateNumber, bytes_max: usize) -> Result<Vec<Record>> {
        self.check_recovered()?;
        self.memory.lock().log.read(from, bytes_max)
    }

    async fn trim(&mut self, up_to: UpdateNumber) -> Result<Position> {
        self.check_recovered()?;
        Ok(self.memory.lock().log.trim(up_to))
    }

    async fn reset(&mut self, base: Position) -> Result<()> {
        self.check_recovered()?;
        self.memory.lock().log.reset(base);
        Ok(())
    }

    async fn set_aside(&mut self, after: UpdateNumber) -> Result<String> {
        self.check_recovered()?;
        let mut memory = self.memory.lock();
        let tail = memory.log.after(after);
        let count = tail.len();
        let (_, bytes_max) = memory.log.usage();
        memory.tails.insert(after, tail);
        // The newest tail always fits: it is no longer than the journal.
        while bytes_of(&memory.tails) > bytes_max {
            memory.tails.pop_first();
        }
        Ok(format!("memory, {count} records, gone with this process"))
    }

    async fn truncate(&mut self, after: UpdateNumber) -> Result<()> {
        self.check_recovered()?;
        let log = &mut self.memory.lock().log;
        check_cut(after, &log.base(), &log.newest())?;
        log.cut_after(after);
        Ok(())
    }

    async fn load_state(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.memory.lock().state.clone())
    }

    async fn save_state(&mut self, state: Vec<u8>) -> Result<()> {
        self.memory.lock().state = Some(state);
        Ok(())
    }

    fn usage(&self) -> (u64, u64) {
        self.memory.lock().log.usage()
    }

    fn describe(&self) -> String {
        let (_, bytes_max) = self.usage();
        format!("memory journal ({bytes_max} bytes)")
    }
}
