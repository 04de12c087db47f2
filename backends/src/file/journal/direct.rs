//! Appending past the page cache: whole blocks, written by `O_DIRECT`.

use crate::file::layout::BLOCK_BYTES;
use parking_lot::Mutex;
use rustix::fs::OFlags;
use std::fs::File;
use std::io::Result;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The unit of writing, and what memory and offsets are multiples of: enough for every usual disk.
const BLOCK: usize = BLOCK_BYTES as usize;

/// The most bytes of one write.
const WRITE_BYTES_MAX: usize = 256 << 10;

/// A segment file opened past the page cache.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    tail: Mutex<Tail>,
}

/// What the block holds that the next append begins in.
#[derive(Debug)]
struct Tail {
    /// Where the last append ended; `None` if there was none.
    end: Option<u64>,
    block: Vec<u8>,
}

impl Direct {
    /// Opens a file that is there.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::DIRECT.bits().cast_signed();
        let file = File::options().read(true).write(true).custom_flags(flags).open(path)?;
        let tail = Tail { end: None, block: vec![0; BLOCK] };
        Ok(Self { file, tail: Mutex::new(tail) })
    }

    /// Writes parts one after the other at `offset`; the next ones follow `ending` bytes before
    /// their end. The block that they begin in is written again with what it holds (as the page
    /// cache would), and the one that they end in is filled up with zeroes: behind the newest
    /// record there is nothing of worth. `cached` is the same file.
    pub(super) fn append(
        &self,
        cached: &File,
        offset: u64,
        parts: &[&[u8]],
        ending: usize,
    ) -> Result<()> {
        let mut tail = self.tail.lock();
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let head = (offset % BLOCK_BYTES) as usize;
        let window = (head + length).next_multiple_of(BLOCK).min(WRITE_BYTES_MAX);
        let mut buffer = vec![0; window + BLOCK];
        let buffer = aligned(&mut buffer, window);
        let mut at = offset - head as u64;
        if let Some(kept) = buffer.get_mut(..head) {
            match tail.block.get(..head) {
                Some(block) if tail.end == Some(offset) => kept.copy_from_slice(block),
                _ => cached.read_exact_at(kept, at)?,
            }
        }
        // Should a write fail, what the block holds is not known.
        tail.end = None;
        let mut filled = head;
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(window - filled));
                if let Some(into) = buffer.get_mut(filled..filled + now.len()) {
                    into.copy_from_slice(now);
                }
                (filled, rest) = (filled + now.len(), later);
                if filled == window {
                    self.file.write_all_at(buffer, at)?;
                    (at, filled) = (at + window as u64, 0);
                }
            }
        }
        let whole = filled.next_multiple_of(BLOCK);
        buffer.get_mut(filled..whole).unwrap_or_default().fill(0);
        self.file.write_all_at(buffer.get(..whole).unwrap_or_default(), at)?;
        let last = whole.checked_sub(BLOCK).and_then(|from| buffer.get(from..whole));
        // Where the next append begins one block before, it reads that.
        if let Some(last) = last.filter(|_| filled % BLOCK >= ending) {
            tail.block.copy_from_slice(last);
            tail.end = Some(offset + (length - ending) as u64);
        }
        Ok(())
    }
}

/// `length` bytes of `buffer` (which has a block more) that begin at a multiple of the block.
fn aligned(buffer: &mut [u8], length: usize) -> &mut [u8] {
    let skip = buffer.as_ptr().align_offset(BLOCK);
    buffer.get_mut(skip..skip + length).unwrap_or_default()
}

/// Tries whether files in `directory` can be written past the page cache.
pub(super) fn probe(directory: &Path) -> Result<()> {
    let path = directory.join("probe");
    let cached = File::create(&path)?;
    let tried = cached
        .set_len(BLOCK_BYTES)
        .and_then(|()| Direct::open(&path))
        .and_then(|direct| direct.append(&cached, 0, &[&[1]], 0));
    std::fs::remove_file(&path)?;
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_of_any_length_lie_one_behind_the_other() {
        let dir = tempfile::tempdir().unwrap();
        if probe(dir.path()).is_err() {
            eprintln!("passed over: {} takes no O_DIRECT", dir.path().display());
            return;
        }
        let path = dir.path().join("segment");
        let cached = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        cached.set_len(4 << 20).unwrap();
        let mut direct = Direct::open(&path).unwrap();
        let mut expected = Vec::new();
        for (turn, length) in
            [1, 511, 3584, 4096, 10, 4086, 1 << 20, 300_001, 5, (256 << 10) - 3].iter().enumerate()
        {
            let bytes: Vec<u8> = (0..*length).map(|i| ((i + turn) % 251) as u8).collect();
            let (first, second) = bytes.split_at(bytes.len() / 3);
            if turn % 4 == 3 {
                // Another process goes on from what lies in the file.
                direct = Direct::open(&path).unwrap();
            }
            let ending = turn % 3 * 31;
            let parts = [first, second, &[0; 62][..ending]];
            direct.append(&cached, expected.len() as u64, &parts, ending).unwrap();
            expected.extend(bytes);
            let mut found = vec![0; 4 << 20];
            cached.read_exact_at(&mut found, 0).unwrap();
            assert!(found.starts_with(&expected), "after {length} bytes");
            assert!(found.iter().skip(expected.len()).all(|byte| *byte == 0));
        }
        assert_eq!(cached.metadata().unwrap().len(), 4 << 20);
    }
}
