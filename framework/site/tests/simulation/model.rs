//! What the oracle knows of updates and volumes: contents that name their writer, one entry per
//! record, and every record ever seen.

use bytes::Bytes;
use std::collections::BTreeMap;
use trefoil_core::model::{Chain, Generation, Lineage, UpdateNumber};
use trefoil_core::record::{Record, RecordKind};

/// The unit of host I/O and of everything that is compared, in bytes.
pub const SECTOR: u64 = 512;

/// Names a host write: it is in every word of what was written. 0 is "zeroes".
pub type Tag = u32;

/// A run of sectors of one volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub volume: u32,
    pub first: u64,
    pub count: u64,
}

impl Span {
    /// Whether the sector lies in it.
    pub fn covers(&self, volume: u32, sector: u64) -> bool {
        self.volume == volume && sector >= self.first && sector < self.first + self.count
    }

    /// Its sectors.
    pub fn sectors(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.count
    }
}

/// The content that the write `tag` puts into `span`.
pub fn content(tag: Tag, span: Span) -> Bytes {
    let mut out = Vec::with_capacity((span.count * SECTOR) as usize);
    for sector in span.sectors() {
        let word = word(tag, span.volume, sector).to_le_bytes();
        for _ in 0..SECTOR / 8 {
            out.extend_from_slice(&word);
        }
    }
    out.into()
}

fn word(tag: Tag, volume: u32, sector: u64) -> u64 {
    if tag == 0 { 0 } else { u64::from(tag) << 32 | u64::from(volume) << 24 | sector }
}

/// Which write a sector's bytes come from; `None` if they are no sector that anyone wrote there.
pub fn tag_of(bytes: &[u8], volume: u32, sector: u64) -> Option<Tag> {
    let first = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let tag = (first >> 32) as Tag;
    let whole = bytes.len() as u64 == SECTOR
        && first == word(tag, volume, sector)
        && bytes.chunks_exact(8).all(|chunk| chunk == first.to_le_bytes());
    whole.then_some(tag)
}

/// One update, as far as the oracle cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub generation: Generation,
    pub number: UpdateNumber,
    pub chain: Chain,
    pub kind: RecordKind,
    /// What it changes; nothing for records of the system itself.
    pub span: Option<Span>,
    /// Which write it is; 0 for zeroes.
    pub tag: Tag,
}

impl Entry {
    /// The entry of a record; `None` if its payload is not what any host wrote.
    pub fn of(record: &Record) -> Option<Self> {
        let span = record.extent().map(|extent| Span {
            volume: extent.volume.0,
            first: extent.offset / SECTOR,
            count: extent.length / SECTOR,
        });
        let tag = match (record.kind(), span) {
            (RecordKind::Write, Some(span)) => {
                let mut pieces = record.payload().chunks(SECTOR as usize).zip(span.sectors());
                let (bytes, sector) = pieces.next()?;
                let tag = tag_of(bytes, span.volume, sector)?;
                let same = |(bytes, sector)| tag_of(bytes, span.volume, sector) == Some(tag);
                (tag != 0 && pieces.all(same)).then_some(tag)?
            }
            _ => 0,
        };
        Some(Self {
            generation: record.generation(),
            number: record.number(),
            chain: record.chain(),
            kind: record.kind(),
            span,
            tag,
        })
    }

    /// Whether it changes that sector.
    pub fn covers(&self, volume: u32, sector: u64) -> bool {
        self.span.is_some_and(|span| span.covers(volume, sector))
    }
}

/// Every record ever appended anywhere: what a number means within a generation.
#[derive(Debug, Default)]
pub struct Registry {
    entries: BTreeMap<(Generation, UpdateNumber), Entry>,
    by_tag: BTreeMap<Tag, (Generation, UpdateNumber)>,
}

impl Registry {
    /// What that number means in that generation.
    pub fn get(&self, generation: Generation, number: UpdateNumber) -> Option<&Entry> {
        self.entries.get(&(generation, number))
    }

    /// Which record a write became.
    pub fn of_tag(&self, tag: Tag) -> Option<(Generation, UpdateNumber)> {
        self.by_tag.get(&tag).copied()
    }

    /// Notes an entry; what was there before if it differs.
    pub fn note(&mut self, entry: Entry) -> Result<(), Entry> {
        let known = *self.entries.entry((entry.generation, entry.number)).or_insert(entry);
        if entry.tag != 0 {
            self.by_tag.insert(entry.tag, (entry.generation, entry.number));
        }
        if known == entry { Ok(()) } else { Err(known) }
    }

    /// The history that a lineage names, up to `newest`; the first number that is unknown.
    pub fn history(
        &self,
        lineage: &Lineage,
        newest: UpdateNumber,
    ) -> Result<Vec<Entry>, UpdateNumber> {
        (1..=newest.value())
            .map(|number| {
                let number = UpdateNumber::new(number);
                self.get(lineage.generation_at(number), number).copied().ok_or(number)
            })
            .collect()
    }
}

/// What volumes hold: a tag per sector, by volume.
pub type Image = Vec<Vec<Tag>>;

/// The image after a history.
pub fn image(history: &[Entry], volumes: &[u64]) -> Image {
    let mut image: Image = volumes.iter().map(|size| vec![0; (size / SECTOR) as usize]).collect();
    for entry in history {
        if let Some(span) = entry.span
            && let Some(volume) = image.get_mut(span.volume as usize)
            && let Some(range) =
                volume.get_mut(span.first as usize..(span.first + span.count) as usize)
        {
            range.fill(entry.tag);
        }
    }
    image
}
