//! Damage with good records behind it: what lies before it is kept, the files are set aside as they
//! are.
//!
//! `damaged/<number>/` in the journal's directory holds the segment in which record `<number>`
//! cannot be read, and all later ones.

use super::log::Log;
use super::recovery::{Known, Stop, drop_behind};
use super::segment::Found;
use crate::file::{make_directory, sync_directory};
use std::fs::File;
use std::path::Path;
use trefoil_core::{Error, ErrorKind, Result};

/// The directory of what is damaged, in the directory of a journal.
const DAMAGED: &str = "damaged";

/// Copies what is about to be dropped, then drops it.
pub(super) fn cut(log: &Log, stop: Stop, behind: &[Found], _: &Known) -> Result<String> {
    let place = log.directory.join(DAMAGED).join(stop.number.to_string());
    make_directory(&place)?;
    let last = log.segments.back().map(|segment| segment.path.as_path());
    let dropped = behind.iter().map(|found| found.path.as_path());
    for path in last.into_iter().chain(dropped) {
        copy(path, &place)?;
    }
    sync_directory(&place)?;
    let what = drop_behind(log, &stop, behind)?;
    Ok(format!("{what}; the files are kept as they were in {}", place.display()))
}

/// One file of that name in another directory, durably.
fn copy(path: &Path, into: &Path) -> Result<()> {
    let Some(name) = path.file_name() else { return Ok(()) };
    let to = into.join(name);
    let copied = std::fs::copy(path, &to).and_then(|_| File::open(&to)?.sync_all());
    copied.map_err(|source| {
        let doing = format!("keep the damaged {} in {}", path.display(), to.display());
        Error::with_source(ErrorKind::Io, doing, source)
    })
}
