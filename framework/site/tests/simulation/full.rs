//! A site whose disk is full takes part all the same: it promises, it follows, it lets others lead.

use crate::faults::take_over_or_why;
use crate::forgets::is_whole;
use crate::rules::Broken;
use crate::seeds;
use crate::world::World;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;
use trefoil_site::TakeoverOptions;

/// B is found full within so long, with hosts that write.
const PATIENCE: Duration = Duration::from_secs(5);
const B: usize = 1;
const C: usize = 2;

/// What B was sent finds no room, and A dies. B's word is all that C has; later B follows C.
fn story(world: Rc<World>) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        is_whole(&world).await;
        world.disks[B].set_full(true);
        if tokio::time::timeout(PATIENCE, has_no_room(&world)).await.is_err() {
            return judge(&world, "B never lacked room".into());
        }
        world.die(0, false);
        let consent = TakeoverOptions { accept_loss: true, primary_is_fenced: false };
        let mut refusal = String::new();
        for _ in 0..10 {
            sleep(Duration::from_millis(400)).await;
            match take_over_or_why(&world, C, consent).await {
                Ok(()) => break,
                Err(why) => refusal = why,
            }
        }
        if !world.up(C).is_some_and(|up| up.group.status().serving) {
            judge(&world, format!("C does not lead: {refusal}"));
        }
        world.disks[B].set_full(false);
    })
}

/// Waits until B says that its journal has no room.
async fn has_no_room(world: &World) {
    let says = |trouble: &String| trouble.contains("no room for the journal");
    while !world.up(B).is_some_and(|up| up.group.status().trouble.as_ref().is_some_and(says)) {
        sleep(Duration::from_millis(5)).await;
    }
}

fn judge(world: &World, what: String) {
    world.eye.lock().judge(Err(Broken::new("heals", what)));
}

#[test]
fn e24_a_site_without_room_gives_its_promise_and_forgets_what_it_cannot_take() {
    seeds::run_story(story);
}
