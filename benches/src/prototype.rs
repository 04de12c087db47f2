//! The bare loop that the embedded write path is held against: append, checksum, a hop through a
//! queue to the other side, the same there, and the answer. No numbers, no chain, no overlay, no
//! restorer, no failure.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use trefoil_core::{Error, Result};

/// What a record carries besides its payload, in bytes.
const HEADER_BYTES: usize = 96;
/// The size of a journal in bytes: it begins anew when it is full.
const RING_BYTES: usize = 64 << 20;

/// A journal in memory.
struct Ring {
    bytes: Vec<u8>,
    at: usize,
}

impl Ring {
    fn new() -> Self {
        Self { bytes: vec![0; RING_BYTES], at: 0 }
    }

    fn append(&mut self, payload: &[u8], crc: u32) {
        let length = HEADER_BYTES + payload.len();
        if self.at + length > RING_BYTES {
            self.at = 0;
        }
        let into = &mut self.bytes[self.at..self.at + length];
        into[..4].copy_from_slice(&crc.to_le_bytes());
        into[HEADER_BYTES..].copy_from_slice(payload);
        self.at += length;
    }
}

/// One write on its way.
struct Write {
    payload: Bytes,
    crc: u32,
    done: oneshot::Sender<()>,
}

async fn near(mut writes: mpsc::Receiver<Write>, far: mpsc::Sender<Vec<Write>>) {
    let (mut ring, mut batch) = (Ring::new(), Vec::new());
    while writes.recv_many(&mut batch, 256).await > 0 {
        for write in &mut batch {
            write.crc = crc_of(&write.payload);
            ring.append(&write.payload, write.crc);
        }
        if far.send(std::mem::take(&mut batch)).await.is_err() {
            return;
        }
    }
}

async fn far(mut batches: mpsc::Receiver<Vec<Write>>) {
    let mut ring = Ring::new();
    while let Some(batch) = batches.recv().await {
        for write in batch {
            if crc_of(&write.payload) == write.crc {
                ring.append(&write.payload, write.crc);
                // Whoever waited may be gone at the end of the run.
                let _ = write.done.send(());
            }
        }
    }
}

fn crc_of(bytes: &[u8]) -> u32 {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(crc).unwrap_or(0)
}

/// Runs the loop for a while with `depth` writes in flight, all on the current thread's `LocalSet`;
/// returns writes per second and the median latency.
///
/// # Errors
/// None that is known: its tasks do not end before it does.
pub async fn run(depth: usize, seconds: f64) -> Result<(f64, Duration)> {
    let (to_near, from_host) = mpsc::channel(4096);
    let (to_far, from_near) = mpsc::channel(64);
    let tasks = [
        tokio::task::spawn_local(near(from_host, to_far)),
        tokio::task::spawn_local(far(from_near)),
    ];
    let payload = Bytes::from(vec![0x5a; crate::load::BLOCK]);
    let ended = || Error::closed("write: the loop ended");
    let write = || {
        let (to_near, payload) = (to_near.clone(), payload.clone());
        async move {
            let begun = Instant::now();
            let (done, answer) = oneshot::channel();
            let sent = to_near.send(Write { payload, crc: 0, done }).await;
            sent.map_err(|_| ended())?;
            answer.await.map_err(|_| ended())?;
            Ok::<_, Error>(begun.elapsed())
        }
    };
    let mut flying: FuturesUnordered<_> = (0..depth).map(|_| write()).collect();
    let (begun, mut latencies) = (Instant::now(), Vec::new());
    while let Some(latency) = flying.next().await {
        latencies.push(latency?);
        if begun.elapsed().as_secs_f64() < seconds {
            flying.push(write());
        }
    }
    let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    Ok((rate, latencies.get(latencies.len() / 2).copied().unwrap_or_default()))
}
