//! A site that leads when every other one is lost, by the operator's consent (rule R7).

use crate::reign_world::{World, charter_of, site};
use trefoil_core::engine::reign::{Event, TakeoverOptions};
use trefoil_core::engine::takeover::Verdict;
use trefoil_core::model::Generation;
use trefoil_core::wire::PromiseReply;

const ANYTHING: TakeoverOptions = TakeoverOptions { accept_loss: true, primary_is_fenced: true };

fn alone() -> World {
    let mut world = World::paired();
    world.kill("a");
    world.kill("c");
    world
}

#[test]
fn one_word_is_not_enough() {
    for half in [
        TakeoverOptions { accept_loss: false, ..ANYTHING },
        TakeoverOptions { primary_is_fenced: false, ..ANYTHING },
    ] {
        let mut world = alone();
        world.event("b", Event::Takeover(half));
        world.run(8000);
        assert!(!world.serves("b"));
        let why = &world.refusal("b").unwrap().why;
        assert!(why.contains("trefoil takeover --at b --accept-loss --primary-is-fenced"), "{why}");
    }
}

#[test]
fn the_last_site_leads_answers_and_says_that_nothing_is_proved() {
    let mut world = alone();
    world.event("b", Event::Takeover(ANYTHING));
    world.run(4000);
    assert!(world.answers("b"));
    let Verdict::Unknown(facts) = &world.completed("b").unwrap().verdict else {
        panic!("it was in sync, but the others may have agreed that it is not");
    };
    assert!(facts.contains("only {} was heard"), "{facts}");
    world.run(60_000);
    assert!(world.answers("b"), "nobody else can have it");
}

#[test]
fn with_another_site_there_its_lease_is_renewed_as_ever() {
    let mut world = alone();
    world.event("b", Event::Takeover(ANYTHING));
    world.run(4000);
    let generation = charter_of(&world, "b").generation;
    world.restart("c");
    world.run(3000);
    assert!(world.answers("b"));
    assert_eq!(charter_of(&world, "c").generation, generation);
    world.kill("c");
    world.run(3000);
    assert!(!world.answers("b"), "C may agree with A now");
    assert!(world.serves("b"));
    world.event("b", Event::Takeover(ANYTHING));
    world.run(4000);
    assert!(world.answers("b"), "the operator knows better, again");
}

#[test]
fn until_another_site_recorded_its_reign_nothing_changes_without_it() {
    let mut world = alone();
    world.event("b", Event::Takeover(ANYTHING));
    world.run(4000);
    assert!(charter_of(&world, "b").is_up_to(&site("b")));
    world.kill("b");
    world.restart("b");
    world.run(4000);
    assert!(world.answers("b"), "it needs nobody to lead again");
    let completed = charter_of(&world, "b");
    assert_eq!((completed.generation.count, completed.untold), (3, None));
}

#[test]
fn consent_does_not_stand_in_for_a_site_that_promised_to_another_candidate() {
    let mut world = alone();
    world.event("b", Event::Takeover(ANYTHING));
    world.run(20);
    let promised = Generation { count: 9, id: 9 };
    let asked = world.generation_stood_for("b");
    let refused = PromiseReply::Refused { promised };
    world.event("b", Event::PromiseReply(site("c"), asked, refused));
    world.run(8000);
    assert!(!world.serves("b"), "C may follow that one soon");
    let why = &world.refusal("b").unwrap().why;
    assert!(why.contains("for generation 9") && why.contains("takeover --at b"), "{why}");
    // Nobody led by that: it is said again, and outranks it.
    world.event("b", Event::Takeover(ANYTHING));
    world.run(4000);
    assert!(world.answers("b"));
}

#[test]
fn the_old_primary_comes_back_under_it() {
    let mut world = alone();
    world.event("b", Event::Takeover(ANYTHING));
    world.run(4000);
    world.restart("a");
    world.restart("c");
    world.run(4000);
    assert!(world.serves("b") && !world.serves("a"));
    assert_eq!(charter_of(&world, "a").primary.as_str(), "b");
}
