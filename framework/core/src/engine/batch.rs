//! What goes to the block stores at once: the newest content of each byte, in order.

use super::pieces::PieceMap;
use crate::model::{Extent, UpdateNumber, VolumeId};
use crate::port::{BlockWrite, Content};
use crate::record::{Record, RecordKind};
use crate::wire::CompareBlock;
use std::collections::BTreeMap;

/// A range of a volume as its source had it: content that no record of the journal brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedBlock {
    /// The volume.
    pub volume: VolumeId,
    /// Where it starts, in bytes.
    pub offset: u64,
    /// What it is.
    pub content: Content,
}

impl CopiedBlock {
    /// The extent it covers.
    pub fn extent(&self) -> Extent {
        Extent { volume: self.volume, offset: self.offset, length: self.content.length() }
    }
}

/// What goes to the block stores at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The first update that it applies; `last.next()` when it brings only copied blocks.
    pub first: UpdateNumber,
    /// What is restored once it is applied.
    pub last: UpdateNumber,
    /// The writes of each volume, sorted, not overlapping; the newest content of each byte.
    pub writes: BTreeMap<VolumeId, Vec<BlockWrite>>,
    /// The ranges that the writes touch, merged: what may leave the overlay up to `last`.
    pub extents: Vec<Extent>,
    /// How many updates it applies (control records count).
    pub updates: u64,
    /// The copied blocks in it, in the order in which they came.
    pub copied: Vec<Extent>,
    /// The ranges to compare with what the block stores hold, in the order in which they came;
    /// then there is nothing else in it.
    pub compared: Vec<CompareBlock>,
    /// How many bytes the writes change.
    pub bytes: u64,
    /// Of how many updates nothing is written because later ones in the batch replaced it.
    pub coalesced_updates: u64,
    /// How many bytes need not be written because a later update in the batch replaced them.
    pub coalesced_bytes: u64,
}

/// Gathers a batch: the newest content of each byte, by volume.
#[derive(Debug)]
pub(super) struct BatchMaker {
    volumes: BTreeMap<VolumeId, PieceMap>,
    restored: UpdateNumber,
    last: UpdateNumber,
    updates: u64,
    /// How many of those change a volume.
    changes: u64,
    copied: Vec<Extent>,
    compared: Vec<CompareBlock>,
    bytes_in: u64,
}

impl BatchMaker {
    /// A batch that begins after `restored`.
    pub(super) fn new(restored: UpdateNumber) -> Self {
        Self {
            volumes: BTreeMap::new(),
            restored,
            last: restored,
            updates: 0,
            changes: 0,
            copied: Vec::new(),
            compared: Vec::new(),
            bytes_in: 0,
        }
    }

    /// Lays the next record over what is there.
    pub(super) fn record(&mut self, record: &Record) {
        self.updates += 1;
        self.last = record.number();
        let Some(extent) = record.extent() else { return };
        self.changes += u64::from(extent.length > 0);
        let content = match record.kind() {
            RecordKind::Write => Content::Data(record.payload().clone()),
            _ => Content::Zero(extent.length),
        };
        self.lay(extent.volume, extent.offset, content);
    }

    /// Lays a copied block over what is there.
    pub(super) fn copied(&mut self, block: CopiedBlock) {
        self.copied.push(block.extent());
        self.lay(block.volume, block.offset, block.content);
    }

    /// Takes in what is to be compared.
    pub(super) fn compared(&mut self, block: CompareBlock) {
        self.compared.push(block);
    }

    fn lay(&mut self, volume: VolumeId, offset: u64, content: Content) {
        self.bytes_in = self.bytes_in.saturating_add(content.length());
        let map = self.volumes.entry(volume).or_default();
        map.insert(offset, self.last, content, &mut |_, _| ());
    }

    /// The batch.
    pub(super) fn finish(self) -> Batch {
        let count = self.volumes.values().map(PieceMap::count).sum();
        let mut writes = BTreeMap::new();
        let mut extents: Vec<Extent> = Vec::with_capacity(count);
        let mut bytes: u64 = 0;
        // A copied block lies under the number of the update before it, which then counts as
        // written: the count is never too high.
        let mut alive = Vec::with_capacity(count);
        for (volume, map) in self.volumes {
            let mut of_volume = Vec::with_capacity(map.count());
            for piece in map.into_pieces() {
                let (offset, length) = (piece.start, piece.end - piece.start);
                alive.push(piece.number);
                bytes = bytes.saturating_add(length);
                match extents.last_mut() {
                    Some(last) if last.volume == volume && last.end() == offset => {
                        last.length += length;
                    }
                    _ => extents.push(Extent { volume, offset, length }),
                }
                of_volume.push(BlockWrite { offset, content: piece.content });
            }
            if !of_volume.is_empty() {
                writes.insert(volume, of_volume);
            }
        }
        alive.sort_unstable();
        alive.dedup();
        Batch {
            first: self.restored.next(),
            last: self.last,
            writes,
            extents,
            updates: self.updates,
            copied: self.copied,
            compared: self.compared,
            coalesced_updates: self.changes.saturating_sub(alive.len() as u64),
            bytes,
            coalesced_bytes: self.bytes_in.saturating_sub(bytes),
        }
    }
}
