//! Who leads where an arbiter outside of the sites keeps the charter.

use super::reign_world::{Mishap, World, charter_of, marks, site};
use trefoil_core::engine::reign::{Effect, Event, LegReport, Question, StandsBy, TakeoverOptions};
use trefoil_core::engine::takeover::Verdict;
use trefoil_core::model::Role;

const ALL: [&str; 3] = ["a", "b", "c"];

fn isolate(world: &mut World, name: &str) {
    for other in ALL.iter().filter(|other| **other != name) {
        world.cut(name, other);
    }
}

#[test]
fn the_first_reign_is_recorded_by_the_arbiter_before_the_host_is_answered() {
    let mut world = World::under_arbiter();
    world.arbiter_away_from(&ALL);
    world.run(5000);
    assert!(!world.serves("a"), "no charter is changed without it");
    world.arbiter_away_from(&[]);
    world.run(4000);
    assert!(world.answers("a"));
    assert_eq!(world.record(), &charter_of(&world, "a"));
    assert!(world.record().active);
}

#[test]
fn an_in_sync_pair_goes_on_without_the_arbiter() {
    let mut world = World::paired_under_arbiter();
    world.arbiter_away_from(&ALL);
    for _ in 0..30 {
        world.run(1000);
        assert!(world.answers("a"), "the sites renew its lease");
    }
    assert_eq!(world.engine("a").trouble(), None);
    assert!(world.engine("a").arbiter().unwrap().away.is_some());
}

#[test]
fn the_arbiter_has_no_work_with_the_lease_while_sites_renew_it() {
    let mut world = World::paired_under_arbiter();
    let (_, before) = world.asked_of_arbiter();
    world.run(20_000);
    assert_eq!(world.asked_of_arbiter().1, before);
}

#[test]
fn without_the_arbiter_nobody_is_excluded_or_begun_to_be_waited_for() {
    let mut world = World::paired_under_arbiter();
    let set = charter_of(&world, "a").in_sync;
    world.arbiter_away_from(&ALL);
    world.cut("a", "b");
    world.run(20_000);
    assert!(world.joined("a", "b"), "B is named, so it is waited for");
    assert_eq!(charter_of(&world, "a").in_sync, set);
    assert!(world.engine("a").trouble().unwrap().contains("arbiter"), "it says why");
    world.arbiter_away_from(&[]);
    world.run(3000);
    assert!(!world.joined("a", "b"));
    assert_eq!(world.record().in_sync.len(), 1);

    world.arbiter_away_from(&ALL);
    world.heal("a", "b");
    world.run(4000);
    let (incarnation, marks) = (world.incarnation("b"), marks(1));
    let report = LegReport { connected: true, incarnation, marks, ..LegReport::default() };
    world.event("a", Event::Leg(site("b"), report));
    world.run(1000);
    assert!(!world.joined("a", "b"), "A alone answers, and could not stop waiting for B");
}

#[test]
fn a_primary_that_reaches_the_arbiter_alone_excludes_its_mirror_and_goes_on() {
    let mut world = World::paired_under_arbiter();
    isolate(&mut world, "a");
    // B and C could take over, but do not reach the arbiter.
    world.arbiter_away_from(&["b", "c"]);
    world.run(10_000);
    assert!(world.answers("a"), "by the arbiter's lease");
    assert!(!world.joined("a", "b"));
    assert!(!world.serves("b"));
    world.arbiter_away_from(&[]);
    for _ in 0..20 {
        world.run(1000);
        assert!(
            world.answers("a") && !world.serves("b"),
            "B is not in sync: it says {:?}",
            world.stands_by("b")
        );
    }
    assert_eq!(world.stands_by("b"), Err(StandsBy::NotInSync));
}

#[test]
fn the_pair_s_other_half_takes_over_where_the_primary_reaches_nobody() {
    let mut world = World::paired_under_arbiter();
    isolate(&mut world, "a");
    world.arbiter_away_from(&["a"]);
    let mut overlap = false;
    for _ in 0..600 {
        world.run(20);
        overlap |= world.answers("a") && world.answers("b");
    }
    assert!(world.answers("b") && !overlap);
    assert_eq!(world.completed("b").unwrap().verdict, Verdict::Zero);
    assert_eq!(world.record().primary, site("b"));
}

#[test]
fn one_of_an_exclusion_and_a_takeover_wins() {
    for late_ms in [0, 1000, 2000, 2500, 2800, 2900, 3000, 3100, 3200, 4000, 6000] {
        let mut world = World::paired_under_arbiter();
        isolate(&mut world, "a");
        world.arbiter_away_from(&["a"]);
        world.run(late_ms);
        world.arbiter_away_from(&[]);
        for _ in 0..1000 {
            world.run(20);
            let (a, b) = (world.answers("a"), world.answers("b"));
            assert!(!(a && b), "{late_ms}: both answer");
            assert!(!(b && !world.joined("a", "b") && world.serves("a")), "{late_ms}");
        }
        assert!(world.answers("a") || world.answers("b"), "{late_ms}: somebody leads");
    }
}

#[test]
fn a_change_whose_outcome_is_unknown_is_read_before_anything_else() {
    for mishap in [Mishap::AnswerLost, Mishap::QuestionLost] {
        let mut world = World::paired_under_arbiter();
        world.mishap(mishap);
        world.cut("a", "b");
        let mut seen = Vec::new();
        for _ in 0..500 {
            world.run(20);
            seen.push(world.joined("a", "b"));
        }
        assert_eq!(seen.last(), Some(&false), "{mishap:?}: it is out in the end");
        assert_eq!(world.record().in_sync.len(), 1);
        assert_eq!(charter_of(&world, "a"), *world.record());
        assert!(world.answers("a"));
    }
}

#[test]
fn a_primary_waits_for_its_mirror_while_the_outcome_is_unknown() {
    let mut world = World::paired_under_arbiter();
    world.mishap(Mishap::AnswerLost);
    world.cut("a", "b");
    while world.asked_of_arbiter().0 < 4 {
        world.run(20);
        assert!(world.joined("a", "b"), "nothing is known");
        if world.record().in_sync.len() == 1 {
            break;
        }
    }
    world.arbiter_away_from(&ALL);
    world.run(10_000);
    assert_eq!(world.record().in_sync.len(), 1, "it is made");
    assert!(world.joined("a", "b"), "and A could not read it");
    assert_eq!(charter_of(&world, "a").in_sync.len(), 2);
}

#[test]
fn a_fence_is_made_anew_when_an_exclusion_was_first() {
    let mut world = World::paired_under_arbiter();
    world.kill("a");
    world.run(2900);
    // What A asked for before it died comes to the arbiter only now.
    let mut charter = world.record().clone();
    charter.version += 1;
    charter.in_sync.retain(|member| member.site == site("a"));
    world.record_late(charter);
    world.run(10_000);
    assert!(!world.serves("b"), "what A answered last may not be at B");
    world.event("b", Event::Takeover(TakeoverOptions::default()));
    world.run(5000);
    assert!(world.refusal("b").unwrap().why.contains("zero loss is not proved"));
    let consent = TakeoverOptions { accept_loss: true, primary_is_fenced: false };
    world.event("b", Event::Takeover(consent));
    world.run(8000);
    assert!(world.serves("b"));
    assert!(matches!(world.completed("b").unwrap().verdict, Verdict::Unknown(_)));
}

#[test]
fn a_candidate_waits_for_what_the_arbiter_granted() {
    let mut world = World::paired_under_arbiter();
    isolate(&mut world, "a");
    world.arbiter_away_from(&["b", "c"]);
    world.run(8000);
    assert!(world.answers("a"), "by the arbiter's lease alone");
    let until = world.lease_until("a");
    world.kill("a");
    world.arbiter_away_from(&["a"]);
    // The words of the loss are the operator's; the lease is waited for all the same.
    let consent = TakeoverOptions { accept_loss: true, primary_is_fenced: false };
    world.run(500);
    world.event("b", Event::Takeover(consent));
    while !world.serves("b") {
        world.run(20);
        assert!(world.now() < until + 2_000_000, "{:?}", world.refusal("b"));
    }
    assert!(world.now() >= until, "A could have answered until then");
}

#[test]
fn a_candidate_waits_for_what_sites_granted_while_the_arbiter_was_away() {
    let mut world = World::paired_under_arbiter();
    world.arbiter_away_from(&["a"]);
    world.cut("a", "b");
    world.run(5000);
    assert!(world.answers("a"), "by C's grants");
    let lease = world.lease_until("a");
    world.event("b", Event::Takeover(TakeoverOptions::default()));
    while !world.serves("b") {
        world.run(20);
        assert!(!(world.answers("a") && world.serves("b")));
        assert!(world.now() < lease + 5_000_000, "{:?}", world.refusal("b"));
    }
}

#[test]
fn an_operator_is_told_that_the_arbiter_is_away() {
    let mut world = World::paired_under_arbiter();
    world.arbiter_away_from(&ALL);
    world.kill("a");
    world.run(6000);
    assert!(matches!(world.stands_by("b"), Err(StandsBy::ArbiterAway { .. })));
    world.event("b", Event::Takeover(TakeoverOptions::default()));
    let refusal = world.refusal("b").unwrap();
    assert!(refusal.unreachable && refusal.why.contains("it is not there"), "{refusal:?}");
    assert_eq!(world.role("b"), Role::Secondary);
    world.arbiter_away_from(&[]);
    world.run(8000);
    assert!(world.serves("b"), "{:?}", world.stands_by("b"));
}

#[test]
fn an_arbiter_that_lost_its_record_begins_anew_by_the_word_of_all_sites() {
    let mut world = World::paired_under_arbiter();
    world.kill("a");
    world.arbiter_forgets();
    world.run(10_000);
    assert!(!world.serves("b"), "what A had recorded last, nobody here knows");
    world.event("b", Event::Takeover(TakeoverOptions::default()));
    world.run(4000);
    let why = &world.refusal("b").unwrap().why;
    assert!(why.contains("no record") && why.contains("{a}"), "{why}");
    world.restart("a");
    world.run(10_000);
    let leader = if world.answers("a") { "a" } else { "b" };
    assert!(world.answers(leader));
    assert_eq!(world.record().primary, site(leader));
}

#[test]
fn a_loss_of_the_record_is_told_where_it_is_accepted() {
    let mut world = World::paired_under_arbiter();
    world.kill("a");
    world.arbiter_forgets();
    world.run(4000);
    let consent = TakeoverOptions { accept_loss: true, primary_is_fenced: true };
    world.event("b", Event::Takeover(consent));
    world.run(5000);
    assert!(world.serves("b"), "{:?}", world.refusal("b"));
    assert!(matches!(world.completed("b").unwrap().verdict, Verdict::Unknown(_)));
}

#[test]
fn a_primary_does_not_write_into_an_arbiter_that_forgot() {
    let mut world = World::paired_under_arbiter();
    world.arbiter_forgets();
    world.cut("a", "b");
    world.run(10_000);
    assert_eq!(world.asked_of_arbiter().0, 0, "another reign may have been recorded there");
    assert!(world.joined("a", "b"));
    assert!(world.engine("a").trouble().unwrap().contains("another record"));
}

#[test]
fn one_question_about_the_charter_is_under_way_at_a_time() {
    let mut world = World::paired_under_arbiter();
    let mut under_way = 0;
    for _ in 0..200 {
        let effects = world.raw("a", Event::Tick);
        let asks = |effect: &&Effect| {
            let Effect::AskArbiter { question, .. } = effect else { return false };
            !matches!(question, Question::Renew { .. })
        };
        under_way += effects.iter().filter(asks).count();
    }
    assert!(under_way <= 1, "{under_way}");
}

#[test]
fn a_first_primary_that_dies_before_it_vouched_for_anybody_leads_again_by_the_word_of_all() {
    let mut world = World::under_arbiter();
    world.novices(&ALL);
    world.arbiter_away_from(&["b", "c"]);
    for _ in 0..200 {
        if world.serves("a") {
            break;
        }
        world.run(20);
    }
    assert!(world.serves("a"));
    // Nobody else heard of the reign; only the arbiter has it.
    world.kill("a");
    world.novices(&["b", "c"]);
    world.restart("a");
    world.cut("a", "c");
    world.run(8000);
    assert!(!world.serves("a"), "C may have promised to somebody");
    world.heal("a", "c");
    world.run(8000);
    assert!(world.answers("a"), "{:?}", world.engine("a").trouble());
    assert!(!world.engine("b").is_novice() && !world.engine("c").is_novice(), "vouched for");
}
