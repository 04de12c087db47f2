//! The calm after the faults: everything heals, the host writes, what can be paired is.

use crate::faults::{resume, take_over_or_why};
use crate::host::{prove, read_all};
use crate::oracle::SITES;
use crate::rules::{self, heals};
use crate::world::{Up, World};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use trefoil_core::model::{Fence, Plan, PlanKind, UpdateNumber};
use trefoil_site::TakeoverOptions;

/// How long nobody may lead before the operator steps in.
const PATIENCE_MS: u64 = 5_000;
/// So often an operator who accepts no loss tries again before there is nothing else left.
const RELUCTANCE: u32 = 4;
/// How long everything may take.
const LIMIT_MS: u64 = 60_000;
/// How often is looked.
const STEP: Duration = Duration::from_millis(50);

/// Ends all faults, and waits until the group is whole.
pub async fn heal(world: &Rc<World>) {
    for site in 0..3 {
        world.network.thaw(SITES[site]);
        world.disks[site].set_full(false);
        world.set_latency(site, false);
        for other in 0..3 {
            world.network.heal_one_way(SITES[site], SITES[other]);
            let (least, most) = (Duration::from_micros(100), Duration::from_millis(3));
            world.network.set_delay(SITES[site], SITES[other], least, most);
        }
    }
    world.court.iter().for_each(|court| court.heal());
    world.eye.lock().note(format_args!("calm"));
    revive(world);
    let Some(leader) = prove_somewhere(world).await else { return };
    for site in 0..3 {
        resume(world, site).await;
    }
    let number = world.eye.lock().sites[leader].newest();
    for site in world.sites().filter(|site| *site != leader) {
        pairs(world, site, leader, number).await;
    }
    finish(world, leader, number).await;
}

/// Starts every site that does not run.
fn revive(world: &Rc<World>) {
    for site in world.sites().filter(|site| !world.is_alive(*site)) {
        let world = world.clone();
        spawn_local(async move { world.start(site).await });
    }
}

/// The site that leads; an operator helps where nobody stands by itself.
async fn leader(world: &Rc<World>) -> Option<(usize, Up)> {
    let (mut waited, mut alone, mut helped) = (0, 0, 0);
    while !world.is_broken() {
        let writable = world.writable();
        let serving = writable.into_iter().find(|(_, up)| up.group.status().serving);
        if let Some(found) = serving {
            return Some(found);
        }
        tokio::time::sleep(STEP).await;
        revive(world);
        waited += 50;
        alone += 50;
        if alone >= PATIENCE_MS {
            alone = 0;
            help(world, helped).await;
            helped += 1;
        }
        if waited >= LIMIT_MS {
            let verdict = heals::nobody_leads(waited, &troubles(world));
            world.eye.lock().judge(verdict);
            return None;
        }
    }
    None
}

/// The operator lets a site take over. Where everything is back and it is refused nevertheless, the
/// operator does what the refusal says: accepts the loss, at once if this one ever does, or if the
/// level is `never`, at which nothing is proved without a planned exchange (H8).
async fn help(world: &Rc<World>, helped: u32) {
    let ready = world.plan.accepts_loss || world.plan.fence == Fence::Never;
    let accepts = helped >= if ready { 1 } else { RELUCTANCE };
    for site in [1, 0, 2] {
        let options = TakeoverOptions::default();
        let Err(why) = take_over_or_why(world, site, options).await else { return };
        let consent = format!("`trefoil takeover --at {} --accept-loss --group", SITES[site]);
        let options = TakeoverOptions { accept_loss: true, ..options };
        if !accepts || !why.contains(&consent) {
            continue;
        }
        if take_over_or_why(world, site, options).await.is_ok() {
            world.eye.lock().last_resorts += 1;
            return;
        }
    }
}

/// What every site says of its trouble.
fn troubles(world: &World) -> String {
    let of = |site: usize| {
        let up = world.up(site)?;
        let status = up.group.status();
        let (role, newest, trouble) = (status.role, status.newest, status.trouble.clone());
        let follows = status.follows.as_ref().map(|follows| follows.state.to_string());
        Some(format!("{} {role} at {newest}, {trouble:?}, follows {follows:?}", SITES[site]))
    };
    (0..3).filter_map(of).collect::<Vec<_>>().join("; ")
}

/// The site where the host can write, flush and read what it wrote. One that led may fail by what
/// the faults left behind; then another leads, or the same one once it is started again.
async fn prove_somewhere(world: &Rc<World>) -> Option<usize> {
    let mut last = 0;
    for _ in 0..20 {
        let (leader, up) = leader(world).await?;
        // A journal that waits for a leg that the operator suspended is filled by it; hosts may
        // wait for a site that waits for the operator's choice.
        resume(world, leader).await;
        for site in (0..3).filter(|site| *site != leader) {
            if let Some(up) = world.up(site) {
                rejoin(world, site, &up);
            }
        }
        let limit = Duration::from_secs(3);
        let proved = tokio::time::timeout(limit, prove(world, leader, &up)).await;
        if world.is_broken() {
            return None;
        }
        if proved == Ok(true) {
            return Some(leader);
        }
        last = leader;
        tokio::time::sleep(STEP).await;
        revive(world);
    }
    let what = format!("{} leads, but answers no write: {}", SITES[last], troubles(world));
    world.eye.lock().judge(Err(rules::Broken::new("heals", what)));
    None
}

/// Waits until a site has come to `number`. The operator lets a site rejoin that holds updates of
/// its own, which a host may have been told of.
async fn pairs(world: &Rc<World>, site: usize, leader: usize, number: UpdateNumber) {
    let mut waited = 0;
    while !world.is_broken() {
        let up = world.up(site);
        let restored =
            up.as_ref().map_or(UpdateNumber::ZERO, |up| up.group.status().marks.restored);
        {
            let eye = world.eye.lock();
            let caught_up = heals::has_caught_up(&eye, site, leader, number);
            if caught_up && restored >= number && is_member(world, site, leader) {
                return;
            }
        }
        if waited >= LIMIT_MS {
            let verdict = heals::not_paired(site, leader, &troubles(world));
            world.eye.lock().judge(verdict);
            return;
        }
        if waited % PATIENCE_MS == 0
            && let Some(up) = up
        {
            rejoin(world, site, &up);
        }
        tokio::time::sleep(STEP).await;
        revive(world);
        waited += 50;
    }
}

/// The operator chooses the leading site's history, where a site says that he has to.
fn rejoin(world: &World, site: usize, up: &Up) {
    let status = up.group.status();
    let plan = status.follows.as_ref().and_then(|follows| follows.plan.as_ref());
    let asks = |plan: &Plan| match &plan.kind {
        PlanKind::Refuse { choices } => choices.iter().any(|choice| choice.contains("rejoin")),
        _ => false,
    };
    if plan.is_some_and(asks) {
        world.eye.lock().note(format_args!("{} rejoins by consent", SITES[site]));
        let group = up.group.clone();
        spawn_local(async move { drop(group.rejoin().await) });
    }
}

/// Whether a mirror is in the in-sync set; nobody else needs to be.
fn is_member(world: &World, site: usize, leader: usize) -> bool {
    let Some(up) = world.up(leader) else { return false };
    if world.plan.fence == Fence::Never {
        // It is waited for while it is there, and never named.
        return true;
    }
    let status = up.group.status();
    let named = status.charter.as_ref().is_some_and(|charter| {
        charter.in_sync.iter().any(|member| member.site.as_str() == SITES[site])
    });
    named || !world.plan.layout.mirrors(site, leader)
}

/// The last look: all that was answered is readable, and volumes are what their journals say.
async fn finish(world: &Rc<World>, leader: usize, number: UpdateNumber) {
    if world.is_broken() {
        return;
    }
    let Some(up) = world.up(leader) else { return };
    if !read_all(world, leader, &up).await {
        let what = format!("{} leads, but does not read", SITES[leader]);
        world.eye.lock().judge(Err(rules::Broken::new("heals", what)));
    }
    // Everything restored, then nothing changes but by records without content.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut eye = world.eye.lock();
    for site in 0..3 {
        let settled = site == leader || heals::has_caught_up(&eye, site, leader, number);
        let restored = world.up(site).map(|up| up.group.status().marks.restored);
        if let Some(restored) = restored.filter(|restored| settled && *restored >= number) {
            let verdict = rules::no_gap::check_restored(&eye, site, restored);
            eye.judge(verdict);
        }
    }
}
