//! Which parts of a sparse file hold data.

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use trefoil_core::model::{Extent, VolumeId};

/// The first range at or after `offset` that may hold other bytes than zeroes, in a file of `size`
/// bytes; the whole rest where the file system cannot tell.
pub(crate) fn data_from(file: &File, size: u64, offset: u64) -> std::io::Result<Option<Extent>> {
    let extent = |start: u64, end: u64| Extent {
        volume: VolumeId(0),
        offset: start,
        length: end.min(size).saturating_sub(start),
    };
    let start = match seek(file, SeekFrom::Data(offset)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        // This file system cannot tell.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(extent(offset, size))),
        Err(error) => return Err(error.into()),
    };
    if start >= size {
        return Ok(None);
    }
    let end = seek(file, SeekFrom::Hole(start)).unwrap_or(size);
    Ok(Some(extent(start, end)))
}
