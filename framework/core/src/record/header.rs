//! The record's fixed header, and the record as it travels.

use super::kind::{GenerationMark, RecordKind};
use crate::model::{
    Chain, Extent, Generation, Handover, Position, SiteName, UpdateNumber, VolumeId, VolumeSpec,
};
use crate::{Error, Result};
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use std::fmt;
use zerocopy::little_endian::{U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a record before its payload.
pub const HEADER_BYTES: usize = size_of::<Header>();

/// The longest payload of one record, in bytes. A longer host write becomes several records.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// "TRF1" in the file.
const MAGIC: u32 = u32::from_le_bytes(*b"TRF1");

/// The format version: 1 is the first.
const VERSION: u16 = 1;

/// The header, little-endian, 96 bytes.
///
/// | bytes | field |
/// |---|---|
/// | 0..4 | magic `TRF1` |
/// | 4..6 | format version |
/// | 6..8 | kind |
/// | 8..12 | payload length in bytes |
/// | 12..16 | CRC-32C of the payload |
/// | 16..32 | generation: count, id |
/// | 32..40 | update number |
/// | 40..48 | time at the primary, microseconds since 1970 |
/// | 48..52 | volume index |
/// | 52..56 | reserved, 0 |
/// | 56..72 | extent: offset, length in bytes |
/// | 72..76 | reserved, 0 |
/// | 76..80 | CRC-32C of the header with this field zero |
/// | 80..96 | chain hash after this record |
///
/// The header's CRC covers the payload's, so together they cover the record; a header can be
/// trusted before its payload is read.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: U32,
    version: U16,
    kind: U16,
    payload_bytes: U32,
    payload_crc: U32,
    generation_count: U64,
    generation_id: U64,
    number: U64,
    time: U64,
    volume: U32,
    reserved_flags: U32,
    offset: U64,
    length: U64,
    reserved: U32,
    header_crc: U32,
    chain: U128,
}

impl Header {
    /// The chain after this record, the one before it being `before`.
    fn chain_after(&self, before: Chain) -> Chain {
        let bare = Self { chain: U128::ZERO, header_crc: U32::ZERO, ..*self };
        before.after(bare.as_bytes())
    }

    /// The CRC of this header.
    fn crc(&self) -> u32 {
        let bare = Self { header_crc: U32::ZERO, ..*self };
        crc32c(bare.as_bytes())
    }
}

/// CRC-32C (Castagnoli) of `bytes`.
fn crc32c(bytes: &[u8]) -> u32 {
    // The 32-bit algorithms return their value in the low half.
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or(u32::MAX)
}

/// One encoded update: its header and its payload, as they lie in every journal and travel on
/// every wire.
///
/// Cloning shares the payload.
#[derive(Clone)]
pub struct Record {
    header: Header,
    payload: Bytes,
}

impl Record {
    /// Encodes the update after `parent`: numbers it, chains it, checksums it.
    ///
    /// `time` is the primary's clock in microseconds since 1970.
    fn encode(
        kind: RecordKind,
        generation: Generation,
        parent: &Position,
        time: u64,
        extent: Extent,
        payload: Bytes,
    ) -> Self {
        let mut header = Header {
            magic: U32::new(MAGIC),
            version: U16::new(VERSION),
            kind: U16::new(kind as u16),
            payload_bytes: U32::new(u32::try_from(payload.len()).unwrap_or(u32::MAX)),
            payload_crc: U32::new(crc32c(&payload)),
            generation_count: U64::new(generation.count),
            generation_id: U64::new(generation.id),
            number: U64::new(parent.number.next().value()),
            time: U64::new(time),
            volume: U32::new(extent.volume.0),
            reserved_flags: U32::ZERO,
            offset: U64::new(extent.offset),
            length: U64::new(extent.length),
            reserved: U32::ZERO,
            header_crc: U32::ZERO,
            chain: U128::ZERO,
        };
        header.chain = U128::new(header.chain_after(parent.chain).value());
        header.header_crc = U32::new(header.crc());
        Self { header, payload }
    }

    /// A host write of `payload` at `offset` of `volume`, after `parent`, in its generation.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the payload is empty or longer than
    /// [`PAYLOAD_BYTES_MAX`].
    pub fn write(
        parent: &Position,
        time: u64,
        volume: VolumeId,
        offset: u64,
        payload: Bytes,
    ) -> Result<Self> {
        if payload.is_empty() || payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::invalid(format!(
                "encode write of {} bytes: a record holds 1 to {PAYLOAD_BYTES_MAX}",
                payload.len()
            )));
        }
        let extent = Extent { volume, offset, length: payload.len() as u64 };
        Ok(Self::encode(RecordKind::Write, parent.generation, parent, time, extent, payload))
    }

    /// A record that `extent` reads as zeroes from here, after `parent`, in its generation.
    pub fn zero(parent: &Position, time: u64, extent: Extent) -> Self {
        Self::encode(RecordKind::Zero, parent.generation, parent, time, extent, Bytes::new())
    }

    /// A heartbeat after `parent`, in its generation.
    pub fn heartbeat(parent: &Position, time: u64) -> Self {
        let none = Extent { volume: VolumeId(0), offset: 0, length: 0 };
        Self::encode(RecordKind::Heartbeat, parent.generation, parent, time, none, Bytes::new())
    }

    /// The first record of the reign that `mark` describes, after `mark.parent`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the mark cannot be encoded.
    pub fn generation_mark(mark: &GenerationMark, time: u64) -> Result<Self> {
        let payload = postcard::to_stdvec(mark).map_err(|source| {
            Error::with_source(crate::ErrorKind::Invalid, "encode generation record", source)
        })?;
        let none = Extent { volume: VolumeId(0), offset: 0, length: 0 };
        let (kind, parent) = (RecordKind::Generation, &mark.parent);
        Ok(Self::encode(kind, mark.generation, parent, time, none, payload.into()))
    }

    /// The last record of a reign, after `parent`, in its generation: `to` is to lead next.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the name cannot be encoded.
    pub fn handover(parent: &Position, time: u64, to: &SiteName) -> Result<Self> {
        let payload = postcard::to_stdvec(to).map_err(|source| {
            Error::with_source(crate::ErrorKind::Invalid, "encode handover record", source)
        })?;
        let none = Extent { volume: VolumeId(0), offset: 0, length: 0 };
        let kind = RecordKind::Handover;
        Ok(Self::encode(kind, parent.generation, parent, time, none, payload.into()))
    }

    /// From here on the group has these volumes, after `parent`, in its generation.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if they cannot be encoded.
    pub fn volumes(parent: &Position, time: u64, volumes: &[VolumeSpec]) -> Result<Self> {
        let payload = postcard::to_stdvec(volumes).map_err(|source| {
            Error::with_source(crate::ErrorKind::Invalid, "encode volumes record", source)
        })?;
        let none = Extent { volume: VolumeId(0), offset: 0, length: 0 };
        let kind = RecordKind::Volumes;
        Ok(Self::encode(kind, parent.generation, parent, time, none, payload.into()))
    }

    /// How many payload bytes follow the header that `bytes` begins with; checks magic, version,
    /// kind, limit and the header's CRC.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt), saying what does not fit.
    pub fn payload_bytes_of(bytes: &[u8]) -> Result<usize> {
        let (header, _) = Header::ref_from_prefix(bytes)
            .map_err(|_| Error::corrupt("read record: fewer bytes than a header has"))?;
        if header.magic.get() != MAGIC {
            return Err(Error::corrupt("read record: no record begins here"));
        }
        if header.crc() != header.header_crc.get() {
            return Err(Error::corrupt("read record: the header's checksum does not match"));
        }
        if header.version.get() != VERSION {
            return Err(Error::corrupt(format!(
                "read record: format version {}, this program reads {VERSION}",
                header.version
            )));
        }
        RecordKind::parse(header.kind.get())?;
        let length = header.payload_bytes.get() as usize;
        if length > PAYLOAD_BYTES_MAX {
            return Err(Error::corrupt(format!(
                "read record: payload of {length} bytes, limit {PAYLOAD_BYTES_MAX}"
            )));
        }
        Ok(length)
    }

    /// Decodes the record that `bytes` begins with, and returns how many bytes it took. The
    /// payload shares `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the bytes are not a whole, unharmed
    /// record.
    pub fn decode(bytes: &Bytes) -> Result<(Self, usize)> {
        let payload_bytes = Self::payload_bytes_of(bytes)?;
        let total = HEADER_BYTES + payload_bytes;
        if bytes.len() < total {
            return Err(Error::corrupt("read record: the payload is cut short"));
        }
        let payload = bytes.slice(HEADER_BYTES..total);
        let head = bytes.get(..HEADER_BYTES).unwrap_or_default();
        Ok((Self::from_parts(head, payload)?, total))
    }

    /// The record with this header and payload.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if they do not belong together.
    pub fn from_parts(head: &[u8], payload: Bytes) -> Result<Self> {
        if Self::payload_bytes_of(head)? != payload.len() {
            return Err(Error::corrupt("read record: the payload has another length"));
        }
        let (header, _) = Header::read_from_prefix(head)
            .map_err(|_| Error::corrupt("read record: fewer bytes than a header has"))?;
        if crc32c(&payload) != header.payload_crc.get() {
            return Err(Error::corrupt(format!(
                "read record {}: the payload's checksum does not match",
                header.number
            )));
        }
        Ok(Self { header, payload })
    }

    /// Checks that this is the update right after `before`: number, chain, and a generation that
    /// is the same or (for a Generation record only) newer.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt), naming what does not follow.
    pub fn check_follows(&self, before: &Position) -> Result<()> {
        // `next` saturates: nothing follows the highest number.
        if self.number() != before.number.next() || self.number() == before.number {
            return Err(Error::corrupt(format!(
                "check record {}: the one before it is {}",
                self.number(),
                before.number
            )));
        }
        if self.header.chain_after(before.chain) != self.chain() {
            return Err(Error::corrupt(format!(
                "check record {}: its chain hash does not continue the history up to {before}",
                self.number()
            )));
        }
        let begins = self.kind() == RecordKind::Generation;
        let (mine, theirs) = (self.generation(), before.generation);
        if (begins && mine <= theirs) || (!begins && mine != theirs) {
            return Err(Error::corrupt(format!(
                "check record {}: generation {mine} cannot follow {theirs} here",
                self.number()
            )));
        }
        Ok(())
    }

    /// Its kind.
    pub fn kind(&self) -> RecordKind {
        // Every constructor checked the number.
        RecordKind::parse(self.header.kind.get()).unwrap_or(RecordKind::Heartbeat)
    }

    /// Its update number.
    pub fn number(&self) -> UpdateNumber {
        UpdateNumber::new(self.header.number.get())
    }

    /// The generation that made it.
    pub fn generation(&self) -> Generation {
        Generation {
            count: self.header.generation_count.get(),
            id: self.header.generation_id.get(),
        }
    }

    /// The chain hash after it.
    pub fn chain(&self) -> Chain {
        Chain::from_value(self.header.chain.get())
    }

    /// The point in the history right after it.
    pub fn position(&self) -> Position {
        Position { generation: self.generation(), number: self.number(), chain: self.chain() }
    }

    /// When the primary made it, in microseconds since 1970 by the primary's clock.
    pub fn time(&self) -> u64 {
        self.header.time.get()
    }

    /// The extent it changes; `None` for a record that changes no volume.
    pub fn extent(&self) -> Option<Extent> {
        match self.kind() {
            RecordKind::Write | RecordKind::Zero => Some(Extent {
                volume: VolumeId(self.header.volume.get()),
                offset: self.header.offset.get(),
                length: self.header.length.get(),
            }),
            RecordKind::Heartbeat
            | RecordKind::Generation
            | RecordKind::Handover
            | RecordKind::Volumes => None,
        }
    }

    /// The reign that it begins; `None` for other kinds or an unreadable payload.
    pub fn mark(&self) -> Option<GenerationMark> {
        if self.kind() != RecordKind::Generation {
            return None;
        }
        postcard::from_bytes(&self.payload).ok()
    }

    /// The volumes that the group has from here on, if that is what it says.
    pub fn volume_set(&self) -> Option<Vec<VolumeSpec>> {
        (self.kind() == RecordKind::Volumes)
            .then(|| postcard::from_bytes(&self.payload).ok())
            .flatten()
    }

    /// The end of a reign that it tells; `None` for other kinds or an unreadable payload.
    pub fn handed_over(&self) -> Option<Handover> {
        if self.kind() != RecordKind::Handover {
            return None;
        }
        let to = postcard::from_bytes(&self.payload).ok()?;
        Some(Handover { generation: self.generation(), number: self.number(), to })
    }

    /// Its payload: the data of a write, else what the kind says.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Its encoded header.
    pub fn header_bytes(&self) -> &[u8] {
        self.header.as_bytes()
    }

    /// How many bytes it takes in a journal or on a wire.
    pub fn encoded_bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// Its bytes in one buffer. Where vectored writes are to be had, use
    /// [`Record::header_bytes`] and [`Record::payload`] and copy nothing.
    pub fn to_bytes(&self) -> Bytes {
        let mut all = Vec::with_capacity(self.encoded_bytes());
        all.extend_from_slice(self.header_bytes());
        all.extend_from_slice(&self.payload);
        all.into()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} {:?}", self.position(), self.kind())?;
        match self.extent() {
            Some(extent) => write!(f, " {}@{}+{})", extent.volume, extent.offset, extent.length),
            None => f.write_str(")"),
        }
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.header_bytes() == other.header_bytes() && self.payload == other.payload
    }
}

impl Eq for Record {}
