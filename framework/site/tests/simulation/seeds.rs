//! Many seeds on all cores, and how a failing one is told.

use crate::layout::Layout;
use crate::run::{Options, Outcome, Script, run};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How many seeds run when nothing is said.
const SEEDS: u64 = 100;

/// Where the seeds begin: one after the other from here.
const FIRST: u64 = 1;

/// The seed to replay, if one is asked for.
pub fn asked() -> Option<u64> {
    std::env::var("TREFOIL_SEED").ok().map(|seed| seed.parse().unwrap())
}

/// The layout to use in the place of the one that is drawn, if one is asked for.
pub fn layout() -> Option<Layout> {
    std::env::var("TREFOIL_LAYOUT").ok().map(|name| Layout::named(&name).unwrap())
}

/// The seeds to run.
pub fn range() -> Vec<u64> {
    let read = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().unwrap());
    let first = read("TREFOIL_FIRST_SEED").unwrap_or(FIRST);
    (first..first + read("TREFOIL_SEEDS").unwrap_or(SEEDS)).collect()
}

/// Runs seeds on all cores; outcomes in the order of the seeds.
pub fn run_all(seeds: &[u64], options: Options) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run(*seed, options);
                    outcomes.lock().push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner();
    outcomes.sort_by_key(|outcome| outcome.seed);
    outcomes
}

/// Tells of a failing seed: the last events, the rule, and the line that replays it.
pub fn tell(outcome: &Outcome) {
    let Some(broken) = &outcome.broken else { return };
    let (seed, layout) = (outcome.seed, outcome.layout);
    eprintln!("\nseed {seed}: the last events");
    outcome.last.iter().for_each(|line| eprintln!("  {line}"));
    eprintln!("seed {seed} broke rule {}: {}", broken.rule, broken.what);
    eprintln!(
        "replay with: TREFOIL_SEED={seed} TREFOIL_LAYOUT={layout:?} cargo test --workspace \
         --test simulation -- --nocapture seeds"
    );
}

/// Tells what was run, in one line.
pub fn sum_up(outcomes: &[Outcome], seconds: f64) {
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let takeovers = |kind: usize| outcomes.iter().map(|o| o.takeovers[kind]).sum::<u64>();
    eprintln!(
        "{} seeds in {seconds:.1} s: {} virtual s, {} events, {} writes answered ({} given up), \
         {} flushes, {} reads, {} reigns, takeovers {} ZERO {} FLUSHED {} UNKNOWN \
         ({} once all were back) {} automatic, {} swaps, \
         {} with blocks compared, {} under an arbiter that left {} changes untold, \
         {} failed; {} of a cascade, {} of two sites",
        outcomes.len(),
        sum(|o| o.virtual_ms) / 1000,
        sum(|o| o.events),
        sum(|o| o.answered),
        sum(|o| o.given_up),
        sum(|o| o.flushes),
        sum(|o| o.reads),
        sum(|o| o.reigns),
        takeovers(0),
        takeovers(1),
        takeovers(2),
        sum(|o| o.last_resorts),
        sum(|o| o.automatic),
        sum(|o| o.swaps),
        outcomes.iter().filter(|outcome| outcome.compared).count(),
        outcomes.iter().filter(|outcome| outcome.unknown_changes.is_some()).count(),
        sum(|o| o.unknown_changes.unwrap_or(0)),
        outcomes.iter().filter(|outcome| outcome.broken.is_some()).count(),
        outcomes.iter().filter(|outcome| outcome.layout == Layout::Cascade).count(),
        outcomes.iter().filter(|outcome| outcome.layout.sites().end == 2).count(),
    );
}

/// Runs a script in place of drawn faults, with ten seeds; none of them may break any rule.
pub fn run_story(story: Script) -> Vec<Outcome> {
    let seeds: Vec<u64> = (1..=10).collect();
    let (script, layout) = (Some(story), Some(Layout::ThreeSite));
    let options = Options { script, layout, ..Options::default() };
    let outcomes = run_all(&seeds, options);
    sum_up(&outcomes, 0.0);
    let broken: Vec<_> = outcomes.iter().filter_map(|o| o.broken.as_ref()).collect();
    broken.iter().for_each(|broken| eprintln!("{}: {}", broken.rule, broken.what));
    assert!(broken.is_empty());
    outcomes
}
