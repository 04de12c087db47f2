//! What is journaled but not yet in the block store: reads look here first.

use super::pieces::{PieceMap, as_size};
use crate::model::{Extent, UpdateNumber, VolumeId};
use crate::port::Content;
use crate::record::{Record, RecordKind};
use crate::{Error, Result};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What one piece costs in memory beside its payload, in bytes: its map entry and its share of
/// the tree. An estimate that errs upwards.
pub const PIECE_OVERHEAD_BYTES: u64 = 128;

/// The extent map of updates that the journal holds and the block store does not yet; the newest
/// update wins, byte by byte.
///
/// It shares the payloads of the records. Its memory is bounded by whoever inserts: hurry the
/// restorer, then hold writers back, while [`Overlay::bytes`] is over the budget.
#[derive(Debug, Default)]
pub struct Overlay {
    volumes: BTreeMap<VolumeId, PieceMap>,
    /// For every update that still has a piece: how many, and the payload that they pin.
    pinned: BTreeMap<UpdateNumber, Pinned>,
    pieces: u64,
    payload_bytes: u64,
}

/// What keeps an update's payload in memory.
#[derive(Debug)]
struct Pinned {
    pieces: u64,
    payload_bytes: u64,
}

impl Overlay {
    /// An overlay that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lays a record over what is there. Records must come in the order of their numbers, since
    /// what comes later wins; kinds that change no volume are ignored.
    pub fn insert(&mut self, record: &Record) {
        let Some(extent) = record.extent() else { return };
        let content = match record.kind() {
            RecordKind::Write => Content::Data(record.payload().clone()),
            _ => Content::Zero(extent.length),
        };
        let payload_bytes = record.payload().len() as u64;
        let number = record.number();
        let (pinned, volumes) = (&mut self.pinned, &mut self.volumes);
        let (pieces, bytes) = (&mut self.pieces, &mut self.payload_bytes);
        volumes.entry(extent.volume).or_default().insert(
            extent.offset,
            number,
            content,
            &mut |of, came| account(pinned, (&mut *pieces, &mut *bytes), of, came, payload_bytes),
        );
    }

    /// The memory it keeps in use, in bytes: the whole payload of every update of which a piece
    /// is left (a small piece pins all of it), and [`PIECE_OVERHEAD_BYTES`] for each piece.
    ///
    /// A payload that was received shares its buffer with its neighbours in the stream; that
    /// buffer goes when the last of them does, which is at most one frame later.
    pub fn bytes(&self) -> u64 {
        self.payload_bytes + self.pieces * PIECE_OVERHEAD_BYTES
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.pieces == 0
    }

    /// Takes out what the block store has by now: within `extents`, the pieces of updates up to
    /// `up_to`.
    pub fn remove_restored(
        &mut self,
        extents: impl IntoIterator<Item = Extent>,
        up_to: UpdateNumber,
    ) {
        let (pinned, volumes) = (&mut self.pinned, &mut self.volumes);
        let (pieces, bytes) = (&mut self.pieces, &mut self.payload_bytes);
        for extent in extents {
            if let Some(map) = volumes.get_mut(&extent.volume) {
                map.remove(extent.offset, extent.end(), up_to, &mut |of, came| {
                    account(pinned, (&mut *pieces, &mut *bytes), of, came, 0);
                });
            }
        }
    }

    /// What the overlay knows of `extent`, and what must come from the block store.
    ///
    /// Ask the overlay first and the store after: a piece leaves the overlay only when the store
    /// has it.
    pub fn read(&self, extent: Extent) -> OverlayRead {
        let mut read = OverlayRead { extent, pieces: Vec::new(), holes: Vec::new() };
        let mut at = extent.offset;
        if let Some(map) = self.volumes.get(&extent.volume) {
            for part in map.within(extent.offset, extent.end()) {
                if at < part.start {
                    read.holes.push((at, part.start - at));
                }
                at = part.end;
                read.pieces.push((part.start, part.content()));
            }
        }
        if at < extent.end() {
            read.holes.push((at, extent.end() - at));
        }
        read
    }

    /// The ranges of `extent` that the overlay covers, in order: (start, end, reads as zeroes).
    pub fn covered(&self, extent: Extent) -> impl Iterator<Item = (u64, u64, bool)> + '_ {
        self.volumes
            .get(&extent.volume)
            .into_iter()
            .flat_map(move |map| map.within(extent.offset, extent.end()))
            .map(|part| (part.start, part.end, part.is_zero()))
    }

    /// Forgets everything: the journal was reset.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Keeps the account of one piece that came or went. `payload_bytes` is that of the update whose
/// pieces are coming first; a cut piece is of an update that is known already.
fn account(
    pinned: &mut BTreeMap<UpdateNumber, Pinned>,
    (pieces, bytes): (&mut u64, &mut u64),
    of: UpdateNumber,
    came: bool,
    payload_bytes: u64,
) {
    if came {
        *pieces += 1;
        let entry = pinned.entry(of).or_insert_with(|| {
            *bytes += payload_bytes;
            Pinned { pieces: 0, payload_bytes }
        });
        entry.pieces += 1;
        return;
    }
    *pieces = pieces.saturating_sub(1);
    if let Some(entry) = pinned.get_mut(&of) {
        entry.pieces = entry.pieces.saturating_sub(1);
        if entry.pieces == 0 {
            *bytes = bytes.saturating_sub(entry.payload_bytes);
            pinned.remove(&of);
        }
    }
}

/// The answer to a read: what is known, and what is still to be read from the block store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayRead {
    /// What was asked for.
    pub extent: Extent,
    /// What the overlay knows, by offset in the volume; sorted, not overlapping.
    pub pieces: Vec<(u64, Content)>,
    /// What the block store has: (offset in the volume, length in bytes); sorted.
    pub holes: Vec<(u64, u64)>,
}

impl OverlayRead {
    /// The bytes of the extent; `from_store` holds those of each hole, in order. Copies nothing
    /// where one piece or one hole is the whole extent.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if `from_store` does not fit the holes.
    pub fn assemble(self, from_store: Vec<Bytes>) -> Result<Bytes> {
        let lengths = self.holes.iter().map(|(_, length)| as_size(*length));
        if !lengths.eq(from_store.iter().map(Bytes::len)) {
            return Err(Error::invalid(format!(
                "assemble read of {} bytes at {} of volume {}: what came from the store does not \
                 fit the {} holes",
                self.extent.length,
                self.extent.offset,
                self.extent.volume,
                self.holes.len()
            )));
        }
        let store = self.holes.iter().map(|(offset, _)| *offset).zip(from_store);
        let mut parts: Vec<(u64, Content)> =
            store.map(|(offset, bytes)| (offset, Content::Data(bytes))).collect();
        parts.extend(self.pieces);
        if parts.len() == 1 {
            if let Some((_, Content::Data(bytes))) = parts.pop() {
                return Ok(bytes);
            }
            return Ok(vec![0; as_size(self.extent.length)].into());
        }
        parts.sort_unstable_by_key(|(offset, _)| *offset);
        let mut all = Vec::with_capacity(as_size(self.extent.length));
        for (_, content) in parts {
            match content {
                Content::Data(bytes) => all.extend_from_slice(&bytes),
                Content::Zero(length) => all.resize(all.len() + as_size(length), 0),
            }
        }
        Ok(all.into())
    }
}
