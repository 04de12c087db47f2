//! The journal on a simulated disk, as the site under test holds it.

use super::disk::{Disk, SimulatedDisk};
use super::faults::wait;
use super::flight::{Begun, Flight};
use crate::open_once::Claim;
use crate::record_log::check_cut;
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use trefoil_core::model::{Position, UpdateNumber};
use trefoil_core::port::{JournalStore, Recovery, SyncFuture};
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind, Result};

/// A journal on a [`SimulatedDisk`]. Closed for ever once its process is gone.
#[derive(Debug)]
pub struct SimulatedJournal {
    disk: SimulatedDisk,
    life: u64,
    recovered: bool,
    poisoned: Arc<AtomicBool>,
    _claim: Claim,
}

impl SimulatedJournal {
    pub(super) fn new(disk: SimulatedDisk, life: u64, claim: Claim) -> Self {
        Self { disk, life, recovered: false, poisoned: Arc::default(), _claim: claim }
    }

    /// Checks that this handle may still be used for `what`.
    fn check(&self, disk: &Disk, what: &str) -> Result<()> {
        disk.check_life(self.life, what)?;
        check_poison(&self.poisoned, what)?;
        if !self.recovered {
            return Err(Error::invalid(format!("{what}: not recovered; call `recover` first")));
        }
        Ok(())
    }

    /// What of an append is decided before it takes any time.
    fn begin_append(&self, disk: &mut Disk, records: &[Record]) -> Result<()> {
        self.check(disk, "append")?;
        disk.faults.check_room("append")?;
        disk.log.check(records)?;
        if let Some(kind) = disk.faults.append_to_fail.take() {
            if !matches!(kind, ErrorKind::Full | ErrorKind::Invalid) {
                self.poisoned.store(true, Ordering::SeqCst);
                disk.suspect = true;
            }
            return Err(Error::new(kind, "append: the simulated disk fails this append"));
        }
        Ok(())
    }
}

fn check_poison(poisoned: &AtomicBool, what: &str) -> Result<()> {
    if poisoned.load(Ordering::SeqCst) {
        return Err(Error::new(
            ErrorKind::Io,
            format!("{what}: the journal is poisoned by an earlier failure; restart the site"),
        ));
    }
    Ok(())
}

#[async_trait]
impl JournalStore for SimulatedJournal {
    async fn recover(&mut self) -> Result<Recovery> {
        let time = self.disk.lock().draw(|latency| &latency.sync);
        wait(time).await;
        let mut disk = self.disk.lock();
        disk.check_life(self.life, "recover journal")?;
        let mut cut = disk.cut.take();
        if let Some(bad) = disk.damaged.first().copied() {
            let newest = disk.log.newest().number;
            let good_behind = newest.since(bad) >= disk.damaged.len() as u64;
            if good_behind {
                disk.cut = cut;
                return Err(Error::corrupt(format!(
                    "recover simulated journal: record {bad} is damaged, good ones follow up to \
                     {newest}"
                )));
            }
            disk.cut_after(bad.previous());
            cut = Some(format!("record {bad} at the end is damaged"));
        }
        if !disk.faults.lying {
            disk.durable = disk.log.newest().number;
        }
        let recovery = Recovery { suspect: disk.suspect, ..disk.log.recovery(cut) };
        drop(disk);
        self.recovered = true;
        Ok(recovery)
    }

    async fn salvage(&mut self) -> Result<Recovery> {
        let time = self.disk.lock().draw(|latency| &latency.sync);
        wait(time).await;
        let mut disk = self.disk.lock();
        disk.check_life(self.life, "salvage journal")?;
        let Some(bad) = disk.damaged.first().copied() else {
            return Err(Error::invalid("salvage journal: nothing is damaged"));
        };
        let whole = disk.log.after(bad.previous());
        disk.aside.extend(whole.into_iter().map(|record| (record.position(), record)));
        disk.cut_after(bad.previous());
        disk.resets += 1;
        disk.durable = disk.log.newest().number;
        let cut = Some(format!("records from {bad} on were cut: it is damaged"));
        let recovery = Recovery { suspect: true, ..disk.log.recovery(cut) };
        drop(disk);
        self.recovered = true;
        Ok(recovery)
    }

    async fn append(&mut self, records: Vec<Record>) -> Result<()> {
        let time = {
            let mut disk = self.disk.lock();
            self.begin_append(&mut disk, &records)?;
            disk.draw(|latency| &latency.append)
        };
        let begun = Begun::new(&self.disk, Flight::Append(records));
        wait(time).await;
        let mut disk = self.disk.lock();
        match begun.land(&mut disk) {
            Some(Flight::Append(records)) => {
                disk.log.push(records);
                Ok(())
            }
            _ => self.check(&disk, "append"),
        }
    }

    fn sync(&mut self) -> SyncFuture {
        let (shared, poisoned, life) = (self.disk.clone(), self.poisoned.clone(), self.life);
        let begun = {
            let mut disk = self.disk.lock();
            self.check(&disk, "sync journal").map(|()| {
                let time = disk.draw(|latency| &latency.sync);
                (disk.log.newest().number, disk.resets, time)
            })
        };
        Box::pin(async move {
            let (target, resets, time) = begun?;
            wait(time).await;
            let mut disk = shared.lock();
            disk.check_life(life, "sync journal")?;
            check_poison(&poisoned, "sync journal")?;
            if disk.faults.take_sync_failure() {
                poisoned.store(true, Ordering::SeqCst);
                disk.suspect = true;
                return Err(Error::new(ErrorKind::Io, "sync journal: simulated failure"));
            }
            if !disk.faults.lying && disk.resets == resets {
                disk.durable = disk.durable.max(target);
            }
            Ok(())
        })
    }

    async fn read(&mut self, from: UpdateNumber, bytes_max: usize) -> Result<Vec<Record>> {
        let time = self.disk.lock().draw(|latency| &latency.read);
        wait(time).await;
        let disk = self.disk.lock();
        self.check(&disk, "read journal")?;
        let mut records = disk.log.read(from, bytes_max)?;
        if let Some(bad) = disk.damaged.range(from..).next().copied() {
            if bad == from {
                return Err(Error::corrupt(format!("read journal: record {bad} is damaged")));
            }
            records.retain(|record| record.number() < bad);
        }
        Ok(records)
    }

    async fn trim(&mut self, up_to: UpdateNumber) -> Result<Position> {
        let mut disk = self.disk.lock();
        self.check(&disk, "trim journal")?;
        let base = disk.log.trim(up_to);
        disk.damaged = disk.damaged.split_off(&base.number.next());
        disk.durable = disk.durable.max(base.number);
        Ok(base)
    }

    async fn reset(&mut self, base: Position) -> Result<()> {
        let time = self.disk.lock().draw(|latency| &latency.sync);
        wait(time).await;
        let mut disk = self.disk.lock();
        self.check(&disk, "reset journal")?;
        disk.log.reset(base);
        disk.durable = base.number;
        disk.damaged.clear();
        disk.resets += 1;
        Ok(())
    }

    async fn set_aside(&mut self, after: UpdateNumber) -> Result<String> {
        let time = self.disk.lock().draw(|latency| &latency.sync);
        wait(time).await;
        let mut disk = self.disk.lock();
        self.check(&disk, "set a tail aside")?;
        disk.faults.check_room("set a tail aside")?;
        let tail = disk.log.after(after);
        let count = tail.len();
        disk.aside.extend(tail.into_iter().map(|record| (record.position(), record)));
        Ok(format!("simulated disk, {count} records"))
    }

    async fn truncate(&mut self, after: UpdateNumber) -> Result<()> {
        let time = self.disk.lock().draw(|latency| &latency.sync);
        wait(time).await;
        let mut disk = self.disk.lock();
        self.check(&disk, "truncate journal")?;
        check_cut(after, &disk.log.base(), &disk.log.newest())?;
        disk.cut_after(after);
        disk.resets += 1;
        Ok(())
    }

    async fn load_state(&mut self) -> Result<Option<Vec<u8>>> {
        let disk = self.disk.lock();
        disk.check_life(self.life, "load state")?;
        Ok(disk.state.clone())
    }

    async fn save_state(&mut self, state: Vec<u8>) -> Result<()> {
        let time = {
            let mut disk = self.disk.lock();
            disk.check_life(self.life, "save state")?;
            check_poison(&self.poisoned, "save state")?;
            disk.draw(|latency| &latency.sync)
        };
        let begun = Begun::new(&self.disk, Flight::State(state));
        wait(time).await;
        let mut disk = self.disk.lock();
        match begun.land(&mut disk) {
            Some(Flight::State(state)) => {
                disk.state = Some(state);
                disk.suspect = false;
                Ok(())
            }
            _ => disk.check_life(self.life, "save state"),
        }
    }

    fn usage(&self) -> (u64, u64) {
        self.disk.lock().log.usage()
    }

    fn describe(&self) -> String {
        "simulated journal".to_owned()
    }
}
