//! Room on the disk for every byte of a mapped file, and whether the file is still whole.

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};

/// Reserves room for the first `length` bytes. A store to a mapped page without room on a full
/// disk would be a SIGBUS; here the disk is full by an error.
pub(crate) fn reserve(file: &File, length: u64) -> Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(Error::new(
            ErrorKind::Unsupported,
            "this file system cannot reserve room, so a full disk would kill the program; use \
             the backend `file` here",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Checks that nobody made the file shorter than what is mapped of it.
pub(crate) fn check_whole(file: &File, length: u64) -> Result<()> {
    let found = file.metadata()?.len();
    if found >= length {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::UnexpectedEof,
        format!(
            "something else cut the file to {found} of its {length} bytes while it was mapped; \
             let the site fetch the data anew"
        ),
    ))
}
