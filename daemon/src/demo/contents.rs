//! Reads whole volumes: their hashes, and whether they hold what the host was told.

use super::blocks::BLOCK_BYTES;
use super::ledger::{Found, Ledger};
use std::time::Duration;
use trefoil_core::model::{UpdateNumber, VolumeId};
use trefoil_core::{Error, ErrorKind, Result};
use trefoil_site::{Group, Snapshot, Volume};

/// A volume is read in pieces of so many bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Two sites are brought to one position in so many attempts.
const ATTEMPTS: u32 = 50;

/// What was found in a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// blake3 of all bytes, in hexadecimal digits.
    pub hash: String,
    /// Blocks that hold the newest answered write.
    pub answered: u64,
    /// Blocks that hold a write that was not answered.
    pub doubtful: u64,
    /// Blocks that hold what was there before.
    pub untouched: u64,
    /// Blocks that hold something else.
    pub wrong: u64,
    /// The first of those, in words.
    pub example: Option<String>,
}

impl Contents {
    fn take(&mut self, found: Found) {
        match found {
            Found::Answered => self.answered += 1,
            Found::Doubtful => self.doubtful += 1,
            Found::Untouched => self.untouched += 1,
            Found::Wrong(why) => {
                self.wrong += 1;
                self.example.get_or_insert(why);
            }
        }
    }

    /// What was wrong, in words.
    pub fn faults(&self) -> String {
        let example = self.example.as_deref().unwrap_or("none");
        format!("{} blocks are wrong; the first: {example}", self.wrong)
    }
}

/// Takes a volume in, piece by piece, in order.
struct Reader<'a> {
    ledger: &'a Ledger,
    hasher: blake3::Hasher,
    contents: Contents,
    block: u64,
}

impl<'a> Reader<'a> {
    fn new(ledger: &'a Ledger) -> Self {
        let contents = Contents::default();
        Self { ledger, hasher: blake3::Hasher::new(), contents, block: 0 }
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        for block in bytes.chunks(BLOCK_BYTES) {
            self.contents.take(self.ledger.check(self.block, block)?);
            self.block += 1;
        }
        Ok(())
    }

    fn end(mut self) -> Contents {
        self.contents.hash = self.hasher.finalize().to_hex().to_string();
        self.contents
    }
}

fn pieces(size: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..size).step_by(PIECE_BYTES).map(move |offset| {
        (offset, usize::try_from(size - offset).unwrap_or(PIECE_BYTES).min(PIECE_BYTES))
    })
}

/// Reads a volume as its host does.
///
/// # Errors
/// Whatever the volume says.
pub(super) async fn read_volume(volume: &Volume, ledger: &Ledger) -> Result<Contents> {
    let mut reader = Reader::new(ledger);
    for (offset, length) in pieces(volume.size()) {
        reader.piece(&volume.read_at(offset, length).await?)?;
    }
    Ok(reader.end())
}

/// Reads the demo's volume in an image of its group.
///
/// # Errors
/// Whatever the image says.
pub(super) async fn read_image(image: &Snapshot, size: u64, ledger: &Ledger) -> Result<Contents> {
    let mut reader = Reader::new(ledger);
    for (offset, length) in pieces(size) {
        reader.piece(&image.read(VolumeId(0), offset, length).await?)?;
    }
    Ok(reader.end())
}

/// Images of two sites at one update number, which is what one of them has restored.
///
/// # Errors
/// Where the second cannot be brought to the position of the first.
pub(super) async fn images(
    first: &Group,
    second: &Group,
) -> Result<(UpdateNumber, Snapshot, Snapshot)> {
    let mut last = Error::new(ErrorKind::Timeout, "take two images at one position");
    for _ in 0..ATTEMPTS {
        // What is restored can be ahead at either: the one behind takes its image at the other's.
        match at_one_position(first, second).await {
            Err(error) if error.kind() == ErrorKind::Invalid => {}
            images => return images,
        }
        match at_one_position(second, first).await {
            Ok((number, other, one)) => return Ok((number, one, other)),
            Err(error) if error.kind() == ErrorKind::Invalid => last = error,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(last)
}

/// An image of what one site has, and one of the other at the same number.
async fn at_one_position(one: &Group, other: &Group) -> Result<(UpdateNumber, Snapshot, Snapshot)> {
    let one = one.snapshot(None).await?;
    let number = one.position().number;
    Ok((number, one, other.snapshot(Some(number)).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_block_is_counted_and_changes_the_hash() {
        let ledger = Ledger::new(1, 4 * BLOCK_BYTES as u64, None);
        let stamp = ledger.begin(1);
        ledger.answered(&[stamp], UpdateNumber::new(1));
        let mut bytes = vec![0; 4 * BLOCK_BYTES];
        bytes[BLOCK_BYTES..2 * BLOCK_BYTES].copy_from_slice(&stamp.content());
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(&ledger);
            reader.piece(bytes).unwrap();
            reader.end()
        };
        let good = read(&bytes);
        assert_eq!((good.answered, good.untouched, good.wrong), (1, 3, 0));
        bytes[BLOCK_BYTES + 99] ^= 1;
        let bad = read(&bytes);
        assert_eq!((bad.answered, bad.wrong), (0, 1));
        assert_ne!(good.hash, bad.hash);
    }
}
