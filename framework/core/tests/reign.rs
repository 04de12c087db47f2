//! Who leads: three reign engines, wired by hand, without journals or links.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "reign/arbiter.rs"]
mod arbiter;
#[path = "reign/exchange.rs"]
mod exchange;
#[path = "reign/fence.rs"]
mod fence;
#[path = "reign/go_back.rs"]
mod go_back;
#[path = "reign/lone.rs"]
mod lone;
mod reign_automatic;
mod reign_world;
#[path = "reign/relay.rs"]
mod relay;
#[path = "reign/suspend.rs"]
mod suspend;

use reign_world::{World, charter_of, marks, site};
use trefoil_core::engine::reign::{Effect, Event, LegReport, TakeoverOptions};
use trefoil_core::engine::takeover::Verdict;
use trefoil_core::model::{Generation, Incarnation, Role};
use trefoil_core::wire::PromiseReply;

/// What A's leg to B reports: B is connected, and holds everything up to that number.
fn from_b(world: &World, number: u64) -> LegReport {
    let (incarnation, marks) = (world.incarnation("b"), marks(number));
    LegReport { connected: true, incarnation, marks, ..LegReport::default() }
}

#[test]
fn the_home_site_begins_the_first_generation_with_a_second_promise() {
    let mut world = World::new();
    world.run(3000);
    assert_eq!(world.role("a"), Role::Primary);
    assert!(world.serves("a"));
    let charter = charter_of(&world, "a");
    assert_eq!((charter.generation.count, charter.active), (1, true));
    assert_eq!(charter.in_sync.len(), 1, "nobody else holds anything yet");
}

#[test]
fn alone_the_home_site_does_not_begin() {
    let mut world = World::new();
    world.cut("a", "b");
    world.cut("a", "c");
    world.run(10_000);
    assert_eq!(world.role("a"), Role::Secondary);
    assert!(!world.serves("a"));
}

#[test]
fn a_promise_is_saved_before_evidence_is_given() {
    let mut world = World::new();
    let generation = Generation { count: 5, id: 9 };
    let effects = world.raw("b", Event::PromiseRequest(site("a"), generation));
    let save = effects.iter().position(
        |effect| matches!(effect, Effect::Save { promised, .. } if *promised == generation),
    );
    let promise = effects.iter().position(|effect| matches!(effect, Effect::Promise { .. }));
    assert!(save.unwrap() < promise.unwrap(), "{effects:?}");
}

#[test]
fn of_two_candidates_with_one_count_only_the_first_is_promised() {
    let mut world = World::new();
    let first = Generation { count: 5, id: 9 };
    let rival = Generation { count: 5, id: 8 };
    world.raw("c", Event::PromiseRequest(site("a"), first));
    let effects = world.raw("c", Event::PromiseRequest(site("b"), rival));
    assert!(matches!(effects.as_slice(), [Effect::RefusePromise { .. }, ..]), "{effects:?}");
    let effects = world.raw("c", Event::PromiseRequest(site("a"), first));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Promise { .. })), "again");
}

#[test]
fn a_mirror_is_waited_for_before_the_charter_names_it() {
    // H4, H5: what was assigned before the primary waits must be held durably first.
    let mut world = World::paired_without_b();
    let report = from_b(&world, 10);
    world.set_newest("a", 10);
    let effects = world.event("a", Event::Leg(site("b"), report));
    assert!(effects.contains(&Effect::Join(site("b"))), "{effects:?}");
    world.run(1000);
    assert!(charter_of(&world, "a").member(&site("b")).is_none(), "not durable yet");
    let effects =
        world.event("a", Event::Leg(site("b"), LegReport { may_include: true, ..report }));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Propose { .. })));
    world.run(1000);
    assert!(charter_of(&world, "a").member(&site("b")).is_some());
}

#[test]
fn a_silent_mirror_is_waited_for_until_the_charter_says_that_it_is_out() {
    let mut world = World::paired();
    world.cut("a", "b");
    world.cut("a", "c");
    world.run(20_000);
    assert!(world.joined("a", "b"), "A alone may record nothing, so it goes on waiting");
    world.heal("a", "c");
    world.run(6000);
    assert!(charter_of(&world, "c").member(&site("b")).is_none());
    assert!(!world.joined("a", "b"), "A and C are two of three");
}

#[test]
fn a_mirror_that_comes_no_further_is_out_until_it_does() {
    // F43, F46: its link is up, its disk takes nothing.
    let mut world = World::paired();
    world.run(10_000);
    assert!(world.joined("a", "b"), "it lacks nothing, however long nothing is written");
    world.set_newest("a", 60);
    world.run(2500);
    assert!(world.joined("a", "b"), "not for long enough");
    world.run(1500);
    assert!(!world.joined("a", "b"), "the host does not wait for it any more");
    assert!(charter_of(&world, "a").member(&site("b")).is_none());
    world.run(10_000);
    assert!(!world.joined("a", "b"), "close, but it does not move");
    let report = from_b(&world, 60);
    let effects = world.event("a", Event::Leg(site("b"), report));
    assert!(effects.contains(&Effect::Join(site("b"))), "{effects:?}");
}

#[test]
fn what_was_said_about_an_earlier_wait_includes_nobody() {
    // R5: it holds what was assigned before that wait, and others were answered since.
    let mut world = World::paired();
    let suspended = |names: &[&str]| Event::Suspended(names.iter().map(|s| site(s)).collect());
    world.event("a", suspended(&["b"]));
    world.run(1000);
    assert!(!world.joined("a", "b"));
    world.event("a", suspended(&[]));
    let late = LegReport { may_include: true, ..from_b(&world, 10) };
    world.event("a", Event::Leg(site("b"), late));
    world.event("a", Event::Leg(site("b"), late));
    assert!(!world.joined("a", "b"), "that is of before it left");
    world.event("a", Event::Leg(site("b"), LegReport { may_include: false, ..late }));
    assert!(world.joined("a", "b"));
    world.event("a", Event::Leg(site("b"), late));
    world.run(1000);
    assert!(charter_of(&world, "a").member(&site("b")).is_some());
}

#[test]
fn an_inclusion_whose_outcome_is_unknown_is_settled_by_a_newer_charter() {
    // H26
    let mut world = World::paired_without_b();
    let report = LegReport { may_include: true, ..from_b(&world, 10) };
    world.cut("a", "b");
    world.cut("a", "c");
    world.event("a", Event::Leg(site("b"), report));
    world.event("a", Event::Leg(site("b"), report));
    let effects = world.event("a", Event::Tick);
    assert!(world.joined("a", "b"), "{effects:?}");
    world.event("a", Event::Leg(site("b"), LegReport { connected: false, ..report }));
    world.run(20_000);
    assert!(world.joined("a", "b"), "a proposal names b: only a newer charter lets a go on");
}

#[test]
fn an_in_sync_mirror_takes_over_with_zero_loss() {
    let mut world = World::paired();
    world.kill("a");
    let options = TakeoverOptions { accept_loss: false, primary_is_fenced: true };
    world.event("b", Event::Takeover(options));
    world.run(4000);
    assert!(world.serves("b"));
    let completed = world.completed("b").unwrap();
    assert_eq!(completed.verdict, Verdict::Zero);
    assert_eq!(charter_of(&world, "c").primary, site("b"));
}

#[test]
fn a_fenced_primary_whose_link_still_seems_up_is_not_waited_for_where_zero_is_proved() {
    let mut world = World::paired();
    world.silence("a");
    let options = TakeoverOptions { accept_loss: false, primary_is_fenced: true };
    world.event("b", Event::Takeover(options));
    world.run(200);
    assert!(world.serves("b"), "neither its promise nor its coming along is waited for");
    assert_eq!(world.completed("b").unwrap().verdict, Verdict::Zero);
}

#[test]
fn a_fenced_primary_that_may_prove_zero_is_waited_for() {
    let mut world = World::paired_without_b();
    world.silence("a");
    let options = TakeoverOptions { accept_loss: true, primary_is_fenced: true };
    world.event("b", Event::Takeover(options));
    world.run(500);
    assert!(!world.serves("b"), "with its word nothing may be lost, so it has its time");
    world.run(4000);
    assert!(world.serves("b"));
    assert!(matches!(world.completed("b").unwrap().verdict, Verdict::Unknown(_)));
}

#[test]
fn a_takeover_waits_for_the_lease_of_the_old_primary() {
    let mut world = World::paired();
    world.kill("a");
    world.run(20);
    world.event("b", Event::Takeover(TakeoverOptions::default()));
    world.run(1500);
    assert!(!world.serves("b"), "a lease granted by b or c may still be in use");
    world.run(1500);
    assert!(world.serves("b"));
}

#[test]
fn a_healthy_primary_is_not_deposed() {
    let mut world = World::paired();
    let effects = world.event("b", Event::Takeover(TakeoverOptions::default()));
    let refused = |effect: &Effect| match effect {
        Effect::TakeoverFailed { why } => why.why.contains("is well"),
        _ => false,
    };
    assert!(effects.iter().any(refused), "{effects:?}");
    assert!(world.serves("a"));
}

#[test]
fn a_mirror_that_lost_power_proves_nothing_alone() {
    // H1: it is another incarnation, so no member.
    let mut world = World::paired();
    world.kill("a");
    world.replace_incarnation("b");
    let options = TakeoverOptions { accept_loss: false, primary_is_fenced: true };
    world.event("b", Event::Takeover(options));
    world.run(6000);
    assert!(!world.serves("b"));
    let refusal = world.refusal("b").unwrap();
    assert!(!refusal.unreachable && refusal.why.contains("--accept-loss"), "{refusal:?}");
    let options = TakeoverOptions { accept_loss: true, primary_is_fenced: true };
    world.event("b", Event::Takeover(options));
    world.run(6000);
    assert!(world.serves("b"));
    assert!(matches!(world.completed("b").unwrap().verdict, Verdict::Unknown(_)));
}

#[test]
fn the_old_primary_comes_back_as_a_secondary() {
    let mut world = World::paired();
    world.kill("a");
    let options = TakeoverOptions { accept_loss: false, primary_is_fenced: true };
    world.event("b", Event::Takeover(options));
    world.run(4000);
    world.restart("a");
    world.run(4000);
    assert_eq!(world.role("a"), Role::Secondary);
    assert_eq!(world.following("a"), Some(site("b")));
    assert!(world.serves("b"), "it harmed nobody");
}

#[test]
fn a_restarted_primary_begins_a_new_generation() {
    // H2: no generation is resumed.
    let mut world = World::paired();
    world.kill("a");
    world.restart("a");
    world.run(8000);
    assert!(world.serves("a"));
    assert_eq!(charter_of(&world, "a").generation.count, 2);
}

#[test]
fn a_primary_without_renewals_has_no_lease() {
    let mut world = World::paired();
    world.cut("a", "b");
    world.cut("a", "c");
    world.run(2500);
    assert!(world.lease_until("a") <= world.now(), "rule R9");
}

#[test]
fn a_candidate_behind_gives_way_to_a_site_it_cannot_read_from() {
    // H22
    let mut world = World::paired();
    world.kill("a");
    world.set_newest("c", 50);
    world.set_base("c", 40);
    world.set_newest("b", 10);
    let options = TakeoverOptions { accept_loss: false, primary_is_fenced: true };
    world.event("b", Event::Takeover(options));
    world.run(6000);
    let refusal = world.refusal("b").unwrap();
    assert!(refusal.why.contains("trefoil takeover --at c"), "{refusal:?}");
}

#[test]
fn a_candidate_behind_rolls_forward_first() {
    let mut world = World::paired();
    world.kill("a");
    world.set_newest("c", 50);
    world.set_newest("b", 10);
    let options = TakeoverOptions { accept_loss: false, primary_is_fenced: true };
    world.event("b", Event::Takeover(options));
    world.run(500);
    assert_eq!(world.following("b"), Some(site("c")));
    assert!(!world.serves("b"));
    world.set_newest("b", 50);
    world.event("b", Event::RolledForward(true));
    world.run(3000);
    assert!(world.serves("b"));
}

#[test]
fn after_all_lost_power_the_primary_waits_for_every_site() {
    // H27: FLUSHED needs all registered sites back.
    let mut world = World::paired();
    for name in ["a", "b", "c"] {
        world.kill(name);
        world.replace_incarnation(name);
    }
    world.restart("a");
    world.restart("b");
    world.run(10_000);
    assert!(!world.serves("a"), "c may hold what both lost");
    world.restart("c");
    world.run(10_000);
    assert!(world.serves("a"));
    // Nobody asked for it, and what may be lost is told all the same.
    assert_eq!(world.completed("a").unwrap().verdict, Verdict::Flushed);
}

#[test]
fn an_answer_to_another_candidacy_changes_nothing() {
    let mut world = World::paired();
    let stale = Generation { count: 1, id: 1 };
    let reply = PromiseReply::Refused { promised: Generation { count: 9, id: 9 } };
    world.event("a", Event::PromiseReply(site("c"), stale, reply));
    assert!(world.serves("a"));
}

#[test]
fn a_member_that_must_be_copied_leaves_the_charter_first() {
    // R6, H24
    let mut world = World::paired();
    let report = LegReport {
        connected: false,
        incarnation: world.incarnation("b"),
        must_leave: true,
        ..LegReport::default()
    };
    world.event("a", Event::Leg(site("b"), report));
    world.run(600);
    assert!(charter_of(&world, "a").member(&site("b")).is_none());
    assert!(!world.joined("a", "b"));
}

#[test]
fn another_incarnation_of_a_member_is_not_served_before_it_is_out() {
    let mut world = World::paired();
    let generation = charter_of(&world, "a").generation;
    assert!(world.may_serve("a", "b", generation, Incarnation(999)).is_err());
    world.run(1000);
    assert!(charter_of(&world, "a").member(&site("b")).is_none());
    assert!(world.may_serve("a", "b", generation, Incarnation(999)).is_ok());
}

#[test]
fn an_emptied_member_is_no_evidence_that_flushed_writes_survived() {
    // F41: its media are gone, whatever it read back from others since.
    let mut world = World::paired();
    for name in ["a", "b", "c"] {
        world.kill(name);
        world.replace_incarnation(name);
    }
    world.empty("a");
    for name in ["a", "b", "c"] {
        world.restart(name);
    }
    world.run(10_000);
    assert!(!world.serves("a"), "what only a and b held may be gone with a");
}

#[test]
fn a_member_that_came_back_while_the_charter_was_on_its_way_is_taken_out() {
    let mut world = World::paired();
    let report = LegReport {
        connected: true,
        incarnation: Incarnation(999),
        marks: marks(5),
        ..LegReport::default()
    };
    world.event("a", Event::Leg(site("b"), report));
    world.run(600);
    let charter = charter_of(&world, "a");
    assert!(charter.member(&site("b")).is_none_or(|member| member.incarnation.0 == 999));
}

#[test]
fn a_loss_that_was_told_to_nobody_is_told_by_the_next_takeover() {
    // The takeover with consent was recorded only at its own site, and was reported as failed.
    let mut world = World::paired();
    world.cut("a", "b");
    world.run(6000);
    assert!(charter_of(&world, "c").member(&site("b")).is_none(), "b is out");
    world.kill("a");
    let consent = TakeoverOptions { accept_loss: true, primary_is_fenced: true };
    world.event("b", Event::Takeover(consent));
    for _ in 0..500 {
        world.run(20);
        let charter = charter_of(&world, "b");
        if charter.active && charter.primary == site("b") {
            break;
        }
    }
    world.cut("b", "c");
    world.run(3000);
    assert!(!world.serves("b"), "nobody else recorded it");
    assert!(world.completed("b").is_none());
    world.kill("b");
    world.heal("b", "c");
    world.restart("b");
    world.run(10_000);
    assert!(!world.serves("b"), "its charter names only b, yet the loss was never told");
    world.event("b", Event::Takeover(consent));
    world.run(4000);
    assert!(world.serves("b"));
    let verdict = world.completed("b").unwrap().verdict.clone();
    assert!(matches!(verdict, Verdict::Unknown(_)), "{verdict:?}");
    let charter = charter_of(&world, "c");
    assert_eq!(charter.untold, None, "from here on it is told");
    assert_eq!(charter.consented, charter.generation);
    world.kill("b");
    world.restart("b");
    world.run(6000);
    assert!(world.serves("b"), "a restart asks for no second consent");
    assert_eq!(charter_of(&world, "c").consented, charter.generation, "it stays known");
}
