//! The rules that always hold, one file each, by the names they have everywhere.

pub mod acked_survives;
pub mod flushed_survives;
pub mod heals;
pub mod limits;
pub mod no_gap;
pub mod no_silent_loss;
pub mod one_primary;
pub mod purge_safe;
pub mod remote_behind_mirror;
pub mod same_number_same_update;
pub mod tail_kept;
pub mod watermark_order;
pub mod write_ahead;

use crate::model::{Entry, Image, SECTOR, Tag, tag_of};

/// A rule that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub rule: &'static str,
    pub what: String,
}

impl Broken {
    /// That rule was broken so.
    pub fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

/// What a rule says.
pub type Verdict = Result<(), Broken>;

/// Checks a volume's bytes against an image: every sector shows it, or one of the updates in
/// `later`. The first sector that does not, in words.
pub fn explain(bytes: &[u8], volume: u32, image: &Image, later: &[Entry]) -> Result<(), String> {
    let expected = &image[volume as usize];
    for (index, (bytes, tag)) in bytes.chunks(SECTOR as usize).zip(expected).enumerate() {
        let sector = index as u64;
        let found = tag_of(bytes, volume, sector);
        let fits = |tag: Tag| found == Some(tag);
        let newer = || later.iter().any(|entry| entry.covers(volume, sector) && fits(entry.tag));
        if !fits(*tag) && !newer() {
            let found = found.map_or("no whole sector".into(), |tag| format!("write {tag}"));
            return Err(format!("volume {volume} sector {sector}: {found}, not write {tag}"));
        }
    }
    Ok(())
}
