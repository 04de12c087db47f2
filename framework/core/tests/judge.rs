//! The judge: what it may decide, over arbitrary views and over histories that really parted.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case must fail")]

use proptest::prelude::*;
use trefoil_core::engine::judge::{FollowerView, Plan, PlanDebt, PlanKind, SourceView, judge};
use trefoil_core::model::{
    Chain, Debt, Extent, ExtentSet, Generation, Lineage, MissedMap, Position, SiteName,
    UpdateNumber, VolumeId,
};

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn number(value: u64) -> UpdateNumber {
    UpdateNumber::new(value)
}

fn generation(count: u64, id: u64) -> Generation {
    Generation { count, id }
}

/// A history: for each update, from number 1 on, the reign that made it. Its chains are made of
/// all that came before, as real ones are.
#[derive(Clone, Debug, PartialEq)]
struct History(Vec<Generation>);

impl History {
    /// The history of these reigns: (generation, how many updates).
    fn of(reigns: &[(Generation, u64)]) -> Self {
        let each = |(generation, count): &(Generation, u64)| vec![*generation; *count as usize];
        Self(reigns.iter().flat_map(each).collect())
    }

    fn newest(&self) -> u64 {
        self.0.len() as u64
    }

    fn prefix(&self, length: u64) -> Self {
        Self(self.0[..length as usize].to_vec())
    }

    fn at(&self, at: u64) -> Position {
        let mut position = Position::START;
        for generation in &self.0[..at as usize] {
            let chain = position.chain.after(&generation.id.to_le_bytes());
            position = Position { generation: *generation, number: position.number.next(), chain };
        }
        position
    }

    fn lineage(&self) -> Lineage {
        let mut lineage = Lineage::new();
        for (index, generation) in self.0.iter().enumerate() {
            if lineage.last().map(|reign| reign.generation) != Some(*generation) {
                lineage.begin(*generation, number(index as u64 + 1)).unwrap();
            }
        }
        lineage
    }

    fn source(&self, base: u64, follower: &FollowerView) -> SourceView {
        let newest = follower.newest.number.value();
        SourceView {
            site: site("b"),
            generation: generation(9, 9),
            lineage: self.lineage(),
            newest: number(self.newest()),
            base: self.at(base),
            chain_at_follower: (base <= newest && newest <= self.newest())
                .then(|| self.at(newest).chain),
            copy_base: None,
            map: None,
            debt: false,
            bytes_between: Some(4096),
        }
    }

    fn follower(&self) -> FollowerView {
        FollowerView {
            site: site("c"),
            lineage: self.lineage(),
            newest: self.at(self.newest()),
            base: number(0),
            debt: None,
            blank: false,
        }
    }
}

/// A history of two reigns, 1 to 4 and 5 to 9.
fn history() -> History {
    History::of(&[(generation(1, 11), 4), (generation(2, 22), 5)])
}

fn judged(history: &History, base: u64, follower: &FollowerView) -> Plan {
    judge(&history.source(base, follower), follower)
}

fn refused(plan: &Plan) -> bool {
    matches!(&plan.kind, PlanKind::Refuse { choices } if !choices.is_empty())
}

fn says(plan: &Plan, parts: &[&str]) {
    for part in parts {
        assert!(plan.why.contains(part), "{part:?} is not in {:?}", plan.why);
    }
}

fn block(offset: u64) -> ExtentSet {
    [Extent { volume: VolumeId(0), offset, length: 4096 }].into_iter().collect()
}

#[test]
fn a_follower_at_the_same_point_lacks_nothing() {
    let plan = judged(&history(), 0, &history().follower());
    assert_eq!(plan.kind, PlanKind::InSync);
    assert_eq!((plan.updates, plan.bytes, plan.debt), (0, Some(0), PlanDebt::Nothing));
}

#[test]
fn a_follower_behind_gets_the_records_it_lacks() {
    let plan = judged(&history(), 3, &history().prefix(3).follower());
    assert_eq!((&plan.kind, plan.fork), (&PlanKind::Delta, number(3)));
    assert_eq!(plan.base, history().at(3));
    assert_eq!((plan.updates, plan.target, plan.bytes), (6, number(9), Some(4096)));
    says(&plan, &["c is at 1.3", "begins at 4", "it lacks 4 to 9"]);
}

#[test]
fn a_blank_follower_gets_the_initial_copy_from_the_latest_base_that_is_known() {
    let follower = FollowerView { blank: true, ..History(Vec::new()).follower() };
    let plan = judged(&history(), 3, &follower);
    assert_eq!((&plan.kind, &plan.debt), (&PlanKind::Copy, &PlanDebt::Everything));
    assert_eq!(plan.base, history().at(3));
    says(&plan, &["initial copy"]);
    let source = SourceView { copy_base: Some(history().at(7)), ..history().source(3, &follower) };
    assert_eq!(judge(&source, &follower).base, history().at(7));
    let trimmed = SourceView { copy_base: Some(history().at(2)), ..source };
    assert_eq!(judge(&trimmed, &follower).base, history().at(3), "older than the journal");
}

#[test]
fn a_follower_that_says_blank_but_holds_updates_is_not_taken_as_blank() {
    let rival = History::of(&[(generation(1, 11), 4), (generation(2, 33), 5)]);
    let follower = FollowerView { blank: true, ..rival.follower() };
    assert!(refused(&judged(&history(), 0, &follower)));
}

#[test]
fn a_follower_behind_the_journal_is_copied_and_told_what_would_be_cheaper() {
    let follower = history().prefix(3).follower();
    let source = history().source(5, &follower);
    let plan = judge(&source, &follower);
    assert_eq!((&plan.kind, &plan.debt), (&PlanKind::Copy, &PlanDebt::Everything));
    assert_eq!((plan.drop_to, plan.base), (number(3), history().at(5)));
    says(&plan, &["begins at 6", "everything up to 3", "comparison"]);
    let with = |from: u64, everything: bool| {
        let map = Some(MissedMap { from: number(from), everything });
        judge(&SourceView { map, ..source.clone() }, &follower)
    };
    says(&with(2, false), &["a copy by map is not available yet"]);
    says(&with(2, true), &["everything may differ"]);
    says(&with(4, false), &["begins at 4, too late"]);
    assert_eq!(with(2, false).kind, PlanKind::Copy);
}

#[test]
fn a_tail_that_the_source_never_had_is_kept() {
    let rival = History::of(&[(generation(1, 11), 6)]);
    let plan = judged(&history(), 0, &rival.follower());
    assert!(refused(&plan));
    assert_eq!((plan.fork, plan.drop_to), (number(4), number(6)));
    says(&plan, &["2 updates (5 to 6)", "part after 4", "rewind"]);
    let trimmed = FollowerView { base: number(5), ..rival.follower() };
    says(&judged(&history(), 0, &trimmed), &["its journal begins at 6", "comparison"]);
}

#[test]
fn the_same_number_with_another_chain_is_a_divergence() {
    let mut follower = history().prefix(6).follower();
    follower.newest.chain = Chain::from_value(5);
    let plan = judged(&history(), 0, &follower);
    assert!(refused(&plan));
    says(&plan, &["same number, different content", "update 6"]);
    let plan = judged(&history(), 6, &follower);
    assert!(refused(&plan), "the source's base alone can tell");
}

#[test]
fn a_source_in_debt_feeds_nobody() {
    let follower = history().prefix(3).follower();
    let plan = judge(&SourceView { debt: true, ..history().source(0, &follower) }, &follower);
    assert!(refused(&plan));
    says(&plan, &["b is in debt"]);
}

#[test]
fn a_follower_of_a_newer_generation_is_refused_with_the_remedy() {
    let ahead = History::of(&[(generation(1, 11), 4), (generation(10, 1), 1)]).follower();
    let plan = judged(&history(), 0, &ahead);
    says(&plan, &["generation 10", "older"]);
    let PlanKind::Refuse { choices } = plan.kind else { panic!("not refused") };
    assert!(choices.iter().any(|choice| choice.contains("take over at c")), "{choices:?}");
}

#[test]
fn an_unfinished_debt_is_resumed_with_what_is_missing() {
    let missing = block(8192);
    let debt = Debt { source: site("a"), missing: missing.clone(), until: history().at(7) };
    let follower = FollowerView { debt: Some(debt), ..history().prefix(6).follower() };
    let plan = judged(&history(), 6, &follower);
    assert_eq!((&plan.kind, plan.debt), (&PlanKind::Copy, PlanDebt::Extents(missing)));
    assert_eq!((plan.base, plan.updates), (history().at(6), 3));
    assert_eq!(plan.bytes, Some(4096 + 4096));
    let plan = judged(&history(), 7, &follower);
    assert_eq!(plan.debt, PlanDebt::Everything, "the journal no longer reaches back");
}

#[test]
fn a_debt_without_missing_blocks_is_still_one_until_its_end_is_reached() {
    let debt = Debt { source: site("b"), missing: ExtentSet::new(), until: history().at(9) };
    let follower = FollowerView { debt: Some(debt), ..history().follower() };
    let plan = judged(&history(), 0, &follower);
    assert_eq!(plan.kind, PlanKind::Copy, "in sync by numbers alone would be H17");
    assert!(plan.debt.is_debt());
}

#[test]
fn blocks_copied_from_another_history_are_copied_again() {
    let elsewhere = History::of(&[(generation(1, 11), 8)]).at(7);
    let debt = Debt { source: site("a"), missing: block(0), until: elsewhere };
    let follower = FollowerView { debt: Some(debt), ..history().prefix(4).follower() };
    let plan = judged(&history(), 0, &follower);
    assert_eq!((&plan.kind, &plan.debt), (&PlanKind::Copy, &PlanDebt::Everything));
    assert_eq!(plan.base, history().at(4), "its records are right, only its blocks are not");
    says(&plan, &["not on the history of b"]);
}

#[test]
fn a_source_that_cannot_prove_the_position_copies() {
    let follower = history().prefix(6).follower();
    let source = SourceView { chain_at_follower: None, ..history().source(2, &follower) };
    let plan = judge(&source, &follower);
    assert_eq!((&plan.kind, &plan.debt), (&PlanKind::Copy, &PlanDebt::Everything));
    says(&plan, &["cannot tell its chain"]);
}

#[test]
fn a_plan_travels_whole_in_both_encodings() {
    let debt = Debt { source: site("a"), missing: block(0), until: Position::START };
    let follower = FollowerView { debt: Some(debt), ..history().prefix(6).follower() };
    let plan = judged(&history(), 0, &follower);
    let binary = postcard::to_stdvec(&plan).unwrap();
    assert_eq!(postcard::from_bytes::<Plan>(&binary).unwrap(), plan);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

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
        debt in prop::bool::weighted(0.1),
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
            map: map.map(|(from, everything)| MissedMap { from, everything }),
            debt,
            bytes_between,
        }
    }
}

prop_compose! {
    fn any_follower()(
        lineage in any_lineage(),
        newest in any_position(),
        base in any_number(),
        until in prop::option::weighted(0.2, any_position()),
        blank in any::<bool>(),
    ) -> FollowerView {
        let debt = until.map(|until| Debt { source: site("a"), missing: block(0), until });
        FollowerView { site: site("c"), lineage, newest, base, debt, blank }
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
                prop_assert_eq!(plan.debt, PlanDebt::Nothing);
            }
            PlanKind::InSync | PlanKind::Delta => {
                prop_assert_eq!(plan.fork, newest);
                prop_assert!(source.base.number <= newest);
                prop_assert_eq!(plan.base, follower.newest);
                prop_assert!(follower.debt.is_none(), "H17");
                prop_assert_eq!(plan.kind == PlanKind::InSync, newest == source.newest);
            }
            PlanKind::Copy => {
                prop_assert_eq!(plan.fork, newest, "never over a tail");
                prop_assert!(plan.debt.is_debt() && !source.debt);
                prop_assert!(plan.base.number >= source.base.number, "below the journal");
            }
            ref other => prop_assert!(false, "{other} is not executed in this release"),
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
            prop_assert!(refused(&plan), "{plan:?}");
        }
    }
}
