//! Consistent raw images of all volumes of a group, at one position.

use crate::control::api::ImageDocument;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use tokio::fs::{self, File};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use trefoil_core::model::{Position, UpdateNumber, VolumeId, VolumeSpec};
use trefoil_core::{Error, Result};
use trefoil_site::{Group, Snapshot};

/// How much is read and written at once, in bytes.
const CHUNK_BYTES: u64 = 1 << 20;
/// What is looked at when holes are sought, in bytes.
const HOLE_BYTES: usize = 4 << 10;

/// Writes `VOLUME.img` into `dir` for every volume of `group`, as of `update` (the newest restored
/// one if not said). An image appears under its name when it is whole and durable.
///
/// # Errors
/// What cannot be written, named; and what the group says about the position.
pub async fn export(
    group: &Group,
    dir: &Path,
    update: Option<UpdateNumber>,
) -> Result<(Position, Vec<ImageDocument>)> {
    if !dir.is_absolute() {
        return Err(Error::invalid(format!(
            "export group: {} is relative; give an absolute path on the daemon's host",
            dir.display()
        )));
    }
    let failed = |source| {
        let doing = format!(
            "export group: make directory {}; it is made by the daemon's user",
            dir.display()
        );
        Error::io(doing, source)
    };
    fs::create_dir_all(dir).await.map_err(failed)?;
    let snapshot = group.snapshot(update).await?;
    let mut images = Vec::new();
    let volumes = group.status().volumes.clone();
    for (index, volume) in (0..).zip(volumes.iter()) {
        if volume.is_removed() {
            continue;
        }
        images.push(image(&snapshot, VolumeId(index), volume, dir).await?);
    }
    Ok((snapshot.position(), images))
}

async fn image(
    snapshot: &Snapshot,
    id: VolumeId,
    volume: &VolumeSpec,
    dir: &Path,
) -> Result<ImageDocument> {
    let path = dir.join(format!("{}.img", volume.name));
    let part = dir.join(format!("{}.img.part", volume.name));
    let mut target = Target::create(&part, volume.size).await?;
    let mut hash = blake3::Hasher::new();
    let mut offset = 0;
    while offset < volume.size {
        // Up to `from` there are zeroes only, from there to `until` there may be data.
        let (from, until) = match snapshot.allocated_from(id, offset).await? {
            Some(data) => (data.offset, (data.offset + data.length).min(volume.size)),
            None => (volume.size, volume.size),
        };
        hash_zeroes(&mut hash, from - offset);
        offset = from;
        while offset < until {
            let length = CHUNK_BYTES.min(until - offset);
            let data = snapshot.read(id, offset, chunk(length)).await?;
            hash.update(&data);
            target.put(offset, &data).await?;
            offset += length;
        }
    }
    let data_bytes = target.finish(&path).await?;
    Ok(ImageDocument {
        volume: volume.name.clone(),
        path,
        size_bytes: volume.size,
        data_bytes,
        blake3: hash.finalize().to_hex().to_string(),
    })
}

/// Takes zeroes into the hash that nobody has to read.
fn hash_zeroes(hash: &mut blake3::Hasher, mut length: u64) {
    static ZEROES: [u8; 64 << 10] = [0; 64 << 10];
    while length > 0 {
        let now = length.min(ZEROES.len() as u64);
        hash.update(&ZEROES[..chunk(now)]);
        length -= now;
    }
}

/// At most [`CHUNK_BYTES`], so it fits.
fn chunk(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// An image that is being written.
struct Target {
    file: File,
    path: PathBuf,
    data_bytes: u64,
}

impl Target {
    async fn create(path: &Path, size: u64) -> Result<Self> {
        let failed = |source| Error::io(format!("make image {}", path.display()), source);
        let file = File::create(path).await.map_err(failed)?;
        file.set_len(size).await.map_err(failed)?;
        Ok(Self { file, path: path.to_owned(), data_bytes: 0 })
    }

    /// Writes what is not zero; the rest stays a hole.
    async fn put(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        let mut at = 0;
        while let Some((start, end)) = next_data(data, at) {
            self.write(offset + start as u64, &data[start..end]).await.map_err(|source| {
                Error::io(format!("write image {}", self.path.display()), source)
            })?;
            self.data_bytes += (end - start) as u64;
            at = end;
        }
        Ok(())
    }

    async fn write(&mut self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(offset)).await?;
        self.file.write_all(data).await
    }

    async fn finish(mut self, path: &Path) -> Result<u64> {
        let failed = |source| Error::io(format!("finish image {}", path.display()), source);
        self.file.flush().await.map_err(failed)?;
        self.file.sync_all().await.map_err(failed)?;
        fs::rename(&self.path, path).await.map_err(failed)?;
        Ok(self.data_bytes)
    }
}

/// The next run of blocks, at or after `from`, that hold more than zeroes.
fn next_data(data: &[u8], from: usize) -> Option<(usize, usize)> {
    let blocks = |from: usize| {
        let chunks = data[from..].chunks(HOLE_BYTES).enumerate();
        chunks.map(move |(index, block)| (from + index * HOLE_BYTES, block))
    };
    let hole = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    let (start, _) = blocks(from).find(|(_, block)| !hole(block))?;
    let end = blocks(start).find(|(_, block)| hole(block)).map_or(data.len(), |(at, _)| at);
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_with_data_are_written() {
        let mut data = vec![0; 5 * HOLE_BYTES + 100];
        assert_eq!(next_data(&data, 0), None);
        data[HOLE_BYTES + 7] = 1;
        data[2 * HOLE_BYTES] = 1;
        data[5 * HOLE_BYTES + 99] = 1;
        assert_eq!(next_data(&data, 0), Some((HOLE_BYTES, 3 * HOLE_BYTES)));
        assert_eq!(next_data(&data, 3 * HOLE_BYTES), Some((5 * HOLE_BYTES, data.len())));
        assert_eq!(next_data(&data, data.len()), None);
    }

    #[tokio::test]
    async fn an_image_has_the_size_of_the_volume_and_holes_where_there_are_zeroes() {
        let dir = tempfile::tempdir().unwrap();
        let (part, whole) = (dir.path().join("v.part"), dir.path().join("v.img"));
        let mut target = Target::create(&part, 3 << 20).await.unwrap();
        let mut data = vec![0; 1 << 20];
        data[..4].copy_from_slice(b"data");
        target.put(1 << 20, &data).await.unwrap();
        assert_eq!(target.finish(&whole).await.unwrap(), HOLE_BYTES as u64);
        let read = std::fs::read(&whole).unwrap();
        assert_eq!(read.len(), 3 << 20);
        assert_eq!(&read[1 << 20..(1 << 20) + 4], b"data");
        assert!(!part.exists());
    }
}
