//! A host: random 4 KiB writes with so many in flight.

use crate::{JOURNAL_BYTES, VOLUME_BYTES};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::{Duration, Instant};
use trefoil_core::Result;
use trefoil_core::model::UpdateNumber;
use trefoil_site::Volume;

/// The size of a write in bytes.
pub const BLOCK: usize = 4096;

/// A small generator of offsets of blocks in a range: the sequence is the same in every run.
#[derive(Clone, Copy, Debug)]
pub struct Offsets {
    state: u64,
    blocks: u64,
}

impl Offsets {
    /// Offsets below `bytes`, which are some blocks; each `seed` has a sequence of its own.
    pub fn new(seed: u64, bytes: u64) -> Self {
        Self { state: seed, blocks: bytes / BLOCK as u64 }
    }

    /// The next one, in bytes.
    pub fn draw(&mut self) -> u64 {
        let state = self.state.wrapping_mul(6_364_136_223_846_793_005);
        self.state = state.wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % self.blocks * BLOCK as u64
    }
}

/// Writes the whole volume once, and then as much as the journals hold: what is measured later
/// meets memory and files that were touched before, as in a system that runs.
///
/// # Errors
/// What the first write says that fails.
pub async fn fill(volume: &Volume) -> Result<()> {
    const RUN: u64 = 64 << 10;
    let data = Bytes::from(vec![0x5a; RUN as usize]);
    let bytes = VOLUME_BYTES + JOURNAL_BYTES;
    let runs = (0..bytes / RUN).map(|run| run * RUN % VOLUME_BYTES);
    let writes = runs.map(|offset| volume.write_at(offset, data.clone()));
    let mut writes = futures_util::stream::iter(writes).buffer_unordered(64);
    while let Some(written) = writes.next().await {
        written?;
    }
    Ok(())
}

/// What a host saw.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Writes a second.
    pub rate: f64,
    /// How long the median write took.
    pub p50: Duration,
    /// How many there were.
    pub writes: usize,
    /// The newest update.
    pub last: UpdateNumber,
}

/// Writes all over the volume for a while, with `depth` in flight.
///
/// # Errors
/// What the first write says that fails.
pub async fn write_for(volume: &Volume, depth: usize, seconds: f64) -> Result<Load> {
    let data = Bytes::from(vec![0x5a; BLOCK]);
    let mut offsets = Offsets::new(7, volume.size());
    let write = |offset| {
        let (volume, data) = (volume.clone(), data.clone());
        async move {
            let begun = Instant::now();
            volume.write_at(offset, data).await.map(|update| (update, begun.elapsed()))
        }
    };
    let mut flying: FuturesUnordered<_> = (0..depth).map(|_| write(offsets.draw())).collect();
    let (begun, mut times, mut last) = (Instant::now(), Vec::new(), UpdateNumber::ZERO);
    while let Some(written) = flying.next().await {
        let (update, time) = written?;
        last = last.max(update);
        times.push(time);
        if begun.elapsed().as_secs_f64() < seconds {
            flying.push(write(offsets.draw()));
        }
    }
    let (rate, writes) = (times.len() as f64 / begun.elapsed().as_secs_f64(), times.len());
    times.sort_unstable();
    let p50 = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok(Load { rate, p50, writes, last })
}
