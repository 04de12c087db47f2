//! What is journaled but not yet in the block store: reads look here first.

use super::pieces::{PieceMap, as_size};
use super::pins::Pins;
use crate::model::{Extent, UpdateNumber, VolumeId};
use crate::port::Content;
use crate::record::{Record, RecordKind};
use crate::{Error, Result};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What one piece costs in memory beside its payload, in bytes: itself, what its list keeps free,
/// and its share of the tree. An estimate that errs upwards.
pub const PIECE_OVERHEAD_BYTES: u64 = 128;

/// The extent map of updates that the journal holds and the block store does not yet; the newest
/// update wins, byte by byte.
///
/// It shares the payloads of the records. Its memory is bounded by whoever inserts: hurry the
/// restorer, then hold writers back, while [`Overlay::bytes`] is over the budget.
#[derive(Debug, Default)]
pub struct Overlay {
    volumes: BTreeMap<VolumeId, PieceMap>,
    pins: Pins,
    pieces: u64,
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
        let (pins, pieces) = (&mut self.pins, &mut self.pieces);
        let map = self.volumes.entry(extent.volume).or_default();
        map.insert(extent.offset, record.number(), content, &mut |of, came| {
            account(pins, pieces, of, came, payload_bytes);
        });
    }

    /// The memory it keeps in use, in bytes: the whole payload of every update of which a piece
    /// is left (a small piece pins all of it), [`PIECE_OVERHEAD_BYTES`] for each piece, and a count
    /// for each update since the oldest of them.
    ///
    /// A payload that was received shares its buffer with its neighbours in the stream; that
    /// buffer goes when the last of them does, which is at most one frame later.
    pub fn bytes(&self) -> u64 {
        let counts = self.pins.own_bytes();
        self.pins.payload_bytes() + counts + self.pieces * PIECE_OVERHEAD_BYTES
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
        let (pins, pieces) = (&mut self.pins, &mut self.pieces);
        for extent in extents {
            if let Some(map) = self.volumes.get_mut(&extent.volume) {
                map.remove(extent.offset, extent.end(), up_to, &mut |of, came| {
                    account(pins, pieces, of, came, 0);
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

/// Keeps the account of one piece that came or went.
fn account(pins: &mut Pins, pieces: &mut u64, of: UpdateNumber, came: bool, payload_bytes: u64) {
    if came {
        *pieces += 1;
        pins.came(of, payload_bytes);
    } else {
        *pieces = pieces.saturating_sub(1);
        pins.went(of);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Generation, Position};
    use proptest::prelude::*;

    const BYTES: u64 = 64;

    /// A change: volume, offset, length, and the byte it is filled with (0 is a Zero record).
    type Change = (u32, u64, u64, u8);

    fn changes(count: usize) -> impl Strategy<Value = Vec<Change>> {
        prop::collection::vec((0..2u32, 0..48u64, 1..16u64, 0..5u8), 0..count)
    }

    fn records(changes: &[Change]) -> Vec<Record> {
        let generation = Generation { count: 1, id: 9 };
        let mut at = Position { generation, ..Position::START };
        let mut records = Vec::new();
        for (volume, offset, length, fill) in changes {
            let (volume, offset, length) = (VolumeId(*volume), *offset, *length);
            let record = if *fill == 0 {
                Record::zero(&at, 0, Extent { volume, offset, length })
            } else {
                let payload = vec![*fill; length as usize].into();
                Record::write(&at, 0, volume, offset, payload).unwrap()
            };
            at = record.position();
            records.push(record);
        }
        records
    }

    /// What so many pieces take beside their payload, with the counts of so many updates.
    fn beside(pieces: u64, updates: u64) -> u64 {
        pieces * PIECE_OVERHEAD_BYTES + updates * 8
    }

    fn all(volume: u32) -> Extent {
        Extent { volume: VolumeId(volume), offset: 0, length: BYTES }
    }

    fn lay(bytes: &mut [u8], offset: u64, content: &Content) {
        let range = offset as usize..(offset + content.length()) as usize;
        match content {
            Content::Data(data) => bytes[range].copy_from_slice(data),
            Content::Zero(_) => bytes[range].fill(0),
        }
    }

    fn read(overlay: &Overlay, extent: Extent, store: &[u8]) -> Bytes {
        let read = overlay.read(extent);
        let from_store = read
            .holes
            .iter()
            .map(|(at, length)| {
                Bytes::copy_from_slice(&store[*at as usize..(at + length) as usize])
            })
            .collect();
        read.assemble(from_store).unwrap()
    }

    #[test]
    fn a_read_that_one_piece_covers_copies_nothing() {
        let records = records(&[(0, 8, 16, 7)]);
        let mut overlay = Overlay::new();
        overlay.insert(&records[0]);
        let inside = Extent { volume: VolumeId(0), offset: 10, length: 4 };
        let bytes = overlay.read(inside).assemble(Vec::new()).unwrap();
        assert_eq!(bytes.as_ptr(), records[0].payload()[2..].as_ptr());
    }

    #[test]
    fn store_bytes_that_do_not_fit_the_holes_are_refused() {
        let read = Overlay::new().read(all(0));
        assert_eq!(read.holes, [(0, BYTES)]);
        let error = read.clone().assemble(vec![Bytes::from_static(b"short")]).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Invalid);
        assert!(read.assemble(Vec::new()).is_err());
    }

    #[test]
    fn a_cut_payload_counts_whole_until_its_last_piece_is_gone() {
        let records = records(&[(0, 0, 15, 1), (0, 4, 4, 2), (0, 0, 4, 3), (0, 8, 7, 0)]);
        let mut overlay = Overlay::new();
        overlay.insert(&records[0]);
        assert_eq!(overlay.bytes(), 15 + beside(1, 1));
        overlay.insert(&records[1]);
        assert_eq!(overlay.bytes(), 15 + 4 + beside(3, 2));
        overlay.insert(&records[2]);
        assert_eq!(overlay.bytes(), 15 + 4 + 4 + beside(3, 3));
        overlay.insert(&records[3]);
        assert_eq!(overlay.bytes(), 4 + 4 + beside(3, 3), "the first one is gone");
        overlay.remove_restored([all(0)], UpdateNumber::new(4));
        assert_eq!(overlay.bytes(), 0);
        assert!(overlay.is_empty());
    }

    #[test]
    fn a_newer_piece_outlives_the_removal_of_an_older_one() {
        let records = records(&[(0, 0, 8, 1), (0, 4, 8, 2)]);
        let mut overlay = Overlay::new();
        records.iter().for_each(|record| overlay.insert(record));
        overlay.remove_restored([all(0)], UpdateNumber::new(1));
        let left: Vec<_> = overlay.covered(all(0)).collect();
        assert_eq!(left, [(4, 12, false)]);
    }

    #[test]
    fn a_range_at_the_end_of_the_address_space_does_not_overflow() {
        let at = Position::START;
        let huge = Extent { volume: VolumeId(0), offset: u64::MAX - 4, length: u64::MAX };
        let mut overlay = Overlay::new();
        overlay.insert(&Record::zero(&at, 0, huge));
        overlay.insert(&Record::write(&at, 0, VolumeId(0), u64::MAX - 2, "four".into()).unwrap());
        let ranges: Vec<_> = overlay.covered(huge).collect();
        let end = u64::MAX;
        assert_eq!(ranges, [(end - 4, end - 2, true), (end - 2, end, false)]);
    }

    proptest! {
        #[test]
        fn a_read_is_the_newest_of_each_byte(
            changes in changes(40), from in 0..BYTES, length in 0..BYTES,
        ) {
            let mut overlay = Overlay::new();
            let mut expected = [[9u8; BYTES as usize]; 2];
            for (record, change) in records(&changes).iter().zip(&changes) {
                overlay.insert(record);
                let range = change.1 as usize..(change.1 + change.2) as usize;
                expected[change.0 as usize][range].fill(change.3);
            }
            let length = length.min(BYTES - from);
            for volume in 0..2u32 {
                let extent = Extent { volume: VolumeId(volume), offset: from, length };
                let bytes = read(&overlay, extent, &[9; BYTES as usize]);
                let range = from as usize..(from + length) as usize;
                prop_assert_eq!(&bytes[..], &expected[volume as usize][range]);
            }
        }

        #[test]
        fn restoring_any_prefix_leaves_reads_as_they_were(
            changes in changes(40), restored in 0..40usize,
        ) {
            let records = records(&changes);
            let mut overlay = Overlay::new();
            records.iter().for_each(|record| overlay.insert(record));
            let before: Vec<Bytes> =
                (0..2).map(|volume| read(&overlay, all(volume), &[9; BYTES as usize])).collect();
            let mut stores = [[9u8; BYTES as usize]; 2];
            let restored = restored.min(records.len());
            for record in &records[..restored] {
                let extent = record.extent().unwrap();
                let content = match record.payload().is_empty() {
                    true => Content::Zero(extent.length),
                    false => Content::Data(record.payload().clone()),
                };
                lay(&mut stores[extent.volume.0 as usize], extent.offset, &content);
            }
            let touched = records[..restored].iter().filter_map(Record::extent);
            overlay.remove_restored(touched, UpdateNumber::new(restored as u64));
            for volume in 0..2u32 {
                let after = read(&overlay, all(volume), &stores[volume as usize]);
                prop_assert_eq!(&after, &before[volume as usize]);
                let covered = overlay.covered(all(volume)).map(|(from, to, _)| to - from);
                let covered: u64 = covered.sum();
                let holes: u64 = overlay.read(all(volume)).holes.iter().map(|(_, l)| l).sum();
                prop_assert_eq!(covered + holes, BYTES);
            }
            let everything = UpdateNumber::MAX;
            overlay.remove_restored((0..2).map(all), everything);
            prop_assert_eq!(overlay.bytes(), 0);
        }
    }
}
