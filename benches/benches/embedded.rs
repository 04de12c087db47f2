//! The write path inside one process, over the memory transport, beside a bare loop: both sites and
//! the caller on one thread; the caller beside its group, with B on a thread of its own; the caller
//! on another thread.
//!
//! `cargo bench -p trefoil-benches --bench embedded`

use std::time::Duration;
use trefoil_benches::load::write_for;
use trefoil_benches::{Setup, World, builders, paired, prototype};
use trefoil_core::model::{Durability, GroupName, VolumeName};
use trefoil_core::{Error, Result};
use trefoil_site::{LocalSite, Volume};

const SECONDS: f64 = 1.5;
const DEPTHS: [usize; 3] = [1, 16, 64];
const MEMORY: Setup<'_> =
    Setup { tcp: false, dir: None, durability: Durability::Flush, third: false };

type Figure = (f64, Duration);

fn show(name: &str, figures: &[Figure], bare: Option<&[Figure]>) {
    for (index, (depth, (rate, p50))) in DEPTHS.iter().zip(figures).enumerate() {
        let against = bare.and_then(|bare| bare.get(index)).map(|(bare, _)| bare / rate);
        let against = against.map_or(String::new(), |times| format!("{times:>8.2} x the loop"));
        let p50 = p50.as_nanos() as f64 / 1000.0;
        println!("{name:<32} {depth:>3} {rate:>10.0}/s {p50:>8.1} us {against}");
    }
}

/// Each depth, after a little of it that does not count.
async fn each_depth(volume: &Volume) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for depth in DEPTHS {
        write_for(volume, depth, 0.3).await?;
        figures.push(write_for(volume, depth, SECONDS).await?);
    }
    Ok(figures)
}

async fn bare() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for depth in DEPTHS {
        figures.push(prototype::run(depth, SECONDS).await?);
    }
    Ok(figures)
}

/// Both sites and the caller on this thread.
async fn one_thread() -> Result<Vec<Figure>> {
    let mut sites = Vec::new();
    for builder in builders(MEMORY)? {
        sites.push(LocalSite::start(builder).await?);
    }
    let group = sites
        .first()
        .ok_or_else(|| Error::closed("no site runs"))?
        .group(&GroupName::new("bench")?)?;
    while !paired(&group, false) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let figures = each_depth(&group.volume(&VolumeName::new("db")?)?).await;
    for site in sites {
        site.stop().await?;
    }
    figures
}

/// The caller as a guest on the thread of its group.
fn beside(volume: &Volume) -> Result<Vec<Figure>> {
    let (done, result) = std::sync::mpsc::channel();
    let at = volume.clone();
    let guest = volume.group().run_beside(Box::new(move || {
        Box::pin(async move {
            let figures = each_depth(&at).await;
            // Whoever waits for it is there until it has it.
            let _ = done.send(figures);
        })
    }));
    guest.map_err(|_| Error::closed("run beside the group: it is stopped"))?;
    result.recv().map_err(|_| Error::closed("run beside the group: it ended"))?
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::io("start a runtime", e))?;
    let local = tokio::task::LocalSet::new();
    let bare = local.block_on(&runtime, bare())?;
    show("bare loop, one thread", &bare, None);
    show("a, b and caller on one thread", &local.block_on(&runtime, one_thread())?, Some(&bare));
    let world = World::start(MEMORY)?;
    let volume = world.volume()?;
    show("caller beside a, b elsewhere", &beside(&volume)?, Some(&bare));
    show("caller, a, b: three threads", &runtime.block_on(each_depth(&volume))?, Some(&bare));
    for site in world.sites {
        site.stop()?;
    }
    Ok(())
}
