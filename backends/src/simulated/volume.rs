//! The bytes of a simulated volume: what is durable, and what was written since.

use super::SECTOR_BYTES;
use crate::sparse::{CHUNK_BYTES, Sparse};
use rand::Rng;
use rand::rngs::StdRng;
use trefoil_core::model::{Extent, VolumeId};
use trefoil_core::port::{BlockWrite, Content};

/// One volume on a simulated disk.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) size: u64,
    /// What reads see.
    current: Sparse,
    /// What is there after a power loss at the least.
    durable: Sparse,
    /// Writes since the last sync, oldest first.
    unsynced: Vec<BlockWrite>,
    /// How many writes went before the first of `unsynced`.
    settled: u64,
}

impl Volume {
    pub(super) fn new(size: u64) -> Self {
        Self {
            size,
            current: Sparse::default(),
            durable: Sparse::default(),
            unsynced: Vec::new(),
            settled: 0,
        }
    }

    /// What reads see at `offset`.
    pub(super) fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        self.current.read(offset, &mut out);
        out
    }

    /// What a power loss cannot take.
    pub(super) fn read_durable(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        self.durable.read(offset, &mut out);
        out
    }

    /// Writes into the page cache.
    pub(super) fn write(&mut self, write: BlockWrite) {
        apply(&mut self.current, &write);
        self.unsynced.push(write);
    }

    /// Writes some sectors of `write` only: the process died in the middle.
    pub(super) fn write_torn(&mut self, write: &BlockWrite, rng: &mut StdRng) {
        for sector in sectors(write) {
            if rng.random() {
                self.write(sector);
            }
        }
    }

    /// How many writes there ever were: a sync that begins now covers these.
    pub(super) fn written(&self) -> u64 {
        self.settled + self.unsynced.len() as u64
    }

    /// Makes the first `written` writes durable.
    pub(super) fn sync(&mut self, written: u64) {
        for write in self.settle(written) {
            apply(&mut self.durable, &write);
        }
    }

    /// A failed sync: the kernel marks the pages clean, and no later sync writes them.
    pub(super) fn drop_unsynced(&mut self, written: u64) {
        self.settle(written);
    }

    /// Takes what of the first `written` writes is unsynced.
    fn settle(&mut self, written: u64) -> Vec<BlockWrite> {
        let count = written.saturating_sub(self.settled).min(self.unsynced.len() as u64);
        self.settled += count;
        self.unsynced.drain(..count as usize).collect()
    }

    /// Keeps what is durable and, of each unsynced write, all, nothing or some sectors.
    pub(super) fn lose_power(&mut self, rng: &mut StdRng) {
        let written = self.written();
        for write in self.settle(written) {
            match rng.random_range(0..3u8) {
                0 => {}
                1 => apply(&mut self.durable, &write),
                _ => {
                    for sector in sectors(&write) {
                        if rng.random() {
                            apply(&mut self.durable, &sector);
                        }
                    }
                }
            }
        }
        self.current = self.durable.clone();
    }

    /// Turns one bit around, durably.
    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) {
        self.current.flip_bit(offset, bit);
        // Later than every unsynced write, as damage to the medium would show itself.
        let mut byte = [0];
        self.current.read(offset, &mut byte);
        self.durable.write(offset, &byte);
    }

    /// The first run of chunks at or after `offset` that may hold other bytes than zeroes.
    pub(super) fn allocated_from(&self, offset: u64) -> Option<Extent> {
        if offset >= self.size {
            return None;
        }
        let first = self.current.first_chunk_from(offset / CHUNK_BYTES)?;
        let mut next = first + 1;
        while self.current.first_chunk_from(next) == Some(next) {
            next += 1;
        }
        let start = offset.max(first * CHUNK_BYTES);
        let length = self.size.min(next * CHUNK_BYTES) - start;
        Some(Extent { volume: VolumeId(0), offset: start, length })
    }
}

fn apply(bytes: &mut Sparse, write: &BlockWrite) {
    match &write.content {
        Content::Data(data) => bytes.write(write.offset, data),
        Content::Zero(length) => bytes.zero(write.offset, *length),
    }
}

/// A write cut at the borders of sectors.
fn sectors(write: &BlockWrite) -> impl Iterator<Item = BlockWrite> + '_ {
    let mut done = 0;
    let total = write.content.length();
    std::iter::from_fn(move || {
        if done >= total {
            return None;
        }
        let offset = write.offset + done;
        let take = (SECTOR_BYTES - offset % SECTOR_BYTES).min(total - done);
        let content = match &write.content {
            Content::Data(data) => Content::Data(data.slice(done as usize..(done + take) as usize)),
            Content::Zero(_) => Content::Zero(take),
        };
        done += take;
        Some(BlockWrite { offset, content })
    })
}
