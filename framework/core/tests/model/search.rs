//! Every history within bounds, breadth first: the first one that breaks a rule is a shortest one.

use crate::bounds::Bounds;
use crate::step::Action;
use crate::world::World;
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

/// What was searched.
#[derive(Debug)]
pub struct Found {
    pub states: usize,
    pub steps: usize,
    /// The longest history, in actions.
    pub depth: usize,
    /// A shortest history that breaks a rule, and the rule.
    pub broken: Option<(Vec<Action>, String)>,
}

/// How a state was reached.
struct Path {
    action: Action,
    before: Option<Rc<Path>>,
}

fn actions(mut path: Option<&Rc<Path>>) -> Vec<Action> {
    let mut all = Vec::new();
    while let Some(step) = path {
        all.push(step.action);
        path = step.before.as_ref();
    }
    all.reverse();
    all
}

/// Searches every history that begins with `world`; within the bounds it is exhausted.
pub fn search(world: &World, bounds: Bounds) -> Found {
    visit(world, bounds, &mut |_| {})
}

/// The same, and shows every state.
pub fn visit(world: &World, bounds: Bounds, show: &mut dyn FnMut(&World)) -> Found {
    let mut seen = HashSet::from([(world.fingerprint(), bounds)]);
    let mut queue = VecDeque::from([(world.clone(), bounds, None::<Rc<Path>>, 0)]);
    let mut found = Found { states: 1, steps: 0, depth: 0, broken: None };
    while let Some((world, left, path, depth)) = queue.pop_front() {
        found.depth = found.depth.max(depth);
        for action in world.possible(&left) {
            found.steps += 1;
            let mut next = world.clone();
            next.apply(action);
            let path = Rc::new(Path { action, before: path.clone() });
            if let Some(broken) = next.broken.take() {
                found.broken = Some((actions(Some(&path)), broken));
                return found;
            }
            let left = left.after(action);
            if seen.insert((next.fingerprint(), left)) {
                found.states += 1;
                show(&next);
                queue.push_back((next, left, Some(path), depth + 1));
            }
        }
    }
    found
}

/// Takes these steps; the rule that breaks, and after how many.
pub fn replay(world: &World, actions: &[Action]) -> Option<(usize, String)> {
    let mut world = world.clone();
    for (taken, action) in actions.iter().enumerate() {
        // Without a step before it the operator's word may be untrue, and proves nothing.
        if matches!(action, Action::TakeOver { site, fenced: true, .. } if !world.fenced(*site)) {
            continue;
        }
        world.apply(*action);
        if let Some(broken) = world.broken.take() {
            return Some((taken + 1, broken));
        }
    }
    None
}

/// A history without the steps that the same rule breaks without.
pub fn shrink(world: &World, actions: &[Action], rule: &str) -> Vec<Action> {
    let mut kept = actions.to_vec();
    let breaks = |actions: &[Action]| {
        replay(world, actions).filter(|(_, broken)| broken.starts_with(rule)).map(|(n, _)| n)
    };
    let mut span = (kept.len() / 2).max(1);
    loop {
        let mut at = 0;
        while at < kept.len() {
            let end = (at + span).min(kept.len());
            let without = [&kept[..at], &kept[end..]].concat();
            match breaks(&without) {
                Some(taken) => kept = without[..taken].to_vec(),
                None => at += span,
            }
        }
        if span == 1 {
            return kept;
        }
        span = (span / 2).max(1);
    }
}
