//! Where a volume's blocks lie.

use crate::model::Extent;
use crate::{Error, Result};
use async_trait::async_trait;
use bytes::Bytes;

/// What a range of a volume is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Data(Bytes),
    /// Zeroes, this many bytes of them; a store may punch a hole.
    Zero(u64),
}

impl Content {
    /// How many bytes of the volume it covers.
    pub fn length(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Zero(length) => *length,
        }
    }
}

/// One change to a block store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockWrite {
    /// Where it starts, in bytes.
    pub offset: u64,
    /// What it becomes.
    pub content: Content,
}

/// The blocks of one volume.
///
/// # To be correct
/// - A read returns what the last completed write to each byte left there, and zeroes where there
///   never was one.
/// - A batch of writes never overlaps itself, and comes sorted by offset; when `write` returns Ok
///   every later read sees all of it. A batch need not be atomic: the journal replays it.
/// - When `sync` returns Ok, everything written before the call survives a power loss. After it
///   returned an error no later `sync` may return Ok for the same writes: return errors for ever.
/// - A range outside `0..size()` is [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), and nothing
///   is written.
/// - A full device is [`ErrorKind::Full`](crate::ErrorKind::Full).
/// - Methods may be called at the same time from several tasks.
///
/// `trefoil_core::conformance::block_store` proves these.
#[async_trait]
pub trait BlockStore: Send + Sync {
    /// The size of the volume in bytes.
    fn size(&self) -> u64;

    /// Reads `length` bytes at `offset`.
    async fn read(&self, offset: u64, length: usize) -> Result<Bytes>;

    /// Writes a batch.
    async fn write(&self, batch: Vec<BlockWrite>) -> Result<()>;

    /// Makes durable all that was written.
    async fn sync(&self) -> Result<()>;

    /// The first range at or after `offset` that may hold other bytes than zeroes; `None` when
    /// only zeroes follow. A store that cannot tell returns the whole rest. The extent's volume is
    /// not looked at.
    async fn allocated_from(&self, offset: u64) -> Result<Option<Extent>>;

    /// Makes the volume `size` bytes long, durably; what is new reads as zeroes. Never shorter: a
    /// `size` that it has already changes nothing.
    async fn grow(&self, size: u64) -> Result<()> {
        if size <= self.size() {
            return Ok(());
        }
        Err(Error::refused(format!(
            "grow {} to {size} bytes: this kind of store cannot while it is open",
            self.describe()
        )))
    }

    /// Where and how it stores, for people: `file /var/lib/trefoil/db0.img`.
    fn describe(&self) -> String;
}
