//! A volume that forgets every write.

use crate::range::{check_batch, check_range};
use async_trait::async_trait;
use bytes::Bytes;
use trefoil_core::Result;
use trefoil_core::model::{Extent, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite};

/// A volume of zeroes.
#[derive(Debug)]
pub struct NoopStore {
    name: VolumeName,
    size: u64,
}

impl NoopStore {
    /// A volume of `size` bytes; warns that it keeps nothing.
    pub fn open(name: &VolumeName, size: u64) -> Self {
        tracing::warn!(volume = %name, "backend noop: the volume forgets every write");
        Self { name: name.clone(), size }
    }
}

#[async_trait]
impl BlockStore for NoopStore {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read(&self, offset: u64, length: usize) -> Result<Bytes> {
        check_range("read", self.size, offset, length as u64)?;
        Ok(vec![0; length].into())
    }

    async fn write(&self, batch: Vec<BlockWrite>) -> Result<()> {
        check_batch(self.size, &batch)
    }

    async fn sync(&self) -> Result<()> {
        Ok(())
    }

    async fn allocated_from(&self, _: u64) -> Result<Option<Extent>> {
        Ok(None)
    }

    fn describe(&self) -> String {
        format!("noop {} (keeps nothing, for measuring only)", self.name)
    }
}
