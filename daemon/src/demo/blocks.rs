//! What the demo writes: blocks whose content tells who wrote them, and can be made again.

use bytes::Bytes;

/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 4096;

const MAGIC: &[u8; 8] = b"TREFOIL.";

/// What is written to a block: where, by which run, and the how-many-th write it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub seed: u64,
    pub block: u64,
    /// From 1 on.
    pub sequence: u64,
}

impl Stamp {
    /// The bytes of the block: the stamp, then noise that follows from it.
    pub fn content(self) -> Bytes {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        bytes.extend_from_slice(MAGIC);
        for word in [self.seed, self.block, self.sequence] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let mut state = mix(self.seed ^ mix(self.block) ^ mix(self.sequence).rotate_left(17));
        while bytes.len() < BLOCK_BYTES {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            bytes.extend_from_slice(&mix(state).to_le_bytes());
        }
        bytes.into()
    }

    /// The stamp that a block begins with, if it begins with one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let words = bytes.strip_prefix(MAGIC)?;
        let word = |index: usize| {
            let word = words.get(index * 8..index * 8 + 8)?;
            word.try_into().ok().map(u64::from_le_bytes)
        };
        Some(Self { seed: word(0)?, block: word(1)?, sequence: word(2)? })
    }
}

/// The finalizer of splitmix64.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_has_its_own_content_which_can_be_made_again() {
        let stamp = Stamp { seed: 1, block: 2, sequence: 3 };
        let content = stamp.content();
        assert_eq!(content.len(), BLOCK_BYTES);
        assert_eq!(content, stamp.content());
        assert_eq!(Stamp::read(&content), Some(stamp));
        for other in [
            Stamp { seed: 2, ..stamp },
            Stamp { block: 3, ..stamp },
            Stamp { sequence: 4, ..stamp },
        ] {
            let theirs = other.content();
            assert_ne!(theirs[..32], content[..32]);
            assert_ne!(theirs[32..64], content[32..64], "the noise differs too");
        }
        assert_eq!(Stamp::read(&[0; BLOCK_BYTES]), None);
    }
}
