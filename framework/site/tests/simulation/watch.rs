//! What is looked at all the time: what sites say of themselves, images, and sites that gave up.

use crate::dice::Dice;
use crate::oracle::SITES;
use crate::rules::{self, Broken};
use crate::world::{Up, World};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use trefoil_core::model::{Position, UpdateNumber, VolumeId};

/// Looks at every site every few milliseconds, for ever.
pub async fn look(world: Rc<World>, mut dice: Dice) {
    let mut turn = 0_u64;
    loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        turn += 1;
        for site in 0..3 {
            let Some(up) = world.up(site) else { continue };
            check_status(&world, site, &up);
            give_up(&world, site, &up, &mut dice);
        }
        if turn.is_multiple_of(12) {
            let site = dice.below(3) as usize;
            if let Some(up) = world.up(site) {
                let world = world.clone();
                spawn_local(async move { check_image(&world, site, &up).await });
            }
        }
    }
}

fn check_status(world: &World, site: usize, up: &Up) {
    let status = up.group.status();
    let mut eye = world.eye.lock();
    eye.compared |= status.totals.compared_bytes > 0;
    eye.judge(rules::watermark_order::check(site, &status));
    eye.judge(rules::limits::check(site, &status));
    let reign = eye.sites[site].reign();
    let leads = eye.sites[site].charter().is_some_and(|charter| {
        charter.active && charter.primary.as_str() == SITES[site] && charter.generation == reign
    });
    if leads && up.volumes[0].writable() {
        eye.begins(site, reign);
    }
}

/// A site that gave up because of its disk is restarted by an operator, after a while. Without a
/// fault of the disk no site gives up.
fn give_up(world: &Rc<World>, site: usize, up: &Up, dice: &mut Dice) {
    let status = up.group.status();
    let Some(trouble) = status.trouble.as_ref().filter(|t| t.contains("repair the device")) else {
        return;
    };
    {
        let mut eye = world.eye.lock();
        if !eye.sites[site].disk_fault {
            let what = format!("{} gave up without a fault: {trouble}", SITES[site]);
            eye.judge(Err(Broken::new("heals", what)));
        }
        eye.note(format_args!("{} gave up: {trouble}", SITES[site]));
    }
    world.die(site, false);
    let (world, after) = (world.clone(), dice.ms(0..=300));
    spawn_local(async move {
        tokio::time::sleep(after).await;
        world.start(site).await;
    });
}

/// Takes an image at a site and checks that it is a prefix of the order.
async fn check_image(world: &World, site: usize, up: &Up) {
    let take = async {
        let image = up.group.snapshot(None).await.ok()?;
        let mut volumes = Vec::new();
        for (volume, size) in (0..).zip(&world.plan.volumes) {
            let bytes = image.read(VolumeId(volume), 0, *size as usize).await.ok()?;
            volumes.push(bytes.to_vec());
        }
        Some((image.position(), volumes))
    };
    let taken = tokio::time::timeout(Duration::from_secs(1), take).await;
    let Ok(Some((Position { generation, number, .. }, volumes))) = taken else { return };
    if world.is_life(site, up.life) {
        let mut eye = world.eye.lock();
        if number > UpdateNumber::ZERO && !eye.sites[site].holds(generation, number) {
            // Its history was rewound meanwhile: what the image shows is known no more.
            return;
        }
        let verdict = rules::no_gap::check_image(&eye, site, number, &volumes);
        eye.judge(verdict);
    }
}
