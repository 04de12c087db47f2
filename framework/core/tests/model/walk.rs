//! Random walks: longer histories than a search reaches, by seed, and a calm at the end of each.

use crate::bounds::Bounds;
use crate::holes::Off;
use crate::search::shrink;
use crate::step::Action;
use crate::world::{Setup, World};
use std::collections::HashSet;

/// A small generator of numbers, by seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }
}

/// What walks came to.
#[derive(Debug, Default)]
pub struct Walked {
    pub walks: u64,
    pub steps: u64,
    pub states: HashSet<u64>,
    /// Walks that ended with a group that no operator brought back.
    pub unhealed: Vec<u64>,
    /// Losses that an operator consented to.
    pub told: u64,
    pub broken: Option<String>,
}

/// States are told apart up to so many; beyond, only steps are counted.
const STATES_MAX: usize = 20_000_000;

/// How a walk is set up, by its seed: the mix of faults differs from walk to walk.
fn setup(dice: &mut Dice) -> (Setup, Bounds) {
    let some = |dice: &mut Dice, most: usize| (1 + dice.roll(most)) as u8;
    let bounds = Bounds {
        writes: some(dice, 8),
        flushes: dice.roll(4) as u8,
        faults: some(dice, 8),
        verbs: some(dice, 6),
        trims: [0, 2, 6][dice.roll(3)],
        mishaps: [0, 0, 3][dice.roll(3)],
        passes: u8::MAX,
        one_by_one: true,
        disks: true,
    };
    (Setup { automatic: dice.roll(4) == 0, ..Setup::default() }, bounds)
}

/// One walk: so many steps of whatever is possible, rarer the more it disturbs; then the calm.
pub fn walk(seed: u64, off: Off, walked: &mut Walked) {
    let mut dice = Dice::new(seed);
    let (setup, mut left) = setup(&mut dice);
    let mut begin = if dice.roll(4) == 0 { World::new(setup) } else { World::paired(setup) };
    begin.setup.off = off;
    let mut world = begin.clone();
    let mut taken = Vec::new();
    for _ in 0..60 + dice.roll(200) {
        let action = choose(&world, &left, &mut dice);
        left = left.after(action);
        taken.push(action);
        world.apply(action);
        walked.steps += 1;
        if walked.states.len() < STATES_MAX {
            walked.states.insert(world.fingerprint());
        }
        if world.broken.is_some() {
            break;
        }
    }
    walked.walks += 1;
    walked.told += world.host.told;
    if let Some(broken) = &world.broken {
        let rule = broken.split(':').next().unwrap_or_default();
        let short = shrink(&begin, &taken, rule);
        let paired = begin.host.written > 0;
        walked.broken =
            Some(format!("seed {seed}: {broken}\n{setup:?} paired={paired}\n{short:?}"));
        return;
    }
    if let Err(why) = world.calm() {
        if world.broken.is_some() {
            let broken = world.broken.clone().unwrap_or_default();
            walked.broken = Some(format!("seed {seed}, in the calm: {broken}\n{taken:?}"));
            return;
        }
        if walked.unhealed.len() < 3 {
            eprintln!("seed {seed} does not heal: {why}{}", world.tell());
        }
        walked.unhealed.push(seed);
    }
}

fn choose(world: &World, left: &Bounds, dice: &mut Dice) -> Action {
    if dice.roll(12) == 0 {
        return Action::Settle;
    }
    let all = world.possible(left);
    let weight = |action: &Action| match action {
        Action::Deliver { .. } | Action::Resync(_) => 12,
        Action::Pass => 8,
        Action::Write { .. } | Action::Flush(_) => 4,
        Action::Start(_) | Action::Heal(..) => 4,
        Action::Sync(_) | Action::Restore(_) | Action::Ask(_) => 5,
        Action::TakeOver { .. } | Action::Rejoin(_) | Action::Swap(_) => 2,
        Action::Checkpoint(_) | Action::Trim(_) | Action::Beat(_) => 2,
        _ => 1,
    };
    let sum: usize = all.iter().map(weight).sum();
    let mut at = dice.roll(sum.max(1));
    for action in &all {
        match at.checked_sub(weight(action)) {
            Some(rest) => at = rest,
            None => return *action,
        }
    }
    Action::Pass
}
