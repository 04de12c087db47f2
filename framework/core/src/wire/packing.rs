//! What stands in front of every frame of a data lane: how the rest is packed, and how long it is
//! once it is unpacked.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | 0: as it is; 1: an LZ4 block; 2: a Zstandard frame |
//! | 1 | 4 | length of the rest once it is unpacked, little-endian |
//!
//! The packing is a layer of its own, below [`decode_data`](super::decode_data): who packs and
//! unpacks needs libraries and threads, and messages are the same whichever way they came.

use super::reader::FrameReader;
use crate::port::{FRAME_BYTES_MAX, Frame};
use crate::{Error, Result};

/// The length of what stands in front, in bytes.
pub const PACKING_BYTES: usize = 5;

/// The longest message of a data lane, in bytes, before it is packed.
pub const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX - PACKING_BYTES;

/// How the rest of a frame is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// An LZ4 block.
    Lz4,
    /// A Zstandard frame.
    Zstd,
}

/// A frame whose front was read. The length is checked, the rest is not unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// How it is packed.
    pub packing: Packing,
    /// How long it must be once it is unpacked; at most [`MESSAGE_BYTES_MAX`].
    pub length: usize,
    /// What is to be unpacked.
    pub rest: Frame,
}

impl Packing {
    /// What stands in front of a message of `length` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the message is too long for a frame.
    pub fn front(self, length: usize) -> Result<[u8; PACKING_BYTES]> {
        let fits = u32::try_from(length).ok().filter(|_| length <= MESSAGE_BYTES_MAX);
        let Some(bytes) = fits.map(u32::to_le_bytes) else {
            return Err(Error::invalid(format!(
                "pack message: it has {length} bytes, the limit is {MESSAGE_BYTES_MAX}"
            )));
        };
        let kind = match self {
            Self::Plain => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
        };
        Ok([kind, bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl Packed {
    /// Reads the front of a frame.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the kind is unknown, or the length
    /// beyond the limit or not that of a plain rest: nothing is allocated for such a frame.
    pub fn of(frame: Frame) -> Result<Self> {
        let mut frame = FrameReader::new(frame);
        let front = frame.take(PACKING_BYTES).ok();
        let Some(front) = front.as_ref().and_then(|front| front.first_chunk::<PACKING_BYTES>())
        else {
            return Err(Error::corrupt("unpack message: the frame is too short"));
        };
        let packing = match front[0] {
            0 => Packing::Plain,
            1 => Packing::Lz4,
            2 => Packing::Zstd,
            other => {
                let what = format!("unpack message: packing {other} is not known here");
                return Err(Error::corrupt(what));
            }
        };
        let length = u32::from_le_bytes([front[1], front[2], front[3], front[4]]) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(Error::corrupt(format!(
                "unpack message: it claims {length} bytes, the limit is {MESSAGE_BYTES_MAX}"
            )));
        }
        if packing == Packing::Plain && length != frame.length() {
            return Err(Error::corrupt(format!(
                "unpack message: it claims {length} bytes and has {}",
                frame.length()
            )));
        }
        Ok(Self { packing, length, rest: frame.into_frame() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn frame(front: [u8; PACKING_BYTES], rest: &[u8]) -> Frame {
        Frame::of([&front[..], rest].concat().into())
    }

    #[test]
    fn a_front_is_read_as_it_was_written() {
        for packing in [Packing::Plain, Packing::Lz4, Packing::Zstd] {
            let packed = Packed::of(frame(packing.front(4).unwrap(), b"rest")).unwrap();
            assert_eq!((packed.packing, packed.length), (packing, 4));
            assert_eq!(packed.rest, Frame::of(Bytes::from_static(b"rest")));
        }
    }

    #[test]
    fn what_claims_too_much_is_refused_before_anything_is_allocated() {
        let long = u32::try_from(MESSAGE_BYTES_MAX + 1).unwrap().to_le_bytes();
        let bomb = [2, long[0], long[1], long[2], long[3]];
        for bad in [
            frame(bomb, b"x"),
            frame([2, 255, 255, 255, 255], b"x"),
            frame([0, 2, 0, 0, 0], b"x"),
            frame([3, 1, 0, 0, 0], b"x"),
            Frame::of(Bytes::from_static(b"\0\0\0")),
        ] {
            let error = Packed::of(bad).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Corrupt, "{error}");
        }
        assert!(Packing::Plain.front(MESSAGE_BYTES_MAX).is_ok());
        assert!(Packing::Plain.front(MESSAGE_BYTES_MAX + 1).is_err());
    }
}
