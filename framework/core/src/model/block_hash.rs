//! The hash by which two sites tell whether a block of theirs is the same.

use std::fmt;

/// How many bytes of a volume one hash stands for: what travels if anything in it differs.
pub const HASHED_BYTES: u64 = 64 << 10;

/// The BLAKE3 hash of a block. Unlike a [`Chain`](super::Chain) it decides that data is *not*
/// sent, whatever a guest wrote there, so that it must be one for which nobody can make two blocks.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockHash([u8; Self::BYTES]);

impl BlockHash {
    /// How long a hash is, in bytes.
    pub const BYTES: usize = 32;

    /// The hash of a block of this content.
    pub fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }

    /// The hash as it was told.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The hash to tell.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "BlockHash({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}
