//! Host writes through the Rust handle: 4 KiB, random offsets, several depths, over memory and
//! over TCP and files.
//!
//! `cargo bench -p trefoil-benches --bench write_path`

use trefoil_benches::load::{Load, write_for};
use trefoil_benches::{Setup, World};
use trefoil_core::Result;
use trefoil_core::model::Durability;

const SECONDS: f64 = 1.5;

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
            let Load { rate, p50, .. } = runtime.block_on(write_for(&volume, depth, SECONDS))?;
            println!("{name:<26} {depth:>6} {rate:>12.0} {:>8} us", p50.as_micros());
        }
        for site in world.sites {
            site.stop()?;
        }
    }
    Ok(())
}
