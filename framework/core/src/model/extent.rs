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

/// A set of byte ranges over the volumes of a group; neighbours are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
        self.ranges.iter().map(|((volume, start), end)| Extent {
            volume: *volume,
            offset: *start,
            length: end - start,
        })
    }

    /// The first range that ends after `offset` of `volume`, or the first of a later volume; cut
    /// to begin no earlier than there.
    pub fn first_from(&self, volume: VolumeId, offset: u64) -> Option<Extent> {
        if let Some(((_, _), end)) = self.ranges.range(..=(volume, offset)).next_back() {
            let before = self.ranges.range(..=(volume, offset)).next_back();
            if let Some(((of, _), _)) = before {
                if *of == volume && *end > offset {
                    return Some(Extent { volume, offset, length: end - offset });
                }
            }
        }
        self.ranges.range((volume, offset)..).next().map(|((volume, start), end)| Extent {
            volume: *volume,
            offset: *start,
            length: end - start,
        })
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

impl FromIterator<Extent> for ExtentSet {
    fn from_iter<I: IntoIterator<Item = Extent>>(extents: I) -> Self {
        let mut set = Self::new();
        for extent in extents {
            set.insert(extent);
        }
        set
    }
}
