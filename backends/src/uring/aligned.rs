//! Memory that begins at a block's border, as `O_DIRECT` asks for.

use super::BLOCK_BYTES;

/// A buffer of fixed size whose first byte lies at a multiple of [`BLOCK_BYTES`].
#[derive(Debug)]
pub(super) struct Aligned {
    /// Never grown: its bytes stay where they are.
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// `length` zeroes.
    pub(super) fn new(length: usize) -> Self {
        let memory = vec![0_u8; length + BLOCK_BYTES];
        // What cannot be told is out of reach of `length`, and then nothing is ever filled in.
        let start = memory.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        Self { memory, start, length }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.length).unwrap_or_default()
    }

    /// Its bytes, to be read into.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.start + self.length).unwrap_or_default()
    }

    /// Fills it from the front; returns how many bytes that were.
    pub(super) fn fill<'a>(&mut self, parts: impl Iterator<Item = &'a [u8]>) -> usize {
        let length = self.length;
        let mut rest = self.bytes_mut();
        for part in parts {
            let take = part.len().min(rest.len());
            let (now, later) = std::mem::take(&mut rest).split_at_mut(take);
            now.copy_from_slice(part.get(..take).unwrap_or_default());
            rest = later;
        }
        length - rest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_at_a_border_and_takes_no_more_than_it_holds() {
        for _ in 0..20 {
            let mut buffer = Aligned::new(8192);
            assert_eq!(buffer.bytes().as_ptr().align_offset(BLOCK_BYTES), 0);
            assert_eq!(buffer.bytes().len(), 8192);
            let parts = [&[1_u8; 5000][..], &[2; 3000]];
            assert_eq!(buffer.fill(parts.into_iter()), 8000);
            assert_eq!((buffer.bytes()[4999], buffer.bytes()[5000]), (1, 2));
            assert_eq!(buffer.fill([&[3_u8; 9000][..]].into_iter()), 8192);
        }
    }
}
