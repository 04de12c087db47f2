//! Messages to frames and back. Control messages are postcard; records keep their own encoding
//! and are neither copied nor encoded again.

use super::compare::CompareBlock;
use super::message::{ControlMessage, CopyBlock, DataMessage};
use super::packing::MESSAGE_BYTES_MAX;
use super::reader::FrameReader;
use crate::model::{
    BlockHash, Durability, Extent, HASHED_BYTES, Lineage, Plan, Position, SessionId, UpdateNumber,
    VolumeId, VolumeSpec,
};
use crate::port::{Content, FRAME_PARTS_MAX, Frame};
use crate::record::{HEADER_BYTES, PAYLOAD_BYTES_MAX, Record};
use crate::{Error, ErrorKind, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The most record bytes in one batch, so that a batch always fits into a frame.
pub const RECORD_BATCH_BYTES_MAX: usize = MESSAGE_BYTES_MAX - HEADER_BYTES - PAYLOAD_BYTES_MAX;

/// How many records a batch may have: two parts each, one for the batch's own header, and one for
/// how it is packed.
pub const RECORD_BATCH_COUNT_MAX: usize = (FRAME_PARTS_MAX - 2) / 2;

/// The longest range whose hashes are told at once, in bytes: as long as one that is copied, so
/// that a follower reads no more at once than it would take.
const COMPARED_BYTES_MAX: u64 = 1 << 20;

/// What comes before the raw bytes of a data message.
#[derive(Serialize, Deserialize)]
enum DataHeader {
    Plan {
        session: SessionId,
        plan: Box<Plan>,
        lineage: Lineage,
        durability: Durability,
        volumes: Vec<VolumeSpec>,
    },
    Records {
        session: SessionId,
        count: u32,
    },
    Copy {
        head: CopyHead,
        data: bool,
        length: u64,
    },
    Compare {
        head: CopyHead,
        length: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct CopyHead {
    session: SessionId,
    volume: VolumeId,
    offset: u64,
    low: UpdateNumber,
    high: Position,
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes> {
    postcard::to_stdvec(value)
        .map(Bytes::from)
        .map_err(|source| Error::with_source(ErrorKind::Invalid, "encode message", source))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize)> {
    let (value, rest) = postcard::take_from_bytes(bytes)
        .map_err(|source| Error::with_source(ErrorKind::Corrupt, "decode message", source))?;
    Ok((value, bytes.len() - rest.len()))
}

/// The frame of a control message.
///
/// # Errors
/// [`ErrorKind::Invalid`] if it cannot be encoded.
pub fn encode_control(message: &ControlMessage) -> Result<Frame> {
    encode(message).map(Frame::of)
}

/// The control message in a frame.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if the bytes are not exactly one message.
pub fn decode_control(bytes: &[u8]) -> Result<ControlMessage> {
    let (message, taken) = decode(bytes)?;
    if taken != bytes.len() {
        return Err(Error::corrupt("decode message: bytes are left over"));
    }
    Ok(message)
}

/// The frame of a data message; records and copied blocks are shared, not copied.
///
/// # Errors
/// [`ErrorKind::Invalid`] if it cannot be encoded.
pub fn encode_data(message: DataMessage) -> Result<Frame> {
    match message {
        DataMessage::Plan { session, plan, lineage, durability, volumes } => {
            encode(&DataHeader::Plan { session, plan, lineage, durability, volumes }).map(Frame::of)
        }
        DataMessage::Records { session, records } => {
            let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
            let mut parts = Vec::with_capacity(1 + 2 * records.len());
            parts.push(encode(&DataHeader::Records { session, count })?);
            for record in &records {
                parts.push(Bytes::copy_from_slice(record.header_bytes()));
                if !record.payload().is_empty() {
                    parts.push(record.payload().clone());
                }
            }
            Ok(Frame { parts })
        }
        DataMessage::Copy(CopyBlock { session, volume, offset, content, low, high }) => {
            let head = CopyHead { session, volume, offset, low, high };
            let (data, length) = (matches!(content, Content::Data(_)), content.length());
            let mut parts = vec![encode(&DataHeader::Copy { head, data, length })?];
            if let Content::Data(bytes) = content {
                parts.push(bytes);
            }
            Ok(Frame { parts })
        }
        DataMessage::Compare(CompareBlock { session, extent, hashes, low, high }) => {
            let Extent { volume, offset, length } = extent;
            let head = CopyHead { session, volume, offset, low, high };
            let told: Vec<u8> = hashes.iter().flat_map(BlockHash::as_bytes).copied().collect();
            let parts = vec![encode(&DataHeader::Compare { head, length })?, told.into()];
            Ok(Frame { parts })
        }
    }
}

/// The data message in a frame.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if the bytes are not exactly one message with unharmed records.
pub fn decode_data(frame: Frame) -> Result<DataMessage> {
    let mut frame = FrameReader::new(frame);
    match decode_header(&mut frame)? {
        DataHeader::Plan { session, plan, lineage, durability, volumes } => {
            Ok(DataMessage::Plan { session, plan, lineage, durability, volumes })
        }
        DataHeader::Records { session, count } => {
            let limit = RECORD_BATCH_COUNT_MAX.min(frame.length() / HEADER_BYTES);
            let mut records = Vec::with_capacity(limit.min(count as usize));
            while frame.length() > 0 {
                let payload_bytes = Record::payload_bytes_of(frame.peek(HEADER_BYTES)?)?;
                let head = frame.take(HEADER_BYTES)?;
                records.push(Record::from_parts(&head, frame.take(payload_bytes)?)?);
            }
            if records.len() != count as usize {
                return Err(Error::corrupt("decode records: the count does not match"));
            }
            Ok(DataMessage::Records { session, records })
        }
        DataHeader::Copy { head, data, length } => {
            let CopyHead { session, volume, offset, low, high } = head;
            let rest = frame.rest()?;
            let content = if data { Content::Data(rest.clone()) } else { Content::Zero(length) };
            if data == rest.is_empty() || content.length() != length {
                return Err(Error::corrupt("decode copy: the length does not match"));
            }
            Ok(DataMessage::Copy(CopyBlock { session, volume, offset, content, low, high }))
        }
        DataHeader::Compare { head, length } => decode_compare(head, length, &frame.rest()?),
    }
}

/// What comes before the raw bytes, taken out of the frame.
fn decode_header(frame: &mut FrameReader) -> Result<DataHeader> {
    let (header, taken) = match decode(frame.peek(1)?) {
        Ok(decoded) => decoded,
        // It may lie across parts.
        Err(_) => decode(frame.peek(frame.length())?)?,
    };
    frame.take(taken)?;
    Ok(header)
}

/// A range to compare, with as many hashes as its length asks for.
fn decode_compare(head: CopyHead, length: u64, rest: &[u8]) -> Result<DataMessage> {
    let CopyHead { session, volume, offset, low, high } = head;
    let (told, odd) = rest.as_chunks::<{ BlockHash::BYTES }>();
    let fits = (1..=COMPARED_BYTES_MAX).contains(&length) && offset.checked_add(length).is_some();
    if !fits || !odd.is_empty() || told.len() as u64 != length.div_ceil(HASHED_BYTES) {
        return Err(Error::corrupt(format!(
            "decode hashes: {} bytes of them for a range of {length} bytes",
            rest.len()
        )));
    }
    let hashes = told.iter().copied().map(BlockHash::from_bytes).collect();
    let extent = Extent { volume, offset, length };
    Ok(DataMessage::Compare(CompareBlock { session, extent, hashes, low, high }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records() -> Vec<Record> {
        let mut at = Position::START;
        [5, 4096, 1]
            .map(|length| {
                let payload = Bytes::from(vec![length as u8; length]);
                let record = Record::write(&at, 7, VolumeId(1), 4096, payload).unwrap();
                at = record.position();
                record
            })
            .to_vec()
    }

    fn messages() -> Vec<DataMessage> {
        let (session, volume) = (SessionId(9), VolumeId(2));
        let (low, high) = (UpdateNumber::new(3), Position::START);
        let extent = Extent { volume, offset: 8192, length: 2 * HASHED_BYTES };
        let content = Content::Data(Bytes::from(vec![7; 9000]));
        vec![
            DataMessage::Records { session, records: records() },
            DataMessage::Records { session, records: Vec::new() },
            DataMessage::Copy(CopyBlock { session, volume, offset: 512, content, low, high }),
            DataMessage::Compare(CompareBlock {
                session,
                extent,
                hashes: vec![BlockHash::from_bytes([1; 32]), BlockHash::from_bytes([2; 32])],
                low,
                high,
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_message_is_the_same_in_whatever_parts_its_frame_came(
            which in 0..4usize,
            lengths in prop::collection::vec(0..3000usize, 0..8),
        ) {
            let message = messages().swap_remove(which);
            let sent = encode_data(message.clone()).unwrap();
            prop_assert_eq!(&decode_data(sent.clone()).unwrap(), &message);
            let mut rest = sent.into_bytes();
            let mut parts: Vec<Bytes> =
                lengths.iter().map(|length| rest.split_to((*length).min(rest.len()))).collect();
            parts.push(rest);
            prop_assert_eq!(decode_data(Frame { parts }).unwrap(), message);
        }
    }

    #[test]
    fn what_was_not_copied_on_its_way_is_not_copied_here() {
        let sent = records();
        let message = DataMessage::Records { session: SessionId(1), records: sent.clone() };
        let DataMessage::Records { records, .. } =
            decode_data(encode_data(message).unwrap()).unwrap()
        else {
            panic!("records went in");
        };
        for (sent, came) in sent.iter().zip(&records) {
            assert_eq!(sent.payload().as_ptr(), came.payload().as_ptr());
        }
    }

    #[test]
    fn a_frame_that_is_cut_or_has_bytes_left_over_is_corrupt() {
        for message in messages() {
            let bytes = encode_data(message.clone()).unwrap().into_bytes();
            for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                let error = decode_data(Frame::of(bytes.slice(..cut))).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{message:?} cut at {cut}");
            }
            let more = [&bytes[..], &[0]].concat();
            assert!(decode_data(Frame::of(more.into())).is_err(), "{message:?}");
        }
    }
}
