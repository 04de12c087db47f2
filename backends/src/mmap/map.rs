//! A file's bytes mapped into memory: the one place where a program of trefoil touches memory
//! that the compiler knows nothing of.
#![expect(unsafe_code, reason = "copying to and from a mapping is done by raw pointers")]

use memmap2::{MmapOptions, MmapRaw};
use parking_lot::RwLock;
use std::fs::File;
use std::io::{Error, Result};

/// Bytes that share a lock: threads wait for each other only in the same stretch.
const STRETCH_BYTES: u64 = 1 << 20;

/// How many locks there are; the stretches take them in turn.
const LOCKS: usize = 64;

/// The bytes of a file, shared with everything else that looks at it: what is copied here lies in
/// the page cache at once, as after a write. Nothing ever borrows the mapped bytes, they are only
/// copied in and out.
#[derive(Debug)]
pub(crate) struct Map {
    raw: MmapRaw,
    length: u64,
    locks: Vec<RwLock<()>>,
}

impl Map {
    /// Maps the first `length` bytes of a file.
    pub(crate) fn of(file: &File, length: u64) -> Result<Self> {
        let bytes = usize::try_from(length).map_err(Error::other)?;
        let raw = MmapOptions::new().len(bytes).map_raw(file)?;
        let locks = (0..LOCKS).map(|_| RwLock::new(())).collect();
        Ok(Self { raw, length, locks })
    }

    /// How many bytes are mapped.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Copies bytes out.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let mut at = self.check(offset, into.len())?;
        let mut rest = into;
        while !rest.is_empty() {
            let (lock, take) = self.stretch(at, rest.len());
            let (part, more) = rest.split_at_mut(take);
            let _nobody_writes = lock.read();
            // SAFETY: `check` found `at + take` inside the mapping, which lives as long as `self`.
            // `part` is memory of its own, so the two do not overlap. Every byte is a valid `u8`.
            // Threads of this process that write these bytes hold the lock exclusively.
            unsafe { self.raw.as_ptr().add(at).copy_to_nonoverlapping(part.as_mut_ptr(), take) };
            at += take;
            rest = more;
        }
        Ok(())
    }

    /// Copies bytes in.
    pub(crate) fn write(&self, offset: u64, from: &[u8]) -> Result<()> {
        let mut at = self.check(offset, from.len())?;
        let mut rest = from;
        while !rest.is_empty() {
            let (lock, take) = self.stretch(at, rest.len());
            let (part, more) = rest.split_at(take);
            let _nobody_else = lock.write();
            // SAFETY: `check` found `at + take` inside the mapping, which is writable and lives as
            // long as `self`. `part` is memory of its own, so the two do not overlap. The lock
            // keeps every other thread of this process off these bytes.
            unsafe { self.raw.as_mut_ptr().add(at).copy_from_nonoverlapping(part.as_ptr(), take) };
            at += take;
            rest = more;
        }
        Ok(())
    }

    /// Makes durable all that was copied in before (`msync`).
    pub(crate) fn sync(&self) -> Result<()> {
        self.raw.flush()
    }

    /// Where a range of the mapping begins; an error if it does not lie inside.
    fn check(&self, offset: u64, length: usize) -> Result<usize> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.length => usize::try_from(offset).map_err(Error::other),
            _ => Err(Error::other(format!(
                "{length} bytes at {offset} of a mapping of {} bytes",
                self.length
            ))),
        }
    }

    /// The lock for the bytes at `at`, and how many of `wanted` it covers.
    fn stretch(&self, at: usize, wanted: usize) -> (&RwLock<()>, usize) {
        let stretch = STRETCH_BYTES as usize;
        let lock = &self.locks[(at / stretch) % LOCKS];
        (lock, wanted.min(stretch - at % stretch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn mapped(length: u64) -> (File, Map) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(length).unwrap();
        let map = Map::of(&file, length).unwrap();
        (file, map)
    }

    #[test]
    fn what_is_copied_in_the_file_has_and_the_other_way_round() {
        let (file, map) = mapped(5 << 20);
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        map.write(1_000_001, &bytes).unwrap();
        let mut found = vec![0; bytes.len()];
        file.read_exact_at(&mut found, 1_000_001).unwrap();
        assert!(found == bytes);
        file.write_all_at(&[7; 9], (1 << 20) - 4).unwrap();
        let mut found = [0; 11];
        map.read((1 << 20) - 5, &mut found).unwrap();
        assert_eq!(found[1..10], [7; 9]);
        map.sync().unwrap();
    }

    #[test]
    fn nothing_outside_is_touched() {
        let (_file, map) = mapped(4096);
        assert!(map.write(4090, &[1; 7]).is_err());
        assert!(map.read(u64::MAX, &mut [0; 2]).is_err());
        map.write(4090, &[1; 6]).unwrap();
        map.write(4096, &[]).unwrap();
    }
}
