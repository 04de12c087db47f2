//! The faults of a run, drawn from its seed, one after the other.

use crate::dice::Dice;
use crate::oracle::SITES;
use crate::plan::Fault;
use crate::world::{World, name};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use trefoil_site::TakeoverOptions;

/// An operator gives up on a takeover after this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes faults happen for as long as the plan says.
pub async fn happen(world: Rc<World>, mut dice: Dice) {
    let end = tokio::time::Instant::now() + Duration::from_millis(world.plan.faulty_ms);
    // Half of the seeds let the group come up first, the others disturb the initial copy.
    if dice.percent(70) {
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let mut part = 0;
    let mut under_way = Vec::new();
    while tokio::time::Instant::now() < end && !world.is_broken() {
        let pause = dice.ms(1..=world.plan.pause_ms_max);
        tokio::time::sleep(pause).await;
        let fault = dice.pick(&world.plan.faults);
        part += 1;
        let (world, dice) = (world.clone(), dice.part(part));
        under_way.push(spawn_local(async move { happens(&world, fault, dice).await }));
    }
    for fault in under_way {
        let _ = fault.await;
    }
}

async fn happens(world: &Rc<World>, fault: Fault, mut dice: Dice) {
    let site = dice.below(3) as usize;
    let other = (site + 1 + dice.below(2) as usize) % 3;
    let (site, other) = world.plan.layout.two_of(site, other);
    let (one, two) = (SITES[site], SITES[other]);
    world.eye.lock().note(format_args!("fault {fault:?} at {one} (and {two})"));
    let network = &world.network;
    let while_ms = dice.pick(&[50, 300, 1500]);
    let lasts = dice.ms(1..=while_ms);
    match fault {
        Fault::Delay => {
            let most = dice.ms(1..=60);
            network.set_delay(one, two, Duration::from_micros(200), most);
        }
        Fault::Cut => {
            network.cut(one, two);
            tokio::time::sleep(lasts).await;
            network.heal(one, two);
        }
        Fault::CutOneWay => {
            network.cut_one_way(one, two);
            tokio::time::sleep(lasts).await;
            network.heal_one_way(one, two);
        }
        Fault::CutAndDrop => {
            network.cut_and_drop(one, two);
            tokio::time::sleep(lasts).await;
            network.heal(one, two);
        }
        Fault::Isolate => isolate(world, site, lasts).await,
        Fault::Drop => network.drop_connection(one, two),
        Fault::Freeze => {
            network.freeze(one);
            tokio::time::sleep(lasts).await;
            network.thaw(one);
        }
        Fault::Crash => restart(world, site, false, lasts).await,
        Fault::CrashLoop => {
            for _ in 0..dice.within(2..=4) {
                restart(world, site, false, dice.ms(0..=20)).await;
            }
        }
        Fault::PowerLoss => restart(world, site, true, lasts).await,
        Fault::PowerLossOfAll => all(world, true, &mut dice).await,
        Fault::CrashOfAll => all(world, false, &mut dice).await,
        Fault::SlowDisk => world.set_latency(site, dice.percent(70)),
        Fault::FailedSync => {
            world.eye.lock().sites[site].disk_fault = true;
            world.disks[site].fail_next_sync();
        }
        Fault::FullDisk => {
            world.eye.lock().sites[site].disk_fault = true;
            world.disks[site].set_full(true);
            tokio::time::sleep(lasts).await;
            world.disks[site].set_full(false);
        }
        Fault::Takeover => drop(take_over(world, site, &mut dice).await),
        Fault::Failover => failover(world, &mut dice).await,
        Fault::CutAndTakeover => cut_and_take_over(world, &mut dice).await,
        Fault::LosePrimary => lose_primary(world, &mut dice).await,
        Fault::Swap => drop(swap(world, site).await),
        Fault::Suspend => suspend(world, other, lasts).await,
        Fault::StopArbiter => world.court.iter().for_each(|court| court.stop(lasts)),
        Fault::CutArbiter => world.court.iter().for_each(|court| court.cut(site, lasts)),
        Fault::SwapAndCrash => swap_and_crash(world, site, &mut dice).await,
    }
}

async fn isolate(world: &World, site: usize, lasts: Duration) {
    let others = || SITES.iter().filter(|other| **other != SITES[site]);
    others().for_each(|other| world.network.cut(SITES[site], other));
    tokio::time::sleep(lasts).await;
    others().for_each(|other| world.network.heal(SITES[site], other));
}

/// A site dies and is started again after a while.
pub async fn restart(world: &Rc<World>, site: usize, power: bool, after: Duration) {
    if power || world.is_alive(site) {
        world.die(site, power);
    }
    tokio::time::sleep(after).await;
    world.start(site).await;
}

/// All die at once, and are started again one by one.
async fn all(world: &Rc<World>, power: bool, dice: &mut Dice) {
    (0..3).for_each(|site| world.die(site, power));
    let mut starts = Vec::new();
    for site in 0..3 {
        let (world, after) = (world.clone(), dice.ms(0..=600));
        starts.push(spawn_local(async move {
            tokio::time::sleep(after).await;
            world.start(site).await;
        }));
    }
    for start in starts {
        let _ = start.await;
    }
}

/// Whether no other site can be answering hosts now.
fn others_are_fenced(world: &World, site: usize) -> bool {
    let leads = |other: usize| world.up(other).is_some_and(|up| up.volumes[0].writable());
    (0..3).filter(|other| *other != site).all(|other| !leads(other))
}

/// The operator takes over at a site.
pub async fn take_over(world: &Rc<World>, site: usize, dice: &mut Dice) -> bool {
    let accept_loss = world.plan.accepts_loss && dice.percent(50);
    let primary_is_fenced = dice.percent(40) && others_are_fenced(world, site);
    // Both words together let a site lead alone: then no other may be linked before it is to this
    // one, which faults do not keep to. Of two sites the other has nobody else to be linked to.
    // (But where both led alone in turn, unseen by each other, neither reign is the newer one.)
    let alone = world.sites().all(|other| other == site || world.up(other).is_none());
    // A site that needs nobody's word may lead before it is linked to this one, too.
    let pair = world.sites().end == 2 && alone && {
        let eye = world.eye.lock();
        eye.knows_newest_reign(site) && !eye.may_lead_alone(1 - site)
    };
    let primary_is_fenced = pair || primary_is_fenced && !accept_loss;
    let options = TakeoverOptions { accept_loss, primary_is_fenced };
    take_over_with(world, site, options).await
}

/// The operator takes over at a site, with these options.
pub async fn take_over_with(world: &Rc<World>, site: usize, options: TakeoverOptions) -> bool {
    take_over_or_why(world, site, options).await.is_ok()
}

/// The same; what the operator is told where it is refused.
pub async fn take_over_or_why(
    world: &Rc<World>,
    site: usize,
    options: TakeoverOptions,
) -> Result<(), String> {
    let Some(up) = world.up(site) else { return Err("it does not run".into()) };
    {
        let mut eye = world.eye.lock();
        eye.note(format_args!("operator: takeover at {} {options:?}", SITES[site]));
        eye.sites[site].consent |= options.accept_loss;
    }
    let took = tokio::time::timeout(PATIENCE, up.group.takeover(options)).await;
    let mut eye = world.eye.lock();
    match took {
        Ok(Ok(certificate)) => {
            eye.certified(site, &certificate);
            Ok(())
        }
        Ok(Err(error)) => {
            eye.note(format_args!("operator: takeover at {}: {error}", SITES[site]));
            Err(error.to_string())
        }
        Err(_) => Err("it takes too long".into()),
    }
}

/// The leading site dies or is cut off from all or from one; nobody does anything about it, for
/// longer than a takeover takes, or nearly.
async fn lose_primary(world: &Rc<World>, dice: &mut Dice) {
    let writable = world.writable();
    let Some((leader, _)) = writable.first() else { return };
    let lasts = dice.ms(300..=4000);
    match dice.below(4) {
        0 => isolate(world, *leader, lasts).await,
        1 => {
            let other = (leader + 1 + dice.below(2) as usize) % 3;
            let (_, other) = world.plan.layout.two_of(*leader, other);
            world.network.cut(SITES[*leader], SITES[other]);
            tokio::time::sleep(lasts).await;
            world.network.heal(SITES[*leader], SITES[other]);
        }
        kind => restart(world, *leader, kind == 2, lasts).await,
    }
}

/// Roles are exchanged, for a site to lead.
pub async fn swap(world: &Rc<World>, site: usize) -> bool {
    let Some(up) = world.up(site) else { return false };
    world.eye.lock().note(format_args!("operator: swap to {}", SITES[site]));
    let done = tokio::time::timeout(PATIENCE, up.group.swap()).await;
    if !world.is_life(site, up.life) {
        return false;
    }
    let mut eye = world.eye.lock();
    match done {
        Ok(Ok(Some(certificate))) => {
            eye.certified(site, &certificate);
            eye.swaps += 1;
            true
        }
        Ok(Ok(None)) => true,
        Ok(Err(error)) => {
            eye.note(format_args!("operator: swap to {}: {error}", SITES[site]));
            false
        }
        Err(_) => false,
    }
}

/// The leg from whoever leads to a site is suspended for a while, however often it restarts.
async fn suspend(world: &Rc<World>, to: usize, lasts: Duration) {
    let Some((leader, up)) = world.writable().into_iter().next() else { return };
    let done = tokio::time::timeout(lasts, up.group.suspend(&name(SITES[to]))).await;
    let done = done.map(|done| done.map_err(|error| error.to_string()));
    let (from, to_site) = (SITES[leader], SITES[to]);
    world.eye.lock().note(format_args!("operator: suspend {from} to {to_site}: {done:?}"));
    tokio::time::sleep(lasts).await;
    resume(world, leader).await;
}

/// All legs of a site go on.
pub async fn resume(world: &Rc<World>, site: usize) {
    let Some(up) = world.up(site) else { return };
    for to in (0..3).filter(|to| *to != site) {
        let to = name(SITES[to]);
        let _ = tokio::time::timeout(PATIENCE, up.group.resume(&to)).await;
    }
}

/// Roles are exchanged, and one of the two dies or they are cut off in the middle.
async fn swap_and_crash(world: &Rc<World>, site: usize, dice: &mut Dice) {
    let leader = world.writable().first().map_or(dice.below(3) as usize, |(leader, _)| *leader);
    let target = if leader == site { (site + 1) % 3 } else { site };
    let target = if world.sites().contains(&target) { target } else { 1 - leader };
    let verb = {
        let world = world.clone();
        spawn_local(async move { swap(&world, target).await })
    };
    let most = dice.pick(&[5, 30, 120]);
    tokio::time::sleep(dice.ms(0..=most)).await;
    match dice.below(3) {
        0 => restart(world, leader, dice.percent(30), dice.ms(0..=600)).await,
        1 => restart(world, target, dice.percent(30), dice.ms(0..=600)).await,
        _ => {
            world.network.cut(SITES[leader], SITES[target]);
            tokio::time::sleep(dice.ms(0..=900)).await;
            world.network.heal(SITES[leader], SITES[target]);
        }
    }
    let _ = verb.await;
    if dice.percent(50) {
        swap(world, target).await;
    }
}

/// The leading process dies; the operator takes over elsewhere; it comes back.
async fn failover(world: &Rc<World>, dice: &mut Dice) {
    let writable = world.writable();
    let leaders: Vec<usize> = writable.iter().map(|(site, _)| *site).collect();
    let (leader, target) = pair(world, &leaders, dice);
    world.die(leader, dice.percent(30));
    tokio::time::sleep(dice.ms(0..=300)).await;
    take_over(world, target, dice).await;
    tokio::time::sleep(dice.ms(0..=500)).await;
    world.start(leader).await;
}

/// The leading site is cut off from one or both others; the operator takes over elsewhere.
async fn cut_and_take_over(world: &Rc<World>, dice: &mut Dice) {
    let writable = world.writable();
    let leaders: Vec<usize> = writable.iter().map(|(site, _)| *site).collect();
    let (leader, target) = pair(world, &leaders, dice);
    let third = 3 - leader - target;
    world.network.cut(SITES[leader], SITES[target]);
    if dice.percent(50) {
        world.network.cut(SITES[leader], SITES[third]);
    }
    tokio::time::sleep(dice.ms(0..=900)).await;
    take_over(world, target, dice).await;
    tokio::time::sleep(dice.ms(0..=900)).await;
    world.network.heal(SITES[leader], SITES[target]);
    world.network.heal(SITES[leader], SITES[third]);
}

/// A leader, and the site that is to take over: its mirror mostly.
fn pair(world: &World, writable: &[usize], dice: &mut Dice) -> (usize, usize) {
    let leader = writable.first().copied().unwrap_or(dice.below(2) as usize);
    let third = if leader == 2 { 0 } else { 2 };
    let mirror = if leader == 2 { 1 } else { 1 - leader };
    let target = if dice.percent(80) { mirror } else { third };
    (leader, if world.sites().contains(&target) { target } else { mirror })
}
