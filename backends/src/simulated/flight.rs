//! Operations that were begun and are not finished: a crash finds them half done.

use super::disk::{Disk, SimulatedDisk};
use rand::Rng;
use trefoil_core::model::VolumeName;
use trefoil_core::port::BlockWrite;
use trefoil_core::record::Record;

/// What an unfinished operation was about to do.
#[derive(Debug)]
pub(super) enum Flight {
    /// Append these records.
    Append(Vec<Record>),
    /// Replace the state.
    State(Vec<u8>),
    /// Write this batch to a volume.
    Write(VolumeName, Vec<BlockWrite>),
}

/// An operation that was begun. Dropped before it landed (its future was dropped, as a dying
/// process does), some of it may be done.
pub(super) struct Begun {
    disk: SimulatedDisk,
    id: u64,
}

impl Begun {
    /// Takes off: from now on a crash finds it half done.
    pub(super) fn new(disk: &SimulatedDisk, flight: Flight) -> Self {
        let mut inner = disk.lock();
        inner.flights_begun += 1;
        let id = inner.flights_begun;
        inner.flights.insert(id, flight);
        Self { disk: disk.clone(), id }
    }

    /// Lands: the caller does all of it now. `None` if a crash came first.
    pub(super) fn land(self, inner: &mut Disk) -> Option<Flight> {
        inner.flights.remove(&self.id)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // After `land` the entry is gone, but the lock may be held by the caller: `try_lock` fails
        // only then, since everything runs on one thread.
        if let Some(mut inner) = self.disk.try_lock()
            && let Some(flight) = inner.flights.remove(&self.id)
        {
            inner.half_do(flight);
        }
    }
}

impl Disk {
    /// Ends every unfinished operation half done, oldest first.
    pub(super) fn half_do_all(&mut self) {
        for (_, flight) in std::mem::take(&mut self.flights) {
            self.half_do(flight);
        }
    }

    /// Does a random part of an operation that nobody will hear the end of.
    fn half_do(&mut self, flight: Flight) {
        match flight {
            Flight::Append(mut records) => {
                let keep = self.rng.random_range(0..=records.len());
                if keep < records.len() && self.rng.random() {
                    self.cut = Some(format!("the append of record {keep} of a batch was torn"));
                }
                records.truncate(keep);
                if self.log.check(&records).is_ok() {
                    self.log.push(records);
                }
            }
            Flight::State(state) => {
                if self.rng.random() {
                    self.state = Some(state);
                }
            }
            Flight::Write(name, batch) => {
                let Self { volumes, rng, .. } = self;
                if let Some(volume) = volumes.get_mut(&name) {
                    batch.iter().for_each(|write| volume.write_torn(write, rng));
                }
            }
        }
    }
}
