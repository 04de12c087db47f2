//! One run: a world, hosts, faults, calm, from one seed; and what came of it.

use crate::dice::Dice;
use crate::layout::Layout;
use crate::plan::Plan;
use crate::rules::Broken;
use crate::sabotage::Sabotage;
use crate::world::World;
use crate::{calm, faults, host, log, watch};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;
use tokio::task::{LocalSet, spawn_local};

thread_local! {
    /// What panicked on this thread since the last run began.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub seed: u64,
    pub layout: Layout,
    pub broken: Option<Broken>,
    /// The last events.
    pub last: Vec<String>,
    /// The hash over all events.
    pub hash: u64,
    pub events: u64,
    pub answered: u64,
    pub flushes: u64,
    pub reads: u64,
    pub given_up: u64,
    pub reigns: u64,
    pub takeovers: [u64; 3],
    pub automatic: u64,
    pub swaps: u64,
    pub last_resorts: u64,
    pub compared: bool,
    /// Changes of the charter whose outcome an arbiter did not tell; `None` without one.
    pub unknown_changes: Option<u64>,
    pub virtual_ms: u64,
}

/// A script that takes the place of the drawn faults.
pub type Script = fn(Rc<World>) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// How a run differs from an ordinary one.
#[derive(Clone, Copy, Default)]
pub struct Options {
    pub sabotage: Sabotage,
    /// Prints every event.
    pub aloud: bool,
    /// Faults in the place of those that the seed draws; they are the same for all seeds.
    pub script: Option<Script>,
    /// The layout, in the place of the one that the seed draws.
    pub layout: Option<Layout>,
    /// The only rules that count; all if it is empty.
    pub watched: &'static [&'static str],
}

/// Runs a seed.
pub fn run(seed: u64, options: Options) -> Outcome {
    remember_panics();
    PANICKED.with_borrow_mut(|panicked| *panicked = None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let set = LocalSet::new();
    set.block_on(&runtime, live(seed, options))
}

/// A panic in an actor ends that actor only; here it ends the run.
fn remember_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.to_string();
            if text.contains("tests/simulation/main.rs") {
                return usual(info);
            }
            PANICKED.with_borrow_mut(|panicked| *panicked = panicked.take().or(Some(text)));
        }));
    });
}

async fn live(seed: u64, options: Options) -> Outcome {
    let mut plan = Plan::draw(&Dice::new(seed));
    plan.layout = options.layout.unwrap_or(plan.layout);
    let world = World::new(seed, plan, options.sabotage, options.aloud);
    let _reads = log::read(world.eye.clone(), options.aloud);
    world.eye.lock().note(format_args!("seed {seed}: {:?}", world.plan));
    world.eye.lock().watched = options.watched;
    let watch = spawn_local(watch::look(world.clone(), world.dice(3)));
    let mut hosts = Vec::new();
    for site in 0..3 {
        let world = world.clone();
        drop(spawn_local(async move { world.start(site).await }));
    }
    for writer in 0..world.plan.writers {
        hosts.push(spawn_local(host::write_on(world.clone(), world.dice(100 + writer))));
    }
    let story = async {
        match options.script {
            Some(script) => script(world.clone()).await,
            None => faults::happen(world.clone(), world.dice(4)).await,
        }
        world.stop_hosts.set(true);
        calm::heal(&world).await;
    };
    let ended = async {
        while !world.is_broken() && !panicked(&world) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        biased;
        () = story => {}
        () = ended => {}
    }
    panicked(&world);
    watch.abort();
    hosts.iter().for_each(tokio::task::JoinHandle::abort);
    world.end();
    outcome(seed, &world)
}

/// Whether something panicked: told to the oracle.
fn panicked(world: &World) -> bool {
    let Some(what) = PANICKED.with_borrow_mut(Option::take) else { return false };
    let rule = if what.contains("rule watermark_order") {
        "watermark_order"
    } else if what.contains("rule write_ahead") {
        "write_ahead"
    } else {
        "no_panic"
    };
    world.eye.lock().judge(Err(Broken::new(rule, what)));
    true
}

fn outcome(seed: u64, world: &World) -> Outcome {
    let eye = world.eye.lock();
    Outcome {
        seed,
        layout: world.plan.layout,
        broken: eye.broken.clone(),
        last: eye.trace.last(),
        hash: eye.trace.hash(),
        events: eye.trace.events,
        answered: eye.answered.len() as u64,
        flushes: eye.flushes,
        reads: eye.reads,
        given_up: eye.answered.iter().filter(|write| write.given_up).count() as u64,
        reigns: eye.begun.len() as u64,
        takeovers: eye.takeovers,
        automatic: eye.automatic,
        swaps: eye.swaps,
        last_resorts: eye.last_resorts,
        compared: eye.compared,
        unknown_changes: world.court.as_ref().map(|court| court.unknown()),
        virtual_ms: eye.trace.now_ms(),
    }
}
