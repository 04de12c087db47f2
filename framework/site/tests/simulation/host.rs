//! The hosts: several writers at once, wherever a site answers.

use crate::dice::Dice;
use crate::model::{SECTOR, Span, content};
use crate::oracle::SITES;
use crate::world::{Up, World};
use std::rc::Rc;
use std::time::Duration;
use trefoil_core::Result;

/// A host gives up on a call after this; its outcome is in doubt then.
const PATIENCE: Duration = Duration::from_millis(2500);

/// What a host asks for.
enum Call {
    Write(Span),
    Zero(Span),
    Flush,
    Read(Span),
}

/// A host that goes on until it is told to stop.
pub async fn write_on(world: Rc<World>, mut dice: Dice) {
    while !world.stop_hosts.get() {
        let pause = dice.ms(0..=world.plan.think_ms_max);
        tokio::time::sleep(pause).await;
        let writable = world.writable();
        let any = dice.below(3) as usize;
        let target = if writable.is_empty() || dice.percent(5) {
            world.up(any).map(|up| (any, up))
        } else {
            Some(writable[dice.below(writable.len() as u64) as usize].clone())
        };
        let Some((site, up)) = target else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let call = draw(&world, &mut dice);
        let limit = tokio::time::timeout(PATIENCE, make(&world, site, &up, call));
        if !matches!(limit.await, Ok(true)) {
            tokio::time::sleep(dice.ms(1..=20)).await;
        }
    }
}

fn draw(world: &World, dice: &mut Dice) -> Call {
    let volume = dice.below(2) as u32;
    let sectors = world.sectors(volume as usize);
    // Most writes hit a small part, so that they overlap.
    let hot = if dice.percent(60) { sectors / 8 } else { sectors };
    let first = dice.below(hot);
    let most = world.plan.write_sectors_max.min(sectors - first);
    let span = Span { volume, first, count: dice.within(1..=most) };
    match dice.below(100) {
        0..60 => Call::Write(span),
        60..66 => Call::Zero(Span { count: dice.within(1..=sectors - first), ..span }),
        66..80 => Call::Flush,
        _ => Call::Read(span),
    }
}

/// Makes a call and tells the oracle what came of it; whether it was answered.
async fn make(world: &World, site: usize, up: &Up, call: Call) -> bool {
    match call {
        Call::Write(span) => write(world, site, up, span, false).await,
        Call::Zero(span) => write(world, site, up, span, true).await,
        Call::Flush => {
            let answer = up.volumes[0].flush().await;
            let Some(number) = alive(world, site, up, answer) else { return false };
            world.eye.lock().flush_answered(site, number);
            true
        }
        Call::Read(span) => read(world, site, up, span).await,
    }
}

/// An answer that came while the process was still there. One that comes together with its death
/// counts as in doubt.
fn alive<T>(world: &World, site: usize, up: &Up, answer: Result<T>) -> Option<T> {
    answer.ok().filter(|_| world.is_life(site, up.life))
}

async fn write(world: &World, site: usize, up: &Up, span: Span, zero: bool) -> bool {
    let tag = world.tag();
    world.eye.lock().pending.insert(tag, span);
    let volume = &up.volumes[span.volume as usize];
    let (offset, length) = (span.first * SECTOR, span.count * SECTOR);
    let answer = if zero {
        volume.write_zeroes(offset, length).await
    } else {
        volume.write_at(offset, content(tag, span)).await
    };
    let told = answer.is_err() && world.is_life(site, up.life);
    let mut eye = world.eye.lock();
    match alive(world, site, up, answer) {
        Some(number) => {
            eye.note(format_args!("{} answered write {tag} as {number}", SITES[site]));
            eye.write_answered(site, tag, span, zero, number);
            true
        }
        None => {
            eye.note(format_args!("write {tag} at {} is in doubt", SITES[site]));
            if told {
                eye.failed.insert(tag);
            }
            false
        }
    }
}

async fn read(world: &World, site: usize, up: &Up, span: Span) -> bool {
    let _alone = world.reading.lock().await;
    let at_least = world.eye.lock().read_begins(site);
    let volume = &up.volumes[span.volume as usize];
    let answer = volume.read_at(span.first * SECTOR, (span.count * SECTOR) as usize).await;
    let Some(data) = alive(world, site, up, answer) else { return false };
    // Elsewhere a read shows the restored position, which is nobody's latest word.
    if volume.writable() {
        world.eye.lock().read_answered(site, span, at_least, &data);
    }
    true
}

/// One write, flush and read at a site, as proof that the group works.
pub async fn prove(world: &World, site: usize, up: &Up) -> bool {
    let span = Span { volume: 0, first: 0, count: 1 };
    write(world, site, up, span, false).await
        && make(world, site, up, Call::Flush).await
        && read(world, site, up, span).await
}

/// Reads all volumes at a leading site, and has them checked.
pub async fn read_all(world: &World, site: usize, up: &Up) -> bool {
    for volume in 0..world.plan.volumes.len() {
        let span = Span { volume: volume as u32, first: 0, count: world.sectors(volume) };
        if !read(world, site, up, span).await {
            return false;
        }
    }
    true
}
