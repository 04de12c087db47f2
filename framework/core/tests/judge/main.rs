//! The judge: what it may decide, over arbitrary views and over histories that really parted.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case must fail")]

mod histories;
mod properties;

use histories::{History, generation, history, number, site};
use trefoil_core::engine::judge::{FollowerView, Plan, PlanDebt, PlanKind, SourceView, judge};
use trefoil_core::model::{Chain, Changed, Debt, Extent, ExtentSet, MissedMap, Position, VolumeId};

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
fn where_the_volumes_hold_data_everything_is_compared_and_owed_as_for_a_copy() {
    let forgot = FollowerView { blank: true, holds: true, ..History(Vec::new()).follower() };
    let plan = judged(&history(), 3, &forgot);
    assert_eq!((&plan.kind, &plan.debt), (&PlanKind::Compare, &PlanDebt::Everything));
    assert_eq!((plan.base, plan.leaves_debt()), (history().at(3), true));
    says(&plan, &["initial copy", "c holds data", "1048576 bytes are compared"]);
    let behind = FollowerView { holds: true, ..history().prefix(3).follower() };
    let plan = judged(&history(), 5, &behind);
    assert_eq!((&plan.kind, &plan.debt), (&PlanKind::Compare, &PlanDebt::Everything));
    says(&plan, &["begins at 6", "no map"]);
    assert_eq!(judged(&history(), 3, &behind).kind, PlanKind::Delta, "a cheaper one is proven");
    let source = SourceView { owing: Some(site("d")), ..history().source(5, &behind) };
    assert!(refused(&judge(&source, &behind)), "rule R14: it would lose its image");
}

#[test]
fn a_comparison_that_was_interrupted_is_resumed_as_one() {
    let missing = block(8192);
    let debt = Debt { until: history().at(4), compare: true, ..Debt::of(site("a"), missing) };
    let follower = FollowerView { debt: Some(debt.clone()), ..history().prefix(6).follower() };
    let plan = judged(&history(), 2, &follower);
    assert_eq!((&plan.kind, &plan.debt), (&PlanKind::Compare, &PlanDebt::Extents(block(8192))));
    says(&plan, &["is resumed"]);
    let map = mapped(2, block(0));
    let behind = FollowerView { debt: Some(debt.clone()), ..history().prefix(4).follower() };
    let plan = judge(&SourceView { map, ..history().source(5, &behind) }, &behind);
    assert_eq!(plan.kind, PlanKind::Compare, "what the map names is compared with the rest");
    let elsewhere = Position { generation: generation(7, 7), ..history().at(5) };
    let lost = Debt { until: elsewhere, ..debt };
    let follower = FollowerView { debt: Some(lost), ..history().prefix(4).follower() };
    assert_eq!(judged(&history(), 2, &follower).kind, PlanKind::Compare, "rule R13: all anew");
}

#[test]
fn a_follower_that_says_blank_but_holds_updates_is_not_taken_as_blank() {
    let rival = History::of(&[(generation(1, 11), 4), (generation(2, 33), 5)]);
    let follower = FollowerView { blank: true, ..rival.follower() };
    assert_eq!(judged(&history(), 0, &follower).kind, PlanKind::Rewind, "no initial copy");
}

fn mapped(from: u64, extents: ExtentSet) -> Option<MissedMap> {
    Some(MissedMap { from: number(from), changed: Changed::Extents(extents) })
}

#[test]
fn a_follower_behind_the_journal_gets_what_was_trimmed_by_its_map() {
    let follower = history().prefix(3).follower();
    let source = history().source(5, &follower);
    let with = |map| judge(&SourceView { map, ..source.clone() }, &follower);
    let plan = with(mapped(2, block(8192)));
    assert_eq!((&plan.kind, &plan.debt), (&PlanKind::Map, &PlanDebt::Extents(block(8192))));
    assert_eq!((plan.drop_to, plan.base, plan.updates), (number(3), history().at(5), 4));
    assert_eq!(plan.bytes, Some(4096 + 4096));
    says(&plan, &["begins at 6", "everything up to 3", "4096 bytes in 1 ranges"]);
    let plan = with(None);
    assert_eq!((&plan.kind, &plan.debt), (&PlanKind::Copy, &PlanDebt::Everything));
    assert_eq!((plan.drop_to, plan.base), (number(3), history().at(5)));
    says(&plan, &["no map"]);
    says(&with(mapped(4, block(0))), &["begins at 4, too late"]);
    let all = Some(MissedMap { from: number(2), changed: Changed::Everything });
    says(&with(all), &["everything may differ"]);
}

/// H25: both followers in debt, and the source dies.
#[test]
fn h25_a_consistent_follower_waits_while_another_site_is_in_debt() {
    let follower = history().prefix(3).follower();
    let map = mapped(2, block(8192));
    let source = SourceView { map, owing: Some(site("d")), ..history().source(5, &follower) };
    let plan = judge(&source, &follower);
    assert!(refused(&plan), "{plan:?}");
    says(&plan, &["waits for d", "keeps the consistent image"]);
    let chosen = FollowerView { discards_tail: true, ..follower.clone() };
    assert_eq!(judge(&source, &chosen).kind, PlanKind::Map, "the operator does not wait");
    let debt = Some(Debt::of(site("a"), block(0)));
    let owes = FollowerView { debt, ..follower.clone() };
    assert_eq!(judge(&source, &owes).kind, PlanKind::Map, "it has no image to lose");
    let delta = SourceView { owing: Some(site("d")), ..history().source(3, &follower) };
    assert_eq!(judge(&delta, &follower).kind, PlanKind::Delta, "a delta leaves no debt");
}

#[test]
fn a_map_and_an_open_debt_are_one_debt() {
    let follower = FollowerView {
        debt: Some(Debt::of(site("a"), block(0))),
        ..history().prefix(3).follower()
    };
    let map = mapped(3, block(1 << 20));
    let plan = judge(&SourceView { map, ..history().source(5, &follower) }, &follower);
    let mut both = block(0);
    both.add_all(&block(1 << 20));
    assert_eq!((plan.kind, plan.debt), (PlanKind::Map, PlanDebt::Extents(both)));
}

/// Histories that part after 4; the follower's goes on to 6.
fn rival() -> FollowerView {
    History::of(&[(generation(1, 11), 6)]).follower()
}

#[test]
fn a_tail_that_nobody_was_told_of_is_undone() {
    let plan = judged(&history(), 0, &rival());
    assert_eq!(plan.kind, PlanKind::Rewind);
    assert_eq!((plan.fork, plan.drop_to, plan.base), (number(4), number(4), history().at(4)));
    assert_eq!((&plan.debt, plan.updates), (&PlanDebt::Nothing, 5));
    assert!(plan.leaves_debt(), "its own records say what it owes");
    says(&plan, &["2 updates (5 to 6)", "part after 4"]);
    // The source's journal need not reach back: the follower comes again, at the fork.
    let plan = judged(&history(), 8, &rival());
    assert_eq!((plan.kind, plan.base.number), (PlanKind::Rewind, number(4)));
    assert_eq!(plan.base.chain, Chain::START, "not at hand");
}

#[test]
fn a_tail_that_a_host_may_know_is_kept_until_the_operator_chose() {
    let source = |consented, follower: &FollowerView| SourceView {
        consented,
        ..history().source(0, follower)
    };
    let plan = judge(&source(generation(2, 22), &rival()), &rival());
    assert!(refused(&plan), "{plan:?}");
    assert_eq!(plan.drop_to, number(6));
    says(&plan, &["consent"]);
    let PlanKind::Refuse { choices } = plan.kind else { panic!("not refused") };
    assert!(choices.iter().any(|choice| choice.contains("trefoil rejoin --site c")), "{choices:?}");
    let chosen = FollowerView { discards_tail: true, ..rival() };
    assert_eq!(judge(&source(generation(2, 22), &chosen), &chosen).kind, PlanKind::Rewind);
    let before = judge(&source(generation(1, 11), &rival()), &rival());
    assert_eq!(before.kind, PlanKind::Rewind, "the loss was before the fork");
}

#[test]
fn a_tail_whose_begin_was_trimmed_needs_a_map_of_its_own() {
    let trimmed = FollowerView { base: number(5), ..rival() };
    let plan = judged(&history(), 0, &trimmed);
    assert!(refused(&plan));
    says(&plan, &["begins at 6, behind the fork"]);
    let mapped_by_itself = FollowerView { maps_from: Some(number(4)), ..trimmed.clone() };
    let plan = judged(&history(), 0, &mapped_by_itself);
    assert_eq!((plan.kind, plan.base), (PlanKind::Rewind, history().at(4)));
    let plan = judged(&history(), 7, &mapped_by_itself);
    assert_eq!((plan.kind, plan.base), (PlanKind::Rewind, history().at(7)), "the journal's begin");
    assert_eq!(plan.debt, PlanDebt::Everything, "and nobody knows what came in between");
    let chosen = FollowerView { discards_tail: true, ..trimmed };
    let plan = judged(&history(), 0, &chosen);
    assert_eq!((plan.kind, plan.drop_to), (PlanKind::Copy, number(4)));
    assert_eq!(plan.debt, PlanDebt::Everything);
}

#[test]
fn h28_a_site_that_returns_to_a_branch_it_left_needs_no_map_from_before_it_did() {
    // It rewound 4 and 5 for another source; this one has both, and trimmed them since.
    let debt = Debt { rewound: Some(history().at(5)), ..Debt::of(site("a"), block(0)) };
    let follower = FollowerView { debt: Some(debt), ..history().prefix(3).follower() };
    let map = mapped(5, block(1 << 20));
    let source = SourceView { map, ..history().source(6, &follower) };
    assert_eq!(judge(&source, &follower).kind, PlanKind::Map);
    let late = SourceView { map: mapped(6, block(0)), ..source.clone() };
    assert_eq!(judge(&late, &follower).kind, PlanKind::Copy);
    // The hole: had it forgotten how far its tail went.
    let debt = Some(Debt::of(site("a"), block(0)));
    let forgetful = FollowerView { debt, ..follower.clone() };
    assert_eq!(judge(&source, &forgetful).debt, PlanDebt::Everything);
    let elsewhere = Position { generation: generation(7, 7), ..history().at(5) };
    let debt = Debt { rewound: Some(elsewhere), ..Debt::of(site("a"), block(0)) };
    let stranger = FollowerView { debt: Some(debt), ..follower };
    assert_eq!(judge(&source, &stranger).kind, PlanKind::Copy, "that tail was another one");
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
    let until = history().at(7);
    let debt = Debt { until, ..Debt::of(site("a"), missing.clone()) };
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
    let debt = Debt { until: history().at(9), ..Debt::of(site("b"), ExtentSet::new()) };
    let follower = FollowerView { debt: Some(debt), ..history().follower() };
    let plan = judged(&history(), 0, &follower);
    assert_eq!(plan.kind, PlanKind::Copy, "in sync by numbers alone would be H17");
    assert!(plan.debt.is_debt());
}

#[test]
fn blocks_copied_from_another_history_are_copied_again() {
    let elsewhere = History::of(&[(generation(1, 11), 8)]).at(7);
    let mut extents = block(0);
    extents.add_all(&block(1 << 20));
    let debt = Debt { missing: block(0), until: elsewhere, ..Debt::of(site("a"), extents.clone()) };
    let follower = FollowerView { debt: Some(debt), ..history().prefix(4).follower() };
    let plan = judged(&history(), 0, &follower);
    assert_eq!((&plan.kind, &plan.debt), (&PlanKind::Copy, &PlanDebt::Extents(extents)));
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
    let debt = Debt::of(site("a"), block(0));
    let follower = FollowerView { debt: Some(debt), ..history().prefix(6).follower() };
    let plan = judged(&history(), 0, &follower);
    let binary = postcard::to_stdvec(&plan).unwrap();
    assert_eq!(postcard::from_bytes::<Plan>(&binary).unwrap(), plan);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}
