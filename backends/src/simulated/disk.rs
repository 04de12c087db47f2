//! The disk as the simulation holds it: crashes, faults, and what an oracle may look at.

use super::faults::{Faults, Latency, draw};
use super::flight::Flight;
use super::journal::SimulatedJournal;
use super::store::SimulatedStore;
use super::volume::Volume;
use crate::open_once::OpenOnce;
use crate::record_log::RecordLog;
use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::model::{Position, UpdateNumber, VolumeName};
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind, Result};

/// The disk of one site for one group. Cloning shares it.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    inner: Arc<Mutex<Disk>>,
    pub(super) open: OpenOnce,
}

/// What is on the disk, and the process that has it open.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) rng: StdRng,
    pub(super) faults: Faults,
    /// The process that may use the disk now; a crash begins another.
    pub(super) life: u64,
    /// What was appended.
    pub(super) log: RecordLog,
    /// How much of it survives a power loss.
    pub(super) durable: UpdateNumber,
    /// Records whose bytes are damaged.
    pub(super) damaged: BTreeSet<UpdateNumber>,
    /// Counts the resets, so that a sync begun before one says nothing about what came after.
    pub(super) resets: u64,
    /// A process saw the journal fail, and no state was saved since.
    pub(super) suspect: bool,
    /// Why the next recovery finds a torn tail.
    pub(super) cut: Option<String>,
    pub(super) state: Option<Vec<u8>>,
    /// What was set aside, by position.
    pub(super) aside: HashMap<Position, Record>,
    pub(super) volumes: BTreeMap<VolumeName, Volume>,
    /// Operations that were begun and are not finished, by when they began.
    pub(super) flights: BTreeMap<u64, Flight>,
    pub(super) flights_begun: u64,
}

impl SimulatedDisk {
    /// An empty disk whose journal holds up to `journal_bytes_max` bytes of records; everything
    /// that is left to chance comes from `seed`.
    pub fn new(seed: u64, journal_bytes_max: u64) -> Self {
        let disk = Disk {
            rng: StdRng::seed_from_u64(seed),
            faults: Faults::default(),
            life: 0,
            suspect: false,
            log: RecordLog::new(journal_bytes_max),
            durable: UpdateNumber::ZERO,
            damaged: BTreeSet::new(),
            resets: 0,
            cut: None,
            state: None,
            aside: HashMap::new(),
            volumes: BTreeMap::new(),
            flights: BTreeMap::new(),
            flights_begun: 0,
        };
        Self { inner: Arc::new(Mutex::new(disk)), open: OpenOnce::default() }
    }

    /// Opens the journal with its state, for the process that lives now.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] while this process has it open.
    pub fn journal(&self) -> Result<SimulatedJournal> {
        let claim = self.open.claim("simulated journal".to_owned())?;
        Ok(SimulatedJournal::new(self.clone(), self.lock().life, claim))
    }

    /// Opens the volume `name`, making it if it is new, for the process that lives now.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] while this process has it open, and [`ErrorKind::Invalid`] if it has
    /// another size.
    pub fn volume(&self, name: &VolumeName, size: u64) -> Result<SimulatedStore> {
        let claim = self.open.claim(format!("simulated volume {name}"))?;
        let mut inner = self.lock();
        let volume = inner.volumes.entry(name.clone()).or_insert_with(|| Volume::new(size));
        if volume.size != size {
            return Err(Error::invalid(format!(
                "open simulated volume {name}: it has {} bytes, {size} are configured",
                volume.size
            )));
        }
        Ok(SimulatedStore::new(self.clone(), inner.life, name.clone(), size, claim))
    }

    /// The process dies: what it wrote stays, what it was writing is half done. Its handles are
    /// closed for ever, new ones can be opened.
    pub fn crash_process(&self) {
        let mut inner = self.lock();
        inner.half_do_all();
        inner.life += 1;
        self.open.forget_all();
    }

    /// The power goes: of what was not synced, the journal keeps a prefix, volumes any sectors.
    /// Handles are closed for ever, new ones can be opened.
    pub fn lose_power(&self) {
        let mut inner = self.lock();
        inner.half_do_all();
        inner.cut_tail_at_random();
        let Disk { volumes, rng, .. } = &mut *inner;
        volumes.values_mut().for_each(|volume| volume.lose_power(rng));
        inner.life += 1;
        self.open.forget_all();
    }

    /// The disk is replaced by an empty one. Handles are closed for ever.
    pub fn replace(&self) {
        let mut inner = self.lock();
        let (_, bytes_max) = inner.log.usage();
        inner.flights.clear();
        inner.log = RecordLog::new(bytes_max);
        inner.durable = UpdateNumber::ZERO;
        inner.damaged.clear();
        inner.resets += 1;
        inner.cut = None;
        inner.state = None;
        inner.aside.clear();
        inner.volumes.clear();
        inner.life += 1;
        self.open.forget_all();
    }

    /// Lets the next sync (of the journal or a volume, whichever comes first) fail. The handle is
    /// poisoned by it.
    pub fn fail_next_sync(&self) {
        self.lock().faults.syncs_to_fail += 1;
    }

    /// Lets the next append fail with `kind`; any but `Full` and `Invalid` poisons the journal.
    pub fn fail_next_append(&self, kind: ErrorKind) {
        self.lock().faults.append_to_fail = Some(kind);
    }

    /// While `full`, appends and volume writes are refused with [`ErrorKind::Full`].
    pub fn set_full(&self, full: bool) {
        self.lock().faults.full = full;
    }

    /// While `no_growth`, a volume that is to become longer is refused with [`ErrorKind::Full`];
    /// there is room for everything else.
    pub fn set_no_growth(&self, no_growth: bool) {
        self.lock().faults.no_growth = no_growth;
    }

    /// While `lying`, syncs are answered without being done, as some devices do. (The state is
    /// still saved truly.)
    pub fn set_lying(&self, lying: bool) {
        self.lock().faults.lying = lying;
    }

    /// Sets how long each operation takes from now on.
    pub fn set_latency(&self, latency: Latency) {
        self.lock().faults.latency = latency;
    }

    /// Damages the journal's record `number`, durably; false if it is not held. Reading it is
    /// [`ErrorKind::Corrupt`], and so is a recovery if a good record follows; else it is cut.
    pub fn damage_record(&self, number: UpdateNumber) -> bool {
        let mut inner = self.lock();
        let held = number > inner.log.base().number && number <= inner.log.newest().number;
        if held {
            inner.damaged.insert(number);
        }
        held
    }

    /// Turns one bit of a volume around, durably; false if there is no such byte. `bit` counts
    /// modulo 8.
    pub fn flip_bit(&self, volume: &VolumeName, offset: u64, bit: u8) -> bool {
        match self.lock().volumes.get_mut(volume) {
            Some(volume) if offset < volume.size => {
                volume.flip_bit(offset, bit);
                true
            }
            _ => false,
        }
    }

    /// The point right before the oldest record.
    pub fn base(&self) -> Position {
        self.lock().log.base()
    }

    /// The newest record appended.
    pub fn received(&self) -> Position {
        self.lock().log.newest()
    }

    /// The newest record that a power loss cannot take; the base if there is none.
    pub fn durable(&self) -> Position {
        let inner = self.lock();
        let durable = inner.durable;
        let newest = inner.log.records().take_while(|record| record.number() <= durable).last();
        newest.map_or(inner.log.base(), Record::position)
    }

    /// All records appended, oldest first.
    pub fn received_records(&self) -> Vec<Record> {
        self.lock().log.records().cloned().collect()
    }

    /// The records that a power loss cannot take, oldest first.
    pub fn durable_records(&self) -> Vec<Record> {
        let inner = self.lock();
        let durable = inner.durable;
        inner.log.records().take_while(|record| record.number() <= durable).cloned().collect()
    }

    /// Whether the record of that position was set aside here.
    pub fn is_set_aside(&self, position: &Position) -> bool {
        self.lock().aside.contains_key(position)
    }

    /// The state saved last.
    pub fn saved_state(&self) -> Option<Vec<u8>> {
        self.lock().state.clone()
    }

    /// The names and sizes of the volumes.
    pub fn volumes(&self) -> Vec<(VolumeName, u64)> {
        self.lock().volumes.iter().map(|(name, volume)| (name.clone(), volume.size)).collect()
    }

    /// What a read of the volume gives; zeroes for a volume that is not there.
    pub fn volume_bytes(&self, volume: &VolumeName, offset: u64, length: usize) -> Vec<u8> {
        let inner = self.lock();
        inner.volumes.get(volume).map_or(vec![0; length], |volume| volume.read(offset, length))
    }

    /// What of the volume a power loss cannot take; zeroes for a volume that is not there.
    pub fn durable_volume_bytes(&self, volume: &VolumeName, offset: u64, length: usize) -> Vec<u8> {
        let inner = self.lock();
        let volume = inner.volumes.get(volume);
        volume.map_or(vec![0; length], |volume| volume.read_durable(offset, length))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Disk> {
        self.inner.lock()
    }

    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, Disk>> {
        self.inner.try_lock()
    }
}

impl Disk {
    /// Draws how long an operation takes.
    pub(super) fn draw(&mut self, of: impl Fn(&Latency) -> &RangeInclusive<u64>) -> Duration {
        draw(&mut self.rng, of(&self.faults.latency))
    }

    /// Checks that the process `life` is still there.
    pub(super) fn check_life(&self, life: u64, what: &str) -> Result<()> {
        if self.life == life {
            return Ok(());
        }
        Err(Error::closed(format!("{what}: the process that opened it is gone")))
    }

    /// Cuts the unsynced tail of the journal somewhere.
    fn cut_tail_at_random(&mut self) {
        let newest = self.log.newest().number;
        let least = self.durable.max(self.log.base().number);
        let keep = least.plus(self.rng.random_range(0..=newest.since(least)));
        if keep < newest && self.rng.random() {
            self.cut = Some(format!("record {} was torn by a power loss", keep.next()));
        }
        self.cut_after(keep);
        // What is left after the power came back is on the medium.
        self.durable = self.log.newest().number;
    }

    /// Drops the records after `keep`, and what was known of them.
    pub(super) fn cut_after(&mut self, keep: UpdateNumber) {
        self.log.cut_after(keep);
        self.damaged.split_off(&keep.next());
        self.durable = self.durable.min(keep);
    }
}
