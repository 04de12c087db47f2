//! A site in debt that goes back to what its volumes still are, for nobody has more any more.

use crate::reign_world::World;
use trefoil_core::engine::reign::{Effect, Event, TakeoverOptions};
use trefoil_core::engine::takeover::Verdict;

const CONSENT: TakeoverOptions = TakeoverOptions { accept_loss: true, primary_is_fenced: false };
const ANYTHING: TakeoverOptions = TakeoverOptions { accept_loss: true, primary_is_fenced: true };

/// C owes; its volumes still are those of update 1, if that is so.
fn c_owes(image: Option<u64>) -> World {
    let mut world = World::paired();
    for name in ["a", "b", "c"] {
        world.set_newest(name, 9);
    }
    world.owe("c", 4096, image);
    world.run(500);
    world
}

fn refusal(world: &mut World, options: TakeoverOptions) -> String {
    world.event("c", Event::Takeover(options));
    world.run(4000);
    assert!(!world.serves("c") && !goes_back(world));
    world.refusal("c").unwrap().why.clone()
}

fn goes_back(world: &World) -> bool {
    world.effects_of("c").iter().any(|effect| matches!(effect, Effect::GoBack { .. }))
}

#[test]
fn without_an_image_it_never_leads() {
    let mut world = c_owes(None);
    world.kill("a");
    world.kill("b");
    let why = refusal(&mut world, ANYTHING);
    assert!(why.contains("not consistent"), "{why}");
}

#[test]
fn while_a_site_that_has_more_is_in_reach_that_one_leads() {
    let mut world = c_owes(Some(1));
    world.kill("a");
    let why = refusal(&mut world, ANYTHING);
    assert!(why.contains("site b is consistent") && why.contains("take over there"), "{why}");
    world.event("b", Event::Takeover(TakeoverOptions::default()));
    world.run(4000);
    assert!(world.answers("b"));
}

#[test]
fn alone_it_needs_every_consent_before_anything_is_dropped() {
    let mut world = c_owes(Some(1));
    world.kill("a");
    world.kill("b");
    for half in [TakeoverOptions::default(), CONSENT] {
        let why = refusal(&mut world, half);
        assert!(why.contains("still those of update 1"), "{why}");
        assert!(why.contains("trefoil takeover --at c --accept-loss --primary-is-fenced"), "{why}");
    }
}

#[test]
fn with_consent_it_goes_back_and_leads_from_there_as_another_incarnation() {
    let mut world = c_owes(Some(1));
    let before = world.incarnation("c");
    world.kill("a");
    world.kill("b");
    world.event("c", Event::Takeover(ANYTHING));
    world.run(4000);
    assert!(world.answers("c") && goes_back(&world));
    let completed = world.completed("c").unwrap();
    assert_eq!(completed.newest.number.value(), 1);
    assert!(matches!(completed.verdict, Verdict::Unknown(_)), "{completed:?}");
    assert_ne!(world.incarnation("c"), before);
}

#[test]
fn while_it_goes_back_it_follows_nobody() {
    let mut world = c_owes(Some(1));
    world.kill("a");
    world.owe("b", 4096, None);
    world.run(500);
    let effects = world.raw("c", Event::Takeover(CONSENT));
    let at = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted);
    assert!(at(|effect| matches!(effect, Effect::GoBack { .. })).is_some(), "{effects:?}");
    assert_eq!(at(|effect| matches!(effect, Effect::Follow { .. })), None, "{effects:?}");
}
