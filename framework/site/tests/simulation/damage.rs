//! A record in the middle of a follower's journal is damaged, again and again, while hosts write:
//! what is missing is fetched from another site.

use crate::oracle::SITES;
use crate::seeds;
use crate::world::World;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;
use trefoil_core::model::UpdateNumber;

/// Damages a record of a site that is dead, with good ones behind it; which one.
fn damage(world: &World, site: usize, at: u64) -> Option<UpdateNumber> {
    let disk = &world.disks[site];
    let (base, newest) = (disk.base().number, disk.durable().number);
    let inner = newest.since(base).checked_sub(2)?;
    let number = base.plus(1 + at % inner.max(1));
    if number >= newest || !disk.damage_record(number) {
        return None;
    }
    let mut eye = world.eye.lock();
    eye.note(format_args!("record {number} of {} is damaged", SITES[site]));
    // Whatever it held is not there any more.
    eye.sites[site].power_losses += 1;
    Some(number)
}

/// Waits until a site is whole again, past where it was damaged.
async fn is_mended(world: &World, site: usize, newest: UpdateNumber) {
    loop {
        sleep(Duration::from_millis(20)).await;
        let Some(up) = world.up(site) else { continue };
        let status = up.group.status();
        if status.debt_bytes == 0 && status.marks.restored > newest {
            return;
        }
    }
}

fn story(world: Rc<World>) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        let mut dice = world.dice(4);
        for _ in 0..3 {
            sleep(dice.ms(400..=900)).await;
            let writable: Vec<usize> = world.writable().iter().map(|(site, _)| *site).collect();
            let site = 1 + dice.below(2) as usize;
            if writable.contains(&site) || writable.is_empty() {
                continue;
            }
            world.die(site, dice.percent(50));
            let newest = world.disks[site].durable().number;
            let damaged = damage(&world, site, dice.next());
            world.start(site).await;
            if damaged.is_some() {
                is_mended(&world, site, newest).await;
            }
        }
    })
}

#[test]
fn e11_a_gap_in_the_middle_of_a_journal_is_repaired_from_another_site() {
    let outcomes = seeds::run_story(story);
    assert!(outcomes.iter().filter(|outcome| outcome.compared).count() >= 5);
}
