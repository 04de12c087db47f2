//! What holds for any two views, and for any two histories.

use crate::histories::{History, generation, number, site};
use crate::{block, judged};
use proptest::prelude::*;
use trefoil_core::engine::judge::{FollowerView, PlanDebt, PlanKind, SourceView, judge};
use trefoil_core::model::{
    Chain, Changed, Debt, Generation, Lineage, MissedMap, Position, UpdateNumber,
};

fn any_number() -> impl Strategy<Value = UpdateNumber> {
    prop_oneof![0..12u64, Just(u64::MAX), Just(u64::MAX - 1), any::<u64>()].prop_map(number)
}

fn any_generation() -> impl Strategy<Value = Generation> {
    (0..4u64, 0..3u64).prop_map(|(count, id)| generation(count, id))
}

fn any_position() -> impl Strategy<Value = Position> {
    (any_generation(), any_number(), 0..2u128).prop_map(|(generation, number, chain)| Position {
        generation,
        number,
        chain: Chain::from_value(chain),
    })
}

fn any_lineage() -> impl Strategy<Value = Lineage> {
    prop::collection::vec((any_generation(), any_number()), 0..4).prop_map(|reigns| {
        let mut lineage = Lineage::new();
        for (generation, first) in reigns {
            let _out_of_order = lineage.begin(generation, first);
        }
        lineage
    })
}

prop_compose! {
    fn any_source()(
        generation in any_generation(),
        lineage in any_lineage(),
        newest in any_number(),
        base in any_position(),
        chain in prop::option::of(0..2u128),
        copy_base in prop::option::of(any_position()),
        map in prop::option::of((any_number(), any::<bool>())),
        fork in prop::option::of(any_position()),
        consented in any_generation(),
        debt in prop::bool::weighted(0.1),
        owing in prop::bool::weighted(0.2),
        bytes_between in prop::option::of(any::<u64>()),
    ) -> SourceView {
        SourceView {
            site: site("b"),
            generation,
            lineage,
            newest,
            base,
            chain_at_follower: chain.map(Chain::from_value),
            copy_base,
            fork,
            consented,
            map: map.map(|(from, everything)| MissedMap {
                from,
                changed: if everything {
                    Changed::Everything
                } else {
                    Changed::Extents(block(0))
                },
            }),
            debt,
            owing: owing.then(|| site("d")),
            bytes_between,
            volume_bytes: 1 << 20,
        }
    }
}

prop_compose! {
    fn any_follower()(
        lineage in any_lineage(),
        newest in any_position(),
        base in any_number(),
        until in prop::option::weighted(0.2, any_position()),
        maps_from in prop::option::of(any_number()),
        discards_tail in any::<bool>(),
        blank in any::<bool>(),
        (holds, compare) in any::<(bool, bool)>(),
    ) -> FollowerView {
        let debt = until.map(|until| Debt { until, compare, ..Debt::of(site("a"), block(0)) });
        let site = site("c");
        FollowerView { site, lineage, newest, base, debt, maps_from, discards_tail, blank, holds }
    }
}

/// Two histories that are the same for a while: both left a shared one, anywhere in it, and went
/// on in reigns of their own, or not at all.
fn two_histories() -> impl Strategy<Value = (History, History)> {
    let reigns = || prop::collection::vec(1..5u64, 0..3);
    let cut = any::<prop::sample::Index>;
    (reigns(), [(reigns(), cut()), (reigns(), cut())].prop_map(Vec::from)).prop_map(
        |(shared, sides)| {
            let reigns = |lengths: &[u64], after: usize, id: u64| -> Vec<(Generation, u64)> {
                let each =
                    |(i, length): (usize, &u64)| (generation((after + i) as u64 + 1, id), *length);
                lengths.iter().enumerate().map(each).collect()
            };
            let common = History::of(&reigns(&shared, 0, 1));
            let side = |index: usize| {
                let (own, cut) = &sides[index];
                let length = cut.index(common.newest() as usize + 1) as u64;
                let mut history = common.prefix(length);
                let own = reigns(own, shared.len(), index as u64 + 2);
                history.0.extend(History::of(&own).0);
                history
            };
            (side(0), side(1))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_two_views_give_a_plan_that_keeps_the_rules(
        source in any_source(), follower in any_follower(),
    ) {
        let plan = judge(&source, &follower);
        prop_assert!(!plan.why.is_empty());
        let newest = follower.newest.number;
        match plan.kind {
            PlanKind::Refuse { ref choices } => {
                prop_assert!(!choices.is_empty());
                prop_assert_eq!(plan.drop_to, newest, "a refusal drops nothing");
                prop_assert_eq!(&plan.debt, &PlanDebt::Nothing);
            }
            PlanKind::InSync | PlanKind::Delta => {
                prop_assert_eq!(plan.fork, newest);
                prop_assert!(source.base.number <= newest);
                prop_assert_eq!(plan.base, follower.newest);
                prop_assert!(follower.debt.is_none(), "H17");
                prop_assert_eq!(plan.kind == PlanKind::InSync, newest == source.newest);
            }
            PlanKind::Copy | PlanKind::Map | PlanKind::Compare => {
                let tail = plan.fork < newest;
                prop_assert!(!tail || follower.discards_tail, "a tail is kept");
                prop_assert!(!tail || plan.drop_to == plan.fork);
                prop_assert!(plan.debt.is_debt() && !source.debt);
                prop_assert!(plan.base.number >= source.base.number, "below the journal");
            }
            PlanKind::Rewind => {
                prop_assert!(plan.fork < newest && plan.drop_to == plan.fork);
                let told = source.consented > source.lineage.generation_at(plan.fork);
                prop_assert!(!told || follower.discards_tail, "a host may know of it");
                let mapped = follower.maps_from.is_some_and(|from| from <= plan.fork);
                prop_assert!(follower.base <= plan.fork || mapped, "what it changed is known");
            }
        }
        if plan.debt == PlanDebt::Everything && plan.kind != PlanKind::Rewind {
            let compares = plan.kind == PlanKind::Compare;
            prop_assert_eq!(compares, follower.holds, "what is there may not be sent");
        }
    }

    #[test]
    fn a_true_prefix_needs_no_copy_while_the_journal_reaches_back(
        (source, _) in two_histories(),
        newest in any::<prop::sample::Index>(),
        base in any::<prop::sample::Index>(),
    ) {
        let newest = newest.index(source.newest() as usize + 1) as u64;
        let base = base.index(source.newest() as usize + 1) as u64;
        let follower = source.prefix(newest).follower();
        let plan = judged(&source, base, &follower);
        let expected = if base > newest {
            PlanKind::Copy
        } else if newest == source.newest() {
            PlanKind::InSync
        } else {
            PlanKind::Delta
        };
        prop_assert_eq!(plan.kind, expected);
    }

    #[test]
    fn histories_that_parted_are_never_taken_as_one((source, other) in two_histories()) {
        let follower = other.follower();
        let plan = judged(&source, 0, &follower);
        let same = source.0.iter().zip(&other.0).take_while(|(a, b)| a == b).count() as u64;
        prop_assert_eq!(plan.fork, number(same));
        if same == other.newest() {
            prop_assert!(matches!(plan.kind, PlanKind::InSync | PlanKind::Delta));
        } else {
            prop_assert_eq!(plan.kind, PlanKind::Rewind);
        }
    }
}
