//! The write path inside one process, over the memory transport, beside a bare loop: both sites and
//! the caller on one thread, and two such groups at once; the caller beside its group, with B on a
//! thread of its own; the caller on another thread.
//!
//! `cargo bench -p trefoil-benches --bench embedded`; words pick rows: `one`, `two`, `beside`,
//! `apart`.

use std::sync::Barrier;
use std::time::Duration;
use trefoil_benches::load::{Load, fill, write_for};
use trefoil_benches::{Setup, World, builders, paired, prototype};
use trefoil_core::model::{Durability, GroupName, VolumeName};
use trefoil_core::{Error, Result};
use trefoil_site::{LocalSite, Volume};

/// As in the daemon: what a write allocates ends on other threads or much later.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    fill(volume).await?;
    let mut figures = Vec::new();
    for depth in DEPTHS {
        write_for(volume, depth, 0.3).await?;
        let Load { rate, p50, .. } = write_for(volume, depth, SECONDS).await?;
        figures.push((rate, p50));
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

/// Both sites and the caller on this thread; `ready` is called before anything is measured.
async fn one_thread(ready: impl FnOnce()) -> Result<Vec<Figure>> {
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
    ready();
    let figures = each_depth(&group.volume(&VolumeName::new("db")?)?).await;
    for site in sites {
        site.stop().await?;
    }
    figures
}

fn on_this_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::io("start a runtime", e))?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// Two groups, each with both of its sites and its caller on a thread of its own, at once: the sums
/// of their rates, and the longer medians.
fn two_groups() -> Result<Vec<Figure>> {
    let barrier = Barrier::new(2);
    let group = || on_this_thread(one_thread(|| _ = barrier.wait()));
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(group);
        (group(), other.join())
    });
    let other = other.map_err(|_| Error::closed("the other group ended"))??;
    let both = one?.into_iter().zip(other);
    Ok(both.map(|(one, other)| (one.0 + other.0, one.1.max(other.1))).collect())
}

/// How many times the rates of one group two of them reach.
fn show_scale(one: &[Figure], two: &[Figure]) {
    for (depth, (one, two)) in DEPTHS.iter().zip(one.iter().zip(two)) {
        println!("two groups at depth {depth:<3} {:>20.2} x one group", two.0 / one.0);
    }
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
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with('-')).collect();
    let wanted = |word: &str| words.is_empty() || words.iter().any(|w| w == word);
    let bare = on_this_thread(bare())?;
    show("bare loop, one thread", &bare, None);
    if wanted("one") || wanted("two") {
        let one = on_this_thread(one_thread(|| ()))?;
        show("a, b and caller on one thread", &one, Some(&bare));
        if wanted("two") {
            let two = two_groups()?;
            show("two groups, a thread each", &two, None);
            show_scale(&one, &two);
        }
    }
    if wanted("beside") || wanted("apart") {
        apart(&wanted, &bare)?;
    }
    Ok(())
}

/// Each site on a thread of its own.
fn apart(wanted: &dyn Fn(&str) -> bool, bare: &[Figure]) -> Result<()> {
    let world = World::start(MEMORY)?;
    let volume = world.volume()?;
    if wanted("beside") {
        show("caller beside a, b elsewhere", &beside(&volume)?, Some(bare));
    }
    if wanted("apart") {
        let apart = on_this_thread(each_depth(&volume))?;
        show("caller, a, b: three threads", &apart, Some(bare));
    }
    for site in world.sites {
        site.stop()?;
    }
    Ok(())
}
