//! Host writes through the Rust handle: 4 KiB, random offsets, several depths, over memory and
//! over TCP and files.
//!
//! `cargo bench -p trefoil-benches --bench write_path`

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::{Duration, Instant};
use trefoil_benches::{Setup, VOLUME_BYTES, World};
use trefoil_core::Result;
use trefoil_core::model::Durability;
use trefoil_site::Volume;

const BLOCK: usize = 4096;
const SECONDS: f64 = 1.5;

/// A small generator of offsets: the sequence is the same in every run.
struct Offsets(u64);

impl Offsets {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % (VOLUME_BYTES / BLOCK as u64) * BLOCK as u64
    }
}

/// Writes for a while with `depth` in flight; returns writes per second and the median latency.
async fn write_for(volume: &Volume, depth: usize, seconds: f64) -> Result<(f64, Duration)> {
    let data = Bytes::from(vec![0x5a; BLOCK]);
    let mut offsets = Offsets(7);
    let write = |offset| {
        let (volume, data) = (volume.clone(), data.clone());
        async move {
            let begun = Instant::now();
            volume.write_at(offset, data).await.map(|_| begun.elapsed())
        }
    };
    let mut flying: FuturesUnordered<_> = (0..depth).map(|_| write(offsets.next())).collect();
    let (begun, mut latencies) = (Instant::now(), Vec::new());
    while let Some(latency) = flying.next().await {
        latencies.push(latency?);
        if begun.elapsed().as_secs_f64() < seconds {
            flying.push(write(offsets.next()));
        }
    }
    let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Ok((rate, latencies.get(latencies.len() / 2).copied().unwrap_or_default()))
}

fn main() -> Result<()> {
    let dir = tempfile::tempdir().map_err(|e| trefoil_core::Error::io("make a directory", e))?;
    let memory = Setup { tcp: false, dir: None, durability: Durability::Flush, third: false };
    let setups = [
        ("memory, a and b", memory),
        ("memory, with c", Setup { third: true, ..memory }),
        ("tcp and files, a and b", Setup { tcp: true, dir: Some(dir.path()), ..memory }),
    ];
    println!("{:<26} {:>6} {:>12} {:>10}", "setup", "depth", "writes/s", "p50");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| trefoil_core::Error::io("start a runtime", e))?;
    for (name, setup) in setups {
        let world = World::start(setup)?;
        let volume = world.volume()?;
        for depth in [1, 16, 64] {
            runtime.block_on(write_for(&volume, depth, 0.3))?;
            let (rate, p50) = runtime.block_on(write_for(&volume, depth, SECONDS))?;
            println!("{name:<26} {depth:>6} {rate:>12.0} {:>8} us", p50.as_micros());
        }
        for site in world.sites {
            site.stop()?;
        }
    }
    Ok(())
}
