//! The header before every frame: 16 bytes, little-endian.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | magic with version: `TFF1` a frame, `TFE1` the orderly end of the lane |
//! | 4 | 4 | length of the body in bytes |
//! | 8 | 4 | CRC-32C of the body |
//! | 12 | 4 | CRC-32C of the first 12 bytes |
//!
//! The header has a CRC of its own so that a damaged length is never believed, not even for as
//! long as it takes to read the body.

use crc_fast::{CrcAlgorithm, Digest, checksum};
use trefoil_core::port::{FRAME_BYTES_MAX, Frame};
use trefoil_core::{Error, Result};

/// The length of a header in bytes.
pub(crate) const HEADER_BYTES: usize = 16;

const FRAME_MAGIC: [u8; 4] = *b"TFF1";
const END_MAGIC: [u8; 4] = *b"TFE1";

/// What a header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// A frame follows.
    Frame { length: usize, crc: u32 },
    /// Nothing follows: the sender closed the lane.
    End,
}

impl Header {
    /// The header of a frame whose length was checked.
    pub(crate) fn of(frame: &Frame) -> Self {
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        frame.parts.iter().for_each(|part| digest.update(part));
        Self::Frame { length: frame.length(), crc: low_32(digest.finalize()) }
    }

    pub(crate) fn encode(self) -> [u8; HEADER_BYTES] {
        let (magic, length, crc) = match self {
            Self::Frame { length, crc } => (FRAME_MAGIC, length, crc),
            Self::End => (END_MAGIC, 0, 0),
        };
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&magic);
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        let own = crc_of(&bytes[..12]);
        bytes[12..].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self> {
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        if u32::from_le_bytes(word(12)) != crc_of(&bytes[..12]) {
            return Err(Error::corrupt("read frame: the header is damaged"));
        }
        let length = u32::from_le_bytes(word(4));
        match word(0) {
            FRAME_MAGIC => {}
            END_MAGIC => return Ok(Self::End),
            other => {
                let what = format!("read frame: unknown kind {other:02x?}");
                return Err(Error::corrupt(what));
            }
        }
        match usize::try_from(length) {
            Ok(length) if length <= FRAME_BYTES_MAX => {
                Ok(Self::Frame { length, crc: u32::from_le_bytes(word(8)) })
            }
            _ => Err(Error::corrupt(format!(
                "read frame: it claims {length} bytes, the limit is {FRAME_BYTES_MAX}"
            ))),
        }
    }
}

/// The CRC-32C of a frame's body or of a header.
pub(crate) fn crc_of(bytes: &[u8]) -> u32 {
    low_32(checksum(CrcAlgorithm::Crc32Iscsi, bytes))
}

fn low_32(crc: u64) -> u32 {
    // The crate returns every width as 64 bits; the upper half of a 32-bit CRC is zero.
    u32::try_from(crc & u64::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let parts = vec![Bytes::from_static(b"1234"), Bytes::new(), Bytes::from_static(b"56789")];
        let header = Header::of(&Frame { parts });
        // The check value of CRC-32C for "123456789".
        assert_eq!(header, Header::Frame { length: 9, crc: 0xE306_9283 });
        assert_eq!(Header::decode(&header.encode()).unwrap(), header);
        assert_eq!(Header::decode(&Header::End.encode()).unwrap(), Header::End);
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_found() {
        let header = Header::Frame { length: 4096, crc: 7 }.encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = header;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused() {
        let header = |length| Header::Frame { length, crc: 0 }.encode();
        assert!(Header::decode(&header(FRAME_BYTES_MAX)).is_ok());
        assert!(Header::decode(&header(FRAME_BYTES_MAX + 1)).is_err());
        assert!(Header::decode(&header(usize::MAX)).is_err());
    }
}
