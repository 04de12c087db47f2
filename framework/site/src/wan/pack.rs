//! A message of a data lane to a frame and back, with the library that the frame names.

use super::Compression;
use bytes::Bytes;
use std::io;
use trefoil_core::engine::payoff::pays;
use trefoil_core::port::Frame;
use trefoil_core::wire::{Packed, Packing};
use trefoil_core::{Error, ErrorKind, Result};

/// Up to so many bytes are packed or unpacked where they are: handing them to another thread would
/// take longer. At zstd level 1 that is about 0.3 ms of the group's thread.
pub(super) const INLINE_BYTES_MAX: usize = 64 << 10;

/// Below this nothing is gained.
pub(super) const PACKED_BYTES_MIN: usize = 512;

/// How much of a batch is packed to see whether the rest is worth it.
const SAMPLE_BYTES: usize = 64 << 10;

/// A frame that is ready to be sent.
#[derive(Debug)]
pub(super) struct Outcome {
    pub frame: Frame,
    /// Bytes of the message.
    pub raw: u64,
    /// What was packed to see whether it pays, before and after; `None` if nothing was.
    pub tried: Option<(u64, u64)>,
    /// Whether the frame is packed.
    pub packed: bool,
}

/// The message as it is.
pub(super) fn plain(message: Frame, tried: Option<(u64, u64)>) -> Result<Outcome> {
    let raw = message.length();
    let front = Packing::Plain.front(raw)?;
    let mut parts = Vec::with_capacity(message.parts.len() + 1);
    parts.push(Bytes::copy_from_slice(&front));
    parts.extend(message.parts);
    Ok(Outcome { frame: Frame { parts }, raw: raw as u64, tried, packed: false })
}

/// The message packed, if that pays; with `sample` a piece of it is looked at first.
pub(super) fn pack(message: Frame, how: Compression, sample: bool) -> Result<Outcome> {
    if sample && message.length() > SAMPLE_BYTES {
        let piece = middle_of(&message);
        let packed = compress(&piece, how)?.1.len();
        if !pays(piece.len() as u64, packed as u64) {
            return plain(message, Some((piece.len() as u64, packed as u64)));
        }
    }
    // The parts are shared with whoever holds the records; this copies them together once.
    let bytes = message.clone().into_bytes();
    let (packing, packed) = compress(&bytes, how)?;
    let tried = Some((bytes.len() as u64, packed.len() as u64));
    if !pays(bytes.len() as u64, packed.len() as u64) {
        return plain(message, tried);
    }
    let front = Bytes::copy_from_slice(&packing.front(bytes.len())?);
    let frame = Frame { parts: vec![front, packed.into()] };
    Ok(Outcome { frame, raw: bytes.len() as u64, tried, packed: true })
}

fn compress(bytes: &[u8], how: Compression) -> Result<(Packing, Vec<u8>)> {
    match how {
        Compression::None => Ok((Packing::Plain, bytes.to_vec())),
        Compression::Lz4 => Ok((Packing::Lz4, lz4_flex::block::compress(bytes))),
        Compression::Zstd(level) => {
            let packed = zstd::bulk::compress(bytes, level);
            let packed = packed.map_err(|source| Error::io("pack message by zstd", source))?;
            Ok((Packing::Zstd, packed))
        }
    }
}

/// A piece out of the middle: what stands at the beginning is often not like the rest.
fn middle_of(message: &Frame) -> Vec<u8> {
    let mut skip = (message.length() - SAMPLE_BYTES.min(message.length())) / 2;
    let mut piece = Vec::with_capacity(SAMPLE_BYTES);
    for part in &message.parts {
        let from = skip.min(part.len());
        skip -= from;
        let room = SAMPLE_BYTES - piece.len();
        piece.extend_from_slice(&part[from..part.len().min(from + room)]);
    }
    piece
}

/// The message in a frame. With `threads`, a large one is unpacked on another thread.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if it is not what its front says, to the byte: never more than that is
/// unpacked.
pub(crate) async fn unpack(frame: Frame, threads: bool) -> Result<Frame> {
    let packed = Packed::of(frame)?;
    match packed.packing {
        Packing::Plain => Ok(packed.rest),
        _ if threads && packed.length > INLINE_BYTES_MAX => {
            let done = tokio::task::spawn_blocking(move || open(packed)).await;
            done.map_err(|_| Error::closed("unpack message: the site is stopping"))?
        }
        _ => open(packed),
    }
}

fn open(packed: Packed) -> Result<Frame> {
    let Packed { packing, length, rest } = packed;
    let opened = match packing {
        Packing::Plain => return Ok(rest),
        Packing::Lz4 => {
            lz4_flex::block::decompress(&rest.into_bytes(), length).map_err(io::Error::other)
        }
        Packing::Zstd => zstd::bulk::decompress(&rest.into_bytes(), length),
    };
    let bytes = opened.map_err(|source| {
        let what = format!("unpack message: it is not {length} bytes by {packing:?}");
        Error::with_source(ErrorKind::Corrupt, what, source)
    })?;
    if bytes.len() != length {
        return Err(Error::corrupt(format!(
            "unpack message: it claims {length} bytes and has {}",
            bytes.len()
        )));
    }
    Ok(Frame::of(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Compression; 3] = [Compression::Lz4, Compression::Zstd(1), Compression::Zstd(9)];

    fn text(length: usize) -> Bytes {
        b"a line of a table, much like the next; ".iter().copied().cycle().take(length).collect()
    }

    fn noise(length: usize) -> Bytes {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    async fn back(outcome: Outcome, threads: bool) -> Result<Bytes> {
        unpack(outcome.frame, threads).await.map(Frame::into_bytes)
    }

    #[tokio::test]
    async fn what_is_packed_is_unpacked_unchanged() {
        for how in KINDS {
            for (content, smaller) in [(text(300_000), true), (noise(300_000), false)] {
                for sample in [false, true] {
                    let parts = vec![content.slice(..100_000), content.slice(100_000..)];
                    let outcome = pack(Frame { parts }, how, sample).unwrap();
                    assert_eq!(outcome.packed, smaller, "{how:?}");
                    assert_eq!(outcome.frame.length() < 100_000, smaller, "{how:?}");
                    assert_eq!(back(outcome, true).await.unwrap(), content);
                }
            }
        }
    }

    #[test]
    fn a_sample_is_all_that_is_packed_of_what_does_not_pay() {
        let outcome = pack(Frame::of(noise(1 << 20)), Compression::Zstd(1), true).unwrap();
        let (raw, packed) = outcome.tried.unwrap();
        assert_eq!(raw, SAMPLE_BYTES as u64);
        assert!(!pays(raw, packed));
    }

    #[tokio::test]
    async fn a_bomb_is_refused_and_so_is_every_wrong_length() {
        for how in KINDS {
            let (packing, packed) = compress(&text(1 << 20), how).unwrap();
            for claimed in [0, 1, 1000, (1 << 20) - 1, (1 << 20) + 1] {
                let front = packing.front(claimed).unwrap();
                let frame = [&front[..], &packed].concat();
                let error = unpack(Frame::of(frame.into()), false).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{how:?} {claimed}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn garbage_is_corrupt() {
        for kind in 0..=255u8 {
            let frame = [&[kind, 200, 0, 0, 0][..], &noise(100)].concat();
            let error = unpack(Frame::of(frame.into()), false).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }
}
