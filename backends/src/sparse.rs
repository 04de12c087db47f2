//! Bytes of a volume in memory, of which only what was written takes room.

use std::collections::BTreeMap;
use std::ops::Range;

/// The unit in which room is taken, in bytes.
pub(crate) const CHUNK_BYTES: u64 = 64 << 10;
const CHUNK: usize = CHUNK_BYTES as usize;

/// A sparse run of bytes; what was never written reads as zeroes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sparse {
    /// Chunk index → its bytes. A chunk that became all zeroes at once is taken out.
    chunks: BTreeMap<u64, Box<[u8]>>,
}

impl Sparse {
    /// Copies what lies at `offset` into `into`, which must be zeroed.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) {
        for piece in pieces(offset, into.len() as u64) {
            if let (Some(chunk), Some(target)) =
                (self.chunks.get(&piece.chunk), into.get_mut(piece.outer))
            {
                target.copy_from_slice(chunk.get(piece.inner).unwrap_or_default());
            }
        }
    }

    /// Writes `data` at `offset`.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        for piece in pieces(offset, data.len() as u64) {
            let chunk =
                self.chunks.entry(piece.chunk).or_insert_with(|| vec![0; CHUNK].into_boxed_slice());
            if let (Some(target), Some(source)) =
                (chunk.get_mut(piece.inner), data.get(piece.outer))
            {
                target.copy_from_slice(source);
            }
        }
    }

    /// Makes `length` bytes at `offset` zero; whole chunks give their room back.
    pub(crate) fn zero(&mut self, offset: u64, length: u64) {
        if length == 0 {
            return;
        }
        let end = offset.saturating_add(length);
        let (first, last) = (offset.div_ceil(CHUNK_BYTES), end / CHUNK_BYTES);
        if first < last {
            let whole: Vec<u64> = self.chunks.range(first..last).map(|(index, _)| *index).collect();
            for index in whole {
                self.chunks.remove(&index);
            }
        }
        // Only chunks that exist are looked at: zeroing a terabyte of nothing costs nothing.
        let touched = offset / CHUNK_BYTES..=end.saturating_sub(1) / CHUNK_BYTES;
        for (index, chunk) in self.chunks.range_mut(touched) {
            let start = index * CHUNK_BYTES;
            let from = offset.max(start) - start;
            let to = end.min(start + CHUNK_BYTES).saturating_sub(start);
            if let Some(part) = chunk.get_mut(from as usize..to as usize) {
                part.fill(0);
            }
        }
    }

    /// Turns one bit around.
    pub(crate) fn flip_bit(&mut self, offset: u64, bit: u8) {
        let mut byte = [0];
        self.read(offset, &mut byte);
        self.write(offset, &[byte[0] ^ (1 << (bit % 8))]);
    }

    /// The first chunk at or after `index` that takes room.
    pub(crate) fn first_chunk_from(&self, index: u64) -> Option<u64> {
        self.chunks.range(index..).next().map(|(index, _)| *index)
    }
}

/// The part of a byte range that lies in one chunk.
pub(crate) struct Piece {
    /// The chunk's index.
    pub(crate) chunk: u64,
    /// Where in the chunk.
    pub(crate) inner: Range<usize>,
    /// Where in the caller's buffer.
    pub(crate) outer: Range<usize>,
}

/// Splits `length` bytes at `offset` at the chunks' borders.
pub(crate) fn pieces(offset: u64, length: u64) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done;
        let within = at % CHUNK_BYTES;
        let take = (CHUNK_BYTES - within).min(length - done);
        let piece = Piece {
            chunk: at / CHUNK_BYTES,
            inner: within as usize..(within + take) as usize,
            outer: done as usize..(done + take) as usize,
        };
        done += take;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_across_chunks_reads_back() {
        let mut bytes = Sparse::default();
        let data: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8 + 1).collect();
        bytes.write(CHUNK_BYTES - 100, &data);
        let mut back = vec![0; data.len() + 2];
        bytes.read(CHUNK_BYTES - 101, &mut back);
        assert_eq!(back[0], 0);
        assert_eq!(&back[1..=data.len()], &data[..]);
        assert_eq!(back[data.len() + 1], 0);
    }

    #[test]
    fn zeroing_frees_whole_chunks_and_clears_the_edges() {
        let mut bytes = Sparse::default();
        bytes.write(0, &vec![7; 4 * CHUNK]);
        bytes.zero(10, 3 * CHUNK_BYTES);
        assert_eq!(bytes.chunks.len(), 2);
        let mut back = vec![0; 4 * CHUNK];
        bytes.read(0, &mut back);
        assert!(back[..10].iter().all(|b| *b == 7));
        assert!(back[10..10 + 3 * CHUNK].iter().all(|b| *b == 0));
        assert!(back[10 + 3 * CHUNK..].iter().all(|b| *b == 7));
    }

    #[test]
    fn zeroing_nothing_touches_nothing() {
        let mut bytes = Sparse::default();
        bytes.write(0, &[7; 16]);
        bytes.zero(4, 0);
        bytes.zero(0, 0);
        bytes.zero(CHUNK_BYTES, 0);
        let mut back = [0; 16];
        bytes.read(0, &mut back);
        assert_eq!(back, [7; 16]);
    }
}
