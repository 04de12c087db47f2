//! C loses its journal and its state again and again, and keeps its volumes: they are compared.

use crate::faults::restart;
use crate::oracle::VOLUMES;
use crate::rules;
use crate::seeds;
use crate::world::World;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;
use trefoil_core::model::{VolumeId, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite, Content};

/// The third site, which is no member of any charter here.
const C: usize = 2;

async fn forget(world: &Rc<World>) {
    world.die(C, false);
    let disk = &world.disks[C];
    let names = VOLUMES.map(|name| VolumeName::new(name).unwrap());
    let contents: Vec<Vec<u8>> = (names.iter().zip(&world.plan.volumes))
        .map(|(name, size)| disk.volume_bytes(name, 0, *size as usize))
        .collect();
    disk.replace();
    world.eye.lock().replaced(C);
    for (name, content) in names.iter().zip(contents) {
        let store = disk.volume(name, content.len() as u64).unwrap();
        let content = Content::Data(content.into());
        store.write(vec![BlockWrite { offset: 0, content }]).await.unwrap();
        store.sync().await.unwrap();
    }
}

/// Waits until C owes nothing; then its image is what the order of writes says.
pub async fn is_whole(world: &World) {
    let image = loop {
        sleep(Duration::from_millis(20)).await;
        let Some(up) = world.up(C) else { continue };
        if up.group.status().marks.restored.value() > 0
            && let Ok(image) = up.group.snapshot(None).await
        {
            break image;
        }
    };
    let mut volumes = Vec::new();
    for (volume, size) in (0..).zip(&world.plan.volumes) {
        let bytes = image.read(VolumeId(volume), 0, *size as usize).await.unwrap();
        volumes.push(bytes.to_vec());
    }
    let number = image.position().number;
    let eye = world.eye.lock();
    assert!(rules::no_gap::check_image(&eye, C, number, &volumes).is_ok(), "C as of {number}");
}

fn story(world: Rc<World>) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        let mut dice = world.dice(4);
        for _ in 0..3 {
            sleep(dice.ms(300..=900)).await;
            forget(&world).await;
            world.start(C).await;
            sleep(dice.ms(1..=200)).await;
            restart(&world, C, dice.percent(50), dice.ms(0..=100)).await;
        }
        is_whole(&world).await;
    })
}

#[test]
fn a_comparison_that_is_interrupted_breaks_no_rule() {
    let outcomes = seeds::run_story(story);
    assert!(outcomes.iter().filter(|outcome| outcome.compared).count() >= 5);
}
