//! The words of the model hold no wrong value, and compare as the protocol says.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case must fail")]

use proptest::prelude::*;
use std::collections::BTreeMap;
use trefoil_core::ErrorKind;
use trefoil_core::model::{
    Chain, Changed, Charter, Debt, Extent, Fence, Generation, GroupName, Incarnation, Lineage,
    Marks, Member, MissedMap, Position, Reign, SiteName, SiteState, UpdateNumber, VolumeId,
    VolumeName, VolumeSpec,
};

fn n(value: u64) -> UpdateNumber {
    UpdateNumber::new(value)
}

fn generation(count: u64, id: u64) -> Generation {
    Generation { count, id }
}

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

#[test]
fn a_name_is_a_lower_case_word_of_bounded_length() {
    let longest = "a".repeat(48);
    for good in ["a", "tokyo", "db0", "a_b_9", longest.as_str()] {
        assert_eq!(SiteName::new(good).unwrap().as_str(), good);
    }
    let too_long = "a".repeat(49);
    let bad = ["", "A", "9a", "_a", "a-b", "a b", "a.b", "é", "a\n", "../etc", too_long.as_str()];
    for bad in bad {
        let error = VolumeName::new(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{bad:?}");
        assert!(error.to_string().contains("lower-case"), "{bad:?} gets no remedy: {error}");
    }
}

#[test]
fn a_bad_name_is_refused_when_it_comes_from_elsewhere() {
    let sent = postcard::to_stdvec("../etc/passwd").unwrap();
    assert!(postcard::from_bytes::<SiteName>(&sent).is_err());
    let sent = postcard::to_stdvec("tokyo").unwrap();
    assert_eq!(postcard::from_bytes::<SiteName>(&sent).unwrap(), site("tokyo"));
}

#[test]
fn numbers_neither_wrap_at_the_end_nor_below_zero() {
    assert_eq!(UpdateNumber::MAX.next(), UpdateNumber::MAX);
    assert_eq!(UpdateNumber::MAX.plus(5), UpdateNumber::MAX);
    assert_eq!(UpdateNumber::ZERO.previous(), UpdateNumber::ZERO);
    assert_eq!((n(9).since(n(4)), n(4).since(n(9))), (5, 0));
    assert_eq!(UpdateNumber::MAX.since(UpdateNumber::ZERO), u64::MAX);
}

#[test]
fn the_generation_after_any_is_newer_whatever_its_id() {
    for id in [0, 1, u64::MAX] {
        let old = generation(4, u64::MAX);
        assert!(old.succeed(id) > old);
        assert_ne!(generation(4, id.wrapping_add(7)), generation(4, id));
    }
    assert!(Generation::NONE.is_none() && !Generation::NONE.succeed(0).is_none());
}

#[test]
fn of_two_positions_the_newer_generation_ranks_higher_not_the_longer_journal() {
    let at = |count, number| Position {
        generation: generation(count, 1),
        number: n(number),
        ..Position::START
    };
    // H23: a longer unanswered tail of an older reign.
    assert!(at(2, 4).rank() > at(1, 9).rank());
    assert!(at(2, 5).rank() > at(2, 4).rank());
}

#[test]
fn any_two_marks_out_of_order_are_seen() {
    assert!(Marks::at(n(7)).in_order());
    let good = Marks { received: n(4), durable: n(3), restored: n(2), checkpointed: n(1) };
    assert!(good.in_order());
    assert!(!Marks { received: n(2), ..good }.in_order());
    assert!(!Marks { durable: n(1), ..good }.in_order());
    assert!(!Marks { restored: n(0), ..good }.in_order());
}

#[test]
fn h1_a_site_in_another_incarnation_is_not_the_member() {
    let member = Member { site: site("b"), incarnation: Incarnation(7) };
    let charter = Charter {
        settled: generation(1, 0),
        generation: generation(1, 1),
        version: 1,
        primary: site("a"),
        active: true,
        in_sync: vec![member.clone()],
        fence: Fence::Status,
        voters: Vec::new(),
        voters_before: Vec::new(),
        untold: None,
        consented: Generation::NONE,
    };
    assert!(charter.names(&site("b"), Incarnation(7)));
    assert!(!charter.names(&site("b"), Incarnation(8)), "it lost power since");
    assert!(!charter.names(&site("c"), Incarnation(7)));
    assert_eq!(charter.member(&site("b")), Some(&member));
    let next = Charter { version: 2, ..charter.clone() };
    let fenced = Charter { generation: generation(2, 0), version: 1, ..charter.clone() };
    assert!(next.rank() > charter.rank() && fenced.rank() > next.rank());
}

#[test]
fn a_chain_depends_on_what_came_before_and_on_what_comes() {
    let one = Chain::START.after(b"one");
    assert_ne!(one, Chain::START.after(b"two"));
    assert_ne!(one.after(b"two"), Chain::START.after(b"two"));
    assert_eq!(Chain::from_value(one.value()), one);
}

#[test]
fn a_lineage_out_of_order_is_refused_when_it_comes_from_elsewhere() {
    let reigns = |list: &[(u64, u64)]| -> Vec<Reign> {
        let reign = |(count, first): &(u64, u64)| Reign {
            generation: generation(*count, 1),
            first: n(*first),
        };
        list.iter().map(reign).collect()
    };
    for bad in [[(2, 1), (1, 5)], [(1, 5), (2, 5)], [(1, 5), (1, 9)]] {
        let sent = postcard::to_stdvec(&reigns(&bad)).unwrap();
        assert!(postcard::from_bytes::<Lineage>(&sent).is_err(), "{bad:?}");
    }
    let sent = postcard::to_stdvec(&reigns(&[(1, 1), (2, 5)])).unwrap();
    let lineage: Lineage = postcard::from_bytes(&sent).unwrap();
    assert_eq!(postcard::to_stdvec(&lineage).unwrap(), sent);
}

#[test]
fn a_site_state_comes_back_as_it_was_saved() {
    let mut state = SiteState::blank(
        GroupName::new("g").unwrap(),
        site("a"),
        vec![VolumeSpec { name: VolumeName::new("db0").unwrap(), size: 4096 }],
        Incarnation(3),
        "boot".into(),
    );
    let at = Position { generation: generation(1, 2), number: n(8), chain: Chain::from_value(5) };
    let block = Extent { volume: VolumeId(0), offset: 0, length: 4096 };
    state.lineage.begin(generation(1, 2), n(1)).unwrap();
    let owed = Debt::of(site("b"), [block].into_iter().collect());
    state.debt = Some(Debt { until: at, rewound: Some(at), ..owed });
    state.floors = BTreeMap::from([(site("b"), at)]);
    let map = MissedMap { from: n(2), changed: Changed::Extents([block].into_iter().collect()) };
    state.maps = BTreeMap::from([(site("c"), map)]);
    let saved = state.encode().unwrap();
    assert_eq!(SiteState::decode(&saved).unwrap(), state);
}

fn lineages() -> impl Strategy<Value = (Lineage, u64)> {
    let reign = (1..4u64, 0..2u64, 1..5u64);
    prop::collection::vec(reign, 0..5).prop_map(|reigns| {
        let (mut lineage, mut count, mut first) = (Lineage::new(), 0, 1);
        for (counts, id, length) in reigns {
            count += counts;
            lineage.begin(generation(count, id), n(first)).unwrap();
            first += length;
        }
        (lineage, first - 1)
    })
}

proptest! {
    #[test]
    fn a_fork_is_the_same_from_both_sides_and_within_both((a, b) in (lineages(), lineages())) {
        let ((a, a_newest), (b, b_newest)) = (a, b);
        let fork = a.fork(n(a_newest), &b, n(b_newest));
        prop_assert_eq!(b.fork(n(b_newest), &a, n(a_newest)), fork);
        prop_assert!(fork <= n(a_newest.min(b_newest)));
        for number in 1..=fork.value() {
            prop_assert_eq!(a.generation_at(n(number)), b.generation_at(n(number)));
        }
        let beyond = fork.next();
        if beyond <= n(a_newest.min(b_newest)) {
            prop_assert_ne!(a.generation_at(beyond), b.generation_at(beyond));
        }
        prop_assert_eq!(a.fork(n(a_newest), &a, n(a_newest)), n(a_newest));
    }

    #[test]
    fn a_lineage_cut_anywhere_says_the_same_up_to_there(
        (lineage, newest) in lineages(), cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(newest as usize + 1) as u64;
        let short = lineage.up_to(n(cut));
        for number in 0..=cut {
            prop_assert_eq!(short.generation_at(n(number)), lineage.generation_at(n(number)));
        }
        prop_assert!(short.last().is_none_or(|reign| reign.first <= n(cut)));
        prop_assert_eq!(lineage.fork(n(newest), &short, n(cut)), n(cut));
    }
}
