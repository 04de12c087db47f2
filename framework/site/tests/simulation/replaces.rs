//! C is lost for good and replaced, again and again, while hosts write and the other sites die:
//! what it was never comes back, not even after a reboot, and its successor is filled.

use crate::dice::Dice;
use crate::faults::restart;
use crate::forgets::is_whole;
use crate::seeds;
use crate::world::{World, name};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use trefoil_core::model::Incarnation;

/// The third site.
const C: usize = 2;

/// The operator says at the site that leads, whichever that is, that C is gone for good.
async fn replace(world: &World) -> Incarnation {
    let c = name("c");
    loop {
        for site in [0, 1] {
            let Some(up) = world.up(site) else { continue };
            let asked = up.group.replace_site(&c, false);
            if let Ok(Ok(predecessor)) = timeout(Duration::from_secs(5), asked).await {
                return predecessor.born;
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// The old C runs for a while: nobody lets it in, whoever dies meanwhile.
async fn comes_back(world: &Rc<World>, dice: &mut Dice) {
    world.start(C).await;
    for _ in 0..dice.within(1..=2) {
        let dies = if dice.percent(50) { C } else { dice.below(2) as usize };
        restart(world, dies, dice.percent(50), dice.ms(0..=200)).await;
        for _ in 0..20 {
            sleep(Duration::from_millis(20)).await;
            for site in [0, 1] {
                let Some(up) = world.up(site) else { continue };
                let status = up.group.status();
                assert!(!status.legs[&name("c")].link_up, "what was replaced is let in at {site}");
            }
        }
    }
    world.die(C, false);
}

fn story(world: Rc<World>) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        let mut dice = world.dice(4);
        is_whole(&world).await;
        for _ in 0..2 {
            sleep(dice.ms(100..=500)).await;
            world.die(C, dice.percent(50));
            let born = replace(&world).await;
            if dice.percent(70) {
                comes_back(&world, &mut dice).await;
            }
            world.disks[C].replace();
            world.eye.lock().replaced(C);
            world.start(C).await;
            sleep(dice.ms(1..=200)).await;
            restart(&world, C, dice.percent(50), dice.ms(0..=100)).await;
            is_whole(&world).await;
            let successor = world.eye.lock().sites[C].state.as_ref().unwrap().born;
            assert_ne!(successor, born);
        }
    })
}

#[test]
fn e34_a_site_that_was_replaced_for_good_never_comes_back_and_its_successor_is_filled() {
    seeds::run_story(story);
}
