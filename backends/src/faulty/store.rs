//! A volume that fails on order.

use super::control::{Broken, Faults, Operation};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use trefoil_core::Result;
use trefoil_core::model::Extent;
use trefoil_core::port::{BlockStore, BlockWrite};

/// A store around another one.
pub struct FaultyStore {
    inner: Arc<dyn BlockStore>,
    faults: Faults,
    broken: Broken,
}

impl FaultyStore {
    /// Wraps `inner`; it behaves until `faults` says otherwise.
    pub fn new(inner: Arc<dyn BlockStore>, faults: Faults) -> Self {
        Self { inner, broken: Broken::new(faults.clone()), faults }
    }
}

#[async_trait]
impl BlockStore for FaultyStore {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    async fn read(&self, offset: u64, length: usize) -> Result<Bytes> {
        self.faults.wait(Operation::Read).await;
        self.faults.take(Operation::Read)?;
        self.inner.read(offset, length).await
    }

    async fn write(&self, batch: Vec<BlockWrite>) -> Result<()> {
        self.faults.wait(Operation::Write).await;
        self.broken.check("write")?;
        self.faults.take(Operation::Write)?;
        self.inner.write(batch).await
    }

    async fn sync(&self) -> Result<()> {
        self.faults.wait(Operation::Sync).await;
        self.broken.check("sync")?;
        self.faults.take(Operation::Sync).map_err(|error| self.broken.by(error))?;
        self.inner.sync().await
    }

    async fn allocated_from(&self, offset: u64) -> Result<Option<Extent>> {
        self.inner.allocated_from(offset).await
    }

    async fn grow(&self, size: u64) -> Result<()> {
        self.faults.wait(Operation::Write).await;
        self.broken.check("grow")?;
        self.faults.take(Operation::Write)?;
        self.inner.grow(size).await
    }

    fn describe(&self) -> String {
        format!("faulty {}", self.inner.describe())
    }
}
