//! Reads a frame from its front to its end, whatever parts it came in.

use crate::port::Frame;
use crate::{Error, Result};
use bytes::Bytes;
use std::vec::IntoIter;

/// What is left of a frame. What lies in one part is taken out without being copied; where it lies
/// across parts, which no sender of messages does, all that is left is copied together once.
pub(super) struct FrameReader {
    front: Bytes,
    parts: IntoIter<Bytes>,
    length: usize,
}

impl FrameReader {
    pub fn new(frame: Frame) -> Self {
        let length = frame.length();
        Self { front: Bytes::new(), parts: frame.parts.into_iter(), length }
    }

    /// How many bytes are left.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The next bytes that lie together: at least `count`.
    pub fn peek(&mut self, count: usize) -> Result<&[u8]> {
        if self.length < count {
            return Err(Error::corrupt(format!(
                "decode message: {} bytes are left, {count} are needed",
                self.length
            )));
        }
        while self.front.is_empty() && self.parts.len() > 0 {
            self.front = self.parts.next().unwrap_or_default();
        }
        if self.front.len() < count {
            self.join();
        }
        Ok(&self.front)
    }

    /// Takes the next `count` bytes out.
    pub fn take(&mut self, count: usize) -> Result<Bytes> {
        self.peek(count)?;
        self.length -= count;
        Ok(self.front.split_to(count))
    }

    /// Takes all that is left out.
    pub fn rest(&mut self) -> Result<Bytes> {
        self.take(self.length)
    }

    /// The rest as a frame, in the parts that it lies in.
    pub fn into_frame(self) -> Frame {
        let front = Some(self.front).filter(|front| !front.is_empty());
        Frame { parts: front.into_iter().chain(self.parts).collect() }
    }

    fn join(&mut self) {
        let front = std::mem::take(&mut self.front);
        let parts = std::iter::once(front).chain(std::mem::take(&mut self.parts)).collect();
        self.front = Frame { parts }.into_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes in parts of these lengths, and the rest.
    fn cut(bytes: &Bytes, lengths: &[usize]) -> Frame {
        let mut rest = bytes.clone();
        let mut parts: Vec<Bytes> =
            lengths.iter().map(|length| rest.split_to((*length).min(rest.len()))).collect();
        parts.push(rest);
        Frame { parts }
    }

    proptest! {
        #[test]
        fn whatever_parts_it_came_in_it_reads_the_same(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            lengths in prop::collection::vec(0..40usize, 0..12),
            takes in prop::collection::vec(0..40usize, 0..12),
        ) {
            let bytes = Bytes::from(bytes);
            let mut reader = FrameReader::new(cut(&bytes, &lengths));
            let mut at = 0;
            for take in takes {
                prop_assert_eq!(reader.length(), bytes.len() - at);
                if take > reader.length() {
                    prop_assert!(reader.peek(take).is_err() && reader.take(take).is_err());
                    continue;
                }
                prop_assert_eq!(&reader.peek(take).unwrap()[..take], &bytes[at..at + take]);
                prop_assert_eq!(reader.take(take).unwrap(), bytes.slice(at..at + take));
                at += take;
            }
            prop_assert_eq!(reader.into_frame().into_bytes(), bytes.slice(at..));
        }
    }

    #[test]
    fn what_lies_in_one_part_is_not_copied() {
        let (head, body) = (Bytes::from(vec![1; 16]), Bytes::from(vec![2; 4096]));
        let mut reader = FrameReader::new(Frame { parts: vec![head.clone(), body.clone()] });
        assert_eq!(reader.take(8).unwrap().as_ptr(), head.as_ptr());
        assert_eq!(reader.take(8).unwrap().as_ptr(), head[8..].as_ptr());
        assert_eq!(reader.rest().unwrap().as_ptr(), body.as_ptr());
        assert_eq!(reader.into_frame(), Frame::default());
    }
}
