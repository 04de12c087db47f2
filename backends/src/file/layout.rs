//! The bytes of a journal's files: segment header, stamp, state slot.
//!
//! All are little-endian and begin with a magic and a format version; a CRC-32C over the rest of
//! the block is its last field. Version 1 is the first.

use crc_fast::{CrcAlgorithm, checksum};
use trefoil_core::model::{Chain, Generation, GroupName, Position, SiteName, UpdateNumber};
use trefoil_core::record::HEADER_BYTES;
use trefoil_core::{Error, Result};
use zerocopy::little_endian::{U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The unit in which the files are laid out, in bytes.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// Where a segment's two stamps lie.
pub(super) const STAMPS_AT: [u64; 2] = [BLOCK_BYTES, BLOCK_BYTES + 512];
/// Where a segment's records begin.
pub(super) const RECORDS_AT: u64 = 2 * BLOCK_BYTES;

/// So many zeroes behind the newest record end them, whatever lies behind those.
pub(super) const END_BYTES: u64 = HEADER_BYTES as u64;

/// "TRFJ": a segment of a journal.
const SEGMENT_MAGIC: u32 = u32::from_le_bytes(*b"TRFJ");
/// "TRFD": a stamp, how far the journal is durable.
const STAMP_MAGIC: u32 = u32::from_le_bytes(*b"TRFD");
/// "TRFT": a slot of the state.
const SLOT_MAGIC: u32 = u32::from_le_bytes(*b"TRFT");
/// The version of all three.
const VERSION: u32 = 1;

/// CRC-32C (Castagnoli).
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    // The 32-bit algorithms return their value in the low half.
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or(u32::MAX)
}

/// A CRC over all of `block` but its last four bytes, where it is kept.
fn crc_of(block: &[u8]) -> u32 {
    crc32c(block.get(..block.len().saturating_sub(4)).unwrap_or_default())
}

/// The first block of a segment file.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SegmentBlock {
    magic: U32,
    version: U32,
    group: [u8; 64],
    site: [u8; 64],
    reset_count: U64,
    serial: U64,
    generation_count: U64,
    generation_id: U64,
    number: U64,
    chain: U128,
    reserved: U32,
    crc: U32,
}

/// What the header of a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The group that it belongs to.
    pub(super) group: String,
    /// The site that it belongs to.
    pub(super) site: String,
    /// How often the journal had been reset: only the segments with the highest count are held.
    pub(super) reset_count: u64,
    /// Its place among the segments.
    pub(super) serial: u64,
    /// The point right before its first record.
    pub(super) base: Position,
}

impl SegmentHeader {
    /// The header of a segment of this group and site.
    pub(super) fn new(
        (group, site): (&GroupName, &SiteName),
        (reset_count, serial): (u64, u64),
        base: Position,
    ) -> Self {
        let (group, site) = (group.as_str().to_owned(), site.as_str().to_owned());
        Self { group, site, reset_count, serial, base }
    }

    /// Its bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut block = SegmentBlock {
            magic: U32::new(SEGMENT_MAGIC),
            version: U32::new(VERSION),
            group: name_field(&self.group),
            site: name_field(&self.site),
            reset_count: U64::new(self.reset_count),
            serial: U64::new(self.serial),
            generation_count: U64::new(self.base.generation.count),
            generation_id: U64::new(self.base.generation.id),
            number: U64::new(self.base.number.value()),
            chain: U128::new(self.base.chain.value()),
            reserved: U32::ZERO,
            crc: U32::ZERO,
        };
        block.crc = U32::new(crc_of(block.as_bytes()));
        block.as_bytes().to_vec()
    }

    /// The header that `bytes` begins with; `None` if it is no whole, unharmed one.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](trefoil_core::ErrorKind::Refused) if it is of another format version.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>> {
        let Ok((block, _)) = SegmentBlock::ref_from_prefix(bytes) else { return Ok(None) };
        if block.magic.get() != SEGMENT_MAGIC {
            return Ok(None);
        }
        if block.version.get() != VERSION {
            return Err(Error::refused(format!(
                "it has format version {}, this program reads {VERSION}; use the program that \
                 wrote it, or begin with an empty directory",
                block.version
            )));
        }
        if crc_of(block.as_bytes()) != block.crc.get() {
            return Ok(None);
        }
        Ok(Some(Self {
            group: name_of(&block.group),
            site: name_of(&block.site),
            reset_count: block.reset_count.get(),
            serial: block.serial.get(),
            base: Position {
                generation: Generation {
                    count: block.generation_count.get(),
                    id: block.generation_id.get(),
                },
                number: UpdateNumber::new(block.number.get()),
                chain: Chain::from_value(block.chain.get()),
            },
        }))
    }
}

fn name_field(name: &str) -> [u8; 64] {
    let mut field = [0; 64];
    field.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    field
}

fn name_of(field: &[u8; 64]) -> String {
    let name: Vec<u8> = field.iter().copied().take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&name).into_owned()
}

/// A hint, written now and then: how far the journal was durable, under which boot of the kernel.
/// It tells bytes that a power loss may have taken from bytes that were damaged.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct StampBlock {
    magic: U32,
    version: U32,
    boot: [u8; 40],
    durable: U64,
    reserved: U32,
    crc: U32,
}

/// The kernel's boot id as text, padded with zeroes; all zero if it cannot be read.
pub(super) type Boot = [u8; 40];

/// The boot of the kernel that runs now.
pub(super) fn this_boot() -> Boot {
    let mut boot = [0; 40];
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.iter_mut().zip(text.trim().bytes()).for_each(|(to, from)| *to = from);
    boot
}

/// How far a journal was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) durable: UpdateNumber,
    pub(super) boot: Boot,
}

impl Stamp {
    /// Its bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut block = StampBlock {
            magic: U32::new(STAMP_MAGIC),
            version: U32::new(VERSION),
            boot: self.boot,
            durable: U64::new(self.durable.value()),
            reserved: U32::ZERO,
            crc: U32::ZERO,
        };
        block.crc = U32::new(crc_of(block.as_bytes()));
        block.as_bytes().to_vec()
    }

    /// The stamp that `bytes` begins with, if it is whole.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (block, _) = StampBlock::ref_from_prefix(bytes).ok()?;
        let good = block.magic.get() == STAMP_MAGIC
            && block.version.get() == VERSION
            && crc_of(block.as_bytes()) == block.crc.get();
        good.then(|| Self { durable: UpdateNumber::new(block.durable.get()), boot: block.boot })
    }
}

/// The first block of a state slot.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SlotBlock {
    magic: U32,
    version: U32,
    sequence: U64,
    length: U32,
    data_crc: U32,
    reserved: U32,
    crc: U32,
}

/// What the header of a state slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotHeader {
    /// The newer of two slots has the higher one.
    pub(super) sequence: u64,
    /// Bytes of the state.
    pub(super) length: u32,
    /// Their CRC-32C.
    pub(super) data_crc: u32,
}

impl SlotHeader {
    /// Its bytes, a whole block.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut block = SlotBlock {
            magic: U32::new(SLOT_MAGIC),
            version: U32::new(VERSION),
            sequence: U64::new(self.sequence),
            length: U32::new(self.length),
            data_crc: U32::new(self.data_crc),
            reserved: U32::ZERO,
            crc: U32::ZERO,
        };
        block.crc = U32::new(crc_of(block.as_bytes()));
        let mut bytes = block.as_bytes().to_vec();
        bytes.resize(BLOCK_BYTES as usize, 0);
        bytes
    }

    /// The header that `bytes` begins with, if it is whole.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (block, _) = SlotBlock::ref_from_prefix(bytes).ok()?;
        let good = block.magic.get() == SLOT_MAGIC
            && block.version.get() == VERSION
            && crc_of(block.as_bytes()) == block.crc.get();
        good.then(|| Self {
            sequence: block.sequence.get(),
            length: block.length.get(),
            data_crc: block.data_crc.get(),
        })
    }
}
