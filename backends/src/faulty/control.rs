//! The handle that says what is to go wrong.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::{Error, ErrorKind, Result};

/// What can fail or wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A read of a volume or of a journal.
    Read,
    /// A write to a volume.
    Write,
    /// An append to a journal.
    Append,
    /// A sync of either.
    Sync,
    /// A trim or a reset of a journal.
    Trim,
    /// A save of the state.
    Save,
}

/// What is to go wrong with the wrappers that were made with it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    /// How often each is still to fail, and with which kind.
    fail: BTreeMap<Operation, (u64, ErrorKind)>,
    delay: BTreeMap<Operation, Duration>,
    done: BTreeMap<Operation, u64>,
    forgetful: bool,
}

impl Faults {
    /// The next `times` of `operation` fail with `kind`; 0 takes an earlier order back.
    pub fn fail_next(&self, operation: Operation, times: u64, kind: ErrorKind) {
        self.plan.lock().fail.insert(operation, (times, kind));
    }

    /// From now on `operation` takes this much longer; zero takes an earlier order back.
    pub fn delay(&self, operation: Operation, time: Duration) {
        self.plan.lock().delay.insert(operation, time);
    }

    /// Whether a failure is followed by success, as by a kernel that dropped the pages and calls
    /// them clean. A wrapper that had failed before works again.
    pub fn forget_failures(&self, forgetful: bool) {
        self.plan.lock().forgetful = forgetful;
    }

    /// How many of `operation` reached what is wrapped.
    pub fn count(&self, operation: Operation) -> u64 {
        self.plan.lock().done.get(&operation).copied().unwrap_or_default()
    }

    /// Takes the next failure of `operation`, if one is due.
    pub(super) fn take(&self, operation: Operation) -> Result<()> {
        let mut plan = self.plan.lock();
        if let Some((times, kind)) = plan.fail.get_mut(&operation)
            && *times > 0
        {
            *times -= 1;
            return Err(Error::new(*kind, format!("{operation:?}: it was told to fail")));
        }
        *plan.done.entry(operation).or_default() += 1;
        Ok(())
    }

    /// Waits as long as `operation` is to take.
    pub(super) async fn wait(&self, operation: Operation) {
        let time = self.plan.lock().delay.get(&operation).copied().unwrap_or_default();
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }
}

/// Whether one wrapper has failed for ever.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    faults: Faults,
    failed: Arc<Mutex<bool>>,
}

impl Broken {
    pub(super) fn new(faults: Faults) -> Self {
        Self { faults, failed: Arc::default() }
    }

    /// Refuses to go on after a failure, unless failures are to be forgotten.
    pub(super) fn check(&self, what: &str) -> Result<()> {
        if *self.failed.lock() && !self.faults.plan.lock().forgetful {
            return Err(Error::new(ErrorKind::Io, format!("{what}: it failed before")));
        }
        Ok(())
    }

    /// From now on everything fails.
    pub(super) fn by(&self, error: Error) -> Error {
        *self.failed.lock() = true;
        error
    }
}
