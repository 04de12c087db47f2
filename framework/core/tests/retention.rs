//! Retention: no site loses records that it lacks without a map, whatever happened to histories.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case must fail")]

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use trefoil_core::engine::retention::{OnFull, Retention, TrimDecision, TrimInput, WaterMarks};
use trefoil_core::model::{
    Chain, Changed, Extent, Generation, Lineage, MissedMap, Position, SiteName, UpdateNumber,
    VolumeId,
};

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn n(value: u64) -> UpdateNumber {
    UpdateNumber::new(value)
}

fn lineage(reigns: &[(u64, u64)]) -> Lineage {
    let mut lineage = Lineage::new();
    for (count, first) in reigns {
        lineage.begin(Generation { count: *count, id: *count }, n(*first)).unwrap();
    }
    lineage
}

fn at(count: u64, number: u64) -> Position {
    let generation = Generation { count, id: count };
    Position { generation, number: n(number), chain: Chain::from_value(u128::from(number)) }
}

/// The retention of `b`, with `a` and `c` registered.
fn retention(on_full: OnFull) -> Retention {
    let none = (BTreeMap::new(), BTreeMap::new());
    let sites = ["a", "b", "c"].map(site);
    Retention::new(site("b"), sites, &none.0, &none.1, WaterMarks::default(), on_full)
}

/// One reign, 1 to 20; `a` and `c` durable at these numbers.
fn with_floors(a: u64, c: u64) -> Retention {
    let mut retention = retention(OnFull::Map);
    for (name, floor) in [("a", a), ("c", c)] {
        retention.raise(&site(name), at(1, floor), &lineage(&[(1, 1)]), &at(1, 20));
    }
    retention
}

fn decide(retention: &Retention, checkpoint: u64, used: u64, members: &[&str]) -> TrimDecision {
    let members: BTreeSet<SiteName> = members.iter().map(|name| site(name)).collect();
    retention.trim_decision(&TrimInput {
        checkpoint: n(checkpoint),
        base: n(0),
        used,
        capacity: 100,
        members: &members,
        frozen: false,
    })
}

#[test]
fn e34_nothing_is_kept_for_a_site_that_was_replaced_until_its_successor_was_filled() {
    let lineage = lineage(&[(1, 1)]);
    let mut retention = with_floors(15, 4);
    let trim = |up_to, passed: &[&str]| {
        let passed = passed.iter().map(|name| site(name)).collect();
        TrimDecision::Trim { up_to: n(up_to), passed }
    };
    assert_eq!(decide(&retention, 18, 60, &["a", "b"]), trim(4, &[]), "c holds the rest back");
    retention.release(&site("c"));
    assert!(!retention.end_maps(n(0)), "not while the successor has nothing");
    let decision = decide(&retention, 18, 60, &["a", "b"]);
    assert_eq!(decision, trim(15, &["c"]), "only a holds records back");
    assert!(!retention.wants_extents(&[site("c")]), "and nothing has to be read for c's map");
    let (floors, maps) = (retention.floors().clone(), retention.maps().clone());
    let marks = WaterMarks::default();
    let sites = ["a", "b", "c"].map(site);
    let mut retention = Retention::new(site("b"), sites, &floors, &maps, marks, OnFull::Pace);
    let decision = decide(&retention, 18, 90, &["a", "b"]);
    assert_eq!(decision, trim(15, &["c"]), "nor after a restart, nor where hosts are paced");
    retention.follow(&site("c"), n(0), &lineage);
    assert_eq!(decide(&retention, 18, 60, &["a", "b"]), trim(15, &["c"]), "it asks to be filled");
    // It is durable at the base of its plan, and holds what comes after as any site.
    retention.raise(&site("c"), at(1, 12), &lineage, &at(1, 20));
    assert!(retention.end_maps(n(0)));
    assert_eq!(decide(&retention, 18, 60, &["a", "b"]), trim(12, &[]));
}

/// What a record changed: a block of its own for each number.
fn block(number: u64) -> Extent {
    Extent { volume: VolumeId(0), offset: number * 8192, length: 4096 }
}

/// What the records of these numbers changed.
fn blocks(numbers: std::ops::RangeInclusive<u64>) -> Changed {
    Changed::Extents(numbers.map(block).collect())
}

fn map(from: u64, changed: Changed) -> MissedMap {
    MissedMap { from: n(from), changed }
}

fn trim(up_to: u64, passed: &[&str]) -> TrimDecision {
    TrimDecision::Trim { up_to: n(up_to), passed: passed.iter().map(|name| site(name)).collect() }
}

#[test]
fn nothing_is_trimmed_while_there_is_plenty_of_room() {
    assert_eq!(decide(&with_floors(9, 8), 10, 49, &[]), TrimDecision::Nothing);
    assert_eq!(decide(&with_floors(9, 8), 10, 50, &[]), trim(8, &[]));
}

#[test]
fn h10_a_trim_never_passes_the_checkpoint() {
    assert_eq!(decide(&with_floors(9, 8), 3, 99, &[]), trim(3, &[]));
    let TrimDecision::HostMustWait { why } = decide(&with_floors(9, 8), 0, 99, &[]) else {
        panic!("forced past the checkpoint");
    };
    assert!(why.contains("checkpoint"), "{why}");
}

#[test]
fn h11_a_floor_is_never_beyond_the_own_newest() {
    let mut retention = retention(OnFull::Map);
    let history = lineage(&[(1, 1)]);
    assert!(retention.raise(&site("a"), at(1, 9), &history, &at(1, 5)));
    assert_eq!(retention.floor(&site("a")), at(1, 5));
    assert!(!retention.raise(&site("a"), at(1, 4), &history, &at(1, 5)), "never down");
    assert!(!retention.raise(&site("z"), at(1, 4), &history, &at(1, 5)), "not registered");
}

#[test]
fn h12a_a_floor_of_an_older_generation_does_not_survive_activation() {
    let mut retention = with_floors(2, 0);
    // The power loss left 1; the new reign begins at 2, which `a` does not have.
    retention.clip(&at(1, 1), &lineage(&[(1, 1)]));
    assert_eq!(retention.floor(&site("a")).number, n(1));
    let history = lineage(&[(1, 1), (2, 2)]);
    assert!(!retention.raise(&site("a"), at(1, 2), &history, &at(2, 3)), "1.2 is not 2.2");
    assert!(!retention.raise(&site("a"), at(3, 9), &history, &at(2, 3)), "of a rival branch");
    assert!(retention.raise(&site("a"), at(2, 2), &history, &at(2, 3)));
}

#[test]
fn h12b_a_shorter_own_journal_lowers_floors_before_another_branch_grows() {
    let mut retention = with_floors(8, 3);
    retention.clip(&at(1, 5), &lineage(&[(1, 1)]));
    assert_eq!(retention.floor(&site("a")).number, n(5));
    assert_eq!(retention.floor(&site("c")).number, n(3));
    retention.trimmed(n(5));
    retention.clip(&at(1, 4), &lineage(&[(1, 1)]));
    assert_eq!(retention.floor(&site("a")).number, n(4));
}

#[test]
fn h12b_a_clip_that_comes_late_still_ends_where_the_branches_part() {
    let mut retention = with_floors(8, 3);
    // 5 to 8 of the first reign were lost, and 5 to 9 of the second have come since.
    retention.clip(&at(2, 9), &lineage(&[(1, 1), (2, 5)]));
    assert_eq!(retention.floor(&site("a")).rank(), at(1, 4).rank());
    assert_eq!(retention.floor(&site("c")), at(1, 3));
    // What the third reign made was lost: everything that is left lies before it.
    let history = lineage(&[(1, 1), (2, 5), (3, 10)]);
    retention.raise(&site("a"), at(3, 12), &history, &at(3, 12));
    retention.clip(&at(2, 9), &lineage(&[(1, 1), (2, 5)]));
    assert_eq!(retention.floor(&site("a")).rank(), at(2, 9).rank());
    // A branch that this history never had proves nothing.
    retention.clip(&at(4, 9), &lineage(&[(1, 1), (4, 4)]));
    assert_eq!(retention.floor(&site("a")).rank(), Position::START.rank());
    assert_eq!(retention.floor(&site("c")).number, n(3), "before the branches part");
}

#[test]
fn h12c_a_follower_that_comes_back_from_another_branch_lowers_its_floor() {
    let mut retention = with_floors(8, 8);
    retention.follow(&site("c"), n(3), &lineage(&[(1, 1)]));
    assert_eq!(retention.floor(&site("c")).rank(), at(1, 3).rank());
    retention.follow(&site("c"), n(6), &lineage(&[(1, 1)]));
    assert_eq!(retention.floor(&site("c")).number, n(3), "a handshake only lowers");
}

#[test]
fn h13_the_own_source_and_sites_that_never_followed_hold_records_back() {
    let mut only_c = retention(OnFull::Map);
    only_c.raise(&site("c"), at(1, 9), &lineage(&[(1, 1)]), &at(1, 20));
    assert_eq!(decide(&only_c, 10, 80, &[]), TrimDecision::Nothing, "a never had anything");
    assert_eq!(decide(&only_c, 10, 85, &[]), trim(9, &["a"]));
}

#[test]
fn space_passes_the_site_that_is_furthest_behind_and_no_other() {
    assert_eq!(decide(&with_floors(0, 4), 10, 90, &[]), trim(4, &["a"]));
    assert_eq!(decide(&with_floors(0, 0), 10, 90, &[]), trim(10, &["a", "c"]));
}

#[test]
fn a_member_is_never_passed() {
    let TrimDecision::HostMustWait { why } = decide(&with_floors(0, 9), 10, 99, &["a", "b"]) else {
        panic!("passed a member");
    };
    assert!(why.contains("a, which is in sync"), "{why}");
    assert_eq!(decide(&with_floors(6, 0), 10, 99, &["a", "b"]), trim(6, &["c"]));
    assert!(matches!(
        decide(&with_floors(9, 9), 10, 99, &["z"]),
        TrimDecision::HostMustWait { .. }
    ));
}

#[test]
fn with_pace_the_host_waits_instead() {
    let mut paced = retention(OnFull::Pace);
    paced.raise(&site("c"), at(1, 9), &lineage(&[(1, 1)]), &at(1, 20));
    let TrimDecision::HostMustWait { why } = decide(&paced, 10, 99, &[]) else { panic!() };
    assert!(why.contains("a, which is durable at 0"), "{why}");
}

#[test]
fn a_mapped_site_holds_nothing_back_and_its_map_takes_up_what_goes() {
    let mut retention = with_floors(2, 8);
    assert_eq!(decide(&retention, 10, 99, &[]), trim(2, &[]), "2 may go without force");
    retention.trimmed(n(2));
    assert_eq!(decide(&retention, 10, 99, &[]), trim(8, &["a"]));
    retention.missed(n(8), n(2), &blocks(3..=8));
    retention.trimmed(n(8));
    assert_eq!(retention.maps()[&site("a")], map(2, blocks(3..=8)));
    retention.raise(&site("c"), at(1, 9), &lineage(&[(1, 1)]), &at(1, 20));
    assert_eq!(decide(&retention, 10, 60, &[]), trim(9, &["a"]), "without force");
    retention.missed(n(9), n(8), &blocks(9..=9));
    assert_eq!(retention.maps()[&site("a")], map(2, blocks(3..=9)));
    retention.follow(&site("a"), n(1), &lineage(&[(1, 1)]));
    retention.missed(n(9), n(9), &Changed::NOTHING);
    assert_eq!(retention.maps()[&site("a")].from, n(2), "it cannot reach further back");
}

#[test]
fn a_map_of_everything_wants_no_extents() {
    let mut retention = with_floors(2, 8);
    assert!(retention.wants_extents(&[site("a")]), "it is to be begun");
    retention.missed(n(8), n(2), &Changed::Everything);
    assert!(!retention.wants_extents(&[site("a")]));
    assert!(retention.wants_extents(&[site("a"), site("c")]));
    retention.missed(n(9), n(8), &blocks(9..=9));
    assert_eq!(retention.maps()[&site("a")], map(2, Changed::Everything), "rule map_monotone");
}

#[test]
fn a_map_ends_when_its_site_has_everything_that_was_trimmed() {
    let mut retention = with_floors(2, 8);
    retention.missed(n(8), n(2), &blocks(3..=8));
    assert!(!retention.end_maps(n(8)));
    retention.raise(&site("a"), at(1, 8), &lineage(&[(1, 1)]), &at(1, 20));
    assert!(retention.end_maps(n(8)));
    assert!(retention.maps().is_empty());
}

#[test]
fn a_trim_that_freed_nothing_is_not_asked_for_again() {
    let mut retention = with_floors(5, 5);
    assert_eq!(decide(&retention, 10, 90, &[]), trim(5, &[]));
    retention.trimmed(n(5));
    assert_eq!(decide(&retention, 10, 90, &[]), trim(10, &["a", "c"]));
}

#[test]
fn h16_nothing_goes_while_a_plan_needs_the_own_records() {
    let members = BTreeSet::new();
    let mut input = TrimInput {
        checkpoint: n(10),
        base: n(0),
        used: 60,
        capacity: 100,
        members: &members,
        frozen: true,
    };
    assert_eq!(with_floors(9, 9).trim_decision(&input), TrimDecision::Nothing);
    input.used = 99;
    let decision = with_floors(9, 9).trim_decision(&input);
    assert!(matches!(decision, TrimDecision::HostMustWait { .. }));
}

#[test]
fn h19_after_a_reset_every_site_behind_the_new_base_has_a_map() {
    let mut retention = with_floors(9, 4);
    retention.reset(n(6), (n(2), n(12)), &lineage(&[(1, 1)]), &blocks(3..=11));
    assert_eq!(retention.floor(&site("a")).number, n(6));
    assert_eq!(retention.maps()[&site("a")], map(6, blocks(3..=11)));
    assert_eq!(retention.maps()[&site("c")], map(4, blocks(3..=11)));
}

#[test]
fn saved_floors_and_maps_come_back_and_strangers_are_forgotten() {
    let mut saved = with_floors(9, 4);
    saved.missed(n(5), n(1), &blocks(2..=5));
    let again = Retention::new(
        site("b"),
        [site("b"), site("c")],
        saved.floors(),
        saved.maps(),
        WaterMarks::default(),
        OnFull::Map,
    );
    assert_eq!(again.floors().keys().collect::<Vec<_>>(), [&site("c")]);
    assert_eq!(again.floor(&site("c")), at(1, 4));
    assert_eq!(again.maps()[&site("c")], map(4, blocks(2..=5)));
}

proptest! {
    #[test]
    fn purge_is_safe_for_any_floors(
        floors in (0..12u64, 0..12u64),
        checkpoint in 0..12u64,
        base in 0..12u64,
        (used, capacity) in (0..=100u64, prop_oneof![Just(0u64), Just(100), Just(u64::MAX)]),
        member in prop::option::of(prop_oneof![Just("a"), Just("c")]),
        mapped in prop::option::of(0..12u64),
        frozen in prop::bool::weighted(0.1),
        pace in any::<bool>(),
    ) {
        let mut retention = retention(if pace { OnFull::Pace } else { OnFull::Map });
        for (name, floor) in [("a", floors.0), ("c", floors.1)] {
            retention.raise(&site(name), at(1, floor), &lineage(&[(1, 1)]), &at(1, 20));
        }
        // A map from earlier, with what went up to the base.
        let mapped = mapped.is_some_and(|up_to| floors.0 < up_to && up_to <= base);
        if mapped {
            retention.missed(n(base), n(floors.0), &blocks(floors.0 + 1..=base));
        }
        let members: BTreeSet<SiteName> = member.map(site).into_iter().collect();
        let input = TrimInput {
            checkpoint: n(checkpoint), base: n(base), used, capacity, members: &members, frozen,
        };
        let (up_to, passed) = match retention.trim_decision(&input) {
            TrimDecision::Nothing | TrimDecision::HostMustWait { .. } => return Ok(()),
            TrimDecision::Trim { up_to, passed } => (up_to, passed),
        };
        prop_assert!(!frozen && up_to <= n(checkpoint) && up_to > n(base));
        let begun_now = |site: &SiteName| !retention.maps().contains_key(site);
        prop_assert!(!pace || !passed.iter().any(begun_now));
        prop_assert!(!passed.iter().any(|site| members.contains(site) && begun_now(site)));
        retention.missed(up_to, n(base), &blocks(base + 1..=up_to.value()));
        for (name, floor) in retention.floors() {
            // Whatever the site lacks and no longer can read is named, block by block.
            let first = floor.number.value().max(base) + 1;
            let Some(MissedMap { changed: Changed::Extents(extents), .. }) =
                retention.maps().get(name)
            else {
                prop_assert!(floor.number >= up_to, "{name} lacks what goes");
                continue;
            };
            prop_assert!((first..=up_to.value()).all(|number| extents.contains(block(number))));
        }
    }
}
