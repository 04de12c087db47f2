//! Tails that were set aside: records that a site dropped because the history went on without them.
//!
//! A file `tails/<first>-<last>.<id>.tail` in the journal's directory holds the records as they
//! were in the journal, one after the other; `<id>` is the random id of the generation of the last.

use super::{make_directory, sync_directory};
use bytes::Bytes;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use trefoil_core::model::{Position, UpdateNumber};
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind, Result};

/// The directory of the tails, in the directory of a journal.
const TAILS: &str = "tails";
/// The longest tail that is read at once by [`read_tail`], in bytes.
pub const TAIL_BYTES_MAX: u64 = 1 << 30;

/// A tail as it is being written.
#[derive(Debug)]
pub(super) struct TailWriter {
    directory: PathBuf,
    path: PathBuf,
    out: BufWriter<File>,
    last: Option<Position>,
    first: UpdateNumber,
}

impl TailWriter {
    /// Begins the tail of the journal in `journal` that begins with `first`.
    pub(super) fn begin(journal: &Path, first: UpdateNumber) -> Result<Self> {
        let directory = journal.join(TAILS);
        make_directory(&directory)?;
        let path = directory.join(format!("{first}.part"));
        let file = File::create(&path).map_err(failed(&path))?;
        Ok(Self { directory, path, out: BufWriter::new(file), last: None, first })
    }

    /// Adds records, in order.
    pub(super) fn add(&mut self, records: &[Record]) -> Result<()> {
        for record in records {
            self.out
                .write_all(record.header_bytes())
                .and_then(|()| self.out.write_all(record.payload()))
                .map_err(failed(&self.path))?;
            self.last = Some(record.position());
        }
        Ok(())
    }

    /// Makes the tail durable under its name, and returns that.
    pub(super) fn finish(mut self) -> Result<PathBuf> {
        self.out.flush().map_err(failed(&self.path))?;
        self.out.get_ref().sync_all().map_err(failed(&self.path))?;
        let last = self.last.unwrap_or(Position::START);
        let name = format!("{}-{}.{:016x}.tail", self.first, last.number, last.generation.id);
        let path = self.directory.join(name);
        std::fs::rename(&self.path, &path).map_err(failed(&path))?;
        sync_directory(&self.directory)?;
        Ok(path)
    }
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let doing = format!("set a tail aside in {}", path.display());
    move |source| Error::io(doing.clone(), source)
}

/// The records in a tail that was set aside, oldest first.
///
/// # Errors
/// [`ErrorKind::Io`] if the file cannot be read; [`ErrorKind::Invalid`] if it is longer than
/// [`TAIL_BYTES_MAX`]; [`ErrorKind::Corrupt`] if it is no tail, or damaged.
pub fn read_tail(path: &Path) -> Result<Vec<Record>> {
    let reading = |source| Error::io(format!("read tail {}", path.display()), source);
    let mut file = File::open(path).map_err(reading)?;
    let length = file.metadata().map_err(reading)?.len();
    if length > TAIL_BYTES_MAX {
        return Err(Error::invalid(format!(
            "read tail {}: {length} bytes, at most {TAIL_BYTES_MAX} are read",
            path.display()
        )));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.read_to_end(&mut bytes).map_err(reading)?;
    let mut rest = Bytes::from(bytes);
    let mut records: Vec<Record> = Vec::new();
    while !rest.is_empty() {
        let next = Record::decode(&rest).and_then(|(record, taken)| {
            records.last().map_or(Ok(()), |last| record.check_follows(&last.position()))?;
            Ok((record, taken))
        });
        let (record, taken) = next.map_err(|source| {
            let doing = format!("read tail {}: record {}", path.display(), records.len() + 1);
            Error::with_source(ErrorKind::Corrupt, doing, source)
        })?;
        rest = rest.slice(taken..);
        records.push(record);
    }
    Ok(records)
}

/// The tails that the journal in the directory `journal` set aside, by name.
///
/// # Errors
/// [`ErrorKind::Io`] if the directory cannot be read; one that is not there has none.
pub fn list_tails(journal: &Path) -> Result<Vec<PathBuf>> {
    let directory = journal.join(TAILS);
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let listing = |source| Error::io(format!("list tails in {}", directory.display()), source);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(listing)? {
        let path = entry.map_err(listing)?.path();
        if path.extension().is_some_and(|extension| extension == "tail") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
