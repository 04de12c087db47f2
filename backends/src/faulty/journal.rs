//! A journal that fails on order.

use super::control::{Broken, Faults, Operation};
use async_trait::async_trait;
use trefoil_core::model::{Position, UpdateNumber};
use trefoil_core::port::{JournalStore, Recovery, SyncFuture};
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind, Result};

/// A journal around another one.
pub struct FaultyJournal {
    inner: Box<dyn JournalStore>,
    faults: Faults,
    broken: Broken,
}

impl FaultyJournal {
    /// Wraps `inner`; it behaves until `faults` says otherwise.
    pub fn new(inner: Box<dyn JournalStore>, faults: Faults) -> Self {
        Self { inner, broken: Broken::new(faults.clone()), faults }
    }

    /// Waits, and fails if it failed before or is to fail now.
    async fn begin(&mut self, operation: Operation, what: &str) -> Result<()> {
        self.faults.wait(operation).await;
        self.broken.check(what)?;
        self.faults.take(operation).map_err(|error| self.lasting(error))
    }

    /// A full journal goes on once there is room; any other failure is for ever.
    fn lasting(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Full | ErrorKind::Invalid => error,
            _ => self.broken.by(error),
        }
    }
}

#[async_trait]
impl JournalStore for FaultyJournal {
    async fn recover(&mut self) -> Result<Recovery> {
        self.broken.check("recover")?;
        self.inner.recover().await
    }

    async fn salvage(&mut self) -> Result<Recovery> {
        self.inner.salvage().await
    }

    async fn append(&mut self, records: Vec<Record>) -> Result<()> {
        self.begin(Operation::Append, "append").await?;
        self.inner.append(records).await
    }

    fn sync(&mut self) -> SyncFuture {
        // What is appended while this sync waits must not be taken for durable: begin it now.
        let faults = self.faults.clone();
        let begun = self.broken.check("sync").and_then(|()| faults.take(Operation::Sync));
        let inner = match begun {
            Ok(()) => Ok(self.inner.sync()),
            Err(error) => Err(self.broken.by(error)),
        };
        Box::pin(async move {
            faults.wait(Operation::Sync).await;
            inner?.await
        })
    }

    async fn read(&mut self, from: UpdateNumber, bytes_max: usize) -> Result<Vec<Record>> {
        self.faults.wait(Operation::Read).await;
        self.broken.check("read")?;
        self.faults.take(Operation::Read)?;
        self.inner.read(from, bytes_max).await
    }

    async fn trim(&mut self, up_to: UpdateNumber) -> Result<Position> {
        self.begin(Operation::Trim, "trim").await?;
        self.inner.trim(up_to).await
    }

    async fn reset(&mut self, base: Position) -> Result<()> {
        self.begin(Operation::Trim, "reset").await?;
        self.inner.reset(base).await
    }

    async fn set_aside(&mut self, after: UpdateNumber) -> Result<String> {
        self.begin(Operation::Read, "set aside").await?;
        self.inner.set_aside(after).await
    }

    async fn truncate(&mut self, after: UpdateNumber) -> Result<()> {
        self.begin(Operation::Trim, "truncate").await?;
        self.inner.truncate(after).await
    }

    async fn load_state(&mut self) -> Result<Option<Vec<u8>>> {
        self.inner.load_state().await
    }

    async fn save_state(&mut self, state: Vec<u8>) -> Result<()> {
        self.begin(Operation::Save, "save state").await?;
        self.inner.save_state(state).await
    }

    fn usage(&self) -> (u64, u64) {
        self.inner.usage()
    }

    fn describe(&self) -> String {
        format!("faulty {}", self.inner.describe())
    }
}
