//! What all scripts need: waiting for a state with a limit, and bringing three sites up.

use super::ledger::{Input, Ledger};
use super::options::{Args, Backend};
use super::story::{Progress, Story, count, size};
use super::world::{Plan, World, site_name, volume_of};
use super::writer::{Load, fill};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trefoil_core::model::{LegState, SiteName};
use trefoil_core::{Error, ErrorKind, Result};
use trefoil_site::status::LegStatus;
use trefoil_site::{Group, GroupStatus, Limits, Volume};

/// The longest that any state is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Three running sites, their host, and the story so far.
pub(super) struct Stage<'s> {
    pub story: &'s mut Story,
    pub world: World,
    pub a: Group,
    pub b: Group,
    pub c: Group,
    pub ledger: Arc<Ledger>,
    /// Makes the writes repeatable.
    pub seed: u64,
    pub volume_bytes: u64,
    /// Bytes written before the load.
    pub filled_bytes: u64,
    /// Bytes copied to C when it joined.
    pub copied_bytes: u64,
}

/// The name of the third site.
pub(super) fn third() -> Result<SiteName> {
    site_name("c")
}

/// What a status says of another site.
pub(super) fn leg<'a>(status: &'a GroupStatus, name: &str) -> Option<&'a LegStatus> {
    status.legs.iter().find(|(site, _)| site.as_str() == name).map(|(_, leg)| leg)
}

/// Waits until the status of a group is as wanted.
///
/// # Errors
/// [`ErrorKind::Timeout`] after [`PATIENCE`], with the state at that moment.
pub(super) async fn until(
    group: &Group,
    what: &str,
    wanted: impl Fn(&GroupStatus) -> bool,
) -> Result<Arc<GroupStatus>> {
    let mut watch = group.watch();
    let waiting = async {
        loop {
            let status = group.status();
            if wanted(&status) {
                return Ok(status);
            }
            watch.changed().await?;
        }
    };
    let late = |_| {
        let status = group.status();
        Err(Error::new(
            ErrorKind::Timeout,
            format!(
                "wait until {what}: not within {} s; site {} is {} at {}, {}",
                PATIENCE.as_secs(),
                group.site(),
                status.role,
                status.newest,
                status.trouble.as_deref().unwrap_or("without trouble")
            ),
        ))
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(late)
}

/// Opens the input, if there is one, and says how large the volume must be.
///
/// # Errors
/// When the file cannot be read, or is none.
pub(super) fn input(path: Option<&Path>, wanted_bytes: u64) -> Result<(Option<Input>, u64)> {
    const MIB: u64 = 1 << 20;
    let least = wanted_bytes.max(4 * MIB).next_multiple_of(MIB);
    let Some(path) = path else { return Ok((None, least)) };
    let failed = |source| Error::io(format!("open input {}", path.display()), source);
    let file = File::open(path).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() || facts.len() == 0 {
        return Err(Error::invalid(format!(
            "open input {}: it must be a file with something in it",
            path.display()
        )));
    }
    let length = facts.len();
    Ok((Some(Input { file, length }), least.max(length.next_multiple_of(MIB))))
}

impl<'s> Stage<'s> {
    /// Brings A and B up, fills the volume, begins the load, and lets C join.
    ///
    /// # Errors
    /// Where a site cannot be started or a state does not come.
    pub async fn set(
        story: &'s mut Story,
        args: &Args,
        backend: Backend,
        rate: u64,
        (journal_bytes, limits): (u64, Limits),
    ) -> Result<(Self, Load)> {
        let seed = args.seed.unwrap_or_else(rand::random);
        let (input, volume_bytes) = input(args.input.as_deref(), args.size.0)?;
        let named = args.input.as_ref().map(|path| path.display().to_string());
        let transport = args.transport;
        let plan = Plan { transport, backend, volume_bytes, journal_bytes, limits };
        let mut world = World::new(plan)?;
        introduce(story, args, backend, volume_bytes, seed, &world);
        story.chapter("A and B");
        let (a, b) = (world.start("a")?, world.start("b")?);
        until(&a, "A serves with B in sync", mirrored).await?;
        let status = a.status();
        story.say(
            mirrored(&status) && status.generation.count == 1,
            "A leads generation 1. B is its mirror: a write is answered when both hold it.",
            format_args!("generation {}, charter {:?}", status.generation, status.charter),
        );
        let ledger = Arc::new(Ledger::new(seed, volume_bytes, input));
        let volume = volume_of(&a)?;
        let filled_bytes = fill_volume(story, &volume, &ledger, named.as_deref()).await?;
        story.chapter("C joins while the host writes");
        let load = Load::start(&volume, &ledger, rate, seed);
        drop(volume);
        let c = world.start("c")?;
        let copied_bytes = 0;
        let mut stage =
            Self { story, world, a, b, c, ledger, seed, volume_bytes, filled_bytes, copied_bytes };
        stage.copy_to_c(&load).await?;
        Ok((stage, load))
    }

    /// Stops what still runs.
    pub fn end(&mut self, who: &str) {
        let stopped = self.world.stop();
        let text = stopped.as_ref().map_or_else(ToString::to_string, |()| String::new());
        self.story.say(stopped.is_ok(), format_args!("{who} stopped in order."), text);
    }

    /// Follows the initial copy of C.
    async fn copy_to_c(&mut self, load: &Load) -> Result<()> {
        let before = load.seen();
        let bar = Progress::bytes("C is filled", self.volume_bytes);
        until(&self.c, "C is asked to be filled", |status| {
            status.follows.as_ref().is_some_and(|follows| follows.plan.is_some())
        })
        .await?;
        let total = self.volume_bytes;
        until(&self.c, "C is filled", |status| {
            bar.set(total.saturating_sub(status.debt_bytes));
            let copied = status.follows.as_ref().map_or(0, |follows| follows.fetched.copied_bytes);
            status.debt_bytes == 0 && copied > 0
        })
        .await?;
        until(&self.a, "A sees C paired", |status| {
            leg(status, "c").is_some_and(|leg| leg.state == LegState::Paired)
        })
        .await?;
        drop(bar);
        let meanwhile = load.seen().since(&before);
        let status = self.c.status();
        let follows = status.follows.as_ref();
        let copied = follows.map_or(0, |follows| follows.fetched.copied_bytes);
        let whole = follows.and_then(|follows| follows.plan.as_ref()).map(|plan| &plan.kind);
        self.copied_bytes = copied;
        self.story.say(
            copied >= self.filled_bytes && meanwhile.answered > 0 && status.debt_bytes == 0,
            format_args!(
                "C is filled by an initial copy of {} (ranges of zeroes are skipped). The host \
                 was answered {} writes meanwhile.",
                size(copied),
                count(meanwhile.answered)
            ),
            format_args!("plan {whole:?}, copied {copied}, answered {}", meanwhile.answered),
        );
        Ok(())
    }
}

/// Whether a site serves with its mirror in the in-sync set.
fn mirrored(status: &GroupStatus) -> bool {
    let members = status.charter.as_ref().map_or(0, |charter| charter.in_sync.len());
    status.serving && members == 2
}

/// Lets time pass, visibly.
pub(super) async fn pass(what: &str, time: Duration) {
    const STEP: Duration = Duration::from_millis(100);
    let (bar, began) = (Progress::time(what, time), Instant::now());
    while began.elapsed() < time {
        tokio::time::sleep(STEP.min(time.saturating_sub(began.elapsed()))).await;
        bar.set(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    }
}

/// How often a second.
pub(super) fn per_second(number: u64, time: Duration) -> f64 {
    number as f64 / time.as_secs_f64().max(f64::EPSILON)
}

fn introduce(
    story: &mut Story,
    args: &Args,
    backend: Backend,
    volume_bytes: u64,
    seed: u64,
    world: &World,
) {
    let script = args.script.map_or_else(String::new, |script| format!(" {script}"));
    story.line(&format!(
        "trefoil {} demo{script}: transport {}, backend {backend}, volume of {}, seed {seed}",
        env!("CARGO_PKG_VERSION"),
        args.transport,
        size(volume_bytes),
    ));
    if let Some(directory) = world.directory() {
        story.line(&format!("files in {}, removed at the end", directory.display()));
    }
}

/// Writes the input, or generated blocks over a quarter of the volume.
async fn fill_volume(
    story: &mut Story,
    volume: &Volume,
    ledger: &Arc<Ledger>,
    input: Option<&str>,
) -> Result<u64> {
    let blocks = ledger.count() / 4;
    let began = Instant::now();
    let length = ledger.input().map_or(blocks * super::blocks::BLOCK_BYTES as u64, |i| i.length);
    let bar = Progress::bytes("the volume is filled", length);
    let filled = fill(volume, ledger, blocks, |bytes| bar.advance(bytes)).await?;
    drop(bar);
    let what = input.map_or_else(|| "generated data".to_owned(), |name| format!("of {name}"));
    let highest = ledger.totals().highest;
    let held = volume.flush().await?;
    story.say(
        held >= highest,
        format_args!(
            "{} {what} are written through A and flushed in {:.1} s: durable at A and B.",
            size(filled),
            began.elapsed().as_secs_f64()
        ),
        format_args!("flushed up to {held}, answered up to {highest}"),
    );
    Ok(filled)
}
