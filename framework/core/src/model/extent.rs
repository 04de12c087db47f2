//! Ranges of volumes, and sets of them.

use super::VolumeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A range of bytes of one volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Extent {
    /// The volume.
    pub volume: VolumeId,
    /// Where it starts, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

impl Extent {
    /// The first byte after it.
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// The smallest gap that is bridged first, in bytes: a block of most file systems.
const BRIDGE_BYTES_MIN: u64 = 4096;

/// A set that has so many times the ranges of another is not taken apart to add those.
const MANY_TIMES: usize = 16;

/// (volume, start) and end, of at least one byte.
type Range = ((VolumeId, u64), u64);

/// A set of byte ranges over the volumes of a group; neighbours are merged.
///
/// Stored and sent as the list of its extents, and merged again when read, so that bytes from
/// elsewhere can never make a set whose ranges overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Extent>", into = "Vec<Extent>")]
pub struct ExtentSet {
    /// (volume, start) → end; ranges neither overlap nor touch.
    ranges: BTreeMap<(VolumeId, u64), u64>,
}

impl ExtentSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: BTreeMap::new() }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many bytes are in it.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|((_, start), end)| end - start).sum()
    }

    /// How many separate ranges it has.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// The ranges, by volume and offset.
    pub fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        self.ranges.iter().map(extent_of)
    }

    /// The first range that ends after `offset` of `volume`, or the first of a later volume; cut
    /// to begin no earlier than there.
    pub fn first_from(&self, volume: VolumeId, offset: u64) -> Option<Extent> {
        let reaching = self
            .ranges
            .range(..(volume, offset))
            .next_back()
            .filter(|((of, _), end)| *of == volume && **end > offset)
            .map(|(_, end)| Extent { volume, offset, length: end - offset });
        reaching.or_else(|| self.ranges.range((volume, offset)..).next().map(extent_of))
    }

    /// Whether all of `extent` is in it; an empty extent always is.
    pub fn contains(&self, extent: Extent) -> bool {
        extent.length == 0
            || self.first_from(extent.volume, extent.offset).is_some_and(|first| {
                (first.volume, first.offset) == (extent.volume, extent.offset)
                    && first.end() >= extent.end()
            })
    }

    /// Whether any byte of `extent` is in it.
    pub fn overlaps(&self, extent: Extent) -> bool {
        extent.length > 0
            && self
                .first_from(extent.volume, extent.offset)
                .is_some_and(|first| first.volume == extent.volume && first.offset < extent.end())
    }

    /// The bytes of both.
    pub fn add_all(&mut self, other: &Self) {
        if other.len() < self.len() / MANY_TIMES {
            other.iter().for_each(|extent| self.insert(extent));
            return;
        }
        let mut ranges: Vec<Range> = std::mem::take(&mut self.ranges).into_iter().collect();
        ranges.extend(other.ranges.iter().map(|(range, end)| (*range, *end)));
        self.ranges = merged(ranges);
    }

    /// Merges ranges of a volume across the smaller gaps between them until about `ranges_max` are
    /// left (one a volume at least): what must fit into a fixed place names more bytes instead.
    pub fn bridge(&mut self, ranges_max: usize) {
        if self.ranges.len() <= ranges_max {
            return;
        }
        let mut ranges: Vec<Range> = std::mem::take(&mut self.ranges).into_iter().collect();
        let mut gap = BRIDGE_BYTES_MIN;
        while ranges.len() > ranges_max && gap < u64::MAX / 2 {
            merge(&mut ranges, gap);
            gap *= 2;
        }
        self.ranges = ranges.into_iter().collect();
    }

    /// Adds a range.
    pub fn insert(&mut self, extent: Extent) {
        if extent.length == 0 {
            return;
        }
        let (mut start, mut end) = (extent.offset, extent.end());
        let touching: Vec<(VolumeId, u64)> = self
            .ranges
            .range((extent.volume, 0)..=(extent.volume, end))
            .rev()
            .take_while(|(_, their_end)| **their_end >= start)
            .map(|(key, _)| *key)
            .collect();
        for key in touching {
            if let Some(their_end) = self.ranges.remove(&key) {
                start = start.min(key.1);
                end = end.max(their_end);
            }
        }
        self.ranges.insert((extent.volume, start), end);
    }

    /// Takes a range out.
    pub fn remove(&mut self, extent: Extent) {
        if extent.length == 0 {
            return;
        }
        let (start, end) = (extent.offset, extent.end());
        let overlapping: Vec<(VolumeId, u64)> = self
            .ranges
            .range((extent.volume, 0)..(extent.volume, end))
            .rev()
            .take_while(|(_, their_end)| **their_end > start)
            .map(|(key, _)| *key)
            .collect();
        for key in overlapping {
            if let Some(their_end) = self.ranges.remove(&key) {
                if key.1 < start {
                    self.ranges.insert(key, start);
                }
                if their_end > end {
                    self.ranges.insert((extent.volume, end), their_end);
                }
            }
        }
    }
}

/// The extent of one entry.
fn extent_of((&(volume, start), end): (&(VolumeId, u64), &u64)) -> Extent {
    Extent { volume, offset: start, length: end - start }
}

impl From<Vec<Extent>> for ExtentSet {
    fn from(extents: Vec<Extent>) -> Self {
        extents.into_iter().collect()
    }
}

impl From<ExtentSet> for Vec<Extent> {
    fn from(set: ExtentSet) -> Self {
        set.iter().collect()
    }
}

impl FromIterator<Extent> for ExtentSet {
    fn from_iter<I: IntoIterator<Item = Extent>>(extents: I) -> Self {
        let extents = extents.into_iter().filter(|extent| extent.length > 0);
        let ranges = extents.map(|extent| ((extent.volume, extent.offset), extent.end()));
        Self { ranges: merged(ranges.collect()) }
    }
}

/// These ranges, which may overlap and come in any order. To sort many is several times faster than
/// to look each one's place up in a tree.
fn merged(mut ranges: Vec<Range>) -> BTreeMap<(VolumeId, u64), u64> {
    // Mostly two lists that are in order already: a stable sort only merges those.
    ranges.sort();
    merge(&mut ranges, 0);
    ranges.into_iter().collect()
}

/// Makes one of those neighbours, in order, that lie no more than `gap` bytes apart.
fn merge(ranges: &mut Vec<Range>, gap: u64) {
    ranges.dedup_by(|((volume, start), end), ((last_volume, _), last_end)| {
        let near = volume == last_volume && start.saturating_sub(*last_end) <= gap;
        if near {
            *last_end = (*last_end).max(*end);
        }
        near
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BYTES: u64 = 48;

    fn extent(volume: u32, offset: u64, length: u64) -> Extent {
        Extent { volume: VolumeId(volume), offset, length }
    }

    #[test]
    fn neighbours_are_merged_and_volumes_kept_apart() {
        let set: ExtentSet = [extent(0, 0, 4), extent(0, 8, 4), extent(1, 4, 4), extent(0, 4, 4)]
            .into_iter()
            .collect();
        assert_eq!(Vec::from(set.clone()), [extent(0, 0, 12), extent(1, 4, 4)]);
        assert_eq!((set.len(), set.bytes()), (2, 16));
    }

    #[test]
    fn a_set_that_is_bridged_names_more_bytes_and_fewer_ranges() {
        let blocks = (0..100).map(|block| extent(0, block * 8192, 512));
        let mut set: ExtentSet =
            blocks.chain([extent(1, 0, 512), extent(1, 1 << 40, 512)]).collect();
        let before = set.clone();
        set.bridge(1000);
        assert_eq!(set, before, "it fits already");
        set.bridge(10);
        assert_eq!(set.len(), 3, "the gaps of volume 0 are the smaller ones");
        assert!(before.iter().all(|extent| set.contains(extent)));
        set.bridge(1);
        assert_eq!(set.len(), 2, "never across volumes");
    }

    #[test]
    fn a_range_at_the_end_of_the_address_space_does_not_overflow() {
        let mut set = ExtentSet::new();
        set.insert(extent(0, u64::MAX - 4, 100));
        assert_eq!(set.bytes(), 4);
        set.remove(extent(0, u64::MAX - 2, u64::MAX));
        assert_eq!(set.bytes(), 2);
    }

    #[test]
    fn overlapping_ranges_from_elsewhere_are_merged_when_read() {
        let sent = postcard::to_stdvec(&vec![extent(0, 0, 8), extent(0, 4, 8)]).unwrap();
        let set: ExtentSet = postcard::from_bytes(&sent).unwrap();
        assert_eq!(Vec::from(set), [extent(0, 0, 12)]);
    }

    /// A change of the set: add or take out, volume, offset, length.
    fn changes() -> impl Strategy<Value = Vec<(bool, u32, u64, u64)>> {
        prop::collection::vec((any::<bool>(), 0..2u32, 0..BYTES, 0..12u64), 0..40)
    }

    proptest! {
        #[test]
        fn many_at_once_are_the_same_as_one_after_the_other(
            one in changes(),
            other in changes(),
            few in 0..4usize,
        ) {
            let extents = |changes: &[(bool, u32, u64, u64)]| -> Vec<Extent> {
                changes.iter().map(|(_, v, offset, length)| extent(*v, *offset, *length)).collect()
            };
            let (one, other) = (extents(&one), extents(&other));
            // Far from the others, and many.
            let far = (0..200).map(|at| extent(0, 1000 + 10 * at, 5));
            let all: Vec<Extent> = one.iter().copied().chain(far).collect();
            let mut set = ExtentSet::new();
            all.iter().for_each(|extent| set.insert(*extent));
            prop_assert_eq!(&all.into_iter().collect::<ExtentSet>(), &set);
            for other in [&other[..], &other[..few.min(other.len())], &one[..]] {
                let mut both = set.clone();
                both.add_all(&other.iter().copied().collect());
                other.iter().for_each(|extent| set.insert(*extent));
                prop_assert_eq!(&both, &set);
            }
        }

        #[test]
        fn the_set_holds_exactly_the_bytes_added_and_not_taken_out(changes in changes()) {
            let mut set = ExtentSet::new();
            let mut bytes = [[false; 64]; 2];
            for (add, volume, offset, length) in changes {
                let extent = extent(volume, offset, length);
                if add { set.insert(extent) } else { set.remove(extent) }
                bytes[volume as usize][offset as usize..(offset + length) as usize].fill(add);
            }
            for volume in 0..2u32 {
                let of_volume = &bytes[volume as usize];
                let inside = |at: u64| set.iter().any(|e| {
                    e.volume == VolumeId(volume) && e.offset <= at && at < e.end()
                });
                for at in 0..64 {
                    prop_assert_eq!(inside(at), of_volume[at as usize]);
                }
            }
            let ranges: Vec<Extent> = set.iter().collect();
            for pair in ranges.windows(2) {
                prop_assert!(pair[0].volume < pair[1].volume || pair[0].end() < pair[1].offset);
            }
            prop_assert_eq!(ExtentSet::from(ranges.clone()), set.clone());
            for (volume, offset) in (0..2u32).flat_map(|v| (0..64).map(move |at| (v, at))) {
                let expected = ranges
                    .iter()
                    .find(|e| (e.volume, e.end()) > (VolumeId(volume), offset))
                    .map(|e| if e.volume == VolumeId(volume) && e.offset < offset {
                        extent(volume, offset, e.end() - offset)
                    } else {
                        *e
                    });
                prop_assert_eq!(set.first_from(VolumeId(volume), offset), expected);
                let length = 5.min(64 - offset);
                let range = offset as usize..(offset + length) as usize;
                let inside = &bytes[volume as usize][range];
                let asked = extent(volume, offset, length);
                prop_assert_eq!(set.contains(asked), inside.iter().all(|in_set| *in_set));
                prop_assert_eq!(set.overlaps(asked), inside.iter().any(|in_set| *in_set));
            }
        }
    }
}
