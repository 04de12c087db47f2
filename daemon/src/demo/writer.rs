//! The host of the demo: several writers at once, each of which remembers what it was answered.

use super::blocks::{BLOCK_BYTES, Stamp};
use super::ledger::Ledger;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use trefoil_core::Result;
use trefoil_site::Volume;

/// How many writers there are; each has blocks of its own and waits for its answer.
pub(super) const WRITERS: u64 = 16;
/// Every so many writes a writer flushes.
const WRITES_PER_FLUSH: u64 = 64;
/// Blocks of one write when the volume is filled.
const FILL_BLOCKS: u64 = 64;
/// Writes at once when the volume is filled.
const FILL_AT_ONCE: usize = 8;

/// What the host saw so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Writes answered.
    pub answered: u64,
    /// The time that their answers took, together.
    pub waited: Duration,
    /// The longest time without any answer.
    pub longest_gap: Duration,
}

impl Seen {
    /// The mean time to an answer.
    pub fn mean(&self) -> Duration {
        self.waited / u32::try_from(self.answered).unwrap_or(u32::MAX).max(1)
    }

    /// What was seen since `earlier`; the longest gap is that of the whole.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            answered: self.answered - earlier.answered,
            waited: self.waited.saturating_sub(earlier.waited),
            longest_gap: self.longest_gap,
        }
    }
}

struct Meter {
    seen: Seen,
    last_answer: Instant,
}

/// Writers at work.
pub(super) struct Load {
    tasks: JoinSet<Option<String>>,
    stopping: Arc<AtomicBool>,
    meter: Arc<Mutex<Meter>>,
    began: Instant,
}

/// How a load ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub seen: Seen,
    pub lasted: Duration,
    /// Why writers ended before they were told to, if they did.
    pub cut_off: Vec<String>,
}

impl Load {
    /// Starts the writers: together at most `rate` writes a second, as many as come through where
    /// it is 0. A writer ends at its first error.
    pub fn start(volume: &Volume, ledger: &Arc<Ledger>, rate: u64, seed: u64) -> Self {
        let began = Instant::now();
        let meter = Meter { seen: Seen::default(), last_answer: began };
        let (stopping, meter) = (Arc::default(), Arc::new(Mutex::new(meter)));
        let mut tasks = JoinSet::new();
        for index in 0..WRITERS {
            let writer = Writer {
                volume: volume.clone(),
                ledger: Arc::clone(ledger),
                index,
                pause: Duration::from_secs(WRITERS).checked_div(u32::try_from(rate).unwrap_or(0)),
                stopping: Arc::clone(&stopping),
                meter: Arc::clone(&meter),
                random: StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(index)),
            };
            tasks.spawn(writer.run());
        }
        Self { tasks, stopping, meter, began }
    }

    /// What the host saw so far.
    pub fn seen(&self) -> Seen {
        self.meter.lock().seen
    }

    /// Forgets the longest gap, so that the next reading is of what comes now.
    pub fn forget_gap(&self) {
        self.meter.lock().seen.longest_gap = Duration::ZERO;
    }

    /// Lets every writer end its write, and tells how it went.
    pub async fn stop(self) -> Ended {
        self.stopping.store(true, Ordering::Relaxed);
        self.ended().await
    }

    /// Waits until all writers have ended by themselves: their site is gone.
    pub async fn ended(mut self) -> Ended {
        let mut cut_off = Vec::new();
        while let Some(joined) = self.tasks.join_next().await {
            match joined {
                Ok(error) => cut_off.extend(error),
                Err(panic) => cut_off.push(format!("a writer failed: {panic}")),
            }
        }
        let lasted = self.began.elapsed();
        let seen = self.seen();
        Ended { seen, lasted, cut_off }
    }
}

struct Writer {
    volume: Volume,
    ledger: Arc<Ledger>,
    index: u64,
    /// Between two writes of this writer.
    pause: Option<Duration>,
    stopping: Arc<AtomicBool>,
    meter: Arc<Mutex<Meter>>,
    random: StdRng,
}

impl Writer {
    async fn run(mut self) -> Option<String> {
        let mut next = tokio::time::Instant::now();
        let mut turn = self.index;
        while !self.stopping.load(Ordering::Relaxed) {
            if let Some(pause) = self.pause {
                tokio::time::sleep_until(next).await;
                // A writer that was held up does not make up for it.
                next = (next + pause).max(tokio::time::Instant::now());
            }
            turn += 1;
            if let Err(error) = self.write_one(turn.is_multiple_of(WRITES_PER_FLUSH)).await {
                return Some(error.to_string());
            }
        }
        None
    }

    async fn write_one(&mut self, flush: bool) -> Result<()> {
        let block = self.pick();
        let stamp = self.ledger.begin(block);
        let content = stamp.content();
        let began = Instant::now();
        let written = self.volume.write_at(stamp.block * BLOCK_BYTES as u64, content).await;
        let number = match written {
            Ok(number) => number,
            Err(error) => {
                self.ledger.unanswered();
                return Err(error);
            }
        };
        self.ledger.answered(&[stamp], number);
        {
            let now = Instant::now();
            let mut meter = self.meter.lock();
            let gap = now.duration_since(meter.last_answer);
            meter.last_answer = now;
            meter.seen.answered += 1;
            meter.seen.waited += now.duration_since(began);
            meter.seen.longest_gap = meter.seen.longest_gap.max(gap);
        }
        if flush {
            self.volume.flush().await?;
        }
        Ok(())
    }

    /// One of the blocks that belong to this writer.
    fn pick(&mut self) -> u64 {
        let places = (self.ledger.count() / WRITERS).max(1);
        loop {
            let block = self.random.random_range(0..places) * WRITERS + self.index;
            if self.ledger.open_to_load(block) {
                return block;
            }
        }
    }
}

/// One write to a block nobody else writes now; how long the answer took.
///
/// # Errors
/// Whatever the volume says.
pub(super) async fn write_block(volume: &Volume, ledger: &Ledger, block: u64) -> Result<Duration> {
    let stamp = ledger.begin(block);
    let began = Instant::now();
    let number = volume.write_at(block * BLOCK_BYTES as u64, stamp.content()).await?;
    ledger.answered(&[stamp], number);
    Ok(began.elapsed())
}

/// Fills the volume before the load: with the input, or else the first `blocks` generated ones.
/// `told` hears of every byte. Returns how many bytes were written: zeroes of the input are not,
/// the volume has them already.
///
/// # Errors
/// Whatever the volume or the input says.
pub(super) async fn fill(
    volume: &Volume,
    ledger: &Arc<Ledger>,
    blocks: u64,
    mut told: impl FnMut(u64),
) -> Result<u64> {
    let mut tasks: JoinSet<Result<u64>> = JoinSet::new();
    let mut written = 0;
    let piece_bytes = FILL_BLOCKS * BLOCK_BYTES as u64;
    let length = ledger.input().map_or(blocks * BLOCK_BYTES as u64, |input| input.length);
    for offset in (0..length).step_by(usize::try_from(piece_bytes).unwrap_or(usize::MAX)) {
        if tasks.len() >= FILL_AT_ONCE
            && let Some(done) = tasks.join_next().await
        {
            written += joined(done)?;
        }
        let bytes = piece_bytes.min(length - offset);
        tasks.spawn(fill_piece(volume.clone(), Arc::clone(ledger), offset, bytes));
        told(bytes);
    }
    while let Some(done) = tasks.join_next().await {
        written += joined(done)?;
    }
    Ok(written)
}

fn joined(done: std::result::Result<Result<u64>, tokio::task::JoinError>) -> Result<u64> {
    done.map_err(|error| trefoil_core::Error::closed(format!("fill volume: {error}")))?
}

async fn fill_piece(volume: Volume, ledger: Arc<Ledger>, offset: u64, length: u64) -> Result<u64> {
    if ledger.input().is_some() {
        let data = read_input(&ledger, offset, length)?;
        if data.iter().all(|byte| *byte == 0) {
            return Ok(0);
        }
        let number = volume.write_at(offset, data).await?;
        ledger.answered_input(number);
        return Ok(length);
    }
    let blocks = offset / BLOCK_BYTES as u64..(offset + length) / BLOCK_BYTES as u64;
    let stamps: Vec<Stamp> = blocks.map(|block| ledger.begin(block)).collect();
    let mut data = BytesMut::new();
    for stamp in &stamps {
        data.extend_from_slice(&stamp.content());
    }
    let number = volume.write_at(offset, data.freeze()).await?;
    ledger.answered(&stamps, number);
    Ok(length)
}

fn read_input(ledger: &Ledger, offset: u64, length: u64) -> Result<Bytes> {
    use std::os::unix::fs::FileExt;
    let Some(input) = ledger.input() else { return Ok(Bytes::new()) };
    let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
    let failed = |source| trefoil_core::Error::io("read the input", source);
    input.file.read_exact_at(&mut data, offset).map_err(failed)?;
    // A volume is written in whole blocks of 512 bytes at least; the rest of the last is zero.
    data.resize(data.len().next_multiple_of(BLOCK_BYTES), 0);
    Ok(data.into())
}
