//! The verdict of a takeover, case by case: what is proved, what is not, who goes first.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use trefoil_core::engine::takeover::{Assessment, Standing, Verdict, assess};
use trefoil_core::model::{
    Chain, Charter, Fence, Generation, Incarnation, Lineage, Marks, Member, Position, SiteName,
    UpdateNumber,
};
use trefoil_core::wire::{Evidence, SiteView};

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn generation(count: u64) -> Generation {
    Generation { count, id: count + 100 }
}

/// A site at `number`, on a history with reigns that begin at those numbers.
fn evidence(incarnation: u64, reigns: &[u64], number: u64) -> Evidence {
    let mut lineage = Lineage::new();
    for (index, first) in reigns.iter().enumerate() {
        lineage.begin(generation(index as u64 + 1), UpdateNumber::new(*first)).unwrap();
    }
    let newest = UpdateNumber::new(number);
    let view = SiteView {
        incarnation: Incarnation(incarnation),
        promised: generation(9),
        charter: None,
        newest: Position {
            generation: lineage.generation_at(newest),
            number: newest,
            chain: Chain::START,
        },
        marks: Marks::at(newest),
        base: UpdateNumber::ZERO,
        debt_bytes: 0,
        image: None,
        blank: number == 0,
        novice: false,
    };
    Evidence { view, lineage, lease_left_ms: 0 }
}

/// The charter of generation 1, with these (site, incarnation) in sync.
fn charter(in_sync: &[(&str, u64)]) -> Charter {
    let member =
        |(name, id): &(&str, u64)| Member { site: site(name), incarnation: Incarnation(*id) };
    Charter {
        generation: generation(1),
        version: 1,
        primary: site("a"),
        active: true,
        settled: generation(1),
        in_sync: in_sync.iter().map(member).collect(),
        fence: Fence::Status,
        voters: Vec::new(),
        voters_before: Vec::new(),
        untold: None,
        consented: Generation::NONE,
    }
}

fn judge(
    name: &str,
    own: &Evidence,
    others: &[(&str, Evidence)],
    charter: Option<&Charter>,
    began_blank: bool,
) -> Assessment {
    judge_among(&["a", "b", "c"].map(site), name, own, others, (charter, began_blank))
}

/// The same, where these sites are taken to be registered.
fn judge_among(
    registered: &[SiteName],
    name: &str,
    own: &Evidence,
    others: &[(&str, Evidence)],
    (charter, began_blank): (Option<&Charter>, bool),
) -> Assessment {
    let evidence: BTreeMap<SiteName, Evidence> =
        others.iter().map(|(name, evidence)| (site(name), evidence.clone())).collect();
    assess(&Standing {
        site: &site(name),
        view: &own.view,
        lineage: &own.lineage,
        evidence: &evidence,
        charter,
        registered,
        began_blank,
        handover: None,
    })
}

fn is_unknown(assessment: &Assessment) -> bool {
    matches!(assessment, Assessment::Eligible(Verdict::Unknown(_)))
}

#[test]
fn an_intact_member_proves_zero_loss_alone() {
    let charter = charter(&[("a", 1), ("b", 2)]);
    let b = evidence(2, &[1], 10);
    let c = [("c", evidence(3, &[1], 8))];
    assert_eq!(judge("b", &b, &c, Some(&charter), false), Assessment::Eligible(Verdict::Zero));
}

#[test]
fn another_incarnation_of_a_member_proves_nothing() {
    let charter = charter(&[("a", 1), ("b", 2)]);
    let b = evidence(77, &[1], 10);
    assert!(is_unknown(&judge("b", &b, &[("c", evidence(3, &[1], 8))], Some(&charter), false)));
}

#[test]
fn a_stale_site_proves_zero_loss_through_an_intact_member_whose_end_it_holds() {
    let charter = charter(&[("b", 2)]);
    let c = evidence(3, &[1], 10);
    let b = [("b", evidence(2, &[1], 10))];
    assert_eq!(judge("c", &c, &b, Some(&charter), false), Assessment::Eligible(Verdict::Zero));
}

#[test]
fn rank_alone_proves_nothing_about_a_member_on_another_branch() {
    // C began a reign by consent at 3 and never became active; A answered up to 10.
    let charter = charter(&[("a", 1)]);
    let c = evidence(3, &[1, 3], 3);
    let others = [("a", evidence(1, &[1], 10)), ("b", evidence(2, &[1], 2))];
    let assessment = judge("c", &c, &others[..1], Some(&charter), false);
    let gives_way =
        matches!(&assessment, Assessment::GiveWay { to: Some(to), .. } if *to == site("a"));
    assert!(gives_way, "{assessment:?}");
}

#[test]
fn a_site_that_is_further_on_goes_first_or_is_read() {
    let charter = charter(&[("a", 1), ("b", 2)]);
    let b = evidence(2, &[1], 5);
    let mut c = evidence(3, &[1], 8);
    let read = judge("b", &b, &[("c", c.clone())], Some(&charter), false);
    assert_eq!(read, Assessment::RollForward { from: site("c"), to: UpdateNumber::new(8) });
    c.view.base = UpdateNumber::new(6);
    let give_way = judge("b", &b, &[("c", c)], Some(&charter), false);
    assert!(matches!(give_way, Assessment::GiveWay { to: Some(to), .. } if to == site("c")));
}

#[test]
fn a_site_in_debt_does_not_lead() {
    let charter = charter(&[("b", 2)]);
    let mut b = evidence(2, &[1], 10);
    b.view.debt_bytes = 1;
    let assessment = judge("b", &b, &[("c", evidence(3, &[1], 8))], Some(&charter), false);
    assert!(matches!(assessment, Assessment::GiveWay { .. }));
}

#[test]
fn h22_a_candidate_gives_way_to_a_site_whose_journal_no_longer_reaches_back_to_it() {
    let charter = charter(&[("a", 1), ("b", 2)]);
    let a = evidence(71, &[1], 3);
    let mut b = evidence(72, &[1], 9);
    b.view.base = UpdateNumber::new(6);
    let others = [("b", b.clone()), ("c", evidence(3, &[1], 2))];
    let given = judge("a", &a, &others, Some(&charter), false);
    assert!(matches!(&given, Assessment::GiveWay { to: Some(to), .. } if *to == site("b")));
    // And B goes on: nobody has more.
    let others = [("a", a.clone()), ("c", evidence(3, &[1], 2))];
    assert_eq!(
        judge("b", &b, &others, Some(&charter), false),
        Assessment::Eligible(Verdict::Flushed)
    );
    // The hole: had B not said where its journal begins, A would ask for records that are gone,
    // again and again, and never give way.
    b.view.base = UpdateNumber::ZERO;
    let others = [("b", b), ("c", evidence(3, &[1], 2))];
    let stuck = judge("a", &a, &others, Some(&charter), false);
    assert_eq!(stuck, Assessment::RollForward { from: site("b"), to: UpdateNumber::new(9) });
}

#[test]
fn h23_of_two_members_that_lost_power_on_two_branches_the_newer_generation_leads() {
    // A: 1.1 to 1.5, a tail that nobody was told of; B: 1.1, 1.2, 2.3, 2.4. Neither is a prefix.
    let members = charter(&[("a", 1), ("b", 2)]);
    let charter = Charter { generation: generation(2), settled: generation(2), ..members };
    let (a, b) = (evidence(71, &[1], 5), evidence(72, &[1, 3], 4));
    let c = ("c", evidence(3, &[1], 2));
    let to_a = [("b", b.clone()), c.clone()];
    let given = judge("a", &a, &to_a, Some(&charter), false);
    assert!(matches!(&given, Assessment::GiveWay { to: Some(to), .. } if *to == site("b")));
    let to_b = [("a", a.clone()), c.clone()];
    let leads = judge("b", &b, &to_b, Some(&charter), false);
    assert_eq!(leads, Assessment::Eligible(Verdict::Flushed), "A's tail was lost before");
    // The hole: had nobody noted that B's reign became active, the longer journal would lead, and
    // what B answered in it would be certified to be there.
    let by_number = Charter { settled: generation(1), ..charter };
    let given = judge("b", &b, &to_b, Some(&by_number), false);
    assert!(matches!(&given, Assessment::GiveWay { to: Some(to), .. } if *to == site("a")));
    let longer = judge("a", &a, &to_a, Some(&by_number), false);
    assert_eq!(longer, Assessment::Eligible(Verdict::Flushed));
}

#[test]
fn h27_when_all_lost_power_every_registered_site_must_be_back() {
    let charter = charter(&[("a", 1), ("b", 2)]);
    let a = evidence(71, &[1], 10);
    let (b, c) = (("b", evidence(72, &[1], 10)), ("c", evidence(73, &[1], 8)));
    let some = judge("a", &a, std::slice::from_ref(&b), Some(&charter), false);
    assert!(is_unknown(&some), "c may hold what both lost");
    let all = judge("a", &a, &[b.clone(), c], Some(&charter), false);
    assert_eq!(all, Assessment::Eligible(Verdict::Flushed));
    // The hole: did the members alone count, it would be certified while C holds more.
    let members = [site("a"), site("b")];
    let certified =
        judge_among(&members, "a", &a, std::slice::from_ref(&b), (Some(&charter), false));
    assert_eq!(certified, Assessment::Eligible(Verdict::Flushed));
    let back = [b, ("c", evidence(73, &[1], 12))];
    let read = judge("a", &a, &back, Some(&charter), false);
    assert_eq!(read, Assessment::RollForward { from: site("c"), to: UpdateNumber::new(12) });
}

#[test]
fn lost_media_are_not_a_power_loss() {
    // F41: flushed writes may be gone with them.
    let charter = charter(&[("a", 1)]);
    let a = evidence(71, &[1], 10);
    let others = [("b", evidence(72, &[1], 10)), ("c", evidence(73, &[1], 8))];
    let refilled = judge("a", &a, &others, Some(&charter), true);
    assert!(is_unknown(&refilled), "{refilled:?}");
    let b = evidence(72, &[1], 10);
    let others = [("a", evidence(71, &[], 0)), ("c", evidence(73, &[1], 8))];
    let beside = judge("b", &b, &others, Some(&charter), false);
    assert!(is_unknown(&beside), "{beside:?}");
}

#[test]
fn blank_sites_begin_with_nothing_to_lose() {
    let blank = evidence(1, &[], 0);
    let others = [("b", evidence(2, &[], 0))];
    assert_eq!(judge("a", &blank, &others, None, true), Assessment::Eligible(Verdict::Zero));
    let others = [("b", evidence(2, &[1], 5))];
    let assessment = judge("a", &blank, &others, None, true);
    assert!(matches!(assessment, Assessment::RollForward { .. }), "{assessment:?}");
}

#[test]
fn a_reign_that_never_became_active_puts_nobody_ahead() {
    // B began a reign by consent at 24 and died; A answered up to 33 in the one before.
    let mut fence = charter(&[("a", 71)]);
    (fence.generation, fence.active, fence.settled) = (generation(3), false, generation(2));
    let b = evidence(72, &[1, 5, 24], 24);
    let others = [("a", evidence(71, &[1, 5], 33)), ("c", evidence(73, &[1], 4))];
    let by_b = judge("b", &b, &others, Some(&fence), false);
    assert!(matches!(&by_b, Assessment::GiveWay { to: Some(to), .. } if *to == site("a")));
    let (_, a) = &others[0];
    let by_a = judge("a", a, &[("b", b)], Some(&fence), false);
    assert_eq!(by_a, Assessment::Eligible(Verdict::Zero), "it is the intact member");
}

#[test]
fn flushed_is_not_said_over_a_tail_that_is_not_here() {
    let mut fence = charter(&[("a", 1)]);
    (fence.generation, fence.active, fence.settled) = (generation(2), false, generation(1));
    // A lost power (another incarnation) and still has more than B's branch knows.
    let b = evidence(2, &[1, 8], 20);
    let others = [("a", evidence(71, &[1], 5)), ("c", evidence(3, &[1], 4))];
    let whole = judge("b", &b, &others, Some(&fence), false);
    assert_eq!(whole, Assessment::Eligible(Verdict::Flushed));
    fence.settled = generation(2);
    let others = [("a", evidence(71, &[1], 15)), ("c", evidence(3, &[1], 4))];
    let lost_before = judge("b", &b, &others, Some(&fence), false);
    assert_eq!(lost_before, Assessment::Eligible(Verdict::Flushed), "an older reign's tail");
}

#[test]
fn before_any_reign_was_active_there_is_nothing_to_lose() {
    let mut fence = charter(&[("a", 1)]);
    (fence.active, fence.settled) = (false, Generation::NONE);
    let a = evidence(71, &[], 0);
    let others = [("b", evidence(2, &[], 0))];
    assert_eq!(judge("a", &a, &others, Some(&fence), true), Assessment::Eligible(Verdict::Zero));
}

#[test]
fn what_is_not_proved_names_the_reign_that_answered_and_not_the_one_that_is_to_begin() {
    let charter = Charter { generation: generation(2), active: false, ..charter(&[("a", 1)]) };
    let (b, c) = (evidence(2, &[1], 10), [("c", evidence(3, &[1], 8))]);
    let assessment = judge("b", &b, &c, Some(&charter), false);
    let Assessment::Eligible(Verdict::Unknown(facts)) = assessment else {
        panic!("nobody here can know what a answered: {assessment:?}");
    };
    assert!(facts.contains("answered in generation 1 is held by {a}"), "{facts}");
}
