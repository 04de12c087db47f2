//! An arbiter in memory: the least that keeps the port's promises, to read and to test with.

use crate::model::{Charter, Generation, SiteName};
use crate::port::{Arbiter, ChangeOutcome, LeaseRequest, Recorded};
use crate::{Error, Result};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Tells the time, from any beginning; it never goes back.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// By how much a lease counts as longer than granted: its holder's clock may be this much slower,
/// one part in so many.
const DRIFT_PARTS: u32 = 20;

#[derive(Debug, Default)]
struct Records {
    recorded: Option<Recorded>,
    /// Until when each holder may still use what it was granted.
    leases: BTreeMap<(Generation, SiteName), Duration>,
}

/// Keeps a charter as long as a clone of it lives.
#[derive(Clone)]
pub struct MemoryArbiter {
    records: Arc<Mutex<Records>>,
    clock: Clock,
}

impl MemoryArbiter {
    /// An arbiter that has recorded nothing.
    pub fn new(clock: Clock) -> Self {
        Self { records: Arc::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        // Nothing below panics while it holds the lock, and each change is one assignment.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Arbiter for MemoryArbiter {
    async fn read(&self) -> Result<Option<Recorded>> {
        Ok(self.lock().recorded.clone())
    }

    async fn compare_and_set(&self, expected: u64, charter: Charter) -> Result<ChangeOutcome> {
        let mut records = self.lock();
        let version = records.recorded.as_ref().map_or(0, |recorded| recorded.version);
        if version != expected {
            return Ok(ChangeOutcome::Lost(records.recorded.clone()));
        }
        if let Some(held) = &records.recorded
            && charter.rank() <= held.charter.rank()
        {
            return Err(Error::refused(format!(
                "record charter {:?}: {:?} is recorded; read it and go on from there",
                charter.rank(),
                held.charter.rank()
            )));
        }
        records.recorded = Some(Recorded { version: version + 1, charter });
        Ok(ChangeOutcome::Won(version + 1))
    }

    async fn renew(&self, lease: LeaseRequest) -> Result<Duration> {
        let now = (self.clock)();
        let mut records = self.lock();
        let LeaseRequest { holder, generation, duration } = lease;
        let leads = records.recorded.as_ref().is_some_and(|Recorded { charter, .. }| {
            charter.primary == holder && charter.generation == generation
        });
        if !leads {
            return Err(Error::fenced(format!(
                "renew lease: {holder} does not lead generation {generation}; read the charter"
            )));
        }
        let until = now.saturating_add(duration).saturating_add(duration / DRIFT_PARTS);
        records.leases.retain(|_, until| *until > now);
        let held = records.leases.entry((generation, holder)).or_default();
        *held = until.max(*held);
        Ok(duration)
    }

    async fn takeover_wait(&self) -> Result<Duration> {
        let now = (self.clock)();
        let records = self.lock();
        let leader = records.recorded.as_ref().map(|Recorded { charter, .. }| charter);
        let others = records.leases.iter().filter(|((generation, holder), _)| {
            leader.is_none_or(|charter| {
                charter.generation != *generation || charter.primary != *holder
            })
        });
        Ok(others.map(|(_, until)| until.saturating_sub(now)).max().unwrap_or_default())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
