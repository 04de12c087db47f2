//! A range that travels as its hashes, and which of it differs.

use crate::model::{BlockHash, Extent, HASHED_BYTES, Position, SessionId, UpdateNumber};

/// The hashes of one range, in the place of its content: a follower that holds the same has what a
/// [`CopyBlock`](super::CopyBlock) with these numbers would have brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompareBlock {
    /// The session.
    pub session: SessionId,
    /// The range.
    pub extent: Extent,
    /// Of each [`HASHED_BYTES`] of it; the last may stand for fewer.
    pub hashes: Vec<BlockHash>,
    /// As with a copy.
    pub low: UpdateNumber,
    /// As with a copy.
    pub high: Position,
}

impl CompareBlock {
    /// The hashes of a range that holds `content`.
    pub fn hashes_of(content: &[u8]) -> Vec<BlockHash> {
        content.chunks(HASHED_BYTES as usize).map(BlockHash::of).collect()
    }

    /// Where `content`, which is what the follower holds in the range, is another one than the
    /// source's; in order, neighbours as one.
    pub fn differing(&self, content: &[u8]) -> Vec<Extent> {
        let mut differing: Vec<Extent> = Vec::new();
        let own = Self::hashes_of(content);
        let mut offset = self.extent.offset;
        for (index, theirs) in self.hashes.iter().enumerate() {
            let length = HASHED_BYTES.min(self.extent.end().saturating_sub(offset));
            if own.get(index) != Some(theirs) {
                match differing.last_mut() {
                    Some(last) if last.end() == offset => last.length += length,
                    _ => differing.push(Extent { volume: self.extent.volume, offset, length }),
                }
            }
            offset += length;
        }
        differing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::VolumeId;

    const BLOCK: usize = HASHED_BYTES as usize;

    fn told(content: &[u8]) -> CompareBlock {
        let (volume, offset, length) = (VolumeId(1), 512, content.len() as u64);
        let (low, high) = (UpdateNumber::ZERO, Position::START);
        let hashes = CompareBlock::hashes_of(content);
        let extent = Extent { volume, offset, length };
        CompareBlock { session: SessionId(1), extent, hashes, low, high }
    }

    #[test]
    fn only_what_differs_is_named_and_neighbours_as_one() {
        let theirs: Vec<u8> = (0..4 * BLOCK + 100).map(|byte| (byte / 7) as u8).collect();
        let told = told(&theirs);
        assert_eq!(told.hashes.len(), 5, "the last stands for fewer bytes");
        assert_eq!(told.differing(&theirs), []);
        let mut own = theirs.clone();
        own[BLOCK] ^= 1;
        own[2 * BLOCK + 5] ^= 0x80;
        own[4 * BLOCK + 99] ^= 1;
        let at = |offset: usize, length: usize| Extent {
            volume: VolumeId(1),
            offset: 512 + offset as u64,
            length: length as u64,
        };
        assert_eq!(told.differing(&own), [at(BLOCK, 2 * BLOCK), at(4 * BLOCK, 100)]);
    }

    #[test]
    fn what_is_not_there_differs() {
        let theirs = vec![7; 2 * BLOCK];
        let [short, none] =
            [told(&theirs).differing(&theirs[..BLOCK + 1]), told(&theirs).differing(&[])];
        assert_eq!((short.len(), short[0].length), (1, HASHED_BYTES));
        assert_eq!((none.len(), none[0].length), (1, 2 * HASHED_BYTES));
    }
}
