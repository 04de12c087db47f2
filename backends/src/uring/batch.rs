//! What of a batch can be written directly, cut into pieces for the ring.

use super::BLOCK_BYTES;
use bytes::Bytes;
use trefoil_core::port::{BlockWrite, Content};

/// The most bytes of one piece: what one entry of the ring writes.
pub(super) const PIECE_BYTES_MAX: usize = 128 << 10;

/// Bytes that lie without a gap on the disk, whole blocks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) parts: Vec<Bytes>,
    length: usize,
}

impl Piece {
    fn end(&self) -> u64 {
        self.offset + self.length as u64
    }
}

/// Takes a sorted batch apart: pieces of whole blocks, neighbours put together, and the rest.
pub(super) fn take_apart(batch: Vec<BlockWrite>) -> (Vec<Piece>, Vec<BlockWrite>) {
    let (mut pieces, mut rest) = (Vec::new(), Vec::new());
    for write in batch {
        match write.content {
            Content::Data(data) if is_whole(write.offset, data.len()) => {
                add(&mut pieces, write.offset, data);
            }
            content => rest.push(BlockWrite { offset: write.offset, content }),
        }
    }
    (pieces, rest)
}

fn is_whole(offset: u64, length: usize) -> bool {
    length > 0 && length.is_multiple_of(BLOCK_BYTES) && offset.is_multiple_of(BLOCK_BYTES as u64)
}

fn add(pieces: &mut Vec<Piece>, mut offset: u64, mut data: Bytes) {
    while !data.is_empty() {
        let room = pieces.last().filter(|last| last.end() == offset);
        let room = room.map_or(0, |last| PIECE_BYTES_MAX - last.length);
        let part = data.split_to(data.len().min(if room > 0 { room } else { PIECE_BYTES_MAX }));
        let length = part.len();
        match pieces.last_mut() {
            Some(last) if room > 0 => {
                last.length += length;
                last.parts.push(part);
            }
            _ => pieces.push(Piece { offset, parts: vec![part], length }),
        }
        offset += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(offset: u64, length: usize) -> BlockWrite {
        BlockWrite { offset, content: Content::Data(vec![offset as u8; length].into()) }
    }

    #[test]
    fn whole_blocks_become_pieces_and_the_rest_stays() {
        let zero = BlockWrite { offset: 40960, content: Content::Zero(4096) };
        let odd = [data(20480, 100), data(24577, 4096), data(32768, 0), zero];
        let mut batch = vec![data(0, 4096), data(4096, 8192), data(16384, 4096)];
        batch.extend(odd.clone());
        let (pieces, rest) = take_apart(batch);
        let found: Vec<_> = pieces.iter().map(|p| (p.offset, p.length, p.parts.len())).collect();
        assert_eq!(found, [(0, 12288, 2), (16384, 4096, 1)]);
        assert_eq!(rest, odd);
    }

    #[test]
    fn a_piece_has_its_limit_and_no_byte_is_lost() {
        let batch =
            vec![data(4096, PIECE_BYTES_MAX - 4096), data(PIECE_BYTES_MAX as u64, 300 << 10)];
        let (pieces, rest) = take_apart(batch);
        assert!(rest.is_empty());
        let mut at = 4096;
        for piece in &pieces {
            assert_eq!(piece.offset, at);
            assert!(piece.length <= PIECE_BYTES_MAX);
            assert_eq!(piece.parts.iter().map(Bytes::len).sum::<usize>(), piece.length);
            at = piece.end();
        }
        assert_eq!(at, (PIECE_BYTES_MAX + (300 << 10)) as u64);
    }
}
