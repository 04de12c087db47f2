//! A volume's blocks in memory.

use crate::open_once::Claim;
use crate::range::{check_batch, check_range};
use crate::sparse::{CHUNK_BYTES, Sparse, pieces};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use trefoil_core::Result;
use trefoil_core::model::{Extent, VolumeId};
use trefoil_core::port::{BlockStore, BlockWrite, Content};

/// Chunks are spread over this many locks, so that readers and the restorer seldom meet.
const SHARDS: u64 = 16;

/// The bytes of one volume, behind sharded locks.
#[derive(Debug)]
pub(super) struct StoreMemory {
    size: AtomicU64,
    /// Chunk `i` lies in shard `i % SHARDS`.
    shards: Vec<RwLock<Sparse>>,
}

impl StoreMemory {
    /// Zeroes of `size` bytes; takes no room until written.
    pub(super) fn new(size: u64) -> Self {
        Self {
            size: AtomicU64::new(size),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }

    /// The volume's size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    fn grow(&self, size: u64) {
        self.size.fetch_max(size, Ordering::AcqRel);
    }

    fn shard(&self, chunk: u64) -> Option<&RwLock<Sparse>> {
        self.shards.get((chunk % SHARDS) as usize)
    }

    fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        for piece in pieces(offset, length as u64) {
            let at = offset + piece.outer.start as u64;
            if let (Some(shard), Some(part)) = (self.shard(piece.chunk), out.get_mut(piece.outer)) {
                shard.read().read(at, part);
            }
        }
        out
    }

    fn write(&self, offset: u64, data: &[u8]) {
        for piece in pieces(offset, data.len() as u64) {
            let at = offset + piece.outer.start as u64;
            if let (Some(shard), Some(part)) = (self.shard(piece.chunk), data.get(piece.outer)) {
                shard.write().write(at, part);
            }
        }
    }

    fn first_chunk_from(&self, index: u64) -> Option<u64> {
        self.shards.iter().filter_map(|shard| shard.read().first_chunk_from(index)).min()
    }

    fn allocated_from(&self, offset: u64) -> Option<Extent> {
        if offset >= self.size() {
            return None;
        }
        let first = self.first_chunk_from(offset / CHUNK_BYTES)?;
        let mut next = first + 1;
        while self.first_chunk_from(next) == Some(next) {
            next += 1;
        }
        let start = offset.max(first * CHUNK_BYTES);
        let end = self.size().min(next * CHUNK_BYTES);
        Some(Extent { volume: VolumeId(0), offset: start, length: end - start })
    }
}

/// A volume in memory. A large one costs nothing until it is written.
#[derive(Debug)]
pub struct MemoryStore {
    memory: Arc<StoreMemory>,
    name: String,
    _claim: Option<Claim>,
}

impl MemoryStore {
    /// A volume of `size` bytes that lives as long as this handle.
    pub fn new(size: u64) -> Self {
        Self::over(Arc::new(StoreMemory::new(size)), "volume", None)
    }

    pub(super) fn over(memory: Arc<StoreMemory>, name: &str, claim: Option<Claim>) -> Self {
        Self { memory, name: name.to_owned(), _claim: claim }
    }
}

#[async_trait]
impl BlockStore for MemoryStore {
    fn size(&self) -> u64 {
        self.memory.size()
    }

    async fn read(&self, offset: u64, length: usize) -> Result<Bytes> {
        check_range("read", self.memory.size(), offset, length as u64)?;
        Ok(self.memory.read(offset, length).into())
    }

    async fn write(&self, batch: Vec<BlockWrite>) -> Result<()> {
        check_batch(self.memory.size(), &batch)?;
        for write in &batch {
            match &write.content {
                Content::Data(data) => self.memory.write(write.offset, data),
                Content::Zero(length) => {
                    // Each shard zeroes only the chunks that it holds.
                    for shard in &self.memory.shards {
                        shard.write().zero(write.offset, *length);
                    }
                }
            }
        }
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        Ok(())
    }

    async fn allocated_from(&self, offset: u64) -> Result<Option<Extent>> {
        Ok(self.memory.allocated_from(offset))
    }

    async fn grow(&self, size: u64) -> Result<()> {
        self.memory.grow(size);
        Ok(())
    }

    fn describe(&self) -> String {
        format!("memory {} ({} bytes)", self.name, self.memory.size())
    }
}
